// The loop over io_uring: multishot receives into provided buffers. No SQPOLL: it would escape Landlock and take a core.
// SPDX-License-Identifier: Apache-2.0
#include "relay/loop.h"

#include "base/log.h"
#include "relay/confine.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ENTRIES = 512, COMPLETIONS = 8192,
       STREAM_GROUP = 0, STREAM_BUFFERS = 128, STREAM_BUFFER_BYTES = 16384, STREAM_CONTROL_BYTES = 64 };

// The low bits of user_data tell which operation of the object has completed.
enum operation { OP_IGNORED, OP_ACCEPT, OP_POLL, OP_RECEIVE, OP_SEND, OP_MASK = 7 };

struct watch {
	enum operation operation;
	int descriptor;
	bool is_armed, is_dead;
	bool is_paused; // listener: no descriptors were left; tried again at the next timer
	struct watch *next;
};

struct buffers {
	struct io_uring_buf_ring *ring;
	uint8_t *bytes;
	unsigned count, each;
};

struct loop_stream {
	struct uring_loop *loop;
	const struct loop_stream_handlers *handlers;
	void *context;
	int descriptor;
	unsigned pending;  // operations in the kernel
	size_t start, end; // what of `output` is not sent yet
	bool is_receiving, is_sending, is_ready, is_finishing, is_shut, is_broken, is_dead;
	struct loop_stream *next_ready;
	struct loop_stream *previous, *next; // all of them
	uint8_t output[LOOP_OUTPUT_BYTES];
};

struct uring_loop {
	struct loop base;
	struct loop_handlers handlers;
	struct io_uring ring;
	struct buffers stream_buffers;
	uint64_t now_ns, timer_ns;
	bool is_stopping;
	bool is_tending_watches, is_tending_streams; // some request ended and must be armed again, or some of them is dead
	struct watch *watches;
	struct loop_stream *streams, *ready;
	struct msghdr stream_shape; // of what is received
};

static struct uring_loop *own(struct loop *loop) { return (struct uring_loop *)loop; }

// ---------------------------------------------------------------- open and close

static enum err buffers_open(struct buffers *b, struct io_uring *ring, int group, unsigned count, unsigned each)
{
	int error;
	b->count = count;
	b->each = each;
	b->bytes = calloc(count, each);
	b->ring = b->bytes ? io_uring_setup_buf_ring(ring, count, group, 0, &error) : NULL;
	if (!b->ring) {
		free(b->bytes);
		b->bytes = NULL;
		return ERR_NOMEM;
	}
	for (unsigned i = 0; i < count; i++)
		io_uring_buf_ring_add(b->ring, b->bytes + (size_t)i * each, each, (uint16_t)i, io_uring_buf_ring_mask(count), (int)i);
	io_uring_buf_ring_advance(b->ring, (int)count);
	return ERR_OK;
}

static void buffers_close(struct buffers *b, struct io_uring *ring, int group)
{
	if (b->ring)
		io_uring_free_buf_ring(ring, b->ring, b->count, group);
	free(b->bytes);
}

static uint8_t *buffers_at(const struct buffers *b, uint16_t id) { return b->bytes + (size_t)id * b->each; }

static void buffers_give_back(struct buffers *b, uint16_t id)
{
	io_uring_buf_ring_add(b->ring, buffers_at(b, id), b->each, id, io_uring_buf_ring_mask(b->count), 0);
	io_uring_buf_ring_advance(b->ring, 1);
}

// Enabled by run(), when the relay is confined.
static enum err ring_open(struct io_uring *ring)
{
	struct io_uring_params parameters = {
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
			 IORING_SETUP_R_DISABLED,
		.cq_entries = COMPLETIONS,
	};
	static const uint8_t operations[] = { IORING_OP_RECVMSG, IORING_OP_SEND, IORING_OP_ACCEPT, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL };
	int result = io_uring_queue_init_params(ENTRIES, ring, &parameters);
	errno = -result;
	if (result < 0)
		return ERR_IO;
	enum err err = confine_ring(ring, operations, sizeof(operations));
	if (err)
		io_uring_queue_exit(ring);
	return err;
}

static void uring_close(struct loop *base)
{
	if (!base)
		return;
	struct uring_loop *loop = own(base);
	buffers_close(&loop->stream_buffers, &loop->ring, STREAM_GROUP);
	io_uring_queue_exit(&loop->ring);
	while (loop->streams) {
		struct loop_stream *stream = loop->streams;
		loop->streams = stream->next;
		close(stream->descriptor);
		free(stream);
	}
	while (loop->watches) {
		struct watch *watch = loop->watches;
		loop->watches = watch->next;
		free(watch);
	}
	free(loop);
}

