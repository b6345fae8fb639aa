// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/relay/crowd.h"

#include "tests/bench/relay/lab.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

enum { QUIET_MS = 20, PATIENCE_MS = 500, COUNT_MAX = 100000, SLOW_NS = 1000000 };

static uint64_t real_ns(const struct timespec *t) { return (uint64_t)t->tv_sec * 1000000000 + (uint64_t)t->tv_nsec; }

// When the next datagram came, by the kernel's clock; 0: none in time.
static uint64_t next_arrival(int fd)
{
	uint8_t bytes[2048];
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct timespec))];
	struct iovec part = { bytes, sizeof(bytes) };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	if (poll(&wait, 1, PATIENCE_MS) <= 0)
		return 0;
	ssize_t size = recvmsg(fd, &message, MSG_DONTWAIT);
	if (size <= 0 || bytes[0] >> 6 != PACKET_MEDIA)
		return 1;
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	return header && header->cmsg_type == SO_TIMESTAMPNS ? real_ns((struct timespec *)CMSG_DATA(header)) : 1;
}

static bool subscribe(struct crowd_member *member, uint32_t ssrc, bool is_wanted)
{
	struct control_message message = { .type = CONTROL_SUBSCRIBE, .subscribe = { .count = 1, .subscription = { { ssrc, is_wanted } } } };
	return crowd_member_send(member, &message);
}

// One time, in ns; 0: nothing came.
static uint64_t once(struct crowd *crowd, struct crowd_member *member, uint32_t ssrc)
{
	struct timespec now;
	if (!subscribe(member, ssrc, false))
		return 0;
	uint64_t quiet = lab_now_ns() + QUIET_MS * 1000000ull;
	while (lab_now_ns() < quiet)
		crowd_serve(crowd, 1);
	crowd_member_receive_udp(member);
	clock_gettime(CLOCK_REALTIME, &now);
	if (!subscribe(member, ssrc, true))
		return 0;
	uint64_t at;
	while ((at = next_arrival(member->udp)) == 1)
		;
	return at > real_ns(&now) ? at - real_ns(&now) : 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static double quantile_us(const uint64_t *sorted, size_t count, size_t percent)
{
	size_t at = count > 0 ? (count - 1) * percent / 100 : 0;
	return count > 0 ? (double)sorted[at] / 1e3 : 0;
}

void subscribe_run(struct crowd *crowd, unsigned count)
{
	struct crowd_member *sender = &crowd->member[0], *member = &crowd->member[crowd->count - 1];
	uint64_t *ns = calloc(count, sizeof(*ns));
	unsigned got = 0;
	int yes = 1;
	setsockopt(member->udp, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof(yes));
	for (unsigned i = 0; ns && i < count && count <= COUNT_MAX; i++) {
		ns[got] = once(crowd, member, packet_ssrc(sender->welcome.index, PACKET_STREAM_VIDEO));
		got += ns[got] != 0;
	}
	if (got > 0)
		qsort(ns, got, sizeof(*ns), compare);
	unsigned slow = 0;
	for (unsigned i = 0; i < got; i++)
		slow += ns[i] > SLOW_NS;
	printf("{\"changes\":%u,\"missed\":%u,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"over_1_ms\":%u}\n", count, count - got,
	       quantile_us(ns, got, 50), quantile_us(ns, got, 90), quantile_us(ns, got, 99), quantile_us(ns, got, 100), slow);
	fflush(stdout);
	free(ns);
}
