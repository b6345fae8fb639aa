// Messages of the control connection. SPDX-License-Identifier: Apache-2.0
#include "client/engine/session_private.h"

#include "base/cursor.h"
#include "base/secret.h"

#include <string.h>

enum { EXPORTER_BYTES = 32, SMALL_MESSAGE_BYTES = 8192 };

void session_control_send(struct engine_session *session, const struct control_message *message)
{
	uint8_t body[SMALL_MESSAGE_BYTES];
	size_t size;
	enum err err = control_emit(message, body, sizeof(body), &size);
	if (!err)
		err = link_send(session->link, body, size);
	// A connection that takes nothing more is broken, and that shows when it is read.
	if (err)
		session_count(session, COUNTER_no_path);
}

// The device key signs this connection and this ticket together: neither is of use without the other.
static enum err sign_join(struct engine_session *session, uint8_t *proof)
{
	uint8_t exporter[EXPORTER_BYTES], hash[SECRET_SHA256_BYTES], text[sizeof(CONTROL_JOIN_CONTEXT) - 1 + sizeof(exporter) + sizeof(hash)];
	enum err err = tls_conn_export(link_tls(session->link), CONTROL_JOIN_EXPORTER, (const uint8_t *)"", 0, exporter, sizeof(exporter));
	if (err)
		return err;
	secret_sha256(session->grant.ticket, sizeof(session->grant.ticket), hash);
	struct cursor c = cursor_writer(text, sizeof(text));
	cursor_write_bytes(&c, (const uint8_t *)CONTROL_JOIN_CONTEXT, sizeof(CONTROL_JOIN_CONTEXT) - 1);
	cursor_write_bytes(&c, exporter, sizeof(exporter));
	cursor_write_bytes(&c, hash, sizeof(hash));
	return token_ed25519_sign(session->secrets->device_key, text, sizeof(text), proof);
}

void session_control_join(struct engine_session *session)
{
	struct control_message message = { .type = CONTROL_JOIN,
					   .join = { .version = CONTROL_VERSION,
						     .flags = session->has_joined ? CONTROL_JOIN_AGAIN : 0,
						     .ticket = session->grant.ticket,
						     .ticket_size = sizeof(session->grant.ticket) } };
	enum err err = sign_join(session, message.join.proof);
	if (err)
		session_end(session, err, "the join could not be signed");
	else
		session_control_send(session, &message);
}

static void send_announcement(struct engine_session *session)
{
	struct announcement announcement = { .capture_epoch_ns = session->stats.capture_epoch_ns };
	uint8_t plain[ANNOUNCEMENT_MAX_BYTES], sealed[ANNOUNCEMENT_MAX_BYTES + E2EE_SEAL_OVERHEAD];
	size_t size, sealed_size;
	memcpy(announcement.run, e2ee_run(session->e2ee), E2EE_RUN_BYTES);
	memcpy(announcement.name, session->options.name, sizeof(announcement.name));
	announcement_emit(&announcement, plain, &size);
	enum err err = e2ee_announce_seal(session->e2ee, plain, size, sealed, &sealed_size);
	if (err) {
		session_end(session, err, "the announcement could not be sealed");
		return;
	}
	const struct control_message announce = { .type = CONTROL_ANNOUNCE, .announce = { .bytes = sealed, .size = sealed_size } };
	const struct control_message streams = { .type = CONTROL_STREAMS, .streams = session->options.streams };
	session_control_send(session, &announce);
	session_control_send(session, &streams);
}

static enum err make_hops(struct engine_session *session, const struct control_welcome *welcome)
{
	for (uint8_t path = 0; path < HOP_PATHS; path++) {
		struct hop_keys keys;
		enum err err = tls_conn_export(link_tls(session->link), HOP_EXPORTER_LABEL, &path, 1, (uint8_t *)&keys, sizeof(keys));
		if (!err)
			err = hop_init(&session->hop[path], HOP_CLIENT, welcome->index, welcome->handle[path], &keys);
		secret_wipe(&keys, sizeof(keys));
		if (err)
			return err;
	}
	return ERR_OK;
}

// The capture clock starts with the first join and goes on through reconnects.
static enum err start_media(struct engine_session *session)
{
	if (session->has_media_started)
		return ERR_OK;
	session->has_media_started = true;
	return session->options.media.start(session->options.media.media, &session->stats.capture_epoch_ns);
}

