// Every copy of a run, looked at on the wire: addresses, lengths, checksums, tag, payload byte for byte, each receiver
// exactly once. Costs much, so it is a pass of its own at a low rate. SPDX-License-Identifier: Apache-2.0
#include "tests/bench/relay/bench.h"
#include "tests/bench/relay/lab.h"
#include "tests/bench/relay/senders.h"

#include "base/packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ORDINALS_MAX = 1 << 20, CAPTURE_BYTES = 70000, BUFFER_BYTES = 512 << 20 };

#define PROBLEMS(X) X(ethernet) X(addresses) X(ip_checksum) X(lengths) X(udp_checksum) X(handle) X(tag) X(header) X(payload) X(doubled) X(stranger)
#define PROBLEM_NAME(name) PROBLEM_##name,
enum problem { PROBLEMS(PROBLEM_NAME) PROBLEM_KINDS };
#undef PROBLEM_NAME
#define PROBLEM_NAME(name) #name,
static const char *const problem_names[] = { PROBLEMS(PROBLEM_NAME) };
#undef PROBLEM_NAME

struct verify {
	struct wire_sender senders[WIRE_SENDERS_MAX];
	size_t sender_count;
	uint32_t receivers, per_room; // receivers and senders of a room
	size_t size;        // of a payload
	double seconds;
	uint8_t template[WIRE_FRAME_MAX];
	uint8_t *seen;      // bit: ordinal * receivers + receiver of its room
	uint64_t copies, frames, trains, problem[PROBLEM_KINDS];
	uint64_t ordinals;  // highest + 1
};

static uint32_t sum(const void *bytes, size_t size, uint32_t start)
{
	const uint8_t *p = bytes;
	uint64_t total = start;
	for (size_t i = 0; i < size; i++)
		total += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return (uint32_t)total;
}

static uint32_t get_be(const uint8_t *p, int bytes)
{
	uint32_t v = 0;
	for (int i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

static void check(struct verify *verify, enum problem problem, bool is_good) { verify->problem[problem] += !is_good; }

static bool is_udp_sum_good(const uint8_t *ip, const uint8_t *udp, const struct virtio_net_hdr *offload)
{
	uint32_t length = get_be(udp + 4, 2), pseudo = sum(ip + 12, 8, IPPROTO_UDP + length);
	if (offload->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		return get_be(udp + 6, 2) == pseudo;
	return get_be(udp + 6, 2) == 0 || sum(udp, length, pseudo) == 0xffff;
}

static void check_headers(struct verify *verify, const uint8_t *frame, size_t size, const struct virtio_net_hdr *offload, uint32_t receiver)
{
	static const uint8_t ethernet[14] = { 2, 0, 0, 0, 2, 2, 2, 0, 0, 0, 2, 1, 8, 0 };
	const uint8_t *ip = frame + 14, *udp = frame + 34;
	check(verify, PROBLEM_ethernet, memcmp(frame, ethernet, sizeof(ethernet)) == 0);
	check(verify, PROBLEM_addresses, get_be(ip + 12, 4) == WIRE_EGRESS_ADDRESS && get_be(ip + 16, 4) == WIRE_RECEIVER_ADDRESS + receiver &&
						 get_be(udp, 2) == WIRE_RELAY_PORT);
	check(verify, PROBLEM_ip_checksum, ip[0] == 0x45 && ip[8] > 1 && sum(ip, 20, 0) == 0xffff);
	check(verify, PROBLEM_lengths, get_be(ip + 2, 2) == size - 14 && get_be(udp + 4, 2) == size - 34);
	check(verify, PROBLEM_udp_checksum, is_udp_sum_good(ip, udp, offload));
}

static void check_payload(struct verify *verify, const uint8_t *p, size_t size, uint32_t receiver)
{
	uint64_t ordinal;
	verify->copies++;
	if (size != verify->size) {
		verify->problem[PROBLEM_lengths]++;
		return;
	}
	memcpy(&ordinal, p + WIRE_HEAD_BYTES + 8, 8);
	const struct wire_sender *sender = &verify->senders[ordinal % verify->sender_count];
	if (ordinal >= ORDINALS_MAX || receiver / verify->receivers != ordinal % verify->sender_count / verify->per_room) {
		verify->problem[PROBLEM_stranger]++;
		return;
	}
	uint64_t bit = ordinal * verify->receivers + receiver % verify->receivers;
	check(verify, PROBLEM_doubled, !(verify->seen[bit / 8] >> bit % 8 & 1));
	verify->seen[bit / 8] |= (uint8_t)(1 << bit % 8);
	if (ordinal + 1 > verify->ordinals)
		verify->ordinals = ordinal + 1;
	check(verify, PROBLEM_handle, get_be(p, 4) == sender->handle && get_be(p + 24, 4) >> 8 == sender->index);
	uint64_t tag = (uint64_t)get_be(p + 8, 4) << 32 | get_be(p + 12, 4);
	check(verify, PROBLEM_tag, packet_tag((const uint8_t *)sender->key, p, size) == tag);
	const uint8_t *t = verify->template;
	check(verify, PROBLEM_header, memcmp(p + 16, t + 16, 2) == 0 && memcmp(p + 28, t + 28, 12) == 0);
	size_t rest = WIRE_HEAD_BYTES + WIRE_STAMP_BYTES;
	check(verify, PROBLEM_payload, memcmp(p + rest, t + rest, size - rest) == 0);
}

static void check_frame(struct verify *verify, const uint8_t *frame, size_t size, const struct virtio_net_hdr *offload)
{
	if (size < WIRE_FRAME_MIN || get_be(frame + 12, 2) != ETH_P_IP || frame[23] != IPPROTO_UDP)
		return;
	uint32_t receiver = get_be(frame + 36, 2) - WIRE_RECEIVER_PORT;
	if (receiver >= WIRE_RECEIVERS_MAX || frame[WIRE_HEADERS_BYTES] >> 6 != PACKET_MEDIA)
		return;
	verify->frames++;
	check_headers(verify, frame, size, offload, receiver);
	size_t segment = offload->gso_type != VIRTIO_NET_HDR_GSO_NONE ? offload->gso_size : size - WIRE_HEADERS_BYTES;
	verify->trains += offload->gso_type != VIRTIO_NET_HDR_GSO_NONE;
	for (size_t at = WIRE_HEADERS_BYTES; at < size && segment > 0; at += segment)
		check_payload(verify, frame + at, segment < size - at ? segment : size - at, receiver);
}

static int open_capture(void)
{
	int yes = 1, buffer = BUFFER_BYTES;
	struct timeval patience = { 0, 50000 };
	lab_enter(LAB_RECEIVERS);
	// All protocols: such a tap sees frames before the sink, which drops them.
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	struct sockaddr_ll where = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)lab_device("hc0") };
	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &yes, sizeof(yes)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 || bind(fd, (struct sockaddr *)&where, sizeof(where)) != 0)
		lab_die("capture");
	return fd;
}