static enum err uring_open(const struct loop_handlers *handlers, struct loop **out)
{
	struct uring_loop *loop = calloc(1, sizeof(*loop));
	if (!loop)
		return ERR_NOMEM;
	loop->base.ops = &loop_uring_ops;
	loop->handlers = *handlers;
	loop->timer_ns = UINT64_MAX;
	loop->now_ns = loop_clock_ns(CLOCK_MONOTONIC);
	loop->stream_shape = (struct msghdr){ .msg_controllen = STREAM_CONTROL_BYTES };
	enum err err = ring_open(&loop->ring);
	if (err) {
		free(loop);
		return err;
	}
	err = buffers_open(&loop->stream_buffers, &loop->ring, STREAM_GROUP, STREAM_BUFFERS, STREAM_BUFFER_BYTES);
	if (err) {
		uring_close(&loop->base);
		return err;
	}
	*out = &loop->base;
	return ERR_OK;
}

static struct io_uring_sqe *next_sqe(struct uring_loop *loop, const void *object, enum operation operation)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);
	while (!sqe) {
		(void)io_uring_submit(&loop->ring);
		sqe = io_uring_get_sqe(&loop->ring);
	}
	io_uring_sqe_set_data64(sqe, (uintptr_t)object | operation);
	return sqe;
}

// ---------------------------------------------------------------- watches

static void watch_arm(struct uring_loop *loop, struct watch *watch)
{
	struct io_uring_sqe *sqe = next_sqe(loop, watch, watch->operation);
	switch (watch->operation) {
	case OP_ACCEPT:
		io_uring_prep_multishot_accept(sqe, watch->descriptor, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		break;
	default:
		io_uring_prep_poll_add(sqe, watch->descriptor, POLLIN);
		break;
	}
	watch->is_armed = true;
}

static enum err watch_new(struct loop *base, int descriptor, enum operation operation)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	if (!watch)
		return ERR_NOMEM;
	watch->operation = operation;
	watch->descriptor = descriptor;
	watch->next = own(base)->watches;
	own(base)->watches = watch;
	watch_arm(own(base), watch);
	return ERR_OK;
}

static enum err watch_listener(struct loop *base, int descriptor) { return watch_new(base, descriptor, OP_ACCEPT); }
static enum err watch_readable(struct loop *base, int descriptor) { return watch_new(base, descriptor, OP_POLL); }

static void unwatch(struct loop *base, int descriptor)
{
	struct uring_loop *loop = own(base);
	for (struct watch *watch = loop->watches; watch; watch = watch->next) {
		if (watch->descriptor != descriptor || watch->is_dead)
			continue;
		watch->is_dead = true;
		loop->is_tending_watches = true;
		if (watch->is_armed)
			io_uring_prep_cancel64(next_sqe(loop, NULL, OP_IGNORED), (uintptr_t)watch | watch->operation, 0);
		return;
	}
}

// Dead ones go when the kernel has let go of them; ended ones are armed again.
static void tend_watches(struct uring_loop *loop)
{
	for (struct watch **at = &loop->watches; *at;) {
		struct watch *watch = *at;
		if (watch->is_dead && !watch->is_armed) {
			*at = watch->next;
			free(watch);
			continue;
		}
		if (!watch->is_armed && !watch->is_paused)
			watch_arm(loop, watch);
		at = &watch->next;
	}
}

// ---------------------------------------------------------------- streams

static void stream_receive(struct loop_stream *stream)
{
	struct io_uring_sqe *sqe = next_sqe(stream->loop, stream, OP_RECEIVE);
	io_uring_prep_recvmsg_multishot(sqe, stream->descriptor, &stream->loop->stream_shape, 0);
	io_uring_sqe_set_flags(sqe, IOSQE_BUFFER_SELECT);
	sqe->buf_group = STREAM_GROUP;
	stream->is_receiving = true;
	stream->pending++;
}

static enum err stream_open(struct loop *base, int descriptor, const struct loop_stream_handlers *handlers, void *context,
			    struct loop_stream **out)
{
	struct uring_loop *loop = own(base);
	struct loop_stream *stream = calloc(1, sizeof(*stream));
	if (!stream)
		return ERR_NOMEM;
	stream->loop = loop;
	stream->descriptor = descriptor;
	stream->handlers = handlers;
	stream->context = context;
	stream->next = loop->streams;
	if (loop->streams)
		loop->streams->previous = stream;
	loop->streams = stream;
	stream_receive(stream);
	*out = stream;
	return ERR_OK;
}

