// SPDX-License-Identifier: Apache-2.0
#include "mgmt/mux.h"

#include "base/log.h"
#include "mgmt/client_hello.h"
#include "mgmt/clock.h"
#include "mgmt/mux_route.h"
#include "mgmt/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 512, EVENTS_MAX = 64, ACCEPT_BURST = 64 };

struct waiting {
	struct waiting *previous, *next; // oldest first
	int fd;
	uint64_t deadline_ms;
	struct peer_net address;
};

struct mux {
	const struct mux_config *config;
	int epoll, listening, signals, spare;
	struct mux_link link[MUX_CONFIG_ROUTES];
	struct waiting *oldest, *newest;
	size_t waiting_count;
	uint64_t counter[MUX_COUNTERS];
	uint8_t hello[CLIENT_HELLO_MAX];
};

static const char *const counter_names[MUX_COUNTERS] = {
	"accepted", "passed_tmms", "passed_tcs", "drop_timeout", "drop_closed", "drop_not_tls", "drop_too_long", "drop_no_name",
	"drop_unknown_name", "drop_server_away", "drop_too_many", "drop_too_many_of_address", "drop_no_descriptor",
};

static void log_counters(const struct mux *mux)
{
	char line[640];
	size_t size = 0;
	for (size_t i = 0; i < MUX_COUNTERS; i++)
		size += (size_t)snprintf(line + size, sizeof(line) - size, " %s %llu", counter_names[i], (unsigned long long)mux->counter[i]);
	log_line(LOG_NOTICE, "waiting %zu%s", mux->waiting_count, line);
}

// Our descriptor is closed; one that was passed on lives in the server.
static void release(struct mux *mux, struct waiting *w)
{
	epoll_ctl(mux->epoll, EPOLL_CTL_DEL, w->fd, NULL); // the server's copy would keep it in the set
	close(w->fd);
	*(w->previous ? &w->previous->next : &mux->oldest) = w->next;
	*(w->next ? &w->next->previous : &mux->newest) = w->previous;
	mux->waiting_count--;
	free(w);
}

static void drop(struct mux *mux, struct waiting *w, enum mux_counter reason)
{
	mux->counter[reason]++;
	release(mux, w);
}

