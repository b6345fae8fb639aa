// SPDX-License-Identifier: Apache-2.0
#include "relay/outbox.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)OUTBOX_VECTORS >= 4 * FANOUT_SEGMENTS_MAX, "a train fits when all else has left");

struct outbox *outbox_new(struct media_port *port, bool is_leg, struct relay_stats *stats)
{
	struct outbox *outbox = malloc(sizeof(*outbox));
	if (!outbox)
		return NULL;
	outbox->port = port;
	outbox->is_leg = is_leg;
	outbox->stats = stats;
	outbox->shape = (struct outbox_shape){ 0 };
	outbox->count = outbox->vectors = outbox->controls = outbox->own_count = 0;
	return outbox;
}

void outbox_free(struct outbox *outbox) { free(outbox); }

// ---------------------------------------------------------------- control data: own address, size of segments

static void control_emit(struct outbox_control *control, const struct in6_addr *source, size_t segment)
{
	const struct loop_address from = { .local = *source };
	control->source = *source;
	control->segment = segment;
	control->size = loop_write_control(&from, control->bytes);
	if (segment == 0)
		return;
	struct cmsghdr *c = (struct cmsghdr *)(control->bytes + control->size);
	uint16_t value = (uint16_t)segment;
	c->cmsg_level = IPPROTO_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(value));
	memcpy(CMSG_DATA(c), &value, sizeof(value));
	control->size += CMSG_SPACE(sizeof(value));
}

// Receivers of a train mostly share it: the last one made is tried first.
static const struct outbox_control *control_for(struct outbox *outbox, const struct in6_addr *source, size_t segment)
{
	_Static_assert((int)LOOP_CONTROL_BYTES + CMSG_SPACE(sizeof(uint16_t)) <= 96, "control data fits");
	struct outbox_control *last = outbox->controls > 0 ? &outbox->control[outbox->controls - 1] : NULL;
	if (last && last->segment == segment && memcmp(&last->source, source, sizeof(*source)) == 0)
		return last;
	struct outbox_control *control = &outbox->control[outbox->controls++];
	control_emit(control, source, segment);
	return control;
}

// ---------------------------------------------------------------- flush

// A device or path that takes no trains: one by one then. Returns how many were taken.
static size_t send_singly(struct outbox *outbox, const struct mmsghdr *message, size_t segment)
{
	size_t taken = 0;
	const struct msghdr *m = &message->msg_hdr;
	for (size_t i = 0; i < m->msg_iovlen; i++) {
		uint8_t *bytes = m->msg_iov[i].iov_base;
		for (size_t left = m->msg_iov[i].iov_len; left > 0;) {
			struct iovec vector = { .iov_base = bytes, .iov_len = left < segment ? left : segment };
			struct mmsghdr one = { .msg_hdr = *m };
			one.msg_hdr.msg_iov = &vector;
			one.msg_hdr.msg_iovlen = 1;
			one.msg_hdr.msg_controllen -= CMSG_SPACE(sizeof(uint16_t)); // the segment size comes last
			taken += outbox->port->ops->send(outbox->port, outbox->is_leg, &one, 1);
			bytes += vector.iov_len;
			left -= vector.iov_len;
		}
	}
	return taken;
}

static size_t segment_of(const struct outbox *outbox, size_t i)
{
	return outbox->datagrams[i] > 1 ? ((const struct outbox_control *)outbox->message[i].msg_hdr.msg_control)->segment : 0;
}

static void send_messages(struct outbox *outbox)
{
	size_t taken = 0, all = 0;
	for (size_t i = 0; i < outbox->count; i++)
		all += outbox->datagrams[i];
	for (size_t at = 0; at < outbox->count;) {
		size_t sent = outbox->port->ops->send(outbox->port, outbox->is_leg, outbox->message + at, outbox->count - at);
		for (size_t i = 0; i < sent; i++)
			taken += outbox->datagrams[at + i];
		at += sent;
		if (sent > 0)
			continue; // if there is more, the next call says what is wrong with it
		// A refused one (no buffer, unreachable receiver) must not keep the others back.
		if (segment_of(outbox, at) > 0 && (errno == EIO || errno == EINVAL || errno == EMSGSIZE))
			taken += send_singly(outbox, &outbox->message[at], segment_of(outbox, at));
		at++;
	}
	relay_stats_add(outbox->stats, STATS_datagrams_sent, taken);
	relay_stats_add(outbox->stats, STATS_send_refused, all - taken);
}

