// SPDX-License-Identifier: Apache-2.0
#include "relay/manager_link.h"

#include "base/log.h"
#include "relay/manager_message.h"
#include "relay/relay.h"
#include "relay/tcs_config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 256, DESCRIPTOR_ABOVE = 16 };
#define PAUSE_MIN_NS 1000000000u
#define PAUSE_MAX_NS 30000000000u

struct manager_link {
	struct relay *relay;
	const char *program;
	int socket; // -1: no process
	pid_t process;
	uint64_t start_ns, pause_ns; // when to start it (again), and how long the next pause is
	uint64_t report_ns, sync_ns;
	struct manager_message *row; // of the report that is being sent: its socket does not take many at once
	size_t rows, rows_sent;
	struct manager_link_state state;
};

enum err manager_link_open(struct relay *relay, const char *program, struct manager_link **out)
{
	struct manager_link *link = calloc(1, sizeof(*link));
	if (!link)
		return ERR_NOMEM;
	link->relay = relay;
	link->program = program;
	link->socket = -1;
	link->pause_ns = PAUSE_MIN_NS;
	*out = link;
	return ERR_OK;
}

void manager_link_state(const struct manager_link *link, struct manager_link_state *out) { *out = link->state; }

bool manager_link_owns(const struct manager_link *link, int descriptor) { return descriptor == link->socket; }

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

void manager_link_close(struct manager_link *link)
{
	if (!link)
		return;
	disconnect(link); // the manager ends when its socket does, or at the latest now
	if (link->process > 0 && kill(link->process, SIGTERM) == 0)
		(void)waitpid(link->process, NULL, 0);
	free(link);
}

void manager_link_reap(struct manager_link *link)
{
	int status;
	if (!link || link->process <= 0 || waitpid(link->process, &status, WNOHANG) != link->process)
		return;
	if (!link->relay->is_stopping)
		log_line(LOG_WARNING, "the manager process ended (%s %d); it is started again",
			 WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	link->process = 0;
	if (link->socket >= 0)
		disconnect(link);
}

// ---------------------------------------------------------------- start

static enum err spawn(struct manager_link *link, int theirs, int journal)
{
	const struct tcs_config *config = link->relay->config;
	char level[16];
	snprintf(level, sizeof(level), "%u", config->log_level + LOG_ERROR);
	char *const arguments[] = { (char *)(uintptr_t)"tcs", (char *)(uintptr_t)"--manager",
				    (char *)(uintptr_t)config->state_directory, level,
				    (char *)(uintptr_t)link->relay->loop->ops->name, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	if (posix_spawn_file_actions_init(&actions) != 0)
		return ERR_NOMEM;
	if (posix_spawnattr_init(&attributes) != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return ERR_NOMEM;
	}
	int error = posix_spawn_file_actions_adddup2(&actions, theirs, MANAGER_LINK_SOCKET);
	if (!error)
		error = posix_spawn_file_actions_adddup2(&actions, journal, MANAGER_LINK_JOURNAL);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	// A fresh program in a fresh address space: nothing of the relay's keys and sockets comes along.
	if (!error)
		error = posix_spawn(&link->process, link->program, &actions, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	errno = error;
	return error ? ERR_IO : ERR_OK;
}

static void start(struct manager_link *link)
{
	int pair[2] = { -1, -1 };
	link->process = 0;
	enum err err = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0 ? ERR_OK : ERR_IO;
	// Away from the numbers that they get in the manager.
	int theirs = err ? -1 : fcntl(pair[1], F_DUPFD_CLOEXEC, DESCRIPTOR_ABOVE);
	int journal = err ? -1 : fcntl(journal_descriptor(link->relay->admission.journal), F_DUPFD_CLOEXEC, DESCRIPTOR_ABOVE);
	if (!err)
		err = theirs >= 0 && journal >= 0 ? spawn(link, theirs, journal) : ERR_IO;
	if (!err)
		err = link->relay->loop->ops->watch_readable(link->relay->loop, pair[0]);
	if (err) {
		log_line(LOG_ERROR, "the manager process cannot be started: %s", strerror(errno));
		if (pair[0] >= 0)
			close(pair[0]);
		disconnect(link);
	} else {
		link->socket = pair[0];
		link->report_ns = 0;
	}
	if (pair[1] >= 0)
		close(pair[1]);
	if (theirs >= 0)
		close(theirs);
	if (journal >= 0)
		close(journal);
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
	for (int round = 0; round < ROUNDS; round++) {
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
		if (now_ns >= link->start_ns && link->process <= 0 && !relay->is_stopping) {
			link->state.restarts += link->start_ns != 0;
			start(link);
		}
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