static void stream_output(struct loop_stream *stream)
{
	if (stream->is_ready || stream->is_sending || stream->is_dead)
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
	stream->is_dead = true;
	(void)shutdown(stream->descriptor, SHUT_RDWR); // ends what is pending
	stream->loop->is_tending_streams = true;
}

static void stream_free(struct loop_stream *stream)
{
	struct uring_loop *loop = stream->loop;
	if (stream->previous)
		stream->previous->next = stream->next;
	else
		loop->streams = stream->next;
	if (stream->next)
		stream->next->previous = stream->previous;
	close(stream->descriptor);
	free(stream);
}

static void stream_broken(struct loop_stream *stream)
{
	if (stream->is_broken || stream->is_dead)
		return;
	stream->is_broken = true;
	stream->handlers->on_closed(stream->context);
}

static void stream_write(struct loop_stream *stream)
{
	if (stream->is_broken || stream->is_dead || stream->is_sending)
		return;
	if (stream->start == stream->end) {
		stream->start = 0;
		stream->end = stream->handlers->on_output(stream->context, stream->output, sizeof(stream->output));
	}
	if (stream->end > stream->start) {
		struct io_uring_sqe *sqe = next_sqe(stream->loop, stream, OP_SEND);
		io_uring_prep_send(sqe, stream->descriptor, stream->output + stream->start, stream->end - stream->start, MSG_NOSIGNAL);
		stream->is_sending = true;
		stream->pending++;
	} else if (stream->is_finishing && !stream->is_shut) {
		stream->is_shut = true;
		(void)shutdown(stream->descriptor, SHUT_WR);
	}
}

static void stream_sent(struct loop_stream *stream, int result)
{
	stream->pending--;
	stream->is_sending = false;
	if (stream->is_dead) {
		stream->loop->is_tending_streams = true;
		return;
	}
	if (result < 0 && result != -EAGAIN && result != -EINTR) {
		stream_broken(stream);
		return;
	}
	stream->start += result > 0 ? (size_t)result : 0;
	stream_output(stream);
}

// Bytes of a stream in one buffer, behind their control data. False at the stream's end.
static bool stream_deliver(struct loop_stream *stream, uint8_t *buffer, int size)
{
	struct msghdr *shape = &stream->loop->stream_shape;
	struct io_uring_recvmsg_out *got = io_uring_recvmsg_validate(buffer, size, shape);
	unsigned length = got ? io_uring_recvmsg_payload_length(got, size, shape) : 0;
	if (length == 0)
		return false;
	struct msghdr control = { .msg_control = io_uring_recvmsg_name(got), .msg_controllen = got->controllen };
	struct loop_control told;
	loop_read_control(&control, &told);
	if (!stream->is_dead && !stream->is_broken)
		stream->handlers->on_received(stream->context, io_uring_recvmsg_payload(got, shape), length, told.received_ns);
	return true;
}

static void stream_received(struct loop_stream *stream, const struct io_uring_cqe *cqe)
{
	bool is_ended = cqe->res == 0;
	struct uring_loop *loop = stream->loop;
	if (!(cqe->flags & IORING_CQE_F_MORE)) {
		stream->pending--;
		stream->is_receiving = false;
		loop->is_tending_streams = true;
	}
	if (cqe->flags & IORING_CQE_F_BUFFER) {
		uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
		if (cqe->res > 0)
			is_ended = !stream_deliver(stream, buffers_at(&loop->stream_buffers, id), cqe->res);
		buffers_give_back(&loop->stream_buffers, id);
	}
	if (is_ended || (cqe->res < 0 && cqe->res != -ENOBUFS && cqe->res != -EAGAIN && cqe->res != -EINTR))
		stream_broken(stream);
}

// Sends are submitted at once: what a wake-up forwards has left when it ends.
static void write_ready(struct uring_loop *loop)
{
	if (!loop->ready)
		return;
	while (loop->ready) {
		struct loop_stream *stream = loop->ready;
		loop->ready = stream->next_ready;
		stream->is_ready = false;
		stream_write(stream);
	}
	(void)io_uring_submit(&loop->ring);
}

static void tend_streams(struct uring_loop *loop)
{
	struct loop_stream *next;
	for (struct loop_stream *stream = loop->streams; stream; stream = next) {
		next = stream->next;
		if (stream->is_dead && stream->pending == 0)
			stream_free(stream);
		else if (!stream->is_dead && !stream->is_broken && !stream->is_receiving)
			stream_receive(stream);
	}
}

