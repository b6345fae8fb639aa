// SPDX-License-Identifier: Apache-2.0
#include "relay/relay.h"

#include "base/log.h"
#include "base/secret.h"
#include "relay/control_socket.h"
#include "relay/fast_path.h"
#include "relay/manager_link.h"
#include "relay/neighbour.h"
#include "relay/passed.h"
#include "relay/receivers.h"
#include "relay/registration.h"
#include "relay/relay_address.h"
#include "relay/relay_socket.h"
#include "relay/tcs_config.h"
#include "relay/tcs_session.h"
#include "relay/upward.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { ROUNDS = 8 };
#define TICK_NS 100000000u
#define STOP_NS 1000000000u

// ---------------------------------------------------------------- packets

static void flush(void *context)
{
	struct relay *relay = context;
	outbox_flush(relay->outbox);
	if (relay->media.leg_outbox)
		outbox_flush(relay->media.leg_outbox);
}

static void receive_datagrams(struct relay *relay)
{
	for (int round = 0; round < ROUNDS; round++) {
		struct media_port_batch batch;
		relay->port->ops->receive(relay->port, &batch);
		relay_stats_add(&relay->stats, STATS_datagrams_received, batch.count);
		for (size_t i = 0; i < batch.count; i++)
			relay_stats_add(&relay->stats, STATS_bytes_received, batch.datagram[i].size);
		media_note_load(&relay->media, batch.is_full, batch.is_full ? relay->port->ops->backlog(relay->port) : 0);
		(void)media_receive(&relay->media, batch.datagram, batch.count);
		flush(relay);
		if (!batch.is_full)
			break;
	}
}

static void on_up(void *context, struct media_up *up) { upward_receive(context, up); }

static uint64_t media_clock_ns(void *context) { return relay_now_ns(context); }

// All that this wake-up forwarded is with the kernel now, by UDP or TLS.
static void on_wake_sent(void *context)
{
	struct relay *relay = context;
	if (relay->media.forwarded > 0)
		media_sent(&relay->media, relay->loop->ops->clock_ns(relay->loop));
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

static void receive_handshakes(struct relay *relay)
{
	handshakes_hush(relay->handshakes);
	for (struct handshake *step = handshakes_take(relay->handshakes); step; step = handshakes_take(relay->handshakes))
		tcs_session_handshaken(step);
}

static bool is_port(const struct relay *relay, int descriptor)
{
	return relay->port && (descriptor == relay->port->descriptor || descriptor == relay->port->leg_descriptor);
}

static void on_readable(void *context, int descriptor)
{
	struct relay *relay = context;
	const struct media_threads_receiver receiver = { .on_up = on_up, .on_flush = flush, .context = relay };
	if (is_port(relay, descriptor))
		receive_datagrams(relay);
	else if (relay->threads && media_threads_receive(relay->threads, descriptor, &receiver))
		return;
	else if (relay->handshakes && descriptor == handshakes_descriptor(relay->handshakes))
		receive_handshakes(relay);
	else if (relay->neighbours && descriptor == neighbours_descriptor(relay->neighbours))
		neighbours_receive(relay->neighbours, relay_now_ns(relay));
	else if (descriptor == relay->signals)
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
	if (now_ns >= relay->tick_ns) { // a shutdown makes the timer fire at once
		relay->tick_ns = now_ns + TICK_NS;
		for (struct tcs_session *s = relay->sessions; s; s = s->next)
			tcs_session_tick(s, now_ns);
		if (relay->neighbours)
			neighbours_tick(relay->neighbours, now_ns);
		receivers_tick(relay, now_ns);
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
	while (relay->is_reaping) {
		relay->is_reaping = false;
		struct tcs_session *next;
		for (struct tcs_session *s = relay->sessions; s; s = next) {
			next = s->next;
			tcs_session_reap(s);
		}
	}
	receivers_flush(relay);
	flush(relay);
}

struct loop_handlers relay_handlers(struct relay *relay)
{
	return (struct loop_handlers){
		.on_accept = on_accept,
		.on_readable = on_readable,
		.on_timer = on_timer,
		.on_wake_end = on_wake_end,
		.on_wake_sent = on_wake_sent,
		.context = relay,
	};
}

// ---------------------------------------------------------------- life

// The fast path's memory, or some of its own.
static enum err make_table(struct relay *relay, struct fast_path *fast_path)
{
	const struct tcs_config *config = relay->config;
	relay->fast_path = fast_path;
	if (fast_path)
		return table_new(&fast_path->memory, &relay->table);
	relay->memory = calloc(1, sizeof(*relay->memory));
	if (!relay->memory)
		return ERR_NOMEM;
	struct table_sizes sizes;
	table_sizes_for(config->participants_max, config->history_memory << 20, &sizes);
	enum err err = table_memory_private(&sizes, relay->memory);
	if (err) {
		free(relay->memory);
		relay->memory = NULL;
		return err;
	}
	return table_new(relay->memory, &relay->table);
}

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
	relay->engine.wish = config->fast_path;
	relay->udp_port = (uint16_t)(config->udp_port == 0 ? 0 : config->advertised_udp_port ? config->advertised_udp_port : config->udp_port);
	memcpy(relay->admission.ticket_key, options->registration->ticket_key, TOKEN_ED25519_BYTES);
	relay->admission.relay = options->registration->relay;
	relay->admission.journal = options->journal;
	secret_random(relay->cookie_key, sizeof(relay->cookie_key));
	enum err err = make_table(relay, options->fast_path);
	relay->flows = err ? NULL : flow_table_new(&table_memory(relay->table)->sizes);
	relay->rooms = rooms_new(&(struct room_limits){ .members_per_room = config->participants_per_meeting_max,
							.rooms = config->meetings_max, .members = config->participants_max });
	if (err || !relay->flows || !relay->rooms) {
		relay_free(relay);
		return NULL;
	}
	return relay;
}

enum err relay_start(struct relay *relay, struct loop *loop, struct media_port *port)
{
	relay->loop = loop;
	relay->port = port;
	relay->outbox = outbox_new(port, false, &relay->stats);
	bool has_legs = port && port->leg_descriptor >= 0;
	relay->media = (struct media){
		.table = table_memory(relay->table),
		.outbox = relay->outbox,
		.leg_outbox = has_legs ? outbox_new(port, true, &relay->stats) : NULL,
		.legs = has_legs ? &relay->legs : NULL,
		.counters = &relay->counters,
		.stats = &relay->stats,
		.on_up = on_up,
		.context = relay,
		.clock_ns = media_clock_ns,
		.is_writer = true,
	};
	if (!relay->outbox || (has_legs && !relay->media.leg_outbox))
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
	media_threads_free(relay->threads);
	relay->threads = NULL;
	handshakes_free(relay->handshakes);
	relay->handshakes = NULL;
	while (relay->sessions) {
		struct tcs_session *session = relay->sessions;
		tcs_session_end(session, (enum control_end)0);
		tcs_session_free(session);
	}
	outbox_free(relay->media.leg_outbox);
	outbox_free(relay->outbox);
	flow_table_free(relay->flows);
	if (relay->rooms)
		rooms_free(relay->rooms);
	engine_stop(relay);
	table_free(relay->table);
	if (relay->memory)
		table_memory_free(relay->memory);
	free(relay->memory);
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
