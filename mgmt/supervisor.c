// SPDX-License-Identifier: Apache-2.0
#include "mgmt/supervisor.h"

#include "base/log.h"
#include "mgmt/channel.h"
#include "mgmt/clock.h"
#include "mgmt/counters.h"
#include "mgmt/role.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { START_TIMEOUT_MS = 30000, STOP_TIMEOUT_MS = 5000, PAUSE_MAX_MS = 5000, STABLE_MS = 10000 };

struct child {
	pid_t pid; // 0: not running
	int control; // -1: not running
	bool is_ready;
	uint64_t started_ms, start_at_ms;
	unsigned failures; // in a row
};

struct supervisor {
	const struct config *config;
	struct counters *counters;
	int signals;
	uint64_t started_ms; // monotonic
	struct child child[ROLE_COUNT];
};

// In the child: nothing of the supervisor's stays open but what the role is given.
static int run_child(struct supervisor *supervisor, enum role role, int control, const int peer[ROLE_COUNT], pid_t parent)
{
	struct role_context context = {.role = role, .config = supervisor->config, .counters = supervisor->counters,
				       .control = control, .supervisor = parent, .started_ms = supervisor->started_ms};
	close(supervisor->signals);
	for (int i = 0; i < ROLE_COUNT; i++) {
		if (supervisor->child[i].control >= 0)
			close(supervisor->child[i].control);
		context.peer[i] = peer[i];
		context.pid[i] = supervisor->child[i].pid;
	}
	return role_run(&context);
}

// A channel to each peer that runs: one end for the new role, the other handed to the peer when the pid is known.
static enum err make_channels(struct supervisor *supervisor, enum role role, int own[ROLE_COUNT], int theirs[ROLE_COUNT])
{
	enum err err = ERR_OK;
	for (int i = 0; i < ROLE_COUNT; i++) {
		int pair[2] = {-1, -1};
		if (!err && supervisor->child[i].pid && role_is_peer(role, (enum role)i))
			err = channel_pair(pair);
		own[i] = pair[0];
		theirs[i] = pair[1];
	}
	return err;
}

static void close_all(int fd[ROLE_COUNT])
{
	for (int i = 0; i < ROLE_COUNT; i++) {
		if (fd[i] >= 0)
			close(fd[i]);
	}
}

static enum err start(struct supervisor *supervisor, enum role role)
{
	struct child *child = &supervisor->child[role];
	int control[2] = {-1, -1}, own[ROLE_COUNT], theirs[ROLE_COUNT];
	pid_t parent = getpid(), pid = -1;
	enum err err = make_channels(supervisor, role, own, theirs);
	if (!err)
		err = channel_pair(control);
	if (!err && (pid = fork()) < 0)
		err = ERR_IO;
	if (pid == 0) {
		close(control[0]);
		close_all(theirs);
		_exit(run_child(supervisor, role, control[1], own, parent));
	}
	close_all(own);
	if (control[1] >= 0)
		close(control[1]);
	if (!err) {
		child->pid = pid;
		child->control = control[0];
		child->is_ready = false;
		child->started_ms = clock_ms();
		for (int i = 0; i < ROLE_COUNT; i++) {
			if (theirs[i] >= 0 && role_send_channel(supervisor->child[i].control, role, pid, theirs[i]))
				log_line(LOG_DEBUG, "role %s is gone already", role_name((enum role)i));
		}
	} else {
		log_line(LOG_ERROR, "role %s cannot be started: %s", role_name(role), strerror(errno));
	}
	close_all(theirs);
	return err;
}

static void log_end(enum role role, pid_t pid, int status)
{
	if (WIFSIGNALED(status))
		log_line(LOG_ERROR, "role %s (pid %d) was killed by signal %d", role_name(role), (int)pid, WTERMSIG(status));
	else
		log_line(LOG_ERROR, "role %s (pid %d) ended with status %d", role_name(role), (int)pid, WEXITSTATUS(status));
}

// First restart at once, later ones after growing pauses, until it has run for a while.
static void plan_restart(struct child *child)
{
	uint64_t now = clock_ms();
	child->failures = now - child->started_ms > STABLE_MS ? 0 : child->failures + 1;
	uint64_t pause = child->failures < 2 ? 0 : 100ull << (child->failures < 8 ? child->failures - 2 : 6);
	child->start_at_ms = now + (pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS);
}

static void reap(struct supervisor *supervisor, bool is_stopping)
{
	for (int i = 0; i < ROLE_COUNT; i++) {
		struct child *child = &supervisor->child[i];
		int status;
		if (!child->pid || waitpid(child->pid, &status, WNOHANG) != child->pid)
			continue;
		if (!is_stopping)
			log_end((enum role)i, child->pid, status);
		close(child->control);
		child->control = -1;
		child->pid = 0;
		plan_restart(child);
	}
}

// True on a signal that ends the service.
static bool read_signals(struct supervisor *supervisor)
{
	struct signalfd_siginfo info;
	bool is_end = false;
	while (read(supervisor->signals, &info, sizeof(info)) == sizeof(info))
		is_end |= info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT;
	return is_end;
}

