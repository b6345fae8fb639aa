// T on `lo`, as the demo runs it: real sockets send and receive, single datagrams and trains, IPv4 and IPv6 in one room.
// And next hops that the kernel is asked for. SPDX-License-Identifier: Apache-2.0
#include "kernel-bpf/fanout.skel.h"
#include "tests/fake/bpf_lab.h"
#include "tests/fake/bpf_wire.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { SLOT = 1, RECEIVERS = 4, DATAGRAMS = 8, BYTES = 500, TRAFFIC_CLASS = 0x88 };

static const char *skip_reason;

struct scene {
	struct bpf_lab lab;
	struct bpf_wire wire;
	int sender, receiver[RECEIVERS];
	struct fanout_receiver record[RECEIVERS];
	uint8_t datagram[DATAGRAMS][BYTES];
};

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	*state = s;
	if (!s)
		return -1;
	if (!bpf_lab_open(&s->lab, &skip_reason))
		return 0;
	skip_reason = NULL;
	return bpf_wire_open(&s->wire) ? 0 : -1;
}

static int teardown(void **state)
{
	struct scene *s = *state;
	bpf_wire_close(&s->wire);
	bpf_lab_close(&s->lab);
	free(s);
	return 0;
}

static struct scene *scene_of(void **state, const char *device)
{
	if (skip_reason) {
		print_message("skipped: %s\n", skip_reason);
		skip();
	}
	struct scene *s = *state;
	bpf_wire_detach(&s->wire);
	bpf_lab_reset(&s->lab);
	assert_true(bpf_wire_attach_tcx(&s->wire, &s->lab, device));
	return s;
}

static int bound(uint8_t family, uint16_t *port)
{
	struct sockaddr_in ipv4 = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr *at = family == 4 ? (struct sockaddr *)&ipv4 : (struct sockaddr *)&ipv6;
	socklen_t size = family == 4 ? sizeof(ipv4) : sizeof(ipv6);
	int fd = socket(at->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1;
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, at, size), 0);
	assert_int_equal(getsockname(fd, at, &size), 0);
	assert_int_equal(family == 4 ? setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &one, sizeof(one))
				     : setsockopt(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, &one, sizeof(one)), 0);
	*port = ntohs(family == 4 ? ipv4.sin_port : ipv6.sin6_port);
	return fd;
}

static void loopback(uint8_t family, uint8_t out[16])
{
	memset(out, 0, 16);
	if (family == 4)
		memcpy(out, (uint8_t[4]){ 127, 0, 0, 1 }, 4);
	else
		out[15] = 1;
}

// Two receivers of each family, and a sender.
static struct bpf_flow open_sockets(struct scene *s, uint8_t family)
{
	assert_true(bpf_lab_device(&s->lab, SLOT, "lo", 0));
	s->lab.config->mtu[SLOT] = UINT16_MAX;
	for (int i = 0; i < RECEIVERS; i++) {
		uint8_t its = i < RECEIVERS / 2 ? 4 : 6;
		uint16_t port;
		s->receiver[i] = bound(its, &port);
		struct fanout_receiver *r = &s->record[i];
		*r = bpf_lab_receiver(its, (uint16_t)(i + 1), SLOT);
		memset(r->next_hop, 0, sizeof(r->next_hop));
		memset(r->own, 0, sizeof(r->own));
		loopback(its, r->source);
		loopback(its, r->destination);
		r->destination_port_be = htons(port);
		bpf_lab_finish(r);
	}
	bpf_lab_extent(&s->lab, BPF_LAB_BLOCK, BPF_LAB_FIRST, s->record, RECEIVERS, FANOUT_EXTENT_TCX | FANOUT_EXTENT_MIXED | FANOUT_EXTENT_LOOPBACK);
	struct bpf_flow flow = { .family = family, .destination_port = BPF_LAB_PORT };
	loopback(family, flow.source);
	loopback(family, flow.destination);
	s->sender = bound(family, &flow.source_port);
	bpf_lab_move(&s->lab, &flow);
	return flow;
}