static enum err on_welcome(struct engine_session *session, const struct control_welcome *welcome)
{
	static const enum path_mode modes[] = { [ENGINE_TRANSPORT_AUTO] = PATH_AUTO, [ENGINE_TRANSPORT_UDP] = PATH_UDP_ONLY,
						[ENGINE_TRANSPORT_TLS] = PATH_TLS_ONLY };
	enum path_mode mode = modes[session->options.transport];
	if (session->phase != SESSION_JOINING) {
		session_count(session, COUNTER_message_unexpected);
		return ERR_OK;
	}
	if (mode == PATH_UDP_ONLY && welcome->udp_port == 0) {
		session_end(session, ERR_IO, "the server offers no UDP");
		return ERR_CLOSED;
	}
	enum err err = make_hops(session, welcome);
	if (!err)
		err = start_media(session);
	if (err) {
		session_end(session, err, err_text(err));
		return err;
	}
	session->phase = SESSION_JOINED;
	session->has_joined = true;
	session->joined_ms = session->heard_ms = session->answered_ms = session->now_ms;
	session->next_ping_ms = session->now_ms;
	session->rejoin_until = welcome->rejoin_until;
	session->udp_port = welcome->udp_port;
	session->stats.index = welcome->index;
	session->stats.connections++;
	media_crypt_send_set_index(session->send, welcome->index);
	media_crypt_receive_set_self(session->receive, welcome->index);
	path_init(&session->path, mode, welcome->udp_port != 0, session->now_ms);
	if (mode != PATH_TLS_ONLY && welcome->udp_port != 0)
		session_media_open_udp(session);
	struct engine_event event = { .type = ENGINE_EVENT_STATE, .state = ENGINE_JOINED };
	session_event(session, &event);
	session_media_path_changed(session);
	send_announcement(session);
	return session->phase == SESSION_OVER ? ERR_CLOSED : ERR_OK;
}

// True if the announcement is of a member who holds the meeting's secret.
static bool open_announcement(struct engine_session *session, const struct control_member *message, struct announcement *out)
{
	uint8_t plain[CONTROL_ANNOUNCE_MAX];
	size_t size;
	if (message->announcement_size > sizeof(plain) ||
	    e2ee_announce_open(session->e2ee, &message->participant, message->announcement, message->announcement_size, plain, &size) != ERR_OK ||
	    announcement_parse(plain, size, out) != ERR_OK) {
		session_count(session, COUNTER_announcement_failed);
		return false;
	}
	return true;
}

static void take_up_member(struct engine_session *session, struct roster_entry *entry, const struct announcement *announcement)
{
	struct engine_member *member = &entry->member;
	const struct session_media *media = &session->options.media;
	char run_text[TEXT_HEX_SIZE(E2EE_RUN_BYTES)];
	if (media_crypt_receive_member(session->receive, member->index, &member->participant, announcement->run) != ERR_OK)
		return; // counted
	member->is_readable = true;
	memcpy(member->run, announcement->run, sizeof(member->run));
	memcpy(member->name, announcement->name, sizeof(member->name));
	text_hex_emit(announcement->run, E2EE_RUN_BYTES, run_text);
	if (media->participant_set(media->media, &member->participant, member->index, announcement->capture_epoch_ns, run_text) != ERR_OK)
		session_count(session, COUNTER_member_limit);
	media_crypt_receive_release(session->receive, member->index, session->now_ms);
}

static void remove_member(struct engine_session *session, struct roster_entry *entry)
{
	struct engine_event event = { .type = ENGINE_EVENT_GONE, .member = entry->member };
	media_crypt_receive_gone(session->receive, &entry->member.participant);
	session->options.media.participant_gone(session->options.media.media, &entry->member.participant);
	roster_remove(&session->roster, entry);
	session_event(session, &event);
}

static void on_member(struct engine_session *session, const struct control_member *message)
{
	struct announcement announcement;
	if (text_id_equal(&message->participant, &session->grant.participant)) {
		session_count(session, COUNTER_message_unexpected);
		return;
	}
	struct roster_entry *other = roster_at(&session->roster, message->index);
	if (other && !text_id_equal(&other->member.participant, &message->participant))
		remove_member(session, other);
	struct roster_entry *entry = roster_find(&session->roster, &message->participant);
	if (entry && entry->member.index != message->index)
		media_crypt_receive_gone(session->receive, &message->participant); // it speaks from one place at a time
	entry = roster_set(&session->roster, message->index, &message->participant, session->now_ms);
	if (!entry) {
		session_count(session, COUNTER_member_limit);
		return;
	}
	atomic_store(&session->is_subscription_due, true);
	if (message->announcement_size == 0)
		return; // its announcement is on its way; check_roster() tells of it if not
	if (open_announcement(session, message, &announcement))
		take_up_member(session, entry, &announcement);
	struct engine_event event = { .type = ENGINE_EVENT_MEMBER, .member = entry->member };
	entry->is_told = true;
	session_event(session, &event);
	session->next_stats_ms = session->now_ms; // its first frames are awaited
}

