// SPDX-License-Identifier: Apache-2.0
#include "relay/manager_spawner.h"

#include "base/log.h"
#include "relay/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DESCRIPTOR_ABOVE = 16, EXIT_NOT_STARTED = 127 };

struct spawner {
	const struct manager_spawner_options *options;
	int relay, journal, signals;
	pid_t manager; // 0: none
};

// ---------------------------------------------------------------- messages

static enum err tell(int relay, enum manager_spawner_event event, int detail, int descriptor)
{
	struct manager_spawner_news news = { .event = event, .detail = detail };
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec vector = { .iov_base = &news, .iov_len = sizeof(news) };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
	if (descriptor >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
	}
	return sendmsg(relay, &message, MSG_NOSIGNAL) == (ssize_t)sizeof(news) ? ERR_OK : ERR_IO;
}

enum err manager_spawner_request(int spawner, const char *loop)
{
	size_t size = strnlen(loop, MANAGER_SPAWNER_LOOP_MAX - 1);
	if (send(spawner, loop, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size)
		return ERR_OK;
	return errno == EAGAIN ? ERR_AGAIN : ERR_CLOSED;
}

enum err manager_spawner_receive(int spawner, struct manager_spawner_news *out, int *descriptor)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec vector = { .iov_base = out, .iov_len = sizeof(*out) };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	*descriptor = -1;
	ssize_t size = recvmsg(spawner, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (size < 0)
		return errno == EAGAIN || errno == EINTR ? ERR_AGAIN : ERR_CLOSED;
	const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(descriptor, CMSG_DATA(header), sizeof(int));
	return size == (ssize_t)sizeof(*out) ? ERR_OK : ERR_CLOSED; // our own program speaks: another size is its end
}

// ---------------------------------------------------------------- the manager

// A fresh program in a fresh address space, with its two descriptors and nothing else.
static _Noreturn void become_manager(const struct spawner *s, int socket, const char *loop)
{
	char level[16];
	sigset_t none;
	snprintf(level, sizeof(level), "%u", s->options->log_level);
	char *const arguments[] = { (char *)(uintptr_t)"tcs", (char *)(uintptr_t)"--manager",
				    (char *)(uintptr_t)s->options->state_directory, level, (char *)(uintptr_t)loop, NULL };
	sigemptyset(&none);
	for (int number = 1; number < NSIG; number++)
		(void)signal(number, SIG_DFL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(socket, MANAGER_SPAWNER_SOCKET) >= 0 && dup2(s->journal, MANAGER_SPAWNER_JOURNAL) >= 0 &&
	    close_range(MANAGER_SPAWNER_JOURNAL + 1, ~0u, 0) == 0 && sigprocmask(SIG_SETMASK, &none, NULL) == 0)
		(void)execve(s->options->program, arguments, environ);
	log_line(LOG_ERROR, "the manager process cannot be executed: %s", strerror(errno));
	_exit(EXIT_NOT_STARTED);
}

static void end_manager(struct spawner *s)
{
	if (s->manager > 0 && kill(s->manager, SIGKILL) == 0)
		(void)waitpid(s->manager, NULL, 0);
	s->manager = 0;
}

static enum err start_manager(struct spawner *s, const char *loop)
{
	int pair[2];
	end_manager(s);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return tell(s->relay, MANAGER_SPAWNER_FAILED, errno, -1);
	int theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, DESCRIPTOR_ABOVE); // away from the numbers in the manager
	pid_t child = theirs < 0 ? -1 : fork();
	if (child == 0)
		become_manager(s, theirs, loop);
	int error = errno;
	enum err err;
	if (child > 0) {
		s->manager = child;
		err = tell(s->relay, MANAGER_SPAWNER_STARTED, 0, pair[0]);
	} else {
		err = tell(s->relay, MANAGER_SPAWNER_FAILED, error, -1);
	}
	if (theirs >= 0)
		close(theirs);
	close(pair[0]);
	close(pair[1]);
	return err;
}

static enum err reap_manager(struct spawner *s)
{
	struct signalfd_siginfo info;
	int status;
	if (read(s->signals, &info, sizeof(info)) < 0 || s->manager <= 0 || waitpid(s->manager, &status, WNOHANG) != s->manager)
		return ERR_OK;
	s->manager = 0;
	return tell(s->relay, MANAGER_SPAWNER_ENDED, status, -1);
}

// ---------------------------------------------------------------- the process

static enum err obey(struct spawner *s)
{
	char loop[MANAGER_SPAWNER_LOOP_MAX] = "";
	ssize_t size = recv(s->relay, loop, sizeof(loop) - 1, 0);
	return size > 0 ? start_manager(s, loop) : ERR_CLOSED;
}

static bool has(const struct pollfd *p) { return (p->revents & (POLLIN | POLLHUP | POLLERR)) != 0; }

static _Noreturn void run(struct spawner *s)
{
	enum err err = ERR_OK;
	while (!err) {
		struct pollfd events[] = { { .fd = s->signals, .events = POLLIN }, { .fd = s->relay, .events = POLLIN } };
		if (poll(events, 2, -1) < 0 && errno != EINTR)
			break;
		if (has(&events[0]))
			err = reap_manager(s);
		if (!err && has(&events[1]))
			err = obey(s);
	}
	end_manager(s);
	_exit(0);
}

// Everything but standard output and the two that are needed; both are above DESCRIPTOR_ABOVE.
static void close_others(int a, int b)
{
	unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a);
	(void)close_range(STDERR_FILENO + 1, low - 1, 0);
	if (low + 1 < high)
		(void)close_range(low + 1, high - 1, 0);
	(void)close_range(high + 1, ~0u, 0);
}

// SIGTERM and SIGINT go to all processes of a service: the relay stops first, and we with it.
static _Noreturn void become_spawner(const struct manager_spawner_options *options, int socket)
{
	sigset_t children;
	char problem[CONFINE_PROBLEM_MAX];
	struct spawner s = { .options = options, .relay = fcntl(socket, F_DUPFD_CLOEXEC, DESCRIPTOR_ABOVE),
			     .journal = fcntl(options->journal, F_DUPFD_CLOEXEC, DESCRIPTOR_ABOVE) };
	if (s.relay < 0 || s.journal < 0 || confine_capabilities(problem))
		_exit(EXIT_NOT_STARTED);
	close_others(s.relay, s.journal);
	(void)prctl(PR_SET_NAME, "tcs spawner");
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	if (sigprocmask(SIG_SETMASK, &children, NULL) != 0)
		_exit(EXIT_NOT_STARTED);
	s.signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s.signals < 0)
		_exit(EXIT_NOT_STARTED);
	run(&s);
}

enum err manager_spawner_start(const struct manager_spawner_options *options, int *out)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return ERR_IO;
	pid_t child = fork();
	if (child == 0)
		become_spawner(options, pair[1]);
	close(pair[1]);
	if (child < 0) {
		close(pair[0]);
		return ERR_IO;
	}
	*out = pair[0];
	return ERR_OK;
}