static void close_sockets(struct scene *s)
{
	close(s->sender);
	for (int i = 0; i < RECEIVERS; i++)
		close(s->receiver[i]);
}

static void send_all(struct scene *s, uint8_t family, bool is_train)
{
	struct sockaddr_in ipv4 = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) }, .sin_port = htons(BPF_LAB_PORT) };
	struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(BPF_LAB_PORT) };
	const struct sockaddr *to = family == 4 ? (const struct sockaddr *)&ipv4 : (const struct sockaddr *)&ipv6;
	socklen_t size = family == 4 ? sizeof(ipv4) : sizeof(ipv6);
	int segment = is_train ? BYTES : 0;
	assert_int_equal(setsockopt(s->sender, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0);
	for (int i = 0; i < DATAGRAMS; i++)
		bpf_lab_datagram(&s->lab, 0, (uint16_t)(i + 1), s->datagram[i], BYTES);
	bpf_lab_mark(&s->lab);
	if (is_train)
		assert_int_equal(sendto(s->sender, s->datagram, sizeof(s->datagram), 0, to, size), sizeof(s->datagram));
	for (int i = 0; i < DATAGRAMS && !is_train; i++)
		assert_int_equal(sendto(s->sender, s->datagram[i], BYTES, 0, to, size), BYTES);
}

static int traffic_class(struct msghdr *message)
{
	const struct cmsghdr *control = CMSG_FIRSTHDR(message);
	assert_non_null(control);
	return control->cmsg_level == IPPROTO_IP ? *CMSG_DATA(control) : (int)*(const uint32_t *)(const void *)CMSG_DATA(control);
}

static void expect_at(struct scene *s, int i)
{
	for (int k = 0; k < DATAGRAMS; k++) {
		struct pollfd ready = { .fd = s->receiver[i], .events = POLLIN };
		if (poll(&ready, 1, 500) != 1)
			fail_msg("receiver %d got %d datagrams", i, k);
		uint8_t bytes[PACKET_MAX_BYTES];
		_Alignas(struct cmsghdr) uint8_t control[64];
		struct iovec part = { bytes, sizeof(bytes) };
		struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
		assert_int_equal(recvmsg(s->receiver[i], &message, 0), BYTES);
		assert_memory_equal(bytes, s->datagram[k], BYTES);
		assert_int_equal(traffic_class(&message), TRAFFIC_CLASS);
	}
	uint8_t more;
	assert_int_equal(recv(s->receiver[i], &more, 1, MSG_DONTWAIT), -1);
}

static void expect_all(struct scene *s)
{
	for (int i = 0; i < RECEIVERS; i++)
		expect_at(s, i);
	assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_media_forwarded), RECEIVERS * DATAGRAMS);
}

static void loopback_serves(void **state, bool is_train)
{
	struct scene *s = scene_of(state, "lo");
	open_sockets(s, 4);
	send_all(s, 4, is_train);
	expect_all(s);
	assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_trains), is_train);
	close_sockets(s);
}

static void loopback_single(void **state) { loopback_serves(state, false); }
static void loopback_trains(void **state) { loopback_serves(state, true); }

// What would become IPv4 on `lo` is user space's, and so is what came from elsewhere: IPv4 would refuse the copies.
static void loopback_to_ipv4_is_left_to_user_space(void **state)
{
	struct scene *s = scene_of(state, "lo");
	open_sockets(s, 6);
	send_all(s, 6, false);
	assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_up_user), DATAGRAMS);
	assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_media_received), 0);
	close_sockets(s);
	s = scene_of(state, "r0");
	static struct bpf_wire_frame frame;
	struct bpf_flow flow = open_sockets(s, 4);
	bpf_lab_datagram(&s->lab, 0, 1, s->datagram[0], BYTES);
	frame.size = bpf_frame_make(&flow, s->datagram[0], BYTES, frame.bytes);
	bpf_lab_mark(&s->lab);
	assert_true(bpf_wire_send(&s->wire, &frame, &flow));
	for (int i = 0; i < 100 && bpf_lab_counted(&s->lab, FANOUT_up_user) == 0; i++)
		usleep(1000);
	assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_up_user), 1);
	close_sockets(s);
}

