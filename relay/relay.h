// The relay: what all of its modules share, and the loop's handlers. One thread; the packet path
// (forward.c, feedback.c, path_check.c) makes no system call: it fills the outbox, the loop sends.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "base/tls_conn.h"
#include "relay/admission.h"
#include "relay/engine.h"
#include "relay/flow.h"
#include "relay/loop.h"
#include "relay/media.h"
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

enum { RELAY_SCRATCH_BYTES = 16384, RELAY_FORWARDED_MAX = 1024 };

struct relay {
	const struct tcs_config *config;
	const struct registration *registration;
	struct loop *loop;
	struct tls_context *tls;
	struct relay_stats stats;
	struct outbox *outbox;           // the control thread's own
	struct table *table;
	struct fast_path *fast_path;     // NULL: none
	struct neighbours *neighbours;   // NULL: none
	struct media media;              // the control thread's own
	struct engine_choice engine;
	struct flow_table *flows;
	struct rooms *rooms;
	struct admission admission;
	uint16_t udp_port;               // told to clients; 0: no UDP
	uint8_t cookie_key[PACKET_TAG_KEY_BYTES];
	uint64_t started_ns, tick_ns; // tick_ns: when sessions are looked after next

	struct tcs_session *sessions;    // all of them
	struct tcs_session *handshakes, *handshakes_last; // those with a handshake step to do
	size_t session_count, unfinished_count;
	bool is_reaping;                 // some session is to be ended or freed
	bool is_stopping;
	uint64_t stop_ns;
	bool is_changed;                 // who is in which meeting, since the last report

	struct manager_link *manager;    // NULL: no management server (tests)
	struct control_socket *control;  // NULL: none
	struct passed *passed;           // NULL: no mux
	int signals;                     // signalfd, -1: none
	uint64_t received_ns[RELAY_FORWARDED_MAX]; // of what this wake-up forwards, until it has left
	size_t forwarded;
	uint8_t scratch[RELAY_SCRATCH_BYTES];
};

struct relay_options {
	const struct tcs_config *config;
	const struct registration *registration;
	struct journal *journal;
	struct tls_context *tls;
};

// The handlers to open a loop with; the context is the relay.
struct loop_handlers relay_handlers(struct relay *relay);
struct relay *relay_new(const struct relay_options *options);
// Takes the loop, which it does not own, and starts the timer.
enum err relay_start(struct relay *relay, struct loop *loop) CHECK_RESULT;
// Tell everyone, then stop the loop when all have been told or after a second.
void relay_shutdown(struct relay *relay);
void relay_free(struct relay *relay);

// A packet that the kernel received at `received_ns` (0: not known) was copied to somebody.
void relay_forwarded(struct relay *relay, uint64_t received_ns);

// Orders of the management server. `until` (Unix seconds) is how long it must be remembered.
void relay_end_meeting(struct relay *relay, const struct id *meeting, uint64_t until);
void relay_remove_participant(struct relay *relay, const struct id *meeting, const struct id *participant, uint64_t until);

static inline uint64_t relay_now_ns(const struct relay *relay) { return relay->loop->ops->now_ns(relay->loop); }
static inline uint64_t relay_clock_s(const struct relay *relay) { return relay->loop->ops->clock_ns(relay->loop) / 1000000000u; }

#endif
