// Joining: puts home, server, media engine and session together. SPDX-License-Identifier: Apache-2.0
#include "client/engine/engine_private.h"

#include "base/secret.h"
#include "client/engine/credentials.h"
#include "client/engine/meetings.h"
#include "client/engine/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AUDIO_BITRATE = 48000, VIDEO_BITRATE = 600000, PATH_TEXT_MAX = 64 };

// What the session needs of the home and the server; lives as long as the session.
struct join {
	struct engine *engine; // of its own: it is used on the session's thread
	struct identity identity;
	struct meetings_entry entry; // the meeting and its secret
	bool is_known;               // in the home already
	uint8_t public_key[TOKEN_ED25519_BYTES];
	struct packet_queue *queue;
	struct media *media;
};

static void release(void *context)
{
	struct join *join = context;
	packet_queue_free(join->queue);
	engine_close(join->engine);
	secret_free(join);
}

static enum err fill_grant(const struct join *join, const struct api_answer_ticket *answer, struct session_grant *out, char *problem)
{
	*out = (struct session_grant){ .meeting = join->entry.meeting, .participant = answer->participant, .relay_port = answer->relay_port };
	memcpy(out->ticket, answer->ticket, sizeof(out->ticket));
	memcpy(out->relay_name, answer->relay_name, sizeof(out->relay_name));
	memcpy(out->relay_address, answer->relay_address, sizeof(out->relay_address));
	enum err err = engine_open_title(&join->entry.meeting, join->entry.secret, &answer->blob, out->title);
	if (err)
		snprintf(problem, ENGINE_PROBLEM_MAX, "the secret in this link is not that of the meeting");
	return err ? ERR_AUTH : ERR_OK;
}

static enum err request_ticket(const struct join *join, const atomic_bool *is_cancelled, struct api_answer_ticket *out, char *problem)
{
	char id[TEXT_UUID_SIZE], path[sizeof("/v1/meetings//tickets") + TEXT_UUID_SIZE];
	struct api *api;
	struct api_answer answer;
	text_id_emit(&join->entry.meeting, id);
	snprintf(path, sizeof(path), "/v1/meetings/%s/tickets", id);
	enum err err = engine_api_open(join->engine, &join->identity, is_cancelled, &api);
	if (err)
		return err;
	err = api_request(api, path, "{}", &answer, problem);
	if (!err) {
		err = api_answer_ticket(answer.body, answer.size, &join->entry.meeting, join->public_key, out);
		// Under another's name nobody would know who is heard.
		if (!err && !text_id_equal(&out->participant, &join->identity.user))
			err = ERR_AUTH;
		if (err)
			snprintf(problem, ENGINE_PROBLEM_MAX, "%.200s gave a ticket that is not usable: %s", join->identity.server, err_text(err));
	}
	api_close(api);
	return err;
}

// On the session's thread.
static enum err fetch(void *context, const atomic_bool *is_cancelled, struct session_grant *out, char problem[static ENGINE_PROBLEM_MAX])
{
	struct join *join = context;
	struct api_answer_ticket *answer = malloc(sizeof(*answer));
	enum err err = answer ? request_ticket(join, is_cancelled, answer, problem) : ERR_NOMEM;
	if (!err)
		err = fill_grant(join, answer, out, problem);
	free(answer);
	if (!err && !join->is_known) {
		memcpy(join->entry.title, out->title, sizeof(join->entry.title));
		// A full disk does not keep anybody out of a meeting; the problem is shown with the ticket.
		if (meetings_put(join->engine->home, &join->entry, problem) == ERR_OK)
			problem[0] = 0;
	}
	secret_wipe(join->entry.secret, sizeof(join->entry.secret)); // the session has its own
	return err;
}

