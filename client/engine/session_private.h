// State shared by the files of the session. All of it but `lock`, what is under it, `events`, `queue` and the atomic
// flags belongs to the session thread. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_SESSION_PRIVATE_H
#define CLIENT_ENGINE_SESSION_PRIVATE_H

#include "base/control.h"
#include "base/hop.h"
#include "client/engine/e2ee/e2ee.h"
#include "client/engine/e2ee/media_crypt_receive.h"
#include "client/engine/e2ee/media_crypt_send.h"
#include "client/engine/event_queue.h"
#include "client/engine/roster.h"
#include "client/engine/session.h"
#include "client/engine/subscriptions.h"
#include "client/engine/transport/datagram.h"
#include "client/engine/transport/dial.h"
#include "client/engine/transport/link.h"
#include "client/engine/transport/path.h"
#include "client/engine/transport/resolve.h"
#include "client/engine/transport/train.h"

#include <pthread.h>

enum session_phase {
	SESSION_PAUSING,   // until retry_ms
	SESSION_RESOLVING,
	SESSION_DIALING,
	SESSION_SHAKING,   // TLS
	SESSION_JOINING,   // JOIN sent
	SESSION_JOINED,
	SESSION_OVER,
};

enum { SESSION_KEY_FRAME_STREAMS = 64 };

struct session_secrets {
	uint8_t meeting[TOKEN_SECRET_BYTES];
	uint8_t device_key[TOKEN_ED25519_BYTES];
};

struct engine_session {
	struct session_options options; // without its secrets
	struct session_secrets *secrets;
	struct session_grant grant;
	struct event_queue *events;
	pthread_t thread;
	atomic_bool is_leaving;
	pthread_mutex_t lock;
	struct engine_statistics snapshot;  // under lock
	struct subscriptions subscriptions; // under lock
	atomic_bool is_subscription_due;    // these, or who is here, have changed

	uint64_t start_ms;     // monotonic, of engine_join
	uint64_t now_ms;       // monotonic, of this turn of the loop
	uint64_t ticket_ns;    // CLOCK_REALTIME
	uint64_t next_stats_ms;
	struct engine_statistics stats;
	size_t first_frame_count;
	struct { struct id participant; bool is_video; } first_frames[ENGINE_STREAMS_MAX]; // that were reported
	enum err result;
	char problem[ENGINE_PROBLEM_MAX];

	// For the whole run.
	struct e2ee *e2ee;
	struct media_crypt_send *send;
	struct media_crypt_receive *receive;
	struct roster roster;
	bool has_media_started, has_joined;
	struct { uint32_t ssrc; uint64_t asked_ms; } key_frames[SESSION_KEY_FRAME_STREAMS]; // asked of others
	size_t next_key_frame;
	uint64_t own_key_frame_ms[PACKET_STREAMS]; // asked of us
	uint32_t again_budget; // packets that may be sent again
	bool is_from_udp; // what is being opened
	struct train train; // being gathered

	// Of one connection.
	enum session_phase phase;
	uint64_t phase_deadline_ms, retry_ms, retry_pause_ms, first_deadline_ms;
	uint64_t joined_ms, heard_ms, answered_ms, next_ping_ms, rejoin_until;
	const char *lost_why; // what the relay said before it closed; NULL: nothing
	bool is_link_due;     // its descriptor was ready
	struct tls_context *tls;
	struct resolve *resolve;
	struct dial dial;
	struct link *link;
	struct datagram *datagram;
	struct sockaddr_storage peer;
	uint16_t udp_port;
	struct hop hop[HOP_PATHS]; // valid from JOINED on
	struct path path;
};

// session.c
uint64_t session_now_us(void); // monotonic
void session_event(struct engine_session *session, struct engine_event *event);
void session_count(struct engine_session *session, enum counter counter);
// The session ends with this; `problem` may be NULL when all is well.
void session_end(struct engine_session *session, enum err result, const char *problem);

// session_connect.c: from nothing to JOIN, and back after a break
void session_connect_step(struct engine_session *session);
size_t session_connect_poll(const struct engine_session *session, struct pollfd *out); // at most RESOLVE_ADDRESSES_MAX + 2
int session_connect_timeout_ms(const struct engine_session *session);
void session_connect_lost(struct engine_session *session, const char *why);
void session_connect_close(struct engine_session *session);

// session_control.c: messages
void session_control_join(struct engine_session *session);
// A frame of the control connection. Anything but ERR_OK ends the connection.
enum err session_control_frame(void *context, uint8_t *body, size_t size);
void session_control_send(struct engine_session *session, const struct control_message *message);
void session_control_subscribe(struct engine_session *session); // tells the relay what has changed

// session_media.c: packets
void session_media_tick(struct engine_session *session);
void session_media_drain(struct engine_session *session);
void session_media_datagram(void *context, uint8_t *bytes, size_t size, uint64_t arrival_ns);
void session_media_frame(struct engine_session *session, uint8_t *bytes, size_t size);
void session_media_opened(void *context, const struct packet_rtp *rtp, const uint8_t *payload, size_t size, uint64_t arrival_ns);
void session_media_open_udp(struct engine_session *session);
void session_media_path_changed(struct engine_session *session);

// session_stats.c
void session_stats_refresh(struct engine_session *session);

#endif
