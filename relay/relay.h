// The relay: what all modules of the control thread share, and the loop's handlers. Media is forwarded by the kernel or
// by the media threads; what they hand up, and what comes over TLS, comes here. Makes no system call for a packet: it
// fills the outbox, which is flushed at the end of each batch. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "base/tls_conn.h"
#include "relay/admission.h"
#include "relay/engine.h"
#include "relay/flow.h"
#include "relay/handshake.h"
#include "relay/loop.h"
#include "relay/media.h"
#include "relay/media_threads.h"
#include "relay/outbox.h"
#include "relay/relay_stats.h"
#include "relay/room.h"

struct tcs_config;
struct registration;
struct manager_link;
struct control_socket;
struct passed;
struct fast_path;
struct neighbours;

enum { RELAY_SCRATCH_BYTES = 16384 };

struct relay {
	const struct tcs_config *config;
	const struct registration *registration;
	struct loop *loop;
	struct tls_context *tls;
	struct relay_stats stats;        // the control thread's own, as what follows
	struct fanout_counters counters;
	struct media media;
	struct outbox *outbox;
	struct media_port *port;         // borrowed; NULL: no UDP
	struct media_threads *threads;   // NULL: the control thread receives all datagrams itself
	struct handshakes *handshakes;   // NULL: handshakes are done here and now (tests)
	struct relay_legs legs;
	struct table *table;
	struct table_memory *memory;     // of its own; NULL: that of the fast path
	struct fast_path *fast_path;     // borrowed; NULL: none
	struct neighbours *neighbours;   // NULL: none
	struct engine_choice engine;
	struct flow_table *flows;
	struct rooms *rooms;
	struct admission admission;
	uint16_t udp_port;               // told to clients; 0: no UDP
	uint8_t cookie_key[PACKET_TAG_KEY_BYTES];
	uint64_t started_ns, tick_ns; // tick_ns: when sessions are looked after next

	struct tcs_session *sessions;    // all of them
	size_t session_count, unfinished_count;
	bool is_reaping;                 // some session is to be ended or freed
	bool is_stopping;
	uint64_t stop_ns;
	bool is_changed;                 // who is in which meeting, since the last report

	struct manager_link *manager;    // NULL: no management server (tests)
	struct control_socket *control;  // NULL: none
	struct passed *passed;           // NULL: no mux
	int signals;                     // signalfd, -1: none
	uint8_t scratch[RELAY_SCRATCH_BYTES];
};

struct relay_options {
	const struct tcs_config *config;
	const struct registration *registration;
	struct journal *journal;
	struct tls_context *tls;
	struct fast_path *fast_path; // NULL: none, the table is plain memory
};

// The handlers to open a loop with; the context is the relay.
struct loop_handlers relay_handlers(struct relay *relay);
struct relay *relay_new(const struct relay_options *options);
// Takes loop and port, which it does not own, and starts the timer. Without media threads the port's sockets are to be
// watched: their datagrams are received here.
enum err relay_start(struct relay *relay, struct loop *loop, struct media_port *port) CHECK_RESULT;
// Tell everyone, then stop the loop when all have been told or after a second.
void relay_shutdown(struct relay *relay);
void relay_free(struct relay *relay);

// Orders of the management server. `until` (Unix seconds) is how long it must be remembered.
void relay_end_meeting(struct relay *relay, const struct id *meeting, uint64_t until);
void relay_remove_participant(struct relay *relay, const struct id *meeting, const struct id *participant, uint64_t until);

static inline uint64_t relay_now_ns(const struct relay *relay) { return relay->loop->ops->now_ns(relay->loop); }
static inline uint64_t relay_clock_s(const struct relay *relay) { return relay->loop->ops->clock_ns(relay->loop) / 1000000000u; }

#endif
