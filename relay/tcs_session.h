// One control connection: TLS handshake, frames, join, messages, and media that goes over TLS.
//
//   HANDSHAKE ── TLS done ─► JOINING ── JOIN accepted ─► JOINED ── end, for whatever reason ─► ENDING ── freed
//
// What is sent is queued inside the TLS connection; media is dropped when the queue is long, and a client that
// does not read is dropped with its control messages. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_TCS_SESSION_H
#define RELAY_TCS_SESSION_H

#include "base/control.h"
#include "base/tls_conn.h"
#include "relay/handshake.h"
#include "relay/loop.h"
#include "relay/relay_stats.h"
#include "relay/room.h"

struct relay;

enum {
	TCS_SESSION_FRAME_MAX = 8192,      // the longest message of a client is an ANNOUNCE of some 4 KiB
	TCS_SESSION_MEDIA_QUEUE = 1 << 17, // bytes queued beyond which media is dropped
	TCS_SESSION_QUEUE_MAX = 1 << 20,   // and the client
	TCS_SESSION_EARLY_MAX = 1 << 15,   // bytes that may come while a step of the handshake runs
};
#define TCS_SESSION_JOIN_NS 10000000000u   // from accept to WELCOME
#define TCS_SESSION_GRACE_NS 20000000000u  // from accept until the queue's limit holds
#define TCS_SESSION_SILENT_NS 15000000000u
#define TCS_SESSION_STUCK_NS 10000000000u  // nothing of the queue was taken
#define TCS_SESSION_LINGER_NS 2000000000u  // for the last message to arrive
#define TCS_SESSION_TELL_NS 100000000u     // between two announcements of a member that are passed on

enum tcs_session_state { TCS_SESSION_HANDSHAKE, TCS_SESSION_JOINING, TCS_SESSION_JOINED, TCS_SESSION_ENDING };

struct tcs_session {
	struct relay *relay;
	enum tcs_session_state state;
	struct loop_stream *stream;
	struct tls_conn *tls;
	struct member *member; // while JOINED
	struct sockaddr_in6 peer;
	uint64_t opened_ns, heard_ns, progress_ns, ended_ns; // monotonic
	uint64_t received_ns; // CLOCK_REALTIME, kernel's stamp of the bytes being read
	bool is_closed;  // the connection is gone: free it
	bool is_doomed;  // to be ended with `doom` at the end of this wake-up
	enum control_end doom;
	enum relay_stats_counter doom_counter; // STATS_COUNTERS: none, nothing went wrong
	bool is_waiting; // its JOIN is in `frame`: all free places in the table rest for some moments more
	struct handshake step; // of the TLS handshake; while it runs, `tls` is its worker's
	uint8_t *early;        // what came meanwhile
	size_t early_size;
	struct tcs_session *previous, *next;
	size_t frame_size;
	uint8_t frame[2 + TCS_SESSION_FRAME_MAX];
};

// Takes the descriptor of a connected socket, also when it fails.
enum err tcs_session_open(struct relay *relay, int descriptor, const struct sockaddr_in6 *peer) CHECK_RESULT;
void tcs_session_free(struct tcs_session *session); // its room was left before
// End it if it is doomed, free it if it has ended. When relay->is_reaping says that there are such.
void tcs_session_reap(struct tcs_session *session);

// A step of the TLS handshake is done, which was `step` of some session.
void tcs_session_handshaken(struct handshake *step);
// Time passes: what is overdue ends or is sent.
void tcs_session_tick(struct tcs_session *session, uint64_t now_ns);

// Queue a message; a client that does not take them is doomed.
void tcs_session_send(struct tcs_session *session, const struct control_message *message);
// Queue a datagram as a frame; false if it was dropped because the queue is long.
bool tcs_session_send_packet(struct tcs_session *session, const uint8_t *bytes, size_t size);
// Leave the room, tell the client (END) and the others (GONE), and close. 0: the connection is broken, no END.
void tcs_session_end(struct tcs_session *session, enum control_end reason);
// The same at the end of this wake-up: safe while a room is being walked through.
void tcs_session_doom(struct tcs_session *session, enum control_end reason, enum relay_stats_counter counter);

#endif