static void stop(struct supervisor *supervisor)
{
	for (int i = ROLE_COUNT - 1; i >= 0; i--) {
		struct child *child = &supervisor->child[i];
		if (!child->pid)
			continue;
		close(child->control);
		child->control = -1;
		uint64_t end = clock_ms() + STOP_TIMEOUT_MS;
		struct pollfd p = {.fd = supervisor->signals, .events = POLLIN};
		while (waitpid(child->pid, NULL, WNOHANG) == 0) {
			if (clock_ms() > end) {
				log_line(LOG_WARNING, "role %s does not stop and is killed", role_name((enum role)i));
				kill(child->pid, SIGKILL);
			}
			poll(&p, 1, 50);
			(void)read_signals(supervisor);
		}
		child->pid = 0;
	}
}

enum start_result { STARTED, START_FAILED, START_STOPPED };

static enum start_result wait_ready(struct supervisor *supervisor, enum role role)
{
	struct child *child = &supervisor->child[role];
	uint64_t end = clock_ms() + START_TIMEOUT_MS;
	while (clock_ms() < end) {
		struct pollfd fds[] = {{.fd = child->control, .events = POLLIN}, {.fd = supervisor->signals, .events = POLLIN}};
		poll(fds, 2, 1000);
		if (fds[1].revents && read_signals(supervisor))
			return START_STOPPED;
		enum err err = fds[0].revents ? role_receive_ready(child->control) : ERR_AGAIN;
		if (!err) {
			child->is_ready = true;
			return STARTED;
		}
		if (err != ERR_CLOSED)
			continue;
		// It has said in the log why, unless it was killed.
		int status;
		if (waitpid(child->pid, &status, 0) == child->pid && WIFSIGNALED(status))
			log_end(role, child->pid, status);
		close(child->control);
		child->control = -1;
		child->pid = 0;
		return START_FAILED;
	}
	log_line(LOG_ERROR, "role %s did not start within %d s", role_name(role), START_TIMEOUT_MS / 1000);
	return START_FAILED;
}

static enum start_result start_all(struct supervisor *supervisor)
{
	for (int i = 0; i < ROLE_COUNT; i++) {
		if (start(supervisor, (enum role)i))
			return START_FAILED;
		enum start_result result = wait_ready(supervisor, (enum role)i);
		if (result != STARTED)
			return result;
	}
	return STARTED;
}

static void restart_due(struct supervisor *supervisor)
{
	for (int i = 0; i < ROLE_COUNT; i++) {
		struct child *child = &supervisor->child[i];
		if (child->pid || clock_ms() < child->start_at_ms)
			continue;
		if (start(supervisor, (enum role)i)) {
			plan_restart(child);
			continue;
		}
		counters_add(supervisor->counters, COUNTER_ROLE_RESTARTS);
		log_line(LOG_NOTICE, "role %s is started again (pid %d)", role_name((enum role)i), (int)child->pid);
	}
}

static void watch(struct supervisor *supervisor)
{
	for (;;) {
		struct pollfd fds[ROLE_COUNT + 1] = {{.fd = supervisor->signals, .events = POLLIN}};
		int timeout = -1;
		for (int i = 0; i < ROLE_COUNT; i++) {
			const struct child *child = &supervisor->child[i];
			fds[i + 1] = (struct pollfd){.fd = child->is_ready ? -1 : child->control, .events = POLLIN};
			if (!child->pid)
				timeout = 50;
		}
		poll(fds, ROLE_COUNT + 1, timeout);
		if (fds[0].revents && read_signals(supervisor))
			return;
		for (int i = 0; i < ROLE_COUNT; i++) {
			struct child *child = &supervisor->child[i];
			if (fds[i + 1].revents && !role_receive_ready(child->control)) {
				child->is_ready = true;
				log_line(LOG_NOTICE, "role %s is ready again", role_name((enum role)i));
			}
		}
		reap(supervisor, false);
		restart_due(supervisor);
	}
}

static enum err init(struct supervisor *supervisor, const struct config *config)
{
	sigset_t set;
	*supervisor = (struct supervisor){.config = config, .counters = counters_new(), .started_ms = clock_ms()};
	for (int i = 0; i < ROLE_COUNT; i++)
		supervisor->child[i].control = -1;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || !supervisor->counters)
		return ERR_NOMEM;
	supervisor->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return supervisor->signals < 0 ? ERR_IO : ERR_OK;
}

int supervisor_run(const struct config *config)
{
	struct supervisor supervisor;
	if (init(&supervisor, config)) {
		log_line(LOG_ERROR, "cannot start: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	enum start_result result = start_all(&supervisor);
	if (result == STARTED) {
		log_line(LOG_NOTICE, "ready");
		watch(&supervisor);
		log_line(LOG_NOTICE, "stopping");
	}
	stop(&supervisor);
	return result == START_FAILED ? EXIT_FAILURE : EXIT_SUCCESS;
}