static enum err find_by_link(struct join *join, const struct token_link *link, char *problem)
{
	struct meetings known;
	if (strcmp(link->name, join->identity.server) != 0 || link->port != join->identity.port) {
		snprintf(problem, ENGINE_PROBLEM_MAX, "this meeting is at %.150s:%u, and this home is enrolled at %.150s:%u", link->name,
			 link->port, join->identity.server, join->identity.port);
		return ERR_DENIED;
	}
	join->entry.meeting = link->meeting;
	memcpy(join->entry.secret, link->secret, sizeof(join->entry.secret));
	enum err err = meetings_load(join->engine->home, &known, problem);
	if (err)
		return err;
	const struct meetings_entry *entry = meetings_find(&known, &link->meeting);
	join->is_known = entry && secret_equal(entry->secret, link->secret, TOKEN_SECRET_BYTES);
	meetings_fini(&known);
	return ERR_OK;
}

static enum err find_by_id(struct join *join, const struct id *meeting, char *problem)
{
	struct meetings known;
	enum err err = meetings_load(join->engine->home, &known, problem);
	if (err)
		return err;
	const struct meetings_entry *entry = meetings_find(&known, meeting);
	if (entry)
		join->entry = *entry;
	join->is_known = entry;
	meetings_fini(&known);
	if (entry)
		return ERR_OK;
	snprintf(problem, ENGINE_PROBLEM_MAX, "this device does not hold the secret of that meeting: join by its link once");
	return ERR_NOT_FOUND;
}

static enum err find_meeting(struct join *join, const char *text, char *problem)
{
	struct token_link link;
	struct id meeting;
	enum err err;
	if (text_id_parse(text, &meeting) == ERR_OK)
		return find_by_id(join, &meeting, problem);
	if (token_link_parse(text, &link) == ERR_OK && link.kind == TOKEN_LINK_MEETING) {
		err = find_by_link(join, &link, problem);
	} else {
		snprintf(problem, ENGINE_PROBLEM_MAX, "this is neither a meeting's link nor its id");
		err = ERR_USAGE;
	}
	secret_wipe(&link, sizeof(link));
	return err;
}

static void on_packet(void *context, uint8_t stream, const struct packet_rtp *rtp, const uint8_t *payload, size_t size)
{
	packet_queue_push_media(context, stream, rtp, payload, size);
}

static void on_burst(void *context)
{
	packet_queue_wake(context);
}

static void on_key_frame_needed(void *context, uint32_t ssrc)
{
	packet_queue_push_key_frame(context, ssrc);
}

static void on_missing(void *context, uint32_t ssrc, const uint16_t *sequences, size_t count)
{
	packet_queue_push_missing(context, ssrc, sequences, count);
}

static enum err open_media(struct join *join, const struct engine_join_options *options, char *problem)
{
	const struct media_options media = { .audio_path = options->audio_path, .video_path = options->video_path,
					     .record_path = options->record_path, .audio_bitrate = AUDIO_BITRATE,
					     .video_bitrate = VIDEO_BITRATE, .on_packet = on_packet, .on_burst = on_burst,
					     .on_key_frame_needed = on_key_frame_needed, .on_missing = on_missing,
					     .context = join->queue };
	return media_new(&media, &join->media, problem);
}

// The session knows the media engine by these alone.
static enum err start(void *media, uint64_t *epoch_ns) { return media_start(media, epoch_ns); }
static void force_key_frame(void *media, uint8_t stream) { media_force_key_frame(media, stream); }
static void set_round_trip(void *media, uint64_t round_trip_ns) { media_set_round_trip(media, round_trip_ns); }
static enum err participant_set(void *media, const struct id *participant, uint32_t index, uint64_t epoch_ns, const char *run_text)
{
	return media_participant_set(media, participant, index, epoch_ns, run_text);
}
static void participant_gone(void *media, const struct id *participant) { media_participant_gone(media, participant); }
static void receive(void *media, const struct packet_rtp *rtp, const uint8_t *payload, size_t size, uint64_t now_ns)
{
	media_receive(media, rtp, payload, size, now_ns);
}
static size_t stats(void *media, struct media_stream_stats *out, size_t capacity) { return media_stats(media, out, capacity); }
static void free_media(void *media) { media_free(media); }

