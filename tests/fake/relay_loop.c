// SPDX-License-Identifier: Apache-2.0
#include "tests/fake/relay_loop.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SENT_MAX = 4096, STEP_NS = 50000000, PORT_DESCRIPTOR = 1 << 20, DATAGRAM_BYTES = 1536 };
#define NS_PER_S 1000000000u

struct loop_stream {
	struct fake *loop;
	const struct loop_stream_handlers *handlers;
	void *context;
	int descriptor; // closed with the stream, -1: none
	bool is_closed, is_finishing, is_finished, is_released;
};

struct fake_port {
	struct media_port base;
	struct fake *loop;
	struct loop_datagram waiting;
	size_t waiting_count;
	uint8_t bytes[DATAGRAM_BYTES];
};

struct fake {
	struct loop base;
	struct fake_port port;
	struct loop_handlers handlers;
	uint64_t now_ns, clock_ns, timer_ns;
	bool is_stopped, is_refusing;
	struct loop_stream *last;
	size_t sent_count;
	struct relay_loop_sent sent[SENT_MAX];
};

static const struct loop_ops fake_ops;
static const struct media_port_ops fake_port_ops;

static struct fake *own(const struct loop *loop) { return (struct fake *)(uintptr_t)loop; }

struct loop *relay_loop_new(const struct loop_handlers *handlers)
{
	struct fake *loop = calloc(1, sizeof(*loop));
	if (!loop)
		abort();
	loop->base.ops = &fake_ops;
	loop->handlers = *handlers;
	loop->now_ns = NS_PER_S;
	loop->clock_ns = 1700000000ull * NS_PER_S;
	loop->timer_ns = UINT64_MAX;
	loop->port = (struct fake_port){ .loop = loop, .base = { .ops = &fake_port_ops, .descriptor = PORT_DESCRIPTOR,
								 .leg_descriptor = -1, .wake = -1 } };
	return &loop->base;
}

void relay_loop_wake(struct loop *base)
{
	struct fake *loop = own(base);
	for (int round = 0; round < 16; round++) {
		if (loop->now_ns >= loop->timer_ns) {
			loop->timer_ns = UINT64_MAX;
			loop->handlers.on_timer(loop->handlers.context);
		}
		loop->handlers.on_wake_end(loop->handlers.context);
		loop->handlers.on_wake_sent(loop->handlers.context);
	}
}

void relay_loop_advance(struct loop *base, uint64_t ns)
{
	struct fake *loop = own(base);
	while (ns > 0) {
		uint64_t step = ns < STEP_NS ? ns : STEP_NS;
		loop->now_ns += step;
		loop->clock_ns += step;
		ns -= step;
		relay_loop_wake(base);
	}
}

void relay_loop_set_clock(struct loop *base, uint64_t seconds) { own(base)->clock_ns = seconds * NS_PER_S; }

void relay_loop_receive(struct loop *base, const struct sockaddr_in6 *from, const uint8_t *bytes, size_t size)
{
	struct fake *loop = own(base);
	struct fake_port *port = &loop->port;
	memcpy(port->bytes, bytes, size);
	port->waiting = (struct loop_datagram){ .from.peer = *from, .bytes = port->bytes, .size = size,
						.received_ns = loop->clock_ns - 100000 };
	port->waiting_count = 1;
	loop->handlers.on_readable(loop->handlers.context, PORT_DESCRIPTOR);
	memset(port->bytes, 0xee, sizeof(port->bytes)); // what still points here now is wrong
	relay_loop_wake(base);
}

struct media_port *relay_loop_port(struct loop *loop) { return &own(loop)->port.base; }

size_t relay_loop_sent_count(const struct loop *loop) { return own(loop)->sent_count; }
const struct relay_loop_sent *relay_loop_sent_at(const struct loop *loop, size_t index) { return &own(loop)->sent[index]; }
void relay_loop_forget_sent(struct loop *loop) { own(loop)->sent_count = 0; }
void relay_loop_refuse(struct loop *loop, bool is_refusing) { own(loop)->is_refusing = is_refusing; }
bool relay_loop_is_stopped(const struct loop *loop) { return own(loop)->is_stopped; }
struct loop_stream *relay_loop_last_stream(struct loop *loop) { return own(loop)->last; }

// ---------------------------------------------------------------- streams

static enum err stream_open(struct loop *base, int descriptor, const struct loop_stream_handlers *handlers, void *context,
			    struct loop_stream **out)
{
	struct loop_stream *stream = calloc(1, sizeof(*stream));
	if (!stream)
		return ERR_NOMEM;
	*stream = (struct loop_stream){ .loop = own(base), .descriptor = descriptor, .handlers = handlers, .context = context };
	own(base)->last = *out = stream;
	return ERR_OK;
}

