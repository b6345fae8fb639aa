// SPDX-License-Identifier: Apache-2.0
#include "client/cli/join.h"

#include "client/cli/commands.h"
#include "client/cli/report.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { MEMBERS_MAX = 512 };

struct join {
	const struct report *report;
	struct engine_session *session;
	const struct arguments *arguments;
	struct engine *engine;
	int timer, seconds, signals, opened;
	enum err open_result;
	char problem[ENGINE_PROBLEM_MAX];
	bool has_joined, has_ended;
	enum err result;
	size_t member_count;
	struct engine_member members[MEMBERS_MAX]; // all who were ever here, for the table at the end
	struct engine_statistics statistics;
};

static bool arm(int fd, uint64_t first_s, uint64_t interval_s)
{
	const struct itimerspec when = { .it_value.tv_sec = (time_t)first_s, .it_interval.tv_sec = (time_t)interval_s };
	return timerfd_settime(fd, 0, &when, NULL) == 0;
}

static bool open_descriptors(struct join *join)
{
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	// Before any thread is made, so that all of them inherit the mask.
	join->signals = pthread_sigmask(SIG_BLOCK, &signals, NULL) ? -1 : signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	join->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	join->seconds = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	join->opened = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return join->signals >= 0 && join->timer >= 0 && join->seconds >= 0 && join->opened >= 0 && arm(join->seconds, 1, 1);
}

static void close_descriptors(const struct join *join)
{
	const int all[] = { join->signals, join->timer, join->seconds, join->opened };
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (all[i] >= 0)
			close(all[i]);
	}
}

static void remember(struct join *join, const struct engine_member *member)
{
	for (size_t i = 0; i < join->member_count; i++) {
		if (text_id_equal(&join->members[i].participant, &member->participant)) {
			join->members[i] = *member;
			return;
		}
	}
	if (join->member_count < MEMBERS_MAX)
		join->members[join->member_count++] = *member;
}

static void on_event(struct join *join, const struct engine_event *event)
{
	switch (event->type) {
	case ENGINE_EVENT_STATE:
		if (event->state == ENGINE_JOINED && !join->has_joined) {
			join->has_joined = true;
			if (join->arguments->duration_s)
				(void)!arm(join->timer, join->arguments->duration_s, 0); // a valid time on an open timer
		}
		break;
	case ENGINE_EVENT_MEMBER:
		remember(join, &event->member);
		break;
	case ENGINE_EVENT_ENDED:
		join->has_ended = true;
		join->result = event->result;
		break;
	default:
		break;
	}
	join->report->on_event(join->report == &report_json ? stdout : stderr, event);
}

static bool drain(int fd)
{
	char bytes[sizeof(struct signalfd_siginfo)];
	return read(fd, bytes, sizeof(bytes)) > 0;
}

static void loop(struct join *join)
{
	struct engine_event event;
	struct pollfd fds[] = { { .fd = engine_session_descriptor(join->session), .events = POLLIN },
				{ .fd = join->signals, .events = POLLIN },
				{ .fd = join->timer, .events = POLLIN },
				{ .fd = join->seconds, .events = POLLIN } };
	while (!join->has_ended) {
		if (poll(fds, sizeof(fds) / sizeof(*fds), -1) < 0)
			continue;
		if ((fds[1].revents && drain(join->signals)) || (fds[2].revents && drain(join->timer)))
			engine_session_leave(join->session);
		while (engine_session_next(join->session, &event))
			on_event(join, &event);
		if (fds[3].revents && drain(join->seconds) && join->has_joined && !join->has_ended) {
			engine_session_statistics(join->session, &join->statistics);
			join->report->on_second(stderr, &join->statistics, join->statistics.member_count);
		}
	}
}

static void *open_session(void *argument)
{
	struct join *join = argument;
	const struct arguments *arguments = join->arguments;
	const struct engine_join_options options = { .meeting = arguments->link, .name = arguments->name,
						     .audio_path = arguments->audio_path, .video_path = arguments->video_path,
						     .record_path = arguments->record_path, .transport = arguments->transport,
						     .is_audio_only = arguments->is_audio_only };
	join->open_result = engine_open(arguments->home, &join->engine, join->problem);
	if (!join->open_result)
		join->open_result = engine_join(join->engine, &options, &join->session, join->problem);
	(void)eventfd_write(join->opened, 1);
	return NULL;
}

// On a thread of its own: a FIFO that nobody writes to, or a file system that hangs, must not keep a signal waiting.
static enum err open_or_leave(struct join *join)
{
	struct pollfd fds[] = { { .fd = join->opened, .events = POLLIN }, { .fd = join->signals, .events = POLLIN } };
	pthread_t thread;
	if (pthread_create(&thread, NULL, open_session, join) != 0)
		return ERR_NOMEM;
	while (poll(fds, 2, -1) < 0)
		;
	if (!fds[0].revents)
		_exit(COMMANDS_DONE); // nothing has begun that would have to be ended
	pthread_join(thread, NULL);
	return join->open_result;
}

int join_run(const struct arguments *arguments)
{
	struct join *join = calloc(1, sizeof(*join));
	if (!join || !open_descriptors(join)) {
		fputs("tcc-cli: no memory or descriptors\n", stderr);
		free(join);
		return COMMANDS_FAILED;
	}
	join->report = arguments->is_json ? &report_json : &report_text;
	join->arguments = arguments;
	enum err err = open_or_leave(join);
	if (err) {
		fprintf(stderr, "tcc-cli: %s\n", join->problem[0] ? join->problem : err_text(err));
	} else {
		loop(join);
		engine_session_statistics(join->session, &join->statistics);
		engine_session_free(join->session);
		if (join->has_joined || arguments->is_json)
			join->report->on_end(stdout, &join->statistics, join->members, join->member_count);
		// That somebody else ended the meeting is no failure of ours.
		err = join->result == ERR_CLOSED && join->has_joined ? ERR_OK : join->result;
	}
	engine_close(join->engine);
	close_descriptors(join);
	free(join);
	return err == ERR_USAGE ? COMMANDS_WRONG_USE : err ? COMMANDS_FAILED : COMMANDS_DONE;
}
