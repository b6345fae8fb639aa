// SPDX-License-Identifier: Apache-2.0
#include "relay/tcs_session.h"

#include "base/log.h"
#include "relay/membership.h"
#include "relay/relay.h"
#include "relay/relay_address.h"
#include "relay/upward.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void on_received(void *context, const uint8_t *bytes, size_t size, uint64_t received_ns);
static size_t on_output(void *context, uint8_t *bytes, size_t capacity);
static void on_closed(void *context);
static const struct loop_stream_handlers handlers = { .on_received = on_received, .on_output = on_output, .on_closed = on_closed };

// ---------------------------------------------------------------- life

enum err tcs_session_open(struct relay *relay, int descriptor, const struct sockaddr_in6 *peer)
{
	struct tcs_session *session = calloc(1, sizeof(*session));
	enum err err = session ? tls_conn_new(relay->tls, NULL, &session->tls) : ERR_NOMEM;
	if (!err)
		err = relay->loop->ops->stream_open(relay->loop, descriptor, &handlers, session, &session->stream);
	if (err) {
		if (session)
			tls_conn_free(session->tls);
		free(session);
		close(descriptor);
		return err;
	}
	session->relay = relay;
	session->peer = *peer;
	session->opened_ns = session->heard_ns = session->progress_ns = relay_now_ns(relay);
	session->next = relay->sessions;
	if (relay->sessions)
		relay->sessions->previous = session;
	relay->sessions = session;
	relay->session_count++;
	relay->unfinished_count++;
	return ERR_OK;
}

void tcs_session_free(struct tcs_session *session)
{
	struct relay *relay = session->relay;
	if (session->previous)
		session->previous->next = session->next;
	else
		relay->sessions = session->next;
	if (session->next)
		session->next->previous = session->previous;
	relay->session_count--;
	relay->loop->ops->stream_close(session->stream);
	tls_conn_free(session->tls);
	free(session->early);
	free(session);
}

void tcs_session_reap(struct tcs_session *session)
{
	if (session->is_doomed) {
		session->is_doomed = false; // so that the last message can go
		if (session->doom_counter != STATS_COUNTERS)
			relay_stats_add(&session->relay->stats, session->doom_counter, 1);
		tcs_session_end(session, session->doom);
	}
	if (session->is_closed && session->state == TCS_SESSION_ENDING && !session->step.is_running)
		tcs_session_free(session);
}

static void set_state(struct tcs_session *session, enum tcs_session_state state)
{
	bool was_unfinished = session->state < TCS_SESSION_JOINED, is_unfinished = state < TCS_SESSION_JOINED;
	session->relay->unfinished_count -= was_unfinished && !is_unfinished;
	session->state = state;
}

void tcs_session_end(struct tcs_session *session, enum control_end reason)
{
	if (session->state == TCS_SESSION_ENDING)
		return;
	bool is_secure = session->state != TCS_SESSION_HANDSHAKE;
	if (session->member)
		membership_leave(session, reason ? reason : CONTROL_END_TIMEOUT);
	if (reason && is_secure && !session->is_closed)
		tcs_session_send(session, &(struct control_message){ .type = CONTROL_END, .end = (uint8_t)reason });
	set_state(session, TCS_SESSION_ENDING);
	session->ended_ns = relay_now_ns(session->relay);
	if (is_secure)
		tls_conn_close(session->tls);
	session->relay->loop->ops->stream_finish(session->stream);
}

void tcs_session_doom(struct tcs_session *session, enum control_end reason, enum relay_stats_counter counter)
{
	if (session->is_doomed || session->state == TCS_SESSION_ENDING)
		return;
	session->is_doomed = true;
	session->doom = reason;
	session->doom_counter = counter;
	session->relay->is_reaping = true;
}

// ---------------------------------------------------------------- sending

static bool queue(struct tcs_session *session, const uint8_t *frame, size_t size)
{
	if (session->is_doomed || session->state == TCS_SESSION_ENDING)
		return false;
	if (tls_conn_has_output(session->tls) == 0)
		session->progress_ns = relay_now_ns(session->relay);
	if (tls_conn_write(session->tls, frame, size))
		return false;
	session->relay->loop->ops->stream_output(session->stream);
	return true;
}

// Much at once is nobody's fault in the beginning: all that there is to know of a big meeting.
static bool is_slow(const struct tcs_session *session)
{
	return tls_conn_has_output(session->tls) > TCS_SESSION_QUEUE_MAX &&
	       relay_now_ns(session->relay) - session->opened_ns >= TCS_SESSION_GRACE_NS;
}

