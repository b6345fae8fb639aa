// Hostile traffic: garbage, half hellos and forged media at a given rate, over UDP, TCP and UNIX sockets.
// It says what came back, so that a test can see whether a server can be made to amplify.
// SPDX-License-Identifier: Apache-2.0
#include "base/packet.h"
#include "tests/tools/pcap.h"
#include "tests/tools/train.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1000, BURST = 64, BYTES_MAX = 4096 };

static const char usage_text[] =
	"usage: blast udp ADDRESS PORT KIND RATE SECONDS SEED          KIND random, media, hop, short; RATE packets/s\n"
	"       blast udp ADDRESS PORT capture:FILE RATE SECONDS SEED  the datagrams of a capture to that port, in turn\n"
	"       blast udp ADDRESS PORT forged:FILE RATE SECONDS SEED   the same with other counters than their tags are for\n"
	"       blast udp ... SEED SOURCE_PORT                         from this port\n"
	"       blast tcp ADDRESS PORT KIND CONNECTIONS SECONDS SEED   KIND random, hello, half-hello, silent\n"
	"       blast unix PATH - KIND CONNECTIONS SECONDS SEED\n"
	"       blast seqpacket PATH - KIND CONNECTIONS SECONDS SEED\n"
	"Prints JSON: sent, bytes_out, bytes_in, connections, refused.\n";

enum kind { KIND_RANDOM, KIND_MEDIA, KIND_HOP, KIND_SHORT, KIND_HELLO, KIND_HALF_HELLO, KIND_SILENT, KIND_CAPTURE, KIND_FORGED, KINDS };
static const char *const kind_names[KINDS] = { "random", "media", "hop", "short", "hello", "half-hello", "silent", "capture:", "forged:" };

struct target {
	struct sockaddr_storage any;
	socklen_t size;
	int type;
	uint16_t source_port; // 0: any
};

struct totals {
	uint64_t sent, bytes_out, bytes_in, connections, refused;
};

static uint64_t random_state;
static struct pcap capture;
static struct pcap_datagram train; // of the capture: what was not sent again yet of one that was captured whole
static uint16_t capture_port; // datagrams to this port are sent again

static uint64_t random_u64(void) // xorshift64*
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1d;
}