// All messages leave; vectors of the train that is being copied stay.
static void make_room(struct outbox *outbox)
{
	if (outbox->count > 0)
		send_messages(outbox);
	outbox->count = outbox->controls = outbox->vectors = 0;
	if (outbox->shape.vectors > 0) {
		memmove(outbox->vector, outbox->shape.vector, outbox->shape.vectors * sizeof(*outbox->vector));
		outbox->shape.vector = outbox->vector;
		outbox->vectors = outbox->shape.vectors;
	}
}

void outbox_flush(struct outbox *outbox)
{
	outbox->shape.vectors = 0;
	make_room(outbox);
	outbox->own_count = 0;
}

// ---------------------------------------------------------------- filling

static void message_add(struct outbox *outbox, const struct sockaddr_in6 *to, const struct in6_addr *source)
{
	const struct outbox_shape *shape = &outbox->shape;
	const struct outbox_control *control = control_for(outbox, source, shape->segment);
	size_t i = outbox->count++;
	outbox->to[i] = *to;
	outbox->datagrams[i] = (uint16_t)shape->datagrams;
	outbox->message[i].msg_hdr = (struct msghdr){
		.msg_name = &outbox->to[i], .msg_namelen = sizeof(outbox->to[i]),
		.msg_iov = shape->vector, .msg_iovlen = shape->vectors,
		.msg_control = control->size > 0 ? (void *)(uintptr_t)control->bytes : NULL, .msg_controllen = control->size,
	};
	relay_stats_add(outbox->stats, STATS_bytes_sent, shape->bytes);
}

static bool is_full(const struct outbox *outbox) { return outbox->count == OUTBOX_MESSAGES || outbox->controls == OUTBOX_CONTROLS; }

void outbox_train(struct outbox *outbox, const struct loop_datagram *const *datagrams, size_t count)
{
	struct outbox_shape *shape = &outbox->shape;
	*shape = (struct outbox_shape){ 0 };
	if (outbox->vectors + count > OUTBOX_VECTORS)
		make_room(outbox);
	shape->vector = outbox->vector + outbox->vectors;
	shape->datagrams = count;
	shape->segment = count > 1 ? datagrams[0]->size : 0;
	for (size_t i = 0; i < count; i++) {
		struct iovec *last = shape->vectors > 0 ? &shape->vector[shape->vectors - 1] : NULL;
		shape->bytes += datagrams[i]->size;
		if (last && (uint8_t *)last->iov_base + last->iov_len == datagrams[i]->bytes)
			last->iov_len += datagrams[i]->size;
		else
			shape->vector[shape->vectors++] = (struct iovec){ .iov_base = datagrams[i]->bytes, .iov_len = datagrams[i]->size };
	}
	outbox->vectors += shape->vectors;
}

// Addresses of records: IPv4 in the first four bytes. Mapped ones here.
static struct in6_addr address_of(const struct fanout_receiver *record, const uint8_t bytes[static 16])
{
	struct in6_addr address = IN6ADDR_ANY_INIT;
	if (record->family == FANOUT_IPV4) {
		address.s6_addr[10] = address.s6_addr[11] = 0xff;
		memcpy(address.s6_addr + 12, bytes, 4);
	} else {
		memcpy(address.s6_addr, bytes, sizeof(address.s6_addr));
	}
	return address;
}

void outbox_copy(struct outbox *outbox, const struct fanout_receiver *record)
{
	if (is_full(outbox))
		make_room(outbox);
	struct in6_addr source = address_of(record, record->source);
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = record->destination_port_be,
				   .sin6_addr = address_of(record, record->destination) };
	message_add(outbox, &to, &source);
}

void outbox_add(struct outbox *outbox, const struct loop_address *to, const uint8_t *bytes, size_t size)
{
	struct outbox_shape *shape = &outbox->shape;
	shape->vectors = 0;
	if (is_full(outbox) || outbox->vectors == OUTBOX_VECTORS)
		make_room(outbox);
	*shape = (struct outbox_shape){ .vector = outbox->vector + outbox->vectors, .vectors = 1, .datagrams = 1, .bytes = size };
	*shape->vector = (struct iovec){ .iov_base = (void *)(uintptr_t)bytes, .iov_len = size };
	outbox->vectors++;
	message_add(outbox, &to->peer, &to->local);
}

uint8_t *outbox_own(struct outbox *outbox)
{
	if (outbox->own_count == OUTBOX_OWN) {
		make_room(outbox);
		outbox->own_count = 0;
	}
	return outbox->own[outbox->own_count++];
}
