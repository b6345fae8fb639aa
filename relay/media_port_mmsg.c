// SPDX-License-Identifier: Apache-2.0
//
// Receives by recvmmsg. Trains that came together (GRO) arrive in one buffer.
#include "relay/media_port_private.h"

#include <poll.h>
#include <stdlib.h>

enum { MESSAGES = 64,
       STRIDE = MEDIA_PORT_TRAIN_BYTES + 1216, // beginnings of buffers must not share lines of the cache
       DATAGRAMS = MESSAGES * MEDIA_PORT_SEGMENTS };

struct mmsg_port {
	struct media_port base;
	bool is_leg_next; // both sockets get their turn
	uint8_t *bytes;
	struct mmsghdr message[MESSAGES];
	struct iovec vector[MESSAGES];
	struct sockaddr_in6 from[MESSAGES];
	_Alignas(struct cmsghdr) uint8_t control[MESSAGES][MEDIA_PORT_CONTROL_BYTES];
	struct loop_datagram datagram[DATAGRAMS];
};

static struct mmsg_port *own(struct media_port *port) { return (struct mmsg_port *)port; }

// Where other relays' packets are received; -1: not here.
static int legs_of(const struct media_port *port) { return port->is_leg_deaf ? -1 : port->leg_descriptor; }

static void prepare(struct mmsg_port *port, size_t i)
{
	port->vector[i] = (struct iovec){ .iov_base = port->bytes + i * STRIDE, .iov_len = MEDIA_PORT_TRAIN_BYTES };
	port->message[i].msg_hdr = (struct msghdr){
		.msg_name = &port->from[i], .msg_namelen = sizeof(port->from[i]),
		.msg_iov = &port->vector[i], .msg_iovlen = 1,
		.msg_control = port->control[i], .msg_controllen = MEDIA_PORT_CONTROL_BYTES,
	};
}

static size_t tell(struct mmsg_port *port, size_t i, bool is_leg, struct loop_datagram *out)
{
	const struct media_port_told told = { .from = &port->from[i], .control = &port->message[i].msg_hdr,
					      .bytes = port->vector[i].iov_base, .size = port->message[i].msg_len, .is_leg = is_leg };
	size_t count = media_port_tell(&told, out);
	// Only what was used is to be set anew.
	port->message[i].msg_hdr.msg_namelen = sizeof(port->from[i]);
	port->message[i].msg_hdr.msg_controllen = MEDIA_PORT_CONTROL_BYTES;
	return count;
}

static void receive_from(struct mmsg_port *port, bool is_leg, struct media_port_batch *out)
{
	int descriptor = is_leg ? legs_of(&port->base) : port->base.descriptor;
	if (descriptor < 0)
		return;
	int got = recvmmsg(descriptor, port->message, MESSAGES, MSG_DONTWAIT, NULL);
	for (int i = 0; i < got; i++)
		out->count += tell(port, (size_t)i, is_leg, port->datagram + out->count);
	out->is_full = got == MESSAGES;
}

static void mmsg_receive(struct media_port *base, struct media_port_batch *out)
{
	struct mmsg_port *port = own(base);
	*out = (struct media_port_batch){ .datagram = port->datagram };
	bool is_leg = port->is_leg_next;
	port->is_leg_next = legs_of(base) >= 0 && !is_leg;
	receive_from(port, is_leg, out);
	if (out->count == 0 && legs_of(base) >= 0)
		receive_from(port, !is_leg, out);
}

static void mmsg_wait(struct media_port *port)
{
	struct pollfd p[] = { { .fd = port->descriptor, .events = POLLIN }, { .fd = legs_of(port), .events = POLLIN },
			      { .fd = port->wake, .events = POLLIN } };
	(void)poll(p, sizeof(p) / sizeof(p[0]), -1);
}

static void mmsg_close(struct media_port *base)
{
	free(own(base)->bytes);
	free(base);
}

static const struct media_port_ops mmsg_ops = {
	.name = "recvmmsg",
	.receive = mmsg_receive,
	.backlog = media_port_backlog,
	.wait = mmsg_wait,
	.send = media_port_send,
	.close = mmsg_close,
};

enum err media_port_mmsg_open(const struct media_port *sockets, struct media_port **out)
{
	struct mmsg_port *port = calloc(1, sizeof(*port));
	if (!port)
		return ERR_NOMEM;
	port->base = *sockets;
	port->base.ops = &mmsg_ops;
	port->bytes = aligned_alloc(64, (size_t)MESSAGES * STRIDE);
	if (!port->bytes) {
		free(port);
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < MESSAGES; i++)
		prepare(port, i);
	*out = &port->base;
	return ERR_OK;
}