void tcs_session_send(struct tcs_session *session, const struct control_message *message)
{
	uint8_t frame[2 + TCS_SESSION_FRAME_MAX];
	size_t size = 0;
	if (is_slow(session)) {
		tcs_session_doom(session, (enum control_end)0, STATS_client_slow);
		return;
	}
	if (control_emit(message, frame + 2, TCS_SESSION_FRAME_MAX, &size))
		return;
	frame[0] = (uint8_t)(size >> 8);
	frame[1] = (uint8_t)size;
	(void)queue(session, frame, 2 + size);
}

bool tcs_session_send_packet(struct tcs_session *session, const uint8_t *bytes, size_t size)
{
	uint8_t frame[2 + PACKET_MAX_BYTES];
	if (tls_conn_has_output(session->tls) > TCS_SESSION_MEDIA_QUEUE) {
		relay_stats_add(&session->relay->stats, STATS_media_queue_full, 1);
		return false;
	}
	frame[0] = (uint8_t)(size >> 8);
	frame[1] = (uint8_t)size;
	memcpy(frame + 2, bytes, size);
	return queue(session, frame, 2 + size);
}

static size_t on_output(void *context, uint8_t *bytes, size_t capacity)
{
	struct tcs_session *session = context;
	session->progress_ns = relay_now_ns(session->relay);
	if (session->step.is_running)
		return 0;
	return tls_conn_take(session->tls, bytes, capacity);
}

// ---------------------------------------------------------------- receiving

static void malformed(struct tcs_session *session) { tcs_session_doom(session, CONTROL_END_PROTOCOL, STATS_frame_malformed); }

static void on_message(struct tcs_session *session, const uint8_t *bytes, size_t size)
{
	struct control_message message;
	if (control_parse(bytes, size, &message)) {
		malformed(session);
		return;
	}
	if (session->state == TCS_SESSION_JOINED) {
		membership_message(session, &message);
	} else if (message.type == CONTROL_JOIN) {
		membership_join(session, &message.join);
		if (session->member)
			set_state(session, TCS_SESSION_JOINED);
	} else {
		tcs_session_doom(session, CONTROL_END_PROTOCOL, STATS_message_unexpected);
	}
}

static void join_again(struct tcs_session *session)
{
	session->is_waiting = false;
	on_message(session, session->frame + 2, (size_t)session->frame[0] << 8 | session->frame[1]);
}

// A packet in a frame, whose handle must be of this very connection.
static void on_packet(struct tcs_session *session, uint8_t *bytes, size_t size)
{
	struct relay *relay = session->relay;
	struct packet_header header;
	if (packet_parse(bytes, size, &header)) {
		upward_drop(relay, FANOUT_packet_malformed);
		return;
	}
	const struct flow *flow = flow_find(relay->flows, header.handle);
	if (!flow)
		upward_drop(relay, FANOUT_handle_unknown);
	else if (flow->path != HOP_PATH_TLS || flow->member->session != session)
		upward_drop(relay, FANOUT_address_foreign);
	else
		(void)media_frame(&relay->media, bytes, size, session->received_ns);
	outbox_flush(relay->outbox); // before the frame's bytes go
}

static void on_frame(struct tcs_session *session, uint8_t *bytes, size_t size)
{
	enum packet_type type = (enum packet_type)(bytes[0] >> 6);
	if (type == PACKET_MESSAGE)
		on_message(session, bytes, size);
	else if (type != PACKET_RESERVED && session->state == TCS_SESSION_JOINED)
		on_packet(session, bytes, size);
	else
		malformed(session);
}

// Frames of a two-byte length and a body, in whatever pieces they come.
static void on_plain(struct tcs_session *session, const uint8_t *bytes, size_t size)
{
	while (size > 0 && !session->is_doomed && session->state != TCS_SESSION_ENDING) {
		if (session->is_waiting) { // for the answer to JOIN
			tcs_session_doom(session, CONTROL_END_PROTOCOL, STATS_message_unexpected);
			return;
		}
		size_t body = session->frame_size >= 2 ? (size_t)session->frame[0] << 8 | session->frame[1] : 0;
		size_t wanted = (session->frame_size < 2 ? 2 : 2 + body) - session->frame_size;
		size_t n = size < wanted ? size : wanted;
		memcpy(session->frame + session->frame_size, bytes, n);
		session->frame_size += n;
		bytes += n;
		size -= n;
		if (session->frame_size < 2)
			continue;
		body = (size_t)session->frame[0] << 8 | session->frame[1];
		if (body == 0 || body > TCS_SESSION_FRAME_MAX) {
			malformed(session);
		} else if (session->frame_size == 2 + body) {
			session->frame_size = 0;
			on_frame(session, session->frame + 2, body);
		}
	}
}