static void on_gone(struct engine_session *session, const struct control_gone *message)
{
	struct roster_entry *entry = roster_at(&session->roster, message->index);
	if (entry && text_id_equal(&entry->member.participant, &message->participant))
		remove_member(session, entry);
	else
		session_count(session, COUNTER_message_unexpected); // it is elsewhere by now
}

// The media engine learns of streams by their packets; which of them are pictures matters to who wants none.
static void on_streams(struct engine_session *session, const struct control_streams_of *message)
{
	struct roster_entry *entry = roster_at(&session->roster, message->index);
	if (!entry) {
		session_count(session, COUNTER_message_unexpected);
		return;
	}
	entry->pictures = 0;
	for (size_t i = 0; i < message->streams.count; i++) {
		const struct control_stream *stream = &message->streams.stream[i];
		if (stream->kind != CONTROL_AUDIO && stream->stream < ROSTER_STREAMS)
			entry->pictures |= (uint16_t)(1u << stream->stream);
	}
	atomic_store(&session->is_subscription_due, true);
}

void session_control_subscribe(struct engine_session *session)
{
	struct control_message message = { .type = CONTROL_SUBSCRIBE };
	for (;;) {
		pthread_mutex_lock(&session->lock);
		bool has_news = subscriptions_next(&session->subscriptions, &session->roster, &message.subscribe);
		pthread_mutex_unlock(&session->lock);
		if (!has_news)
			return;
		session_control_send(session, &message);
	}
}

static enum err on_end(struct engine_session *session, enum control_end reason)
{
	static const enum err results[] = {
		[CONTROL_END_LEFT] = ERR_CLOSED,	[CONTROL_END_TICKET] = ERR_AUTH,    [CONTROL_END_EXPIRED] = ERR_EXPIRED,
		[CONTROL_END_CLOSED] = ERR_CLOSED,	[CONTROL_END_REMOVED] = ERR_DENIED, [CONTROL_END_REPLACED] = ERR_EXISTS,
		[CONTROL_END_FULL] = ERR_FULL,		[CONTROL_END_PROTOCOL] = ERR_PARSE,
	};
	// The others, and whatever a later relay may say, are no reason to stay away.
	if (reason >= sizeof(results) / sizeof(*results) || !results[reason]) {
		session->lost_why = control_end_text(reason);
		return ERR_CLOSED;
	}
	session_end(session, results[reason], control_end_text(reason));
	return ERR_CLOSED;
}

static void on_pong(struct engine_session *session, uint64_t sent_us)
{
	uint64_t now_us = session_now_us();
	session->answered_ms = session->now_ms;
	if (sent_us > now_us)
		return;
	session->stats.round_trip_ms = (double)(now_us - sent_us) / 1000;
	session->options.media.set_round_trip(session->options.media.media, (now_us - sent_us) * 1000);
}

static enum err on_message(struct engine_session *session, const struct control_message *message)
{
	if (message->type == CONTROL_END)
		return on_end(session, message->end);
	if (message->type == CONTROL_WELCOME)
		return on_welcome(session, &message->welcome);
	if (session->phase != SESSION_JOINED) {
		session_count(session, COUNTER_message_unexpected);
		return ERR_OK;
	}
	switch (message->type) {
	case CONTROL_MEMBER:
		on_member(session, &message->member);
		break;
	case CONTROL_GONE:
		on_gone(session, &message->gone);
		break;
	case CONTROL_PATH_IS:
		if (path_granted(&session->path, message->path))
			session_media_path_changed(session);
		break;
	case CONTROL_PONG:
		on_pong(session, message->ping);
		break;
	case CONTROL_STREAMS_OF:
		on_streams(session, &message->streams_of);
		break;
	default:
		session_count(session, COUNTER_message_unexpected);
	}
	return ERR_OK;
}

enum err session_control_frame(void *context, uint8_t *body, size_t size)
{
	struct engine_session *session = context;
	struct control_message message;
	session->heard_ms = session->now_ms;
	switch ((enum packet_type)(body[0] >> 6)) {
	case PACKET_MEDIA:
	case PACKET_HOP:
		session_media_frame(session, body, size);
		return ERR_OK;
	case PACKET_MESSAGE:
		if (control_parse(body, size, &message) == ERR_OK)
			return on_message(session, &message);
		break;
	default:
		break;
	}
	session_count(session, COUNTER_message_malformed);
	return ERR_PARSE;
}
