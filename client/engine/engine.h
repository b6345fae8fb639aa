// The client engine: one identity, its meetings, and taking part in one. No user interface in here.
//
//   struct engine          one home folder. Calls block (files, HTTPS); one thread at a time.
//   struct engine_session  one meeting that this device takes part in. It runs on threads of its own:
//
//     media threads ──bounded queue──► session thread ──bounded queue──► caller
//     (client/engine/media)            connection, keys, counters        engine_session_next()
//
// Events are fetched by the caller's thread: wait until engine_session_descriptor() is readable, then call
// engine_session_next() until it says there is none. Nothing is ever called back into the caller.
//
// Failures come with a `problem`: one line for people. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_ENGINE_H
#define CLIENT_ENGINE_ENGINE_H

#include "base/err.h"
#include "base/text.h"
#include "base/token.h"
#include "client/engine/session_counters.h"
#include "client/engine/e2ee/announcement.h"
#include "client/engine/media/media.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ENGINE_PROBLEM_MAX = 512, ENGINE_TITLE_MAX = 256, ENGINE_STREAMS_MAX = 128 };

struct engine;
struct engine_session;

// `directory`: NULL for ~/.local/share/huisclos. Made (0700) if it is missing.
enum err engine_open(const char *directory, struct engine **out, char problem[static ENGINE_PROBLEM_MAX]) CHECK_RESULT;
void engine_close(struct engine *engine);

// Makes this home an enrolled device. ERR_EXISTS if it is one already.
enum err engine_enrol(struct engine *engine, const char *link, char problem[static ENGINE_PROBLEM_MAX]) CHECK_RESULT;

struct engine_identity {
	struct id user, device;
	char name[ANNOUNCEMENT_NAME_MAX + 1]; // of the user, as the server knows it
	char server[TOKEN_NAME_MAX + 1];
};
// ERR_NOT_FOUND while not enrolled.
enum err engine_identity(const struct engine *engine, struct engine_identity *out, char problem[static ENGINE_PROBLEM_MAX]) CHECK_RESULT;

// Draws id and secret, keeps them in the home, tells the server the id and the sealed title. The link has the secret.
enum err engine_meeting_create(struct engine *engine, const char *title, uint64_t expires, char link[static TOKEN_LINK_MAX],
			       char problem[static ENGINE_PROBLEM_MAX]) CHECK_RESULT;

struct engine_meeting {
	struct id meeting;
	bool has_secret, is_owner, is_open;
	uint64_t expires;                 // Unix seconds
	char title[ENGINE_TITLE_MAX + 1]; // printable; empty without the secret
};
// Those that the server lists for this user. `*out` is freed with free().
enum err engine_meetings(struct engine *engine, struct engine_meeting **out, size_t *count,
			 char problem[static ENGINE_PROBLEM_MAX]) CHECK_RESULT;

enum engine_transport { ENGINE_TRANSPORT_AUTO, ENGINE_TRANSPORT_UDP, ENGINE_TRANSPORT_TLS };

struct engine_join_options {
	const char *meeting;    // a meeting's link, or the id of one whose secret this home holds
	const char *name;       // shown to the others; NULL: the user's name
	const char *audio_path; // as in struct media_options
	const char *video_path;
	const char *record_path;
	enum engine_transport transport;
	bool is_audio_only; // wants no pictures of others
};
// Checks link, home and files at once; all that needs the network happens behind the session's events.
enum err engine_join(struct engine *engine, const struct engine_join_options *options, struct engine_session **out,
		     char problem[static ENGINE_PROBLEM_MAX]) CHECK_RESULT;

enum engine_state { ENGINE_CONNECTING, ENGINE_JOINED, ENGINE_RECONNECTING };

enum engine_event_type {
	ENGINE_EVENT_STATE,       // state; problem says why it reconnects
	ENGINE_EVENT_TICKET,      // the server let us in; title is known; problem: the meeting could not be remembered
	ENGINE_EVENT_MEMBER,      // somebody is here, or announced anew
	ENGINE_EVENT_GONE,
	ENGINE_EVENT_PATH,        // is_udp
	ENGINE_EVENT_FIRST_FRAME, // of a stream
	ENGINE_EVENT_ENDED,       // the last event; result and problem say why
};

struct engine_member {
	struct id participant;
	uint32_t index;
	bool is_readable; // its announcement opened: it holds the meeting's secret
	char name[ANNOUNCEMENT_NAME_MAX + 1];
	uint8_t run[E2EE_RUN_BYTES];
};

struct engine_event {
	enum engine_event_type type;
	uint64_t at_ms; // since engine_join
	enum engine_state state;
	struct engine_member member;
	bool is_udp;
	bool is_video;          // FIRST_FRAME, with member.participant
	double since_ticket_ms; // FIRST_FRAME
	enum err result;        // ENDED: ERR_OK after engine_session_leave
	char title[ENGINE_TITLE_MAX + 1];
	char problem[ENGINE_PROBLEM_MAX]; // STATE, TICKET, ENDED; empty when all is well
};

int engine_session_descriptor(const struct engine_session *session);
// False when no event waits.
bool engine_session_next(struct engine_session *session, struct engine_event *out);
// A stream of a participant, who may be yet to come, is wanted or wanted no more; it lasts as long as the session. All are
// wanted at first, but for pictures with is_audio_only. ERR_LIMIT: no stream number (PACKET_STREAM_AUDIO, …); ERR_FULL.
enum err engine_session_subscribe(struct engine_session *session, const struct id *participant, uint8_t stream, bool is_wanted) CHECK_RESULT;
// Ask to leave; ENGINE_EVENT_ENDED follows.
void engine_session_leave(struct engine_session *session);
// Leaves if it has not, waits for the threads, closes recordings.
void engine_session_free(struct engine_session *session);

struct engine_statistics {
	struct id meeting, participant;
	uint32_t index;
	uint8_t run[E2EE_RUN_BYTES];
	uint64_t capture_epoch_ns;
	bool is_udp;
	size_t member_count;  // others who are here
	uint32_t connections; // how often joined, the first time included
	double round_trip_ms; // control connection, last; 0: unknown
	double first_frame_ms; // from the ticket to the first decoded frame; 0: none yet
	uint64_t packets_sent, bytes_sent;
	uint64_t packets_in_trains; // of those sent: left together with others, by one system call
	uint64_t packets_received, bytes_received; // media datagrams, before opening
	struct session_counters counters;
	size_t stream_count;
	struct media_stream_stats streams[ENGINE_STREAMS_MAX];
};
// At most a second old; final once ENGINE_EVENT_ENDED was fetched.
void engine_session_statistics(struct engine_session *session, struct engine_statistics *out);

#endif
