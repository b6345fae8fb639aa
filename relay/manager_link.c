// SPDX-License-Identifier: Apache-2.0
#include "relay/manager_link.h"

#include "base/log.h"
#include "relay/manager_message.h"
#include "relay/manager_spawner.h"
#include "relay/relay.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 256, END_MS = 1000 };
#define PAUSE_MIN_NS 1000000000u
#define PAUSE_MAX_NS 30000000000u

struct manager_link {
	struct relay *relay;
	int spawner; // -1: it is gone, and no manager is started any more
	int socket;  // -1: no manager, or none that listens
	uint64_t start_ns, pause_ns; // when to start it (again), and how long the next pause is
	uint64_t report_ns, sync_ns;
	struct manager_message *row; // of the report that is being sent: its socket does not take many at once
	size_t rows, rows_sent;
	struct manager_link_state state;
};

enum err manager_link_open(struct relay *relay, int spawner, struct manager_link **out)
{
	struct manager_link *link = calloc(1, sizeof(*link));
	enum err err = link ? relay->loop->ops->watch_readable(relay->loop, spawner) : ERR_NOMEM;
	if (err) {
		free(link);
		close(spawner);
		return err;
	}
	link->relay = relay;
	link->spawner = spawner;
	link->socket = -1;
	link->pause_ns = PAUSE_MIN_NS;
	*out = link;
	return ERR_OK;
}

void manager_link_state(const struct manager_link *link, struct manager_link_state *out) { *out = link->state; }

bool manager_link_owns(const struct manager_link *link, int descriptor)
{
	return descriptor == link->socket || descriptor == link->spawner;
}

static void drop_report(struct manager_link *link)
{
	free(link->row);
	link->row = NULL;
	link->rows = link->rows_sent = 0;
}

static void disconnect(struct manager_link *link)
{
	drop_report(link);
	if (link->socket >= 0) {
		link->relay->loop->ops->unwatch(link->relay->loop, link->socket);
		(void)shutdown(link->socket, SHUT_RDWR); // the loop may hold the socket a little longer
		close(link->socket);
	}
	link->socket = -1;
	link->state.is_connected = link->state.is_synced = false;
	link->start_ns = relay_now_ns(link->relay) + link->pause_ns;
	link->pause_ns = link->pause_ns * 2 < PAUSE_MAX_NS ? link->pause_ns * 2 : PAUSE_MAX_NS;
}

static void drop_spawner(struct manager_link *link)
{
	link->relay->loop->ops->unwatch(link->relay->loop, link->spawner);
	close(link->spawner);
	link->spawner = -1;
	link->state.is_running = false;
}

void manager_link_close(struct manager_link *link)
{
	if (!link)
		return;
	disconnect(link);
	if (link->spawner >= 0) {
		struct pollfd end = { .fd = link->spawner };
		(void)shutdown(link->spawner, SHUT_WR); // it ends the manager and then itself
		(void)poll(&end, 1, END_MS);
		drop_spawner(link);
	}
	free(link);
}

// ---------------------------------------------------------------- start and end

static void start(struct manager_link *link)
{
	link->state.restarts += link->start_ns != 0;
	if (manager_spawner_request(link->spawner, link->relay->loop->ops->name)) {
		link->start_ns = relay_now_ns(link->relay) + link->pause_ns;
		return;
	}
	link->state.is_running = true;
}

static void on_started(struct manager_link *link, int descriptor)
{
	if (link->socket >= 0)
		disconnect(link);
	link->socket = descriptor;
	link->report_ns = 0;
	if (link->relay->loop->ops->watch_readable(link->relay->loop, descriptor)) {
		log_line(LOG_ERROR, "no memory to listen to the manager process; it is started again");
		disconnect(link);
	}
}

static void on_ended(struct manager_link *link, const struct manager_spawner_news *news)
{
	link->state.is_running = false;
	if (news->event == MANAGER_SPAWNER_FAILED)
		log_line(LOG_ERROR, "the manager process cannot be started: %s", strerror(news->detail));
	else if (!link->relay->is_stopping)
		log_line(LOG_WARNING, "the manager process ended (%s %d); it is started again",
			 WIFSIGNALED(news->detail) ? "signal" : "status",
			 WIFSIGNALED(news->detail) ? WTERMSIG(news->detail) : WEXITSTATUS(news->detail));
	if (link->socket >= 0 || news->event == MANAGER_SPAWNER_FAILED)
		disconnect(link);
}