static const struct session_media media_operations = {
	.start = start, .force_key_frame = force_key_frame, .set_round_trip = set_round_trip, .participant_set = participant_set,
	.participant_gone = participant_gone,
	.receive = receive, .stats = stats, .free = free_media,
};

static void describe_streams(const struct engine_join_options *options, struct control_streams *out)
{
	if (options->audio_path)
		out->stream[out->count++] = (struct control_stream){ .stream = PACKET_STREAM_AUDIO, .kind = CONTROL_AUDIO, .bitrate = AUDIO_BITRATE };
	if (options->video_path)
		out->stream[out->count++] = (struct control_stream){ .stream = PACKET_STREAM_VIDEO, .kind = CONTROL_VIDEO, .bitrate = VIDEO_BITRATE };
}

static enum err start_session(struct join *join, const struct engine_join_options *options, struct engine_session **out, char *problem)
{
	struct session_options *session = secret_alloc(sizeof(*session));
	if (!session)
		return ERR_NOMEM;
	*session = (struct session_options){ .fetch = fetch, .context = join, .release = release, .transport = options->transport,
					     .is_audio_only = options->is_audio_only,
					     .relay_pins = join->identity.relay_pins, .queue = join->queue, .media = media_operations };
	session->media.media = join->media;
	memcpy(session->secret, join->entry.secret, sizeof(session->secret));
	snprintf(session->name, sizeof(session->name), "%s", options->name ? options->name : join->identity.name);
	describe_streams(options, &session->streams);
	enum err err = credentials_load_key(join->engine->home, session->device_key, problem);
	if (!err)
		err = token_ed25519_public(session->device_key, join->public_key);
	if (!err)
		err = session_start(session, out);
	secret_free(session);
	return err;
}

static enum err check_name(const char *name, char *problem)
{
	if (!name || (strlen(name) > 0 && strlen(name) <= ANNOUNCEMENT_NAME_MAX && text_is_printable(name, strlen(name))))
		return ERR_OK;
	snprintf(problem, ENGINE_PROBLEM_MAX, "a name is one line of 1 to %d bytes", ANNOUNCEMENT_NAME_MAX);
	return ERR_USAGE;
}

enum err engine_join(struct engine *engine, const struct engine_join_options *options, struct engine_session **out,
		     char problem[static ENGINE_PROBLEM_MAX])
{
	problem[0] = 0;
	enum err err = check_name(options->name, problem);
	if (err)
		return err;
	struct join *join = secret_alloc(sizeof(*join));
	if (!join)
		return ERR_NOMEM;
	err = engine_open(home_directory(engine->home), &join->engine, problem);
	if (!err)
		err = identity_load(engine->home, &join->identity, problem);
	if (!err)
		err = find_meeting(join, options->meeting, problem);
	if (!err)
		err = packet_queue_new(&join->queue);
	if (!err)
		err = open_media(join, options, problem);
	if (!err)
		err = start_session(join, options, out, problem);
	if (!err)
		return ERR_OK;
	if (!problem[0])
		snprintf(problem, ENGINE_PROBLEM_MAX, "%s", err_text(err));
	media_free(join->media);
	release(join);
	return err;
}

int engine_session_descriptor(const struct engine_session *session)
{
	return session_descriptor(session);
}

bool engine_session_next(struct engine_session *session, struct engine_event *out)
{
	return session_next(session, out);
}

enum err engine_session_subscribe(struct engine_session *session, const struct id *participant, uint8_t stream, bool is_wanted)
{
	return session_subscribe(session, participant, stream, is_wanted);
}

void engine_session_leave(struct engine_session *session)
{
	session_leave(session);
}

void engine_session_statistics(struct engine_session *session, struct engine_statistics *out)
{
	session_statistics(session, out);
}

void engine_session_free(struct engine_session *session)
{
	session_free(session);
}
