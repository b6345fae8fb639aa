// Taking part in one meeting: the thread that owns connection, keys and counters. engine.c puts it together
// with home, server and media engine; tests drive it with others. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_SESSION_H
#define CLIENT_ENGINE_SESSION_H

#include "base/control.h"
#include "base/token.h"
#include "client/engine/engine.h"
#include "client/engine/packet_queue.h"

#include <stdatomic.h>

// What TMMS granted.
struct session_grant {
	struct id meeting, participant;
	uint8_t ticket[TOKEN_TICKET_BYTES];
	char relay_name[TOKEN_NAME_MAX + 1];
	char relay_address[TOKEN_ADDRESS_MAX + 1]; // empty: ask the DNS for relay_name
	uint16_t relay_port;
	char title[ENGINE_TITLE_MAX + 1];
};

// The media engine as the session uses it: client/engine/media/media.h, or a fake one.
struct session_media {
	void *media;
	enum err (*start)(void *media, uint64_t *capture_epoch_ns);
	void (*force_key_frame)(void *media, uint8_t stream);
	void (*set_round_trip)(void *media, uint64_t round_trip_ns);
	enum err (*participant_set)(void *media, const struct id *participant, uint32_t index, uint64_t capture_epoch_ns,
				    const char *run_text);
	void (*participant_gone)(void *media, const struct id *participant);
	void (*receive)(void *media, const struct packet_rtp *rtp, const uint8_t *payload, size_t size, uint64_t now_ns);
	size_t (*stats)(void *media, struct media_stream_stats *out, size_t capacity);
	void (*free)(void *media); // called once, when the session ends
};

struct session_options {
	// Get a ticket; blocks, on the session's thread, until it is done or *is_cancelled.
	enum err (*fetch)(void *context, const atomic_bool *is_cancelled, struct session_grant *out,
			  char problem[static ENGINE_PROBLEM_MAX]);
	void *context;
	void (*release)(void *context); // from session_free, when nothing uses `context`, `queue` and `media` any more
	uint8_t secret[TOKEN_SECRET_BYTES];                // the meeting's
	uint8_t device_key[TOKEN_ED25519_BYTES];           // private
	struct token_pins relay_pins;
	char name[ANNOUNCEMENT_NAME_MAX + 1];
	enum engine_transport transport;
	bool is_audio_only;                                // wants no pictures of others
	struct control_streams streams;                    // what this member sends
	struct session_media media;                        // taken over by session_start if that succeeds
	struct packet_queue *queue;                        // what the media threads push into; borrowed
	uint32_t generation_packets;                       // 0: as many as the sequence number allows
	uint32_t connect_timeout_ms;                       // of the first join; 0: the default
};

struct engine_session;

// The secrets are copied into locked memory.
enum err session_start(const struct session_options *options, struct engine_session **out) CHECK_RESULT;
int session_descriptor(const struct engine_session *session);
bool session_next(struct engine_session *session, struct engine_event *out);
void session_leave(struct engine_session *session);
// From any thread; see engine_session_subscribe.
enum err session_subscribe(struct engine_session *session, const struct id *participant, uint8_t stream, bool is_wanted) CHECK_RESULT;
void session_statistics(struct engine_session *session, struct engine_statistics *out);
void session_free(struct engine_session *session);

#endif