static void receive_news(struct manager_link *link)
{
	struct manager_spawner_news news;
	int descriptor;
	enum err err = ERR_OK;
	while (link->spawner >= 0 && !(err = manager_spawner_receive(link->spawner, &news, &descriptor))) {
		if (descriptor >= 0)
			on_started(link, descriptor);
		else
			on_ended(link, &news);
	}
	if (err != ERR_CLOSED)
		return;
	drop_spawner(link);
	if (!link->relay->is_stopping)
		log_line(LOG_ERROR, "the process that starts the manager is gone: restart tcs to hear of the management server again");
}

// ---------------------------------------------------------------- messages

static void obey(struct manager_link *link, const struct manager_message *message)
{
	switch (message->type) {
	case MANAGER_ENDED:
		relay_end_meeting(link->relay, &message->meeting, message->until);
		break;
	case MANAGER_REMOVED:
		relay_remove_participant(link->relay, &message->meeting, &message->participant, message->until);
		break;
	case MANAGER_SYNCED:
		link->state.is_synced = true;
		break;
	case MANAGER_CONNECTION:
		link->state.is_connected = message->number != 0;
		link->state.is_synced = link->state.is_synced && link->state.is_connected;
		link->pause_ns = PAUSE_MIN_NS;
		link->relay->is_changed |= link->state.is_connected; // a new connection wants a report
		break;
	default:
		relay_stats_add(&link->relay->stats, STATS_manager_malformed, 1);
		break;
	}
}

void manager_link_receive(struct manager_link *link)
{
	receive_news(link);
	for (int round = 0; round < ROUNDS && link->socket >= 0; round++) {
		struct manager_message message;
		enum err err = manager_message_receive(link->socket, &message);
		if (err == ERR_AGAIN)
			return;
		if (err == ERR_CLOSED) {
			disconnect(link);
			return;
		}
		if (err)
			relay_stats_add(&link->relay->stats, STATS_manager_malformed, 1);
		else
			obey(link, &message);
	}
}

// Who is where, in as many messages as there are meetings. A manager that still has one to take misses it.
static void make_report(struct manager_link *link)
{
	struct rooms *rooms = link->relay->rooms;
	size_t count = rooms_count(rooms);
	struct manager_message *row = link->row ? NULL : calloc(count + 1, sizeof(*row));
	if (!row) {
		relay_stats_add(&link->relay->stats, STATS_report_skipped, 1);
		return;
	}
	link->row = row;
	*row++ = (struct manager_message){ .type = MANAGER_REPORT, .number = (uint32_t)count };
	for (const struct room *room = rooms_next(rooms, NULL); room; room = rooms_next(rooms, room))
		*row++ = (struct manager_message){ .type = MANAGER_MEETING, .meeting = room->meeting, .number = (uint32_t)room->count };
	link->rows = count + 1;
}

static void send_report(struct manager_link *link)
{
	while (link->rows_sent < link->rows && !manager_message_send(link->socket, &link->row[link->rows_sent]))
		link->rows_sent++;
	if (link->rows_sent == link->rows)
		drop_report(link);
}

void manager_link_tick(struct manager_link *link, uint64_t now_ns)
{
	struct relay *relay = link->relay;
	if (link->socket < 0) {
		if (now_ns >= link->start_ns && !link->state.is_running && link->spawner >= 0 && !relay->is_stopping)
			start(link);
		return;
	}
	uint64_t age_ns = now_ns - link->report_ns;
	if (age_ns >= MANAGER_LINK_REPORT_NS || (relay->is_changed && age_ns >= MANAGER_LINK_CHANGE_NS)) {
		link->report_ns = now_ns;
		relay->is_changed = false;
		make_report(link);
	}
	send_report(link);
	if (journal_is_unsynced(relay->admission.journal) && now_ns - link->sync_ns >= MANAGER_LINK_CHANGE_NS) {
		link->sync_ns = now_ns;
		if (!manager_message_send(link->socket, &(struct manager_message){ .type = MANAGER_SYNC_JOURNAL }))
			journal_set_synced(relay->admission.journal);
	}
}