// IPv6 takes them, wherever they come from.
static void loopback_to_ipv6(void **state)
{
	struct scene *s = scene_of(state, "lo");
	open_sockets(s, 6);
	memmove(s->record, s->record + RECEIVERS / 2, sizeof(s->record) / 2);
	bpf_lab_extent(&s->lab, BPF_LAB_BLOCK, BPF_LAB_FIRST, s->record, RECEIVERS / 2, FANOUT_EXTENT_TCX);
	send_all(s, 6, true);
	for (int i = RECEIVERS / 2; i < RECEIVERS; i++)
		expect_at(s, i);
	close_sockets(s);
}

// A record without Ethernet addresses: those of the kernel's neighbour are used, by T and by X.
static void next_hop_is_looked_up(void **state)
{
	struct scene *s = scene_of(state, "r0");
	assert_int_equal(system("echo 1 > /proc/sys/net/ipv4/ip_forward; ip addr add 10.1.255.1/16 dev r1;"
				"ip neigh replace 10.1.0.1 lladdr 02:00:00:00:77:01 dev r1 nud permanent"), 0);
	for (int is_xdp = 0; is_xdp < 2; is_xdp++) {
		bpf_lab_reset(&s->lab);
		if (is_xdp)
			assert_true(bpf_wire_attach_xdp(&s->wire, &s->lab, "r0"));
		assert_true(bpf_lab_device(&s->lab, SLOT, "r1", 2));
		struct fanout_receiver records[] = { bpf_lab_receiver(4, 1, SLOT), bpf_lab_receiver(4, 2, SLOT) };
		for (int i = 0; i < 2; i++) {
			memset(records[i].next_hop, 0, sizeof(records[i].next_hop));
			records[i].flags = FANOUT_RECEIVER_LOOKUP;
		}
		bpf_lab_extent(&s->lab, BPF_LAB_BLOCK, BPF_LAB_FIRST, records, 2, FANOUT_EXTENT_TCX | FANOUT_EXTENT_XDP);
		static struct bpf_wire_frame frame;
		struct bpf_flow flow = bpf_lab_flow(4);
		bpf_lab_datagram(&s->lab, 0, 1, s->datagram[0], BYTES);
		frame.size = bpf_frame_make(&flow, s->datagram[0], BYTES, frame.bytes);
		frame.is_partial = false;
		bpf_lab_mark(&s->lab);
		assert_true(bpf_wire_send(&s->wire, &frame, &flow));
		const uint8_t *payload;
		size_t size, copies = 0;
		while (bpf_wire_receive(&s->wire, 100, &frame)) {
			flow = (struct bpf_flow){ 0 };
			if (bpf_frame_read(frame.bytes, frame.size, &flow, &payload, &size))
				continue; // the kernel looks for the neighbour that is not there
			assert_int_equal(flow.destination_port, 5001);
			assert_memory_equal(flow.to, ((uint8_t[]){ 2, 0, 0, 0, 0x77, 1 }), BPF_FRAME_MAC_BYTES);
			copies++;
		}
		assert_int_equal(copies, 1);
		assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_neighbour_unknown), 1);
		assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_media_forwarded), 1);
		assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_bytes_forwarded), BYTES);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loopback_single),
		cmocka_unit_test(loopback_trains),
		cmocka_unit_test(loopback_to_ipv4_is_left_to_user_space),
		cmocka_unit_test(loopback_to_ipv6),
		cmocka_unit_test(next_hop_is_looked_up),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