static void read_plain(struct tcs_session *session)
{
	uint8_t *scratch = session->relay->scratch;
	while (!session->is_doomed && session->state != TCS_SESSION_ENDING) {
		size_t size;
		enum err err = tls_conn_read(session->tls, scratch, RELAY_SCRATCH_BYTES, &size);
		if (err == ERR_AGAIN)
			break;
		if (err) {
			tcs_session_doom(session, (enum control_end)0, err == ERR_CLOSED ? STATS_COUNTERS : STATS_tls_broken);
			break;
		}
		on_plain(session, scratch, size);
	}
	if (tls_conn_has_output(session->tls) > 0)
		session->relay->loop->ops->stream_output(session->stream); // answers to key updates, which are few
}

// ---------------------------------------------------------------- handshake

static void begin_step(struct tcs_session *session)
{
	session->step.tls = session->tls;
	if (session->relay->handshakes) {
		handshakes_give(session->relay->handshakes, &session->step);
		return;
	}
	session->step.err = tls_conn_handshake(session->tls);
	tcs_session_handshaken(&session->step);
}

// Bytes for a connection that its worker has now: kept.
static bool keep_early(struct tcs_session *session, const uint8_t *bytes, size_t size)
{
	if (session->early_size + size > TCS_SESSION_EARLY_MAX)
		return false;
	uint8_t *more = realloc(session->early, session->early_size + size);
	if (!more)
		return false;
	memcpy(more + session->early_size, bytes, size);
	session->early = more;
	session->early_size += size;
	return true;
}

// True: there was something.
static bool feed_early(struct tcs_session *session)
{
	if (session->early_size == 0)
		return false;
	if (tls_conn_feed(session->tls, session->early, session->early_size))
		malformed(session);
	free(session->early);
	session->early = NULL;
	session->early_size = 0;
	return true;
}

static void handshake_failed(struct tcs_session *session)
{
	char text[RELAY_ADDRESS_TEXT_MAX];
	relay_address_emit(&session->peer, text);
	log_line(LOG_INFO, "%s: TLS handshake failed: %s", text, tls_conn_problem(session->tls));
	tcs_session_doom(session, (enum control_end)0, STATS_handshake_failed);
}

void tcs_session_handshaken(struct handshake *step)
{
	struct tcs_session *session = (struct tcs_session *)((uint8_t *)step - offsetof(struct tcs_session, step));
	session->relay->loop->ops->stream_output(session->stream);
	if (session->state != TCS_SESSION_HANDSHAKE || session->is_doomed) {
		session->relay->is_reaping = true; // it had to wait for us
		return;
	}
	bool has_more = feed_early(session);
	if (step->err == ERR_AGAIN && has_more)
		begin_step(session);
	if (step->err == ERR_AGAIN)
		return;
	if (step->err) {
		handshake_failed(session);
		return;
	}
	set_state(session, TCS_SESSION_JOINING);
	read_plain(session);
}

static void on_received(void *context, const uint8_t *bytes, size_t size, uint64_t received_ns)
{
	struct tcs_session *session = context;
	session->received_ns = received_ns;
	if (session->is_doomed || session->state == TCS_SESSION_ENDING)
		return;
	session->heard_ns = relay_now_ns(session->relay);
	if (session->step.is_running) {
		if (!keep_early(session, bytes, size))
			malformed(session);
	} else if (tls_conn_feed(session->tls, bytes, size)) {
		malformed(session);
	} else if (session->state == TCS_SESSION_HANDSHAKE) {
		begin_step(session);
	} else {
		read_plain(session);
	}
}

static void on_closed(void *context)
{
	struct tcs_session *session = context;
	session->is_closed = true;
	session->relay->is_reaping = true;
	tcs_session_doom(session, (enum control_end)0, STATS_COUNTERS);
}

// ---------------------------------------------------------------- time

void tcs_session_tick(struct tcs_session *session, uint64_t now_ns)
{
	switch (session->state) {
	case TCS_SESSION_HANDSHAKE:
	case TCS_SESSION_JOINING:
		if (now_ns - session->opened_ns >= TCS_SESSION_JOIN_NS)
			tcs_session_doom(session, CONTROL_END_TIMEOUT, STATS_handshake_timeout);
		else if (session->is_waiting && !session->is_doomed)
			join_again(session);
		break;
	case TCS_SESSION_JOINED:
		if (now_ns - session->heard_ns >= TCS_SESSION_SILENT_NS)
			tcs_session_doom(session, CONTROL_END_TIMEOUT, STATS_session_timeout);
		else if (tls_conn_has_output(session->tls) > 0 && now_ns - session->progress_ns >= TCS_SESSION_STUCK_NS)
			tcs_session_doom(session, CONTROL_END_TIMEOUT, STATS_client_slow);
		else
			membership_tick(session, now_ns);
		break;
	case TCS_SESSION_ENDING:
		if (now_ns - session->ended_ns >= TCS_SESSION_LINGER_NS)
			session->is_closed = session->relay->is_reaping = true;
		break;
	}
}
