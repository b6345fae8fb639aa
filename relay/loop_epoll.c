// The loop over epoll: where io_uring is not allowed, and what it is measured against.
// SPDX-License-Identifier: Apache-2.0
#include "relay/loop.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 64, INPUT_BYTES = 65536 };

enum watch_kind { WATCH_LISTENER, WATCH_READABLE, WATCH_STREAM };

struct watch {
	enum watch_kind kind;
	int descriptor;
	bool is_paused; // listener: no descriptors were left; tried again at the next timer
	bool is_dead;
	struct watch *next;
};

struct loop_stream {
	struct watch watch;
	struct epoll_loop *loop;
	const struct loop_stream_handlers *handlers;
	void *context;
	struct loop_stream *next_ready;
	size_t start, end; // what of `output` is not sent yet
	bool is_ready, is_blocked, is_finishing, is_shut, is_broken;
	uint8_t output[LOOP_OUTPUT_BYTES];
};

struct epoll_loop {
	struct loop base;
	struct loop_handlers handlers;
	int epoll;
	uint64_t now_ns, timer_ns;
	bool is_stopping;
	struct watch *watches, *dead;
	struct loop_stream *ready;
	uint8_t input[INPUT_BYTES];
};

static struct epoll_loop *own(struct loop *loop) { return (struct epoll_loop *)loop; }

static enum err epoll_open(const struct loop_handlers *handlers, struct loop **out)
{
	struct epoll_loop *loop = calloc(1, sizeof(*loop));
	if (!loop)
		return ERR_NOMEM;
	loop->base.ops = &loop_epoll_ops;
	loop->handlers = *handlers;
	loop->timer_ns = UINT64_MAX;
	loop->now_ns = loop_clock_ns(CLOCK_MONOTONIC);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0) {
		free(loop);
		return ERR_IO;
	}
	*out = &loop->base;
	return ERR_OK;
}

static void free_dead(struct epoll_loop *loop)
{
	while (loop->dead) {
		struct watch *watch = loop->dead;
		loop->dead = watch->next;
		free(watch);
	}
}

static void epoll_close_loop(struct loop *base)
{
	if (!base)
		return;
	struct epoll_loop *loop = own(base);
	free_dead(loop);
	while (loop->watches) {
		struct watch *watch = loop->watches;
		loop->watches = watch->next;
		free(watch);
	}
	close(loop->epoll);
	free(loop);
}

static enum err watch_add(struct epoll_loop *loop, struct watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, watch->descriptor, &event) != 0)
		return errno == ENOMEM || errno == ENOSPC ? ERR_NOMEM : ERR_IO;
	return ERR_OK;
}

static enum err watch_new(struct loop *base, int descriptor, enum watch_kind kind)
{
	struct epoll_loop *loop = own(base);
	struct watch *watch = calloc(1, sizeof(*watch));
	if (!watch)
		return ERR_NOMEM;
	watch->kind = kind;
	watch->descriptor = descriptor;
	enum err err = watch_add(loop, watch, EPOLLIN);
	if (err) {
		free(watch);
		return err;
	}
	watch->next = loop->watches;
	loop->watches = watch;
	return ERR_OK;
}

static enum err watch_listener(struct loop *base, int descriptor) { return watch_new(base, descriptor, WATCH_LISTENER); }
static enum err watch_readable(struct loop *base, int descriptor) { return watch_new(base, descriptor, WATCH_READABLE); }

static void watch_kill(struct epoll_loop *loop, struct watch *watch)
{
	(void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->descriptor, NULL);
	watch->is_dead = true;
	watch->next = loop->dead;
	loop->dead = watch;
}

static void unwatch(struct loop *base, int descriptor)
{
	struct epoll_loop *loop = own(base);
	for (struct watch **at = &loop->watches; *at; at = &(*at)->next) {
		struct watch *watch = *at;
		if (watch->descriptor != descriptor)
			continue;
		*at = watch->next;
		watch_kill(loop, watch);
		return;
	}
}