static void pass(struct mux *mux, struct waiting *w, const char *name)
{
	int one = 1;
	for (size_t i = 0; i < MUX_CONFIG_ROUTES; i++) {
		if (strcmp(mux->config->route[i].name, name) != 0)
			continue;
		// As it was when it came: the server shall not wait for more than a byte.
		setsockopt(w->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
		enum err err = mux_route_pass(&mux->link[i], w->fd);
		if (err) {
			log_line(LOG_INFO, "%s does not take connections: %s", mux->config->route[i].socket, err_text(err));
			drop(mux, w, MUX_DROP_SERVER_AWAY);
		} else {
			drop(mux, w, i == 0 ? MUX_PASSED_TMMS : MUX_PASSED_TCS);
		}
		return;
	}
	drop(mux, w, MUX_DROP_UNKNOWN_NAME);
}

// Wake again only when more than what we have seen is there: without the low-water mark a level-triggered set
// would spin on the half hello.
static void wait_for_more(struct mux *mux, struct waiting *w, size_t needed)
{
	int mark = (int)needed;
	if (setsockopt(w->fd, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof(mark)) < 0)
		drop(mux, w, MUX_DROP_CLOSED);
}

static void look(struct mux *mux, struct waiting *w, uint32_t events)
{
	char name[CLIENT_HELLO_NAME_MAX + 1];
	size_t needed = 1;
	ssize_t n = recv(w->fd, mux->hello, sizeof(mux->hello), MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	enum err err = n <= 0 ? ERR_CLOSED : client_hello_name(mux->hello, (size_t)n, name, &needed);
	if (err == ERR_AGAIN && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		err = ERR_CLOSED; // no more will come
	switch (err) {
	case ERR_OK:
		pass(mux, w, name);
		break;
	case ERR_AGAIN:
		wait_for_more(mux, w, needed > (size_t)n ? needed : (size_t)n + 1);
		break;
	case ERR_NOT_FOUND:
		drop(mux, w, MUX_DROP_NO_NAME);
		break;
	case ERR_LIMIT:
		drop(mux, w, MUX_DROP_TOO_LONG);
		break;
	case ERR_CLOSED:
		drop(mux, w, MUX_DROP_CLOSED);
		break;
	default:
		drop(mux, w, MUX_DROP_NOT_TLS);
		break;
	}
}

static bool is_admitted(struct mux *mux, const struct peer_net *address)
{
	size_t count = 0;
	for (const struct waiting *w = mux->oldest; w; w = w->next)
		count += memcmp(&w->address, address, sizeof(*address)) == 0;
	if (count >= mux->config->waiting_per_address_max) {
		mux->counter[MUX_DROP_TOO_MANY_OF_ADDRESS]++;
		return false;
	}
	// The oldest makes room: who means it has sent its hello after a round trip, a flood waits.
	if (mux->waiting_count >= mux->config->waiting_max)
		drop(mux, mux->oldest, MUX_DROP_TOO_MANY);
	return true;
}

static void add(struct mux *mux, int fd, const struct sockaddr_storage *from)
{
	struct peer_net address = peer_net(from);
	struct waiting *w = is_admitted(mux, &address) ? calloc(1, sizeof(*w)) : NULL;
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = w};
	if (!w || epoll_ctl(mux->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		close(fd);
		free(w);
		return;
	}
	*w = (struct waiting){.previous = mux->newest, .fd = fd, .deadline_ms = clock_ms() + mux->config->deadline_ms, .address = address};
	*(mux->newest ? &mux->newest->next : &mux->oldest) = w;
	mux->newest = w;
	mux->waiting_count++;
}

static void accept_some(struct mux *mux)
{
	for (int i = 0; i < ACCEPT_BURST; i++) {
		struct sockaddr_storage from = {0};
		socklen_t size = sizeof(from);
		int fd = accept4(mux->listening, (struct sockaddr *)&from, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			mux->counter[MUX_ACCEPTED]++;
			add(mux, fd, &from);
			continue;
		}
		if (errno != EMFILE && errno != ENFILE)
			return;
		// Give up the spare descriptor, end the connection and take the spare back: no spinning.
		mux->counter[MUX_DROP_NO_DESCRIPTOR]++;
		close(mux->spare);
		fd = accept4(mux->listening, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			close(fd);
		mux->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
}

// True when it is time to end.
static bool read_signals(struct mux *mux)
{
	struct signalfd_siginfo info;
	bool is_end = false;
	while (read(mux->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			log_counters(mux);
		else
			is_end = true;
	}
	return is_end;
}

static int expire(struct mux *mux)
{
	uint64_t now = clock_ms();
	// NOLINTNEXTLINE(clang-analyzer-unix.Malloc): drop() unlinks what it frees
	while (mux->oldest && mux->oldest->deadline_ms <= now)
		drop(mux, mux->oldest, MUX_DROP_TIMEOUT);
	return mux->oldest ? (int)(mux->oldest->deadline_ms - now) : -1;
}

enum err mux_run(struct mux *mux)
{
	for (;;) {
		struct epoll_event events[EVENTS_MAX];
		int count = epoll_wait(mux->epoll, events, EVENTS_MAX, expire(mux));
		if (count < 0 && errno != EINTR)
			return ERR_IO;
		bool has_new = false;
		for (int i = 0; i < count; i++) {
			void *who = events[i].data.ptr;
			if (who == &mux->signals) {
				if (read_signals(mux))
					return ERR_OK;
			} else if (who == &mux->listening) {
				has_new = true;
			} else {
				look(mux, who, events[i].events); // each has one event a round
			}
		}
		if (has_new) // last: it may drop one that has an event of this round
			accept_some(mux);
	}
}

static enum err open_port(struct mux *mux)
{
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)mux->config->listen_port)};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)mux->config->listen_port)};
	bool is_four = inet_pton(AF_INET, mux->config->listen_address, &four.sin_addr) == 1;
	int on = 1, off = 0;
	if (!is_four)
		inet_pton(AF_INET6, mux->config->listen_address, &six.sin6_addr);
	mux->listening = socket(is_four ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(mux->listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (!is_four)
		setsockopt(mux->listening, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	const struct sockaddr *address = is_four ? (const struct sockaddr *)&four : (const struct sockaddr *)&six;
	if (mux->listening >= 0 && bind(mux->listening, address, is_four ? sizeof(four) : sizeof(six)) == 0 &&
	    listen(mux->listening, BACKLOG) == 0)
		return ERR_OK;
	log_line(LOG_ERROR, "cannot listen on %s port %llu: %s", mux->config->listen_address,
		 (unsigned long long)mux->config->listen_port, strerror(errno));
	return ERR_IO;
}

static enum err open_signals(struct mux *mux)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	mux->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return mux->signals < 0 ? ERR_IO : ERR_OK;
}

static enum err watch(struct mux *mux, int *fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = fd};
	return epoll_ctl(mux->epoll, EPOLL_CTL_ADD, *fd, &event) == 0 ? ERR_OK : ERR_IO;
}

enum err mux_open(const struct mux_config *config, struct mux **out)
{
	struct mux *mux = calloc(1, sizeof(*mux));
	if (!mux)
		return ERR_NOMEM;
	mux->config = config;
	mux->listening = mux->signals = -1;
	mux->epoll = epoll_create1(EPOLL_CLOEXEC);
	mux->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < MUX_CONFIG_ROUTES; i++)
		mux->link[i] = (struct mux_link){.socket = config->route[i].socket, .fd = -1};
	enum err err = mux->epoll < 0 || mux->spare < 0 ? ERR_IO : open_port(mux);
	if (!err)
		err = open_signals(mux);
	if (!err)
		err = watch(mux, &mux->listening);
	if (!err)
		err = watch(mux, &mux->signals);
	if (err) {
		mux_close(mux);
		return err;
	}
	*out = mux;
	return ERR_OK;
}

void mux_close(struct mux *mux)
{
	if (!mux)
		return;
	while (mux->oldest)
		release(mux, mux->oldest);
	for (size_t i = 0; i < MUX_CONFIG_ROUTES; i++)
		mux_route_close(&mux->link[i]);
	const int fds[] = {mux->listening, mux->signals, mux->spare, mux->epoll};
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	free(mux);
}
