// The session's thread and its loop. SPDX-License-Identifier: Apache-2.0
#include "client/engine/session_private.h"

#include "base/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	CONNECT_TIMEOUT_MS = 10000, // of the first join, all attempts together
	STATS_MS = 1000,
	STATS_EARLY_MS = 100,       // while first frames are awaited
	STALE_MS = 10000,           // after a reconnect, to come back
	SILENT_MEMBER_MS = 3000,    // to announce oneself, before the others are told anyway
	POLL_MAX = RESOLVE_ADDRESSES_MAX + 4,
};

uint64_t session_now_us(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static uint64_t monotonic_ms(void)
{
	return session_now_us() / 1000;
}

static uint64_t realtime_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_REALTIME, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void session_count(struct engine_session *session, enum counter counter)
{
	session_counters_add(&session->stats.counters, counter, 1);
}

void session_event(struct engine_session *session, struct engine_event *event)
{
	event->at_ms = monotonic_ms() - session->start_ms;
	if (event_queue_push(session->events, event) != ERR_OK)
		session_count(session, COUNTER_events_dropped);
}

void session_end(struct engine_session *session, enum err result, const char *problem)
{
	session->phase = SESSION_OVER;
	session->result = result;
	snprintf(session->problem, sizeof(session->problem), "%s", problem ? problem : "");
}

static enum err make_keys(struct engine_session *session)
{
	const struct e2ee_options keys = { .meeting = session->grant.meeting, .self = session->grant.participant,
					   .secret = session->secrets->meeting };
	const struct media_crypt_receive_options receive = { .on_media = session_media_opened, .context = session,
							     .counters = &session->stats.counters };
	uint32_t packets = session->options.generation_packets;
	enum err err = e2ee_new(&keys, &session->e2ee);
	if (err)
		return err;
	struct media_crypt_receive_options with_keys = receive;
	with_keys.e2ee = session->e2ee;
	err = media_crypt_send_new(session->e2ee, packets ? packets : MEDIA_CRYPT_SEND_GENERATION, &session->send);
	if (!err)
		err = media_crypt_receive_new(&with_keys, &session->receive);
	secret_wipe(session->secrets->meeting, sizeof(session->secrets->meeting)); // all keys come from what e2ee keeps
	memcpy(session->stats.run, e2ee_run(session->e2ee), E2EE_RUN_BYTES);
	session->stats.meeting = session->grant.meeting;
	session->stats.participant = session->grant.participant;
	return err;
}

// Ticket, keys, TLS policy: all that comes before the first connection.
static void prepare(struct engine_session *session)
{
	char problem[ENGINE_PROBLEM_MAX] = "";
	struct engine_event event = { .type = ENGINE_EVENT_STATE, .state = ENGINE_CONNECTING };
	session_event(session, &event);
	enum err err = session->options.fetch(session->options.context, &session->is_leaving, &session->grant, problem);
	if (err) {
		bool is_left = atomic_load(&session->is_leaving);
		session_end(session, is_left ? ERR_OK : err, is_left ? NULL : problem[0] ? problem : err_text(err));
		return;
	}
	session->ticket_ns = realtime_ns();
	event = (struct engine_event){ .type = ENGINE_EVENT_TICKET };
	memcpy(event.title, session->grant.title, sizeof(event.title));
	memcpy(event.problem, problem, sizeof(event.problem)); // let in, but something is worth saying
	session_event(session, &event);
	const struct tls_context_options tls = { .alpn = CONTROL_ALPN, .pins = &session->options.relay_pins };
	err = srtp_box_library_init();
	if (!err)
		err = make_keys(session);
	if (!err)
		err = tls_context_new(&tls, &session->tls);
	if (err) {
		session_end(session, err, err_text(err));
		return;
	}
	uint32_t timeout = session->options.connect_timeout_ms;
	session->phase = SESSION_PAUSING;
	session->retry_ms = monotonic_ms();
	session->first_deadline_ms = session->retry_ms + (timeout ? timeout : CONNECT_TIMEOUT_MS);
}

static void publish(struct engine_session *session)
{
	session_stats_refresh(session);
	pthread_mutex_lock(&session->lock);
	session->snapshot = session->stats;
	pthread_mutex_unlock(&session->lock);
	bool is_waiting = session->first_frame_count < 2 * session->roster.count;
	session->next_stats_ms = session->now_ms + (is_waiting ? STATS_EARLY_MS : STATS_MS);
}

// Members that did not come back after a reconnect, and members that do not say who they are.
static void check_roster(struct engine_session *session)
{
	for (size_t i = 0; i < session->roster.count;) {
		struct roster_entry *entry = &session->roster.entries[i];
		uint64_t age_ms = session->now_ms - entry->since_ms;
		if (entry->is_stale && session->phase == SESSION_JOINED && session->now_ms - session->joined_ms >= STALE_MS) {
			struct engine_event event = { .type = ENGINE_EVENT_GONE, .member = entry->member };
			session->options.media.participant_gone(session->options.media.media, &entry->member.participant);
			roster_remove(&session->roster, entry);
			session_event(session, &event);
			continue;
		}
		if (!entry->is_told && age_ms >= SILENT_MEMBER_MS) {
			struct engine_event event = { .type = ENGINE_EVENT_MEMBER, .member = entry->member };
			entry->is_told = true;
			session_event(session, &event);
		}
		i++;
	}
}

static int sooner(int a, int b)
{
	if (a < 0)
		return b;
	return b >= 0 && b < a ? b : a;
}

static int timeout_ms(struct engine_session *session)
{
	int timeout = session->next_stats_ms > session->now_ms ? (int)(session->next_stats_ms - session->now_ms) : 0;
	timeout = sooner(timeout, session_connect_timeout_ms(session));
	timeout = sooner(timeout, media_crypt_receive_expire(session->receive, session->now_ms));
	if (session->phase == SESSION_JOINED)
		timeout = sooner(timeout, path_timeout_ms(&session->path, session->now_ms));
	return timeout;
}

// Wait, and take what came.
static void wait_for_events(struct engine_session *session)
{
	struct pollfd fds[POLL_MAX] = { { .fd = packet_queue_descriptor(session->options.queue), .events = POLLIN } };
	size_t count = 1 + session_connect_poll(session, fds + 1);
	size_t udp = count;
	if (session->datagram)
		fds[count++] = (struct pollfd){ .fd = datagram_descriptor(session->datagram), .events = POLLIN };
	if (poll(fds, count, timeout_ms(session)) < 0)
		return; // a signal
	session->now_ms = monotonic_ms();
	session->is_link_due = session->link && fds[1].revents;
	if (fds[0].revents) {
		packet_queue_settle(session->options.queue);
		session_media_drain(session);
	}
	if (session->datagram && count > udp && fds[udp].revents)
		datagram_receive(session->datagram, session_media_datagram, session);
}

static void loop(struct engine_session *session)
{
	while (session->phase != SESSION_OVER) {
		session->now_ms = monotonic_ms();
		if (atomic_load(&session->is_leaving)) {
			session_end(session, ERR_OK, NULL);
			return;
		}
		session_connect_step(session);
		if (session->phase == SESSION_JOINED)
			session_media_tick(session);
		if (session->phase == SESSION_JOINED && atomic_exchange(&session->is_subscription_due, false))
			session_control_subscribe(session);
		check_roster(session);
		if (session->now_ms >= session->next_stats_ms)
			publish(session);
		if (session->link)
			link_flush(session->link);
		if (session->phase != SESSION_OVER)
			wait_for_events(session);
	}
}

static void finish(struct engine_session *session)
{
	const struct control_message leave = { .type = CONTROL_LEAVE };
	struct engine_event event = { .type = ENGINE_EVENT_ENDED, .result = session->result };
	if (session->link && link_is_ready(session->link) && session->result == ERR_OK)
		session_control_send(session, &leave);
	session_connect_close(session);
	publish(session);
	session->options.media.free(session->options.media.media);
	memcpy(event.problem, session->problem, sizeof(event.problem));
	session_event(session, &event);
}

static void *run(void *argument)
{
	struct engine_session *session = argument;
	prepare(session);
	loop(session);
	finish(session);
	return NULL;
}

static void release(struct engine_session *session)
{
	tls_context_free(session->tls);
	media_crypt_send_free(session->send);
	media_crypt_receive_free(session->receive);
	e2ee_free(session->e2ee);
	event_queue_free(session->events);
	secret_free(session->secrets);
	pthread_mutex_destroy(&session->lock);
	free(session);
}

enum err session_start(const struct session_options *options, struct engine_session **out)
{
	struct engine_session *session = calloc(1, sizeof(*session));
	if (!session)
		return ERR_NOMEM;
	pthread_mutex_init(&session->lock, NULL);
	session->start_ms = monotonic_ms();
	dial_init(&session->dial, &(struct resolve_answer){ 0 }); // nothing to close
	session->options = *options;
	session->subscriptions.is_audio_only = options->is_audio_only;
	secret_wipe(session->options.secret, sizeof(session->options.secret));
	secret_wipe(session->options.device_key, sizeof(session->options.device_key));
	session->secrets = secret_alloc(sizeof(*session->secrets));
	enum err err = session->secrets ? event_queue_new(&session->events) : ERR_NOMEM;
	if (!err) {
		memcpy(session->secrets->meeting, options->secret, TOKEN_SECRET_BYTES);
		memcpy(session->secrets->device_key, options->device_key, TOKEN_ED25519_BYTES);
		err = pthread_create(&session->thread, NULL, run, session) ? ERR_NOMEM : ERR_OK;
	}
	if (err) {
		release(session);
		return err;
	}
	*out = session;
	return ERR_OK;
}

int session_descriptor(const struct engine_session *session)
{
	return event_queue_descriptor(session->events);
}

bool session_next(struct engine_session *session, struct engine_event *out)
{
	return event_queue_pop(session->events, out);
}

void session_leave(struct engine_session *session)
{
	atomic_store(&session->is_leaving, true);
	packet_queue_wake(session->options.queue);
}

enum err session_subscribe(struct engine_session *session, const struct id *participant, uint8_t stream, bool is_wanted)
{
	pthread_mutex_lock(&session->lock);
	enum err err = subscriptions_wish(&session->subscriptions, participant, stream, is_wanted);
	pthread_mutex_unlock(&session->lock);
	if (err)
		return err;
	atomic_store(&session->is_subscription_due, true);
	packet_queue_wake(session->options.queue);
	return ERR_OK;
}

void session_statistics(struct engine_session *session, struct engine_statistics *out)
{
	pthread_mutex_lock(&session->lock);
	*out = session->snapshot;
	pthread_mutex_unlock(&session->lock);
}

void session_free(struct engine_session *session)
{
	if (!session)
		return;
	session_leave(session);
	pthread_join(session->thread, NULL);
	if (session->options.release)
		session->options.release(session->options.context);
	release(session);
}
