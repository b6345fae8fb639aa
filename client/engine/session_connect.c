// From a name to a joined connection, and back to it after a break. SPDX-License-Identifier: Apache-2.0
#include "client/engine/session_private.h"

#include "base/secret.h"
#include "client/engine/pins.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	PHASE_TIMEOUT_MS = 10000, // look-up, connect, handshake, join: each
	SILENCE_MS = 15000,
	UNANSWERED_MS = 30000, // media comes, but nobody reads what we say
	PING_MS = 5000,
	PAUSE_FIRST_MS = 250,
	PAUSE_MAX_MS = 5000,
	STABLE_MS = 10000, // a connection that lasted so long starts the pauses anew
};

void session_connect_close(struct engine_session *session)
{
	if (session->link)
		link_close(session->link);
	link_free(session->link);
	session->link = NULL;
	datagram_close(session->datagram);
	session->datagram = NULL;
	resolve_free(session->resolve);
	session->resolve = NULL;
	dial_fini(&session->dial);
	for (int path = 0; path < HOP_PATHS; path++) {
		hop_fini(&session->hop[path]);
		session->hop[path] = (struct hop){ 0 };
	}
}

// The pause before the next attempt: none, then growing. A quarter of it is chance, so that the clients of a relay
// that was restarted do not come all at once.
static uint64_t next_pause(struct engine_session *session)
{
	uint64_t pause_ms = session->retry_pause_ms;
	uint32_t chance;
	session->retry_pause_ms = pause_ms ? pause_ms * 2 : PAUSE_FIRST_MS;
	if (session->retry_pause_ms > PAUSE_MAX_MS)
		session->retry_pause_ms = PAUSE_MAX_MS;
	secret_random(&chance, sizeof(chance));
	return pause_ms - (pause_ms ? chance % (pause_ms / 4) : 0);
}

void session_connect_lost(struct engine_session *session, const char *why)
{
	bool was_joined = session->phase == SESSION_JOINED;
	char problem[ENGINE_PROBLEM_MAX];
	snprintf(problem, sizeof(problem), "%s:%u: %s", session->grant.relay_name, session->grant.relay_port, why);
	session_connect_close(session);
	if (was_joined) {
		struct engine_event event = { .type = ENGINE_EVENT_STATE, .state = ENGINE_RECONNECTING };
		memcpy(event.problem, problem, sizeof(problem));
		session_event(session, &event);
		media_crypt_receive_forget_indices(session->receive);
		roster_set_stale(&session->roster, session->now_ms);
		if (session->now_ms - session->joined_ms >= STABLE_MS)
			session->retry_pause_ms = 0;
	}
	session->lost_why = NULL;
	session->phase = SESSION_PAUSING;
	session->retry_ms = session->now_ms + next_pause(session);
	if (session->has_joined && (uint64_t)time(NULL) >= session->rejoin_until)
		session_end(session, ERR_EXPIRED, "the meeting's time is over");
	else if (!session->has_joined && session->retry_ms >= session->first_deadline_ms)
		session_end(session, ERR_IO, problem);
}

static void enter(struct engine_session *session, enum session_phase phase)
{
	session->phase = phase;
	session->phase_deadline_ms = session->now_ms + PHASE_TIMEOUT_MS;
}

static void step_pausing(struct engine_session *session)
{
	const struct session_grant *grant = &session->grant;
	if (session->now_ms < session->retry_ms)
		return;
	const char *host = grant->relay_address[0] ? grant->relay_address : grant->relay_name;
	enum err err = resolve_start(host, grant->relay_port, &session->resolve);
	if (err)
		session_connect_lost(session, err_text(err));
	else
		enter(session, SESSION_RESOLVING);
}

static void step_resolving(struct engine_session *session)
{
	struct resolve_answer answer;
	const char *problem = NULL;
	enum err err = resolve_finish(session->resolve, &answer, &problem);
	if (err == ERR_AGAIN)
		return;
	if (err) {
		session_connect_lost(session, problem);
		return;
	}
	resolve_free(session->resolve);
	session->resolve = NULL;
	dial_init(&session->dial, &answer);
	enter(session, SESSION_DIALING);
}

static void step_dialing(struct engine_session *session)
{
	int fd;
	enum err err = dial_step(&session->dial, session->now_ms, &fd);
	if (err == ERR_AGAIN)
		return;
	if (err) {
		session_connect_lost(session, strerror(session->dial.problem));
		return;
	}
	socklen_t size = sizeof(session->peer);
	(void)getpeername(fd, (struct sockaddr *)&session->peer, &size); // connected, so it has one
	enter(session, SESSION_SHAKING);
	err = link_new(session->tls, session->grant.relay_name, fd, &session->link);
	if (err)
		session_connect_lost(session, err_text(err));
	else
		session->is_link_due = true;
}