// ---------------------------------------------------------------- run

static void set_timer(struct loop *base, uint64_t at_ns) { own(base)->timer_ns = at_ns; }
static uint64_t now_ns(struct loop *base) { return own(base)->now_ns; }
static uint64_t clock_ns(struct loop *base) { (void)base; return loop_clock_ns(CLOCK_REALTIME); }
static void stop(struct loop *base) { own(base)->is_stopping = true; }

static void accept_failed(struct watch *watch, int error)
{
	if (watch->is_dead || (error != EMFILE && error != ENFILE && error != ENOMEM && error != ENOBUFS))
		return;
	watch->is_paused = true;
	log_line(LOG_WARNING, "cannot accept connections for now: %s", strerror(error));
}

static void resume_listeners(struct uring_loop *loop)
{
	for (struct watch *watch = loop->watches; watch; watch = watch->next) {
		loop->is_tending_watches |= watch->is_paused;
		watch->is_paused = false;
	}
}

static void watch_event(struct uring_loop *loop, struct watch *watch, const struct io_uring_cqe *cqe)
{
	if (!(cqe->flags & IORING_CQE_F_MORE)) {
		watch->is_armed = false;
		loop->is_tending_watches = true;
	}
	if (watch->operation == OP_ACCEPT) {
		if (cqe->res >= 0 && watch->is_dead)
			close(cqe->res);
		else if (cqe->res >= 0)
			loop->handlers.on_accept(loop->handlers.context, cqe->res);
		else
			accept_failed(watch, -cqe->res);
	} else if (cqe->res > 0 && !watch->is_dead) {
		loop->handlers.on_readable(loop->handlers.context, watch->descriptor);
	}
}

static void dispatch(struct uring_loop *loop, const struct io_uring_cqe *cqe)
{
	enum operation operation = (enum operation)(cqe->user_data & OP_MASK);
	void *object = (void *)(uintptr_t)(cqe->user_data & ~(uint64_t)OP_MASK);
	switch (operation) {
	case OP_ACCEPT:
	case OP_POLL:
		watch_event(loop, object, cqe);
		break;
	case OP_RECEIVE:
		stream_received(object, cqe);
		break;
	case OP_SEND:
		stream_sent(object, cqe->res);
		break;
	default:
		break;
	}
}

static int wait_some(struct uring_loop *loop)
{
	struct io_uring_cqe *cqe;
	loop->now_ns = loop_clock_ns(CLOCK_MONOTONIC);
	if (loop->timer_ns == UINT64_MAX)
		return io_uring_submit_and_wait(&loop->ring, 1);
	uint64_t left = loop->timer_ns > loop->now_ns ? loop->timer_ns - loop->now_ns : 0;
	struct __kernel_timespec t = { .tv_sec = (long long)(left / 1000000000), .tv_nsec = (long long)(left % 1000000000) };
	return io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, &t, NULL);
}

// Apart: a watch ends with every event, and there may be thousands of streams.
static void tend(struct uring_loop *loop)
{
	if (loop->is_tending_watches) {
		loop->is_tending_watches = false;
		tend_watches(loop);
	}
	if (loop->is_tending_streams) {
		loop->is_tending_streams = false;
		tend_streams(loop);
	}
}

static enum err run(struct loop *base)
{
	struct uring_loop *loop = own(base);
	int result = io_uring_enable_rings(&loop->ring);
	if (result < 0) {
		errno = -result;
		return ERR_IO;
	}
	while (!loop->is_stopping) {
		result = wait_some(loop);
		if (result < 0 && result != -ETIME && result != -EINTR && result != -EAGAIN && result != -EBUSY) {
			errno = -result;
			return ERR_IO;
		}
		loop->now_ns = loop_clock_ns(CLOCK_MONOTONIC);
		struct io_uring_cqe *cqe;
		unsigned head, seen = 0;
		io_uring_for_each_cqe(&loop->ring, head, cqe) {
			dispatch(loop, cqe);
			seen++;
		}
		io_uring_cq_advance(&loop->ring, seen);
		if (loop->now_ns >= loop->timer_ns) {
			loop->timer_ns = UINT64_MAX;
			resume_listeners(loop);
			loop->handlers.on_timer(loop->handlers.context);
		}
		loop->handlers.on_wake_end(loop->handlers.context);
		write_ready(loop);
		loop->handlers.on_wake_sent(loop->handlers.context);
		tend(loop);
	}
	return ERR_OK;
}

const struct loop_ops loop_uring_ops = {
	.name = "io_uring",
	.open = uring_open,
	.close = uring_close,
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