// ---------------------------------------------------------------- streams

static enum err stream_open(struct loop *base, int descriptor, const struct loop_stream_handlers *handlers, void *context,
			    struct loop_stream **out)
{
	struct loop_stream *stream = calloc(1, sizeof(*stream));
	if (!stream)
		return ERR_NOMEM;
	stream->watch.kind = WATCH_STREAM;
	stream->watch.descriptor = descriptor;
	stream->loop = own(base);
	stream->handlers = handlers;
	stream->context = context;
	enum err err = watch_add(stream->loop, &stream->watch, EPOLLIN);
	if (err) {
		free(stream);
		return err;
	}
	*out = stream;
	return ERR_OK;
}

static void stream_output(struct loop_stream *stream)
{
	if (stream->is_ready || stream->is_blocked || stream->watch.is_dead)
		return;
	stream->is_ready = true;
	stream->next_ready = stream->loop->ready;
	stream->loop->ready = stream;
}

static void stream_finish(struct loop_stream *stream)
{
	if (stream->is_finishing)
		return;
	stream->is_finishing = true;
	stream_output(stream);
}

static void stream_close(struct loop_stream *stream)
{
	watch_kill(stream->loop, &stream->watch);
	close(stream->watch.descriptor);
}

static void stream_wait_writable(struct loop_stream *stream, bool is_waiting)
{
	struct epoll_event event = { .events = EPOLLIN | (is_waiting ? EPOLLOUT : 0), .data.ptr = &stream->watch };
	stream->is_blocked = is_waiting;
	(void)epoll_ctl(stream->loop->epoll, EPOLL_CTL_MOD, stream->watch.descriptor, &event);
}

static void stream_broken(struct loop_stream *stream)
{
	if (stream->is_broken)
		return;
	stream->is_broken = true;
	(void)epoll_ctl(stream->loop->epoll, EPOLL_CTL_DEL, stream->watch.descriptor, NULL);
	stream->handlers->on_closed(stream->context);
}

static void stream_write(struct loop_stream *stream)
{
	while (!stream->is_broken) {
		if (stream->start == stream->end) {
			stream->start = 0;
			stream->end = stream->handlers->on_output(stream->context, stream->output, sizeof(stream->output));
			if (stream->end == 0)
				break;
		}
		ssize_t sent = send(stream->watch.descriptor, stream->output + stream->start, stream->end - stream->start,
				    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			stream_wait_writable(stream, true);
			return;
		}
		if (sent < 0 && errno != EINTR) {
			stream_broken(stream);
			return;
		}
		stream->start += sent > 0 ? (size_t)sent : 0;
	}
	if (stream->is_finishing && !stream->is_shut && !stream->is_broken) {
		stream->is_shut = true;
		(void)shutdown(stream->watch.descriptor, SHUT_WR);
	}
}

static void stream_read(struct epoll_loop *loop, struct loop_stream *stream)
{
	_Alignas(struct cmsghdr) uint8_t control[LOOP_CONTROL_BYTES];
	struct iovec vector = { .iov_base = loop->input, .iov_len = sizeof(loop->input) };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(stream->watch.descriptor, &message, MSG_DONTWAIT);
	if (got > 0) {
		struct loop_control told;
		loop_read_control(&message, &told);
		stream->handlers->on_received(stream->context, loop->input, (size_t)got, told.received_ns);
	} else if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
		stream_broken(stream);
	}
}

