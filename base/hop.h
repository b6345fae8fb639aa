// Hop control: what client and relay tell each other about their path, as SRTCP (RFC 3711, RFC 7714) under
// hop keys, in datagrams of type PACKET_HOP. The same packets travel over UDP and in frames over TLS.
//
// A path (UDP or TLS) has a handle, one rising counter for each direction, shared by media and hop packets,
// and four keys from the TLS exporter. Packets from relay to client carry the client's own handle; a client
// treats every other handle as media. SPDX-License-Identifier: Apache-2.0
#ifndef BASE_HOP_H
#define BASE_HOP_H

#include "base/err.h"
#include "base/packet.h"
#include "base/srtcp.h"

#include <stddef.h>
#include <stdint.h>

enum hop_path { HOP_PATH_UDP = 0, HOP_PATH_TLS = 1, HOP_PATHS = 2 };

// TLS exporter: this label, context = one byte, the path; output = struct hop_keys, in this order.
#define HOP_EXPORTER_LABEL "EXPORTER-huisclos-hop-v1"
struct hop_keys {
	uint8_t up_tag[PACKET_TAG_KEY_BYTES];   // client to relay
	uint8_t down_tag[PACKET_TAG_KEY_BYTES]; // relay to client
	uint8_t up_master[SRTP_MASTER_BYTES];
	uint8_t down_master[SRTP_MASTER_BYTES];
};

enum hop_kind {
	// Empty RR (RFC 3550, PT 201) with 20 zero bytes of extension, so that it is as long as a challenge and the
	// relay never sends more to an unproven address than came from it. The relay answers a client's with one.
	HOP_KEEPALIVE,
	HOP_CHALLENGE, // APP "HUIS" subtype 1, 16 bytes: answer from the address where this arrived
	HOP_RESPONSE,  // APP "HUIS" subtype 2, the same 16 bytes
	HOP_PLI,       // RFC 4585 6.3.1: a key frame of stream `ssrc` is needed
	HOP_NACK,      // RFC 4585 6.2.1: packets of stream `ssrc` are missing
	HOP_KINDS
};
enum { HOP_COOKIE_BYTES = 16, HOP_NACK_MAX = 64 };

struct hop_message {
	enum hop_kind kind;
	uint8_t cookie[HOP_COOKIE_BYTES]; // challenge, response
	uint32_t ssrc;                    // PLI, NACK: the media stream
	uint16_t sequences[HOP_NACK_MAX]; // NACK, rising
	size_t sequence_count;
};

enum hop_side { HOP_CLIENT, HOP_RELAY };

// One side of one path. Embedded; hop_fini wipes its keys.
struct hop {
	enum hop_side side;
	uint32_t index;      // participant index: SSRC of the client's reports is (index, 255), of the relay's (index, 254)
	uint32_t handle;     // of type PACKET_MEDIA; the hop handle differs in the type bits only
	uint32_t counter;    // last one sent
	uint8_t tag_key_out[PACKET_TAG_KEY_BYTES];
	uint8_t tag_key_in[PACKET_TAG_KEY_BYTES];
	struct srtcp out, in;
};

enum err hop_init(struct hop *hop, enum hop_side side, uint32_t index, uint32_t handle, const struct hop_keys *keys) CHECK_RESULT;
void hop_fini(struct hop *hop);

// Build a whole datagram in `bytes` (room for PACKET_MAX_BYTES).
enum err hop_emit(struct hop *hop, const struct hop_message *message, uint8_t *bytes, size_t *size) CHECK_RESULT;
// Open a datagram whose handle is ours. Checks the tag and the SRTCP authentication and replay list, in this
// order; the relay's replay window of counters is the relay's own business. `bytes` is changed in place.
enum err hop_parse(struct hop *hop, uint8_t *bytes, size_t size, struct hop_message *out) CHECK_RESULT;

// Plain RTCP, before protection and after: for tests and fuzzing.
enum err hop_rtcp_parse(const uint8_t *bytes, size_t size, struct hop_message *out) CHECK_RESULT;
size_t hop_rtcp_emit(uint32_t sender_ssrc, const struct hop_message *message, uint8_t out[static PACKET_MAX_BYTES]);

#endif