static void fill_random(uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(random_u64() >> 32);
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void write_u32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

// A datagram as a member would send it, but for the tag: small handles, rising counters, true SSRCs.
static size_t make_media(uint8_t *bytes, enum packet_type type)
{
	static uint32_t counter;
	uint32_t index = (uint32_t)(random_u64() % 8);
	size_t size = PACKET_MEDIA_MIN_BYTES + random_u64() % (PACKET_MAX_BYTES - PACKET_MEDIA_MIN_BYTES);
	struct packet_rtp rtp = {
		.ssrc = packet_ssrc(index, (uint8_t)(random_u64() % 2)),
		.sequence = (uint16_t)counter,
		.timestamp = counter * 960,
		.payload_type = PACKET_PT_OPUS,
		.is_frame_start = true,
		.is_frame_end = true,
	};
	fill_random(bytes, size);
	write_u32(bytes, packet_handle(type, (uint32_t)(random_u64() % 4), index));
	write_u32(bytes + 4, ++counter);
	packet_rtp_emit(&rtp, bytes + PACKET_HEADER_BYTES);
	return size;
}

// The start of a TLS record with a ClientHello in it, then garbage.
static size_t make_hello(uint8_t *bytes)
{
	static const uint8_t head[] = { 0x16, 3, 1, 5, 0xdc, 1, 0, 5, 0xd8, 3, 3 };
	size_t size = 1500;
	fill_random(bytes, size);
	memcpy(bytes, head, sizeof(head));
	return size;
}

static size_t next_of_train(uint8_t *bytes)
{
	size_t size = train_segment_bytes(train.payload, train.size);
	if (size > BYTES_MAX)
		size = BYTES_MAX; // nothing that we know: its beginning
	memcpy(bytes, train.payload, size);
	train.payload += size;
	train.size -= size;
	return size;
}

// The next datagram of the capture to our port; from the start again after the last. 0: there is none.
static size_t next_captured(uint8_t *bytes)
{
	for (int turn = 0; turn < 2; turn++) {
		if (train.size > 0)
			return next_of_train(bytes);
		while (pcap_next(&capture, &train)) {
			if (train.to_port == capture_port && train.size > 0)
				return next_of_train(bytes);
		}
		train.size = 0;
		capture.at = PCAP_HEADER_BYTES;
	}
	return 0;
}

// As a member sent it, with a counter that is still to come, so that only the tag tells.
static size_t make_forged(uint8_t *bytes)
{
	size_t size = next_captured(bytes);
	if (size >= PACKET_HEADER_BYTES)
		bytes[5] ^= 0x10;
	return size;
}

static size_t make(enum kind kind, uint8_t *bytes)
{
	size_t size = 1 + random_u64() % 1400;
	switch (kind) {
	case KIND_MEDIA:
		return make_media(bytes, PACKET_MEDIA);
	case KIND_HOP:
		return make_media(bytes, PACKET_HOP);
	case KIND_SHORT:
		size = random_u64() % (PACKET_HOP_MIN_BYTES + 1);
		break;
	case KIND_HELLO:
		return make_hello(bytes);
	case KIND_HALF_HELLO:
		make_hello(bytes);
		return 1 + random_u64() % 700;
	case KIND_SILENT:
		return 0;
	case KIND_CAPTURE:
		return next_captured(bytes);
	case KIND_FORGED:
		return make_forged(bytes);
	case KIND_RANDOM:
	case KINDS:
		break;
	}
	fill_random(bytes, size);
	return size;
}

static int open_socket(const struct target *target)
{
	int fd = socket(target->any.ss_family, target->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	struct sockaddr_in6 from = { .sin6_family = AF_INET6, .sin6_port = htons(target->source_port) };
	struct sockaddr_in from_v4 = { .sin_family = AF_INET, .sin_port = htons(target->source_port) };
	bool is_v4 = target->any.ss_family == AF_INET;
	if (target->source_port &&
	    bind(fd, is_v4 ? (struct sockaddr *)&from_v4 : (struct sockaddr *)&from, is_v4 ? sizeof(from_v4) : sizeof(from)) < 0) {
		close(fd);
		return -1;
	}
	if (connect(fd, (const struct sockaddr *)&target->any, target->size) < 0 && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

// Bytes that are there; -1 when the peer has closed.
static ssize_t drain(int fd)
{
	uint8_t bytes[BYTES_MAX];
	ssize_t total = 0, got;
	while ((got = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		total += got;
	return got == 0 || (errno != EAGAIN && errno != EINTR) ? -1 : total;
}

static void nap(uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };
	nanosleep(&t, NULL);
}

static void blast_datagrams(const struct target *target, enum kind kind, uint64_t rate, uint64_t end_ns, struct totals *totals)
{
	int fd = open_socket(target);
	if (fd < 0) {
		totals->refused++;
		return;
	}
	uint64_t start_ns = now_ns(), done = 0;
	for (uint64_t now; (now = now_ns()) < end_ns;) {
		uint64_t due = (now - start_ns) * rate / 1000000000;
		for (int i = 0; i < BURST && done < due; i++, done++) {
			uint8_t bytes[BYTES_MAX];
			size_t size = make(kind, bytes);
			if (send(fd, bytes, size, 0) >= 0) {
				totals->sent++;
				totals->bytes_out += size;
			} else {
				totals->refused++;
			}
		}
		uint8_t in[BYTES_MAX];
		for (ssize_t got; (got = recv(fd, in, sizeof(in), 0)) > 0;)
			totals->bytes_in += (uint64_t)got;
		if (done >= due)
			nap(500000);
	}
	close(fd);
}

struct connection {
	int fd;
	bool has_sent;
};

static void open_connection(struct connection *c, const struct target *target, struct totals *totals)
{
	*c = (struct connection){ .fd = open_socket(target) };
	if (c->fd < 0)
		totals->refused++;
	else
		totals->connections++;
}

// Send once, when connected; then take what comes until the peer closes, and begin again.
static void serve_connection(struct connection *c, enum kind kind, struct totals *totals)
{
	uint8_t bytes[BYTES_MAX];
	if (!c->has_sent) {
		size_t size = make(kind, bytes);
		ssize_t done = size ? send(c->fd, bytes, size, MSG_NOSIGNAL) : 0;
		if (done < 0 && errno == EAGAIN)
			return;
		c->has_sent = true;
		totals->sent += done > 0;
		totals->bytes_out += done > 0 ? (uint64_t)done : 0;
	}
	ssize_t in = drain(c->fd);
	if (in > 0)
		totals->bytes_in += (uint64_t)in;
	if (in < 0) {
		close(c->fd);
		c->fd = -1;
	}
}

static void blast_connections(const struct target *target, enum kind kind, size_t count, uint64_t end_ns, struct totals *totals)
{
	static struct connection connections[CONNECTIONS_MAX];
	for (size_t i = 0; i < count; i++)
		connections[i].fd = -1;
	while (now_ns() < end_ns) {
		for (size_t i = 0; i < count; i++) {
			if (connections[i].fd < 0)
				open_connection(&connections[i], target, totals);
			if (connections[i].fd >= 0)
				serve_connection(&connections[i], kind, totals);
		}
		nap(2000000);
	}
	for (size_t i = 0; i < count; i++) {
		if (connections[i].fd >= 0)
			close(connections[i].fd);
	}
}

// ---------------------------------------------------------------- command line

static bool parse_number(const char *text, uint64_t max, uint64_t *out)
{
	char *end;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return !errno && end != text && !*end && *text != '-' && *out >= 1 && *out <= max;
}

static bool parse_target(char **argv, struct target *out)
{
	struct sockaddr_un *local = (struct sockaddr_un *)&out->any;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&out->any;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->any;
	uint64_t port;
	*out = (struct target){ .type = strcmp(argv[1], "udp") == 0 ? SOCK_DGRAM :
					strcmp(argv[1], "seqpacket") == 0 ? SOCK_SEQPACKET : SOCK_STREAM };
	if (strcmp(argv[1], "unix") == 0 || strcmp(argv[1], "seqpacket") == 0) {
		local->sun_family = AF_UNIX;
		out->size = sizeof(*local);
		return snprintf(local->sun_path, sizeof(local->sun_path), "%s", argv[2]) < (int)sizeof(local->sun_path);
	}
	if ((strcmp(argv[1], "udp") != 0 && strcmp(argv[1], "tcp") != 0) || !parse_number(argv[3], 65535, &port))
		return false;
	if (inet_pton(AF_INET, argv[2], &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		out->size = sizeof(*v4);
		return true;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)port);
	out->size = sizeof(*v6);
	return inet_pton(AF_INET6, argv[2], &v6->sin6_addr) == 1;
}

static bool open_capture(const char *path, const char *port)
{
	uint64_t number;
	uint8_t bytes[BYTES_MAX];
	if (!parse_number(port, 65535, &number) || pcap_read(path, &capture)) {
		fprintf(stderr, "blast: %s: no capture of tcpdump\n", path);
		return false;
	}
	capture_port = (uint16_t)number;
	if (next_captured(bytes))
		return true;
	fprintf(stderr, "blast: %s: no datagram to port %u\n", path, capture_port);
	return false;
}

static bool parse_kind(const char *text, const char *port, enum kind *out)
{
	for (int i = 0; i < KINDS; i++) {
		size_t length = strlen(kind_names[i]);
		*out = (enum kind)i;
		bool is_file = *out == KIND_CAPTURE || *out == KIND_FORGED;
		if (is_file && strncmp(text, kind_names[i], length) == 0)
			return open_capture(text + length, port);
		if (!is_file && strcmp(text, kind_names[i]) == 0)
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct target target;
	enum kind kind;
	uint64_t amount, seconds, source_port = 0;
	if (argc < 8 || argc > 9 || (argc == 9 && !parse_number(argv[8], 65535, &source_port)) || !parse_target(argv, &target) || !parse_kind(argv[4], argv[3], &kind) || !parse_number(argv[5], 1000000, &amount) ||
	    !parse_number(argv[6], 3600, &seconds) || !parse_number(argv[7], UINT64_MAX, &random_state) ||
	    (target.type != SOCK_DGRAM && amount > CONNECTIONS_MAX)) {
		fputs(usage_text, stderr);
		return 2;
	}
	target.source_port = (uint16_t)source_port;
	struct totals totals = { 0 };
	uint64_t end_ns = now_ns() + seconds * 1000000000;
	if (target.type == SOCK_DGRAM)
		blast_datagrams(&target, kind, amount, end_ns, &totals);
	else
		blast_connections(&target, kind, amount, end_ns, &totals);
	pcap_fini(&capture);
	printf("{\"sent\":%" PRIu64 ",\"bytes_out\":%" PRIu64 ",\"bytes_in\":%" PRIu64 ",\"connections\":%" PRIu64 ",\"refused\":%" PRIu64 "}\n",
	       totals.sent, totals.bytes_out, totals.bytes_in, totals.connections, totals.refused);
	return 0;
}
