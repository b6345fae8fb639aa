// SPDX-License-Identifier: Apache-2.0
#include "relay/relay.h"

#include "base/log.h"
#include "base/secret.h"
#include "relay/control_socket.h"
#include "relay/forward.h"
#include "relay/manager_link.h"
#include "relay/passed.h"
#include "relay/registration.h"
#include "relay/relay_address.h"
#include "relay/relay_socket.h"
#include "relay/tcs_config.h"
#include "relay/tcs_session.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define TICK_NS 100000000u
#define STOP_NS 1000000000u

// ---------------------------------------------------------------- packets

static void on_datagrams(void *context, struct loop_datagram *datagrams, size_t count)
{
	struct relay *relay = context;
	relay_stats_add(&relay->stats, STATS_datagrams_received, count);
	for (size_t i = 0; i < count; i++) {
		struct loop_datagram *d = &datagrams[i];
		struct forward_source source = { .path = HOP_PATH_UDP, .address = &d->from };
		relay_stats_add(&relay->stats, STATS_bytes_received, d->size);
		if (forward_packet(relay, &source, d->bytes, d->size) > 0)
			relay_forwarded(relay, d->received_ns);
	}
	outbox_flush(relay->outbox);
}

// All that this wake-up forwarded is with the kernel now, by UDP or TLS.
static void on_wake_sent(void *context)
{
	struct relay *relay = context;
	uint64_t sent_ns = relay->forwarded ? relay->loop->ops->clock_ns(relay->loop) : 0;
	for (size_t i = 0; i < relay->forwarded; i++) {
		if (sent_ns >= relay->received_ns[i]) // else the clock was set back meanwhile
			relay_stats_latency(&relay->stats, sent_ns - relay->received_ns[i], 1);
	}
	relay->forwarded = 0;
}

void relay_forwarded(struct relay *relay, uint64_t received_ns)
{
	if (received_ns == 0)
		return;
	if (relay->forwarded == RELAY_FORWARDED_MAX)
		on_wake_sent(relay);
	relay->received_ns[relay->forwarded++] = received_ns;
}

// ---------------------------------------------------------------- connections

// Nobody may take all places, and of the few for those who have not joined yet no more than a quarter.
static bool has_too_many(const struct relay *relay, const struct sockaddr_in6 *peer)
{
	const struct tcs_config *config = relay->config;
	size_t count = 0, unfinished = 0;
	for (const struct tcs_session *s = relay->sessions; s; s = s->next) {
		if (!relay_address_is_same_network(&s->peer, peer))
			continue;
		count++;
		unfinished += s->state < TCS_SESSION_JOINED;
	}
	return count >= config->connections_per_address_max || unfinished >= (config->handshakes_max + 3) / 4;
}

static void on_accept(void *context, int descriptor)
{
	struct relay *relay = context;
	struct sockaddr_in6 peer;
	enum relay_stats_counter refused = STATS_COUNTERS;
	if (relay_socket_prepare_stream(descriptor, &peer)) {
		close(descriptor); // gone already
		return;
	}
	if (relay->is_stopping || relay->session_count >= relay->config->participants_max + relay->config->handshakes_max)
		refused = STATS_session_limit;
	else if (relay->unfinished_count >= relay->config->handshakes_max)
		refused = STATS_handshake_limit;
	else if (has_too_many(relay, &peer))
		refused = STATS_connection_limit;
	if (refused != STATS_COUNTERS) {
		relay_stats_add(&relay->stats, refused, 1);
		close(descriptor);
	} else if (tcs_session_open(relay, descriptor, &peer)) {
		relay_stats_add(&relay->stats, STATS_session_limit, 1);
	}
}

