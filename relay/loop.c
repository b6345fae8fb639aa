// SPDX-License-Identifier: Apache-2.0
#include "relay/loop.h"

#include "base/log.h"

#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { NS_PER_S = 1000000000 };

enum err loop_open(enum loop_choice choice, const struct loop_handlers *handlers, struct loop **out)
{
	if (choice == LOOP_EPOLL)
		return loop_epoll_ops.open(handlers, out);
	enum err err = loop_uring_ops.open(handlers, out);
	if (err && choice == LOOP_AUTO) {
		log_line(LOG_NOTICE, "io_uring is not to be had here: using epoll");
		return loop_epoll_ops.open(handlers, out);
	}
	return err;
}

uint64_t loop_clock_ns(int clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void read_one(const struct cmsghdr *c, struct loop_control *out)
{
	if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
		struct timespec t;
		memcpy(&t, CMSG_DATA(c), sizeof(t));
		out->received_ns = (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
	} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
		struct in6_pktinfo info;
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		out->local = info.ipi6_addr;
	} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_MARK) {
		memcpy(&out->mark, CMSG_DATA(c), sizeof(out->mark));
	} else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
		int segment;
		memcpy(&segment, CMSG_DATA(c), sizeof(segment));
		out->segment = segment > 0 ? (size_t)segment : 0;
	}
}

void loop_read_control(struct msghdr *message, struct loop_control *out)
{
	memset(out, 0, sizeof(*out));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
		read_one(c, out);
}

size_t loop_write_control(const struct loop_address *to, void *control)
{
	_Static_assert(CMSG_SPACE(sizeof(struct in6_pktinfo)) <= LOOP_CONTROL_BYTES, "control data fits");
	if (IN6_IS_ADDR_UNSPECIFIED(&to->local))
		return 0;
	struct cmsghdr *c = control;
	c->cmsg_level = IPPROTO_IPV6;
	c->cmsg_type = IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(struct in6_pktinfo));
	struct in6_pktinfo info = { .ipi6_addr = to->local };
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	return CMSG_SPACE(sizeof(info));
}