// Some failures are no accidents: another key, or another idea of security. Those are not tried again.
static void link_failed(struct engine_session *session, enum err err)
{
	char problem[ENGINE_PROBLEM_MAX];
	uint8_t pin[TOKEN_PIN_BYTES] = { 0 };
	struct tls_conn *tls = link_tls(session->link);
	bool is_shaking = session->phase == SESSION_SHAKING;
	if (is_shaking && err == ERR_AUTH && tls_conn_peer_pin(tls, pin) == ERR_OK) {
		pins_mismatch(session->grant.relay_name, &session->options.relay_pins, pin, problem, sizeof(problem));
		session_end(session, ERR_AUTH, problem);
	} else if (is_shaking && (err == ERR_AUTH || err == ERR_VERSION)) {
		snprintf(problem, sizeof(problem), "%s:%u: %s", session->grant.relay_name, session->grant.relay_port,
			 tls_conn_problem(tls));
		session_end(session, err, problem);
	} else if (err == ERR_CLOSED) {
		session_connect_lost(session, session->lost_why ? session->lost_why : "the server closed the connection");
	} else if (is_shaking) {
		session_connect_lost(session, tls_conn_problem(tls));
	} else {
		session_connect_lost(session, err_text(err));
	}
}

static void step_link(struct engine_session *session)
{
	if (session->is_link_due) {
		enum err err = link_pump(session->link, session_control_frame, session);
		if (session->phase == SESSION_OVER)
			return;
		if (err != ERR_AGAIN && err != ERR_OK) {
			link_failed(session, err);
			return;
		}
	}
	if (session->phase == SESSION_SHAKING && link_is_ready(session->link)) {
		session_control_join(session);
		if (session->phase == SESSION_SHAKING)
			enter(session, SESSION_JOINING);
	}
}

static void step_joined(struct engine_session *session)
{
	if (session->now_ms - session->heard_ms >= SILENCE_MS || session->now_ms - session->answered_ms >= UNANSWERED_MS) {
		session_connect_lost(session, "no sign of life");
		return;
	}
	if (session->now_ms >= session->next_ping_ms) {
		const struct control_message ping = { .type = CONTROL_PING, .ping = session_now_us() };
		session->next_ping_ms = session->now_ms + PING_MS;
		session_control_send(session, &ping);
	}
}

void session_connect_step(struct engine_session *session)
{
	if (session->phase != SESSION_PAUSING && session->phase < SESSION_JOINED && session->now_ms >= session->phase_deadline_ms) {
		session_connect_lost(session, "no answer in time");
		return;
	}
	if (session->phase == SESSION_PAUSING)
		step_pausing(session);
	if (session->phase == SESSION_RESOLVING)
		step_resolving(session);
	if (session->phase == SESSION_DIALING)
		step_dialing(session);
	if (session->phase >= SESSION_SHAKING && session->phase <= SESSION_JOINED)
		step_link(session);
	if (session->phase == SESSION_JOINED)
		step_joined(session);
}

size_t session_connect_poll(const struct engine_session *session, struct pollfd *out)
{
	switch (session->phase) {
	case SESSION_RESOLVING:
		out[0] = (struct pollfd){ .fd = resolve_descriptor(session->resolve), .events = POLLIN };
		return 1;
	case SESSION_DIALING:
		return dial_poll(&session->dial, out);
	case SESSION_SHAKING:
	case SESSION_JOINING:
	case SESSION_JOINED:
		out[0] = (struct pollfd){ .fd = link_descriptor(session->link), .events = link_events(session->link) };
		return 1;
	default:
		return 0;
	}
}

static int until(const struct engine_session *session, uint64_t at_ms)
{
	return at_ms > session->now_ms ? (int)(at_ms - session->now_ms) : 0;
}

int session_connect_timeout_ms(const struct engine_session *session)
{
	int timeout, attempt;
	switch (session->phase) {
	case SESSION_PAUSING:
		return until(session, session->retry_ms);
	case SESSION_JOINED:
		return until(session, session->next_ping_ms);
	case SESSION_DIALING:
		timeout = until(session, session->phase_deadline_ms);
		attempt = dial_timeout_ms(&session->dial, session->now_ms);
		return attempt >= 0 && attempt < timeout ? attempt : timeout;
	default:
		return until(session, session->phase_deadline_ms);
	}
}