static void on_signal(struct relay *relay)
{
	struct signalfd_siginfo info;
	if (read(relay->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	relay_shutdown(relay);
}

static void on_readable(void *context, int descriptor)
{
	struct relay *relay = context;
	if (descriptor == relay->signals)
		on_signal(relay);
	else if (relay->manager && manager_link_owns(relay->manager, descriptor))
		manager_link_receive(relay->manager);
	else if (relay->passed && passed_owns(relay->passed, descriptor))
		passed_receive(relay->passed, descriptor);
	else if (relay->control)
		control_socket_accept(relay->control);
}

// ---------------------------------------------------------------- time

static void on_timer(void *context)
{
	struct relay *relay = context;
	uint64_t now_ns = relay_now_ns(relay);
	if (now_ns >= relay->tick_ns) { // handshakes make the timer fire more often
		relay->tick_ns = now_ns + TICK_NS;
		for (struct tcs_session *s = relay->sessions; s; s = s->next)
			tcs_session_tick(s, now_ns);
		if (relay->manager)
			manager_link_tick(relay->manager, now_ns);
	}
	if (relay->is_stopping && (!relay->sessions || now_ns >= relay->stop_ns))
		relay->loop->ops->stop(relay->loop);
	relay->loop->ops->set_timer(relay->loop, relay->tick_ns);
}

static void on_wake_end(void *context)
{
	struct relay *relay = context;
	if (relay->handshakes)
		tcs_session_handshake(relay->handshakes);
	while (relay->is_reaping) {
		relay->is_reaping = false;
		struct tcs_session *next;
		for (struct tcs_session *s = relay->sessions; s; s = next) {
			next = s->next;
			tcs_session_reap(s);
		}
	}
	outbox_flush(relay->outbox);
	if (relay->handshakes)
		relay->loop->ops->set_timer(relay->loop, relay_now_ns(relay)); // and on at once
}

struct loop_handlers relay_handlers(struct relay *relay)
{
	return (struct loop_handlers){
		.on_datagrams = on_datagrams,
		.on_accept = on_accept,
		.on_readable = on_readable,
		.on_timer = on_timer,
		.on_wake_end = on_wake_end,
		.on_wake_sent = on_wake_sent,
		.context = relay,
	};
}

// ---------------------------------------------------------------- life

struct relay *relay_new(const struct relay_options *options)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	if (!relay)
		return NULL;
	const struct tcs_config *config = options->config;
	relay->config = config;
	relay->registration = options->registration;
	relay->tls = options->tls;
	relay->signals = -1;
	relay->udp_port = (uint16_t)(config->udp_port == 0 ? 0 : config->advertised_udp_port ? config->advertised_udp_port : config->udp_port);
	memcpy(relay->admission.ticket_key, options->registration->ticket_key, TOKEN_ED25519_BYTES);
	relay->admission.relay = options->registration->relay;
	relay->admission.journal = options->journal;
	secret_random(relay->cookie_key, sizeof(relay->cookie_key));
	relay->flows = flow_table_new(config->participants_max * HOP_PATHS);
	relay->rooms = rooms_new(&(struct room_limits){ .members_per_room = config->participants_per_meeting_max,
							.rooms = config->meetings_max, .members = config->participants_max });
	if (!relay->flows || !relay->rooms) {
		relay_free(relay);
		return NULL;
	}
	return relay;
}

enum err relay_start(struct relay *relay, struct loop *loop)
{
	relay->loop = loop;
	relay->outbox = outbox_new(loop, &relay->stats);
	if (!relay->outbox)
		return ERR_NOMEM;
	relay->started_ns = relay_now_ns(relay);
	loop->ops->set_timer(loop, relay->started_ns + TICK_NS);
	return ERR_OK;
}

void relay_shutdown(struct relay *relay)
{
	if (relay->is_stopping)
		return;
	relay->is_stopping = true;
	relay->stop_ns = relay_now_ns(relay) + STOP_NS;
	for (struct tcs_session *s = relay->sessions; s; s = s->next)
		tcs_session_doom(s, CONTROL_END_SHUTDOWN, STATS_COUNTERS);
	relay->loop->ops->set_timer(relay->loop, relay_now_ns(relay));
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	while (relay->sessions) {
		struct tcs_session *session = relay->sessions;
		tcs_session_end(session, (enum control_end)0);
		tcs_session_free(session);
	}
	outbox_free(relay->outbox);
	flow_table_free(relay->flows);
	if (relay->rooms)
		rooms_free(relay->rooms);
	free(relay);
}

// ---------------------------------------------------------------- orders

void relay_end_meeting(struct relay *relay, const struct id *meeting, uint64_t until)
{
	struct journal_entry entry = { .kind = JOURNAL_ENDED, .first = *meeting, .until = until };
	if (journal_add(relay->admission.journal, &entry, relay_clock_s(relay)))
		log_line(LOG_WARNING, "an ended meeting could not be noted for good");
	struct room *room = rooms_find(relay->rooms, meeting);
	for (size_t i = 0; room && i < room->count; i++)
		tcs_session_doom(room->member[i]->session, CONTROL_END_CLOSED, STATS_COUNTERS);
}

void relay_remove_participant(struct relay *relay, const struct id *meeting, const struct id *participant, uint64_t until)
{
	struct journal_entry entry = { .kind = JOURNAL_REMOVED, .first = *meeting, .second = *participant, .until = until };
	if (journal_add(relay->admission.journal, &entry, relay_clock_s(relay)))
		log_line(LOG_WARNING, "a removed participant could not be noted for good");
	struct room *room = rooms_find(relay->rooms, meeting);
	struct member *member = room ? room_find_participant(room, participant) : NULL;
	if (member)
		tcs_session_doom(member->session, CONTROL_END_REMOVED, STATS_COUNTERS);
}