// Packets that not everybody got.
static uint64_t count_missing(const struct verify *verify)
{
	uint64_t missing = 0;
	for (uint64_t bit = 0; bit < verify->ordinals * verify->receivers; bit++)
		missing += !(verify->seen[bit / 8] >> bit % 8 & 1);
	return missing;
}

static int verify_run(struct verify *verify)
{
	static uint8_t bytes[sizeof(struct virtio_net_hdr) + CAPTURE_BYTES];
	struct tpacket_stats stats = { 0 };
	socklen_t stats_size = sizeof(stats);
	verify->seen = calloc((size_t)ORDINALS_MAX / 8, verify->receivers);
	if (!verify->seen)
		lab_die("memory");
	senders_template(verify->template, verify->size);
	int fd = open_capture();
	puts("ready");
	fflush(stdout);
	for (uint64_t end = lab_now_ns() + (uint64_t)(verify->seconds * 1e9); lab_now_ns() < end;) {
		ssize_t got = recv(fd, bytes, sizeof(bytes), 0);
		struct virtio_net_hdr offload;
		memcpy(&offload, bytes, sizeof(offload));
		if (got > (ssize_t)sizeof(offload))
			check_frame(verify, bytes + sizeof(offload), (size_t)got - sizeof(offload), &offload);
	}
	getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &stats_size);
	close(fd);
	uint64_t bad = 0, missing = count_missing(verify);
	printf("{\"copies\":%" PRIu64 ",\"packets\":%" PRIu64 ",\"frames\":%" PRIu64 ",\"trains\":%" PRIu64 ",\"missing\":%" PRIu64 ",\"capture_lost\":%u",
	       verify->copies, verify->ordinals, verify->frames, verify->trains, missing, stats.tp_drops);
	for (int i = 0; i < PROBLEM_KINDS; i++) {
		printf(",\"%s\":%" PRIu64, problem_names[i], verify->problem[i]);
		bad += verify->problem[i];
	}
	printf(",\"bad\":%" PRIu64 "}\n", bad);
	free(verify->seen);
	return bad || missing || !verify->copies ? 1 : 0;
}

int verify_main(int argc, char **argv)
{
	static const struct option rows[] = { { "senders", 1, NULL, 's' }, { "receivers", 1, NULL, 'n' }, { "bytes", 1, NULL, 'l' },
					      { "seconds", 1, NULL, 't' }, { "senders-per-room", 1, NULL, 'm' }, { "use", 1, NULL, 'u' }, { NULL, 0, NULL, 0 } };
	static struct verify verify = { .receivers = 1, .size = 1142 - WIRE_HEADERS_BYTES, .seconds = 1, .sender_count = 1, .per_room = 1 };
	int option;
	size_t use = WIRE_SENDERS_MAX;
	verify.senders[0] = senders_anybody();
	while ((option = getopt_long(argc, argv, "", rows, NULL)) != -1) {
		switch (option) {
		case 's':
			if (!senders_read(optarg, verify.senders, &verify.sender_count))
				return 1;
			break;
		case 'n': verify.receivers = (uint32_t)lab_number("--receivers", optarg, WIRE_RECEIVERS_MAX); break;
		case 'l': verify.size = lab_number("--bytes", optarg, WIRE_FRAME_MAX) - WIRE_HEADERS_BYTES; break;
		case 't': verify.seconds = strtod(optarg, NULL); break;
		case 'm': verify.per_room = (uint32_t)lab_number("--senders-per-room", optarg, WIRE_SENDERS_MAX); break;
		case 'u': use = lab_number("--use", optarg, WIRE_SENDERS_MAX); break;
		default: verify.receivers = 0;
		}
	}
	if (verify.sender_count > use)
		verify.sender_count = use;
	if (verify.receivers == 0 || verify.per_room == 0 || verify.sender_count == 0 || verify.size < WIRE_FRAME_MIN - WIRE_HEADERS_BYTES || verify.size > WIRE_FRAME_MAX) {
		fputs("usage: bench_relay verify [--senders FILE] [--receivers N] [--bytes FRAME] [--seconds S]\n"
		      "  [--senders-per-room S] [--use K]   as crowd and measure have it\n"
		      "Says \"ready\", then JSON when the time is over; fails if a copy is wrong, missing or there twice.\n", stderr);
		return 2;
	}
	return verify_run(&verify);
}