static void stream_output(struct loop_stream *stream) { (void)stream; } // a test takes when it likes
static void stream_finish(struct loop_stream *stream) { stream->is_finishing = true; }

static void stream_close(struct loop_stream *stream)
{
	stream->is_closed = true;
	if (stream->descriptor >= 0)
		close(stream->descriptor);
	if (stream->is_released)
		free(stream);
}

void relay_stream_feed(struct loop_stream *stream, const uint8_t *bytes, size_t size)
{
	if (!stream->is_closed)
		stream->handlers->on_received(stream->context, bytes, size, 0);
	relay_loop_wake(&stream->loop->base);
}

size_t relay_stream_take(struct loop_stream *stream, uint8_t *bytes, size_t capacity)
{
	if (stream->is_closed)
		return 0;
	size_t size = stream->handlers->on_output(stream->context, bytes, capacity);
	stream->is_finished |= size == 0 && stream->is_finishing;
	return size;
}

void relay_stream_hang_up(struct loop_stream *stream)
{
	if (!stream->is_closed)
		stream->handlers->on_closed(stream->context);
	relay_loop_wake(&stream->loop->base);
}

bool relay_stream_is_closed(const struct loop_stream *stream) { return stream->is_closed; }
bool relay_stream_is_finished(const struct loop_stream *stream) { return stream->is_closed || stream->is_finished; }

void relay_stream_release(struct loop_stream *stream)
{
	stream->is_released = true;
	if (stream->is_closed)
		free(stream);
}

// ---------------------------------------------------------------- the table

static enum err open_fake(const struct loop_handlers *handlers, struct loop **out)
{
	*out = relay_loop_new(handlers);
	return ERR_OK;
}

static void close_fake(struct loop *loop) { free(own(loop)); }
static enum err watch(struct loop *loop, int descriptor) { (void)loop; (void)descriptor; return ERR_OK; }
static void unwatch(struct loop *loop, int descriptor) { (void)loop; (void)descriptor; }
static void set_timer(struct loop *loop, uint64_t at_ns) { own(loop)->timer_ns = at_ns; }
static uint64_t now_ns(struct loop *loop) { return own(loop)->now_ns; }
static uint64_t clock_ns(struct loop *loop) { return own(loop)->clock_ns; }
static enum err run(struct loop *loop) { relay_loop_wake(loop); return ERR_OK; }
static void stop(struct loop *loop) { own(loop)->is_stopped = true; }

static const struct loop_ops fake_ops = {
	.name = "fake",
	.open = open_fake,
	.close = close_fake,
	.watch_listener = watch,
	.watch_readable = watch,
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

// ---------------------------------------------------------------- the port

static void receive(struct media_port *base, struct media_port_batch *out)
{
	struct fake_port *port = (struct fake_port *)base;
	*out = (struct media_port_batch){ .datagram = &port->waiting, .count = port->waiting_count };
	port->waiting_count = 0;
}

static unsigned backlog(struct media_port *port) { (void)port; return 0; }
static void wait_fake(struct media_port *port) { (void)port; }
static void close_port(struct media_port *port) { (void)port; }

static size_t read_control(struct msghdr *message, struct in6_addr *source)
{
	size_t segment = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			*source = info.ipi6_addr;
		} else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_SEGMENT) {
			uint16_t value;
			memcpy(&value, CMSG_DATA(c), sizeof(value));
			segment = value;
		}
	}
	return segment;
}

static void record(struct fake *loop, struct msghdr *message)
{
	static uint8_t bytes[65536];
	struct loop_address to = { 0 };
	size_t size = 0, segment = read_control(message, &to.local);
	memcpy(&to.peer, message->msg_name, sizeof(to.peer));
	for (size_t i = 0; i < message->msg_iovlen; i++) {
		memcpy(bytes + size, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
		size += message->msg_iov[i].iov_len;
	}
	if (segment == 0)
		segment = size;
	for (size_t at = 0; at < size && loop->sent_count < SENT_MAX; at += segment) {
		struct relay_loop_sent *sent = &loop->sent[loop->sent_count++];
		sent->to = to;
		sent->size = size - at < segment ? size - at : segment;
		memcpy(sent->bytes, bytes + at, sent->size);
	}
}

static size_t send_fake(struct media_port *base, bool is_leg, struct mmsghdr *messages, size_t count)
{
	struct fake *loop = ((struct fake_port *)base)->loop;
	(void)is_leg;
	if (loop->is_refusing) {
		errno = ENOBUFS;
		return 0;
	}
	for (size_t i = 0; i < count; i++)
		record(loop, &messages[i].msg_hdr);
	return count;
}

static const struct media_port_ops fake_port_ops = {
	.name = "fake",
	.receive = receive,
	.backlog = backlog,
	.wait = wait_fake,
	.send = send_fake,
	.close = close_port,
};
