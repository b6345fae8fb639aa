// Messages between client and relay on the TLS control connection (ALPN "huisclos/1").
//
// The connection carries frames of RFC 4571: a two-byte length, then a body. The top two bits of the body
// tell what it is (enum packet_type): a media or hop datagram exactly as on UDP, or one of the messages
// below: 0xC0, one byte of enum control_type, fields in the order of the structs, integers big-endian,
// variable parts with a two-byte length. Order of a session: client JOIN; relay WELCOME or END; then anything.
//
// Parsed structs borrow from the frame. SPDX-License-Identifier: Apache-2.0
#ifndef BASE_CONTROL_H
#define BASE_CONTROL_H

#include "base/cursor.h"
#include "base/err.h"
#include "base/hop.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTROL_ALPN "huisclos/1"
enum {
	CONTROL_VERSION = 1,
	CONTROL_MESSAGE_BYTE = 0xC0,
	CONTROL_FRAME_MAX = 65535,
	CONTROL_ANNOUNCE_MAX = 4096, // sealed announcement of a member
	CONTROL_TEXT_MAX = 256,
	CONTROL_STREAMS_MAX = 16,
	CONTROL_SUBSCRIPTIONS_MAX = 64, // of a message
	CONTROL_PROOF_BYTES = 64, // Ed25519
};

enum control_type {
	// client to relay
	CONTROL_JOIN = 1,
	CONTROL_ANNOUNCE = 2, // replaces the sender's announcement; the relay keeps it and hands it to who joins later
	CONTROL_STREAMS = 3,  // replaces the sender's stream catalogue
	CONTROL_PATH = 4,     // where the relay shall send this client's media; granted by a PATH in return
	CONTROL_LEAVE = 5,
	CONTROL_PING = 6,     // answered by PONG with the same value
	CONTROL_SUBSCRIBE = 7, // streams of others that the sender wants, or wants no more; those not named stay as they are
	// relay to client
	CONTROL_WELCOME = 32,
	CONTROL_MEMBER = 33, // somebody is here, or announced anew
	CONTROL_GONE = 34,
	CONTROL_PATH_IS = 35,
	CONTROL_END = 36, // last message; the relay closes
	CONTROL_PONG = 37,
	CONTROL_STREAMS_OF = 38,
};

enum control_end {
	CONTROL_END_LEFT = 1,
	CONTROL_END_TICKET = 2,   // not authentic, or for another relay, meeting or device
	CONTROL_END_EXPIRED = 3,  // ticket's time is over
	CONTROL_END_CLOSED = 4,   // the meeting was ended
	CONTROL_END_REMOVED = 5,  // kicked or banned
	CONTROL_END_REPLACED = 6, // the same participant joined from elsewhere
	CONTROL_END_FULL = 7,
	CONTROL_END_PROTOCOL = 8, // malformed message
	CONTROL_END_SHUTDOWN = 9, // relay stops; come back
	CONTROL_END_TIMEOUT = 10,
};
// One-line English text for people. Never NULL.
const char *control_end_text(enum control_end reason);

// `proof` is an Ed25519 signature with the device key of the ticket over
// "huisclos join v1" || TLS exporter("EXPORTER-huisclos-join-v1", "", 32) || SHA-256(ticket),
// so that a ticket is of use only to its device and on this connection.
#define CONTROL_JOIN_EXPORTER "EXPORTER-huisclos-join-v1"
#define CONTROL_JOIN_CONTEXT "huisclos join v1"
struct control_join {
	uint16_t version;
	uint8_t flags; // CONTROL_JOIN_AGAIN: was in this meeting before
	uint8_t proof[CONTROL_PROOF_BYTES];
	const uint8_t *ticket;
	size_t ticket_size;
};
enum { CONTROL_JOIN_AGAIN = 1 };

struct control_blob { // ANNOUNCE
	const uint8_t *bytes;
	size_t size;
};

enum control_kind { CONTROL_AUDIO = 1, CONTROL_VIDEO = 2, CONTROL_SCREEN = 3 };
struct control_stream {
	uint8_t stream; // low byte of the SSRC
	uint8_t kind;   // enum control_kind
	uint16_t width, height;
	uint32_t bitrate; // bit/s
};
struct control_streams {
	uint8_t count;
	struct control_stream stream[CONTROL_STREAMS_MAX];
};

// Every stream is wanted until this says otherwise; docs/protocol.md section 3.
struct control_subscription {
	uint32_t ssrc;
	bool is_wanted;
};
struct control_subscribe {
	uint8_t count;
	struct control_subscription subscription[CONTROL_SUBSCRIPTIONS_MAX];
};

struct control_welcome {
	struct id incarnation;        // of the room: changes when the relay forgot it
	uint32_t index;               // yours; SSRC = index << 8 | stream; never given again while the room lives
	uint16_t udp_port;            // on the address of this connection; 0: no UDP
	uint32_t handle[HOP_PATHS];   // of type PACKET_MEDIA
	uint64_t rejoin_until;        // Unix seconds
};

struct control_member {
	uint32_t index;
	struct id participant;
	const uint8_t *announcement; // empty until it made one
	size_t announcement_size;
};

struct control_gone {
	uint32_t index;
	struct id participant;
	uint8_t reason; // enum control_end
};

struct control_streams_of {
	uint32_t index;
	struct control_streams streams;
};

struct control_message {
	enum control_type type;
	union {
		struct control_join join;
		struct control_blob announce;
		struct control_streams streams;
		uint8_t path;   // PATH, PATH_IS: enum hop_path
		uint64_t ping;  // PING, PONG
		struct control_subscribe subscribe;
		struct control_welcome welcome;
		struct control_member member;
		struct control_gone gone;
		uint8_t end;    // enum control_end
		struct control_streams_of streams_of;
	};
};

// A frame's body with top bits PACKET_MESSAGE. ERR_PARSE for anything malformed or unknown, ERR_LIMIT for
// fields beyond the limits above.
enum err control_parse(const uint8_t *bytes, size_t size, struct control_message *out) CHECK_RESULT;
// The body without the two-byte length; ERR_LIMIT if it does not fit.
enum err control_emit(const struct control_message *message, uint8_t *bytes, size_t capacity, size_t *size) CHECK_RESULT;

#endif
