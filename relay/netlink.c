// SPDX-License-Identifier: Apache-2.0
#include "relay/netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DATAGRAMS_AT_ONCE = 1024, BUFFER_BYTES = 32768, RECEIVE_BUFFER_BYTES = 1 << 20 };

enum err netlink_open(uint32_t groups, int *out)
{
	const struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = groups };
	const int size = RECEIVE_BUFFER_BYTES;
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (s < 0)
		return ERR_IO;
	(void)setsockopt(s, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(s, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		close(s);
		return ERR_IO;
	}
	*out = s;
	return ERR_OK;
}

// One datagram of messages, from the kernel and from nobody else.
static enum err receive(int s, void *buffer, size_t capacity, size_t *size)
{
	for (;;) {
		struct sockaddr_nl from = { 0 };
		struct iovec vector = { buffer, capacity };
		struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &vector, .msg_iovlen = 1 };
		ssize_t got = recvmsg(s, &message, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno == EAGAIN ? ERR_AGAIN : errno == ENOBUFS ? ERR_FULL : ERR_IO;
		if (message.msg_flags & MSG_TRUNC)
			return ERR_FULL;
		if (from.nl_pid != 0)
			continue;
		*size = (size_t)got;
		return ERR_OK;
	}
}

static bool is_whole(const struct nlmsghdr *m, size_t left)
{
	return left >= sizeof(*m) && m->nlmsg_len >= sizeof(*m) && m->nlmsg_len <= left;
}

static const struct nlmsghdr *next(const struct nlmsghdr *m, size_t *left)
{
	size_t step = NLMSG_ALIGN(m->nlmsg_len);
	*left = *left > step ? *left - step : 0;
	return (const struct nlmsghdr *)((const uint8_t *)m + step);
}

enum err netlink_receive(int s, const struct netlink_handler *handler)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[BUFFER_BYTES];
	bool is_lossy = false;
	for (int i = 0; i < DATAGRAMS_AT_ONCE; i++) {
		size_t size = 0;
		enum err err = receive(s, buffer, sizeof(buffer), &size);
		if (err == ERR_FULL) {
			is_lossy = true;
			continue;
		}
		if (err && err != ERR_AGAIN)
			return err;
		if (err)
			break;
		const struct nlmsghdr *m = (const struct nlmsghdr *)buffer;
		for (; is_whole(m, size); m = next(m, &size))
			handler->on_message(handler->context, m);
	}
	return is_lossy ? ERR_FULL : ERR_OK;
}

// ---------------------------------------------------------------- requests

void netlink_begin(struct netlink_request *request, uint16_t type, uint16_t flags, const void *family_header, size_t size)
{
	memset(request, 0, sizeof(*request));
	request->header = (struct nlmsghdr){ .nlmsg_len = (uint32_t)NLMSG_LENGTH(size), .nlmsg_type = type,
					     .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) };
	memcpy(request->body, family_header, size);
}

void netlink_add(struct netlink_request *request, uint16_t type, const void *value, size_t size)
{
	size_t at = NLMSG_ALIGN(request->header.nlmsg_len) - NLMSG_HDRLEN;
	const struct rtattr attribute = { .rta_len = (unsigned short)RTA_LENGTH(size), .rta_type = type };
	if (at + RTA_SPACE(size) > sizeof(request->body))
		return;
	memcpy(request->body + at, &attribute, sizeof(attribute));
	memcpy(request->body + at + sizeof(attribute), value, size);
	request->header.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + at + RTA_LENGTH(size));
}

// The end of an answer: ERR_EXISTS if there is more to come.
static enum err outcome(const struct nlmsghdr *m)
{
	if (m->nlmsg_type == NLMSG_DONE)
		return ERR_OK;
	if (m->nlmsg_type != NLMSG_ERROR)
		return m->nlmsg_flags & NLM_F_MULTI ? ERR_EXISTS : ERR_OK;
	const struct nlmsgerr *error = NLMSG_DATA(m);
	if (m->nlmsg_len < NLMSG_LENGTH(sizeof(*error)))
		return ERR_PARSE;
	errno = -error->error;
	return errno == 0 ? ERR_OK : errno == ENOENT || errno == ENETUNREACH || errno == EHOSTUNREACH || errno == ENODEV ? ERR_NOT_FOUND : ERR_IO;
}

// The kernel has answered, at least in part, when send() returns; the rest it makes as it is read.
enum err netlink_ask(int s, struct netlink_request *request, uint32_t sequence, const struct netlink_handler *handler)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[BUFFER_BYTES];
	static const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	size_t size = request->header.nlmsg_len;
	request->header.nlmsg_seq = sequence;
	if (sendto(s, request, size, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) != (ssize_t)size)
		return ERR_IO;
	for (;;) {
		enum err err = receive(s, buffer, sizeof(buffer), &size);
		if (err)
			return err;
		const struct nlmsghdr *m = (const struct nlmsghdr *)buffer;
		for (; is_whole(m, size); m = next(m, &size)) {
			if (m->nlmsg_seq != sequence)
				continue;
			err = outcome(m);
			if (m->nlmsg_type >= NLMSG_MIN_TYPE)
				handler->on_message(handler->context, m);
			if (err != ERR_EXISTS)
				return err;
		}
	}
}

// ---------------------------------------------------------------- attributes

static void collect(const struct rtattr *a, size_t left, const struct rtattr **out, size_t max)
{
	memset(out, 0, (max + 1) * sizeof(*out));
	while (left >= sizeof(*a) && a->rta_len >= sizeof(*a) && a->rta_len <= left) {
		size_t type = a->rta_type & NLA_TYPE_MASK, step = RTA_ALIGN(a->rta_len);
		if (type <= max)
			out[type] = a;
		left = left > step ? left - step : 0;
		a = (const struct rtattr *)((const uint8_t *)a + step);
	}
}

void netlink_attributes(const struct nlmsghdr *m, size_t header_size, const struct rtattr **out, size_t max)
{
	size_t skip = NLMSG_LENGTH(NLMSG_ALIGN(header_size));
	collect((const struct rtattr *)((const uint8_t *)m + skip), m->nlmsg_len > skip ? m->nlmsg_len - skip : 0, out, max);
}

void netlink_nested(const struct rtattr *outer, const struct rtattr **out, size_t max)
{
	collect(outer ? RTA_DATA(outer) : NULL, outer ? RTA_PAYLOAD(outer) : 0, out, max);
}

uint32_t netlink_u32(const struct rtattr *attribute)
{
	uint32_t value = 0;
	if (attribute && RTA_PAYLOAD(attribute) >= sizeof(value))
		memcpy(&value, RTA_DATA(attribute), sizeof(value));
	return value;
}

uint16_t netlink_u16(const struct rtattr *attribute)
{
	uint16_t value = 0;
	if (attribute && RTA_PAYLOAD(attribute) >= sizeof(value))
		memcpy(&value, RTA_DATA(attribute), sizeof(value));
	return value;
}