static void stream_event(struct epoll_loop *loop, struct loop_stream *stream, uint32_t events)
{
	if (events & EPOLLOUT) {
		stream_wait_writable(stream, false);
		stream_output(stream);
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		stream_read(loop, stream);
}

static void write_ready(struct epoll_loop *loop)
{
	while (loop->ready) {
		struct loop_stream *stream = loop->ready;
		loop->ready = stream->next_ready;
		stream->is_ready = false;
		if (!stream->watch.is_dead)
			stream_write(stream);
	}
}

// ---------------------------------------------------------------- run

static void set_timer(struct loop *base, uint64_t at_ns) { own(base)->timer_ns = at_ns; }
static uint64_t now_ns(struct loop *base) { return own(base)->now_ns; }
static uint64_t clock_ns(struct loop *base) { (void)base; return loop_clock_ns(CLOCK_REALTIME); }
static void stop(struct loop *base) { own(base)->is_stopping = true; }

static void pause_listener(struct epoll_loop *loop, struct watch *watch, bool is_paused)
{
	struct epoll_event event = { .events = is_paused ? 0 : EPOLLIN, .data.ptr = watch };
	watch->is_paused = is_paused;
	(void)epoll_ctl(loop->epoll, EPOLL_CTL_MOD, watch->descriptor, &event);
}

static void accept_some(struct epoll_loop *loop, struct watch *watch)
{
	for (int i = 0; i < LOOP_ACCEPTS && !watch->is_dead; i++) {
		int descriptor = accept4(watch->descriptor, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (descriptor >= 0) {
			loop->handlers.on_accept(loop->handlers.context, descriptor);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			log_line(LOG_WARNING, "cannot accept connections for now: %s", strerror(errno));
			pause_listener(loop, watch, true);
		}
		return;
	}
}

static void dispatch(struct epoll_loop *loop, struct watch *watch, uint32_t events)
{
	if (watch->is_dead)
		return;
	switch (watch->kind) {
	case WATCH_LISTENER:
		accept_some(loop, watch);
		break;
	case WATCH_READABLE:
		loop->handlers.on_readable(loop->handlers.context, watch->descriptor);
		break;
	case WATCH_STREAM:
		stream_event(loop, (struct loop_stream *)watch, events);
		break;
	}
}

static int milliseconds_left(const struct epoll_loop *loop)
{
	if (loop->timer_ns == UINT64_MAX)
		return -1;
	if (loop->timer_ns <= loop->now_ns)
		return 0;
	uint64_t ms = (loop->timer_ns - loop->now_ns + 999999) / 1000000;
	return ms > 60000 ? 60000 : (int)ms;
}

static void run_timer(struct epoll_loop *loop)
{
	if (loop->now_ns < loop->timer_ns)
		return;
	loop->timer_ns = UINT64_MAX;
	for (struct watch *w = loop->watches; w; w = w->next) {
		if (w->is_paused)
			pause_listener(loop, w, false);
	}
	loop->handlers.on_timer(loop->handlers.context);
}

static enum err run(struct loop *base)
{
	struct epoll_loop *loop = own(base);
	while (!loop->is_stopping) {
		struct epoll_event events[EVENTS];
		loop->now_ns = loop_clock_ns(CLOCK_MONOTONIC);
		int count = epoll_wait(loop->epoll, events, EVENTS, milliseconds_left(loop));
		if (count < 0 && errno != EINTR)
			return ERR_IO;
		loop->now_ns = loop_clock_ns(CLOCK_MONOTONIC);
		for (int i = 0; i < count; i++)
			dispatch(loop, events[i].data.ptr, events[i].events);
		run_timer(loop);
		loop->handlers.on_wake_end(loop->handlers.context);
		write_ready(loop);
		loop->handlers.on_wake_sent(loop->handlers.context);
		free_dead(loop);
	}
	return ERR_OK;
}

const struct loop_ops loop_epoll_ops = {
	.name = "epoll",
	.open = epoll_open,
	.close = epoll_close_loop,
	.watch_listener = watch_listener,
	.watch_readable = watch_readable,
	.unwatch = unwatch,
	.stream_open = stream_open,
	.stream_output = stream_output,
	.stream_finish = stream_finish,
	.stream_close = stream_close,
	.set_timer = set_timer,
	.now_ns = now_ns,
	.clock_ns = clock_ns,
	.run = run,
	.stop = stop,
};
