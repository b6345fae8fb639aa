// What ping would tell, over UDP and TCP: loss, duplicates, order, round-trip times, gaps; and the echo for it.
// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SIZE_MAX_BYTES = 65000, COUNT_MAX = 100000, LINGER_MS = 1000, CONNECTIONS_MAX = 32 };

static const char usage_text[] =
	"usage: probe echo ADDRESS PORT SECONDS\n"
	"       probe udp|tcp ADDRESS PORT COUNT INTERVAL_MS SIZE\n"
	"The first answers UDP and TCP there; the second sends COUNT numbered messages there and prints JSON:\n"
	"sent, received, duplicates, reordered, rtt_p50_ms, rtt_max_ms, gap_max_ms, error.\n";

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool parse_number(const char *text, long min, long max, long *out)
{
	char *end;
	errno = 0;
	*out = strtol(text, &end, 10);
	return !errno && end != text && !*end && *out >= min && *out <= max;
}

struct address {
	struct sockaddr_storage any;
	socklen_t size;
};

static bool parse_address(const char *text, const char *port_text, struct address *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&out->any;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->any;
	long port;
	*out = (struct address){ 0 };
	if (!parse_number(port_text, 1, 65535, &port))
		return false;
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		out->size = sizeof(*v4);
		return true;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)port);
	out->size = sizeof(*v6);
	return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1;
}

// ---------------------------------------------------------------- echo

static int listen_on(int type, const struct address *address)
{
	int fd = socket(address->any.ss_family, type | SOCK_CLOEXEC, 0), yes = 1;
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)); // accepted sockets inherit it
	if (bind(fd, (const struct sockaddr *)&address->any, address->size) < 0 || (type == SOCK_STREAM && listen(fd, 16) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void echo_datagram(int fd)
{
	static uint8_t bytes[SIZE_MAX_BYTES];
	struct sockaddr_storage from;
	socklen_t from_size = sizeof(from);
	ssize_t size = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &from_size);
	if (size >= 0 && sendto(fd, bytes, (size_t)size, 0, (struct sockaddr *)&from, from_size) < 0)
		perror("probe: sendto");
}

// False when the connection is over.
static bool echo_stream(int fd)
{
	static uint8_t bytes[SIZE_MAX_BYTES];
	ssize_t size = recv(fd, bytes, sizeof(bytes), 0);
	return size > 0 && send(fd, bytes, (size_t)size, MSG_NOSIGNAL) == size;
}

static int echo(const struct address *address, long seconds)
{
	struct pollfd fds[2 + CONNECTIONS_MAX] = { { .fd = listen_on(SOCK_DGRAM, address), .events = POLLIN },
						   { .fd = listen_on(SOCK_STREAM, address), .events = POLLIN } };
	nfds_t count = 2;
	if (fds[0].fd < 0 || fds[1].fd < 0) {
		perror("probe: echo");
		return 1;
	}
	uint64_t end = now_ns() + (uint64_t)seconds * 1000000000, now;
	while ((now = now_ns()) < end) {
		if (poll(fds, count, (int)((end - now) / 1000000) + 1) <= 0)
			continue;
		if (fds[0].revents)
			echo_datagram(fds[0].fd);
		for (nfds_t i = count - 1; i >= 2; i--) {
			if (!fds[i].revents || echo_stream(fds[i].fd))
				continue;
			close(fds[i].fd);
			fds[i] = fds[--count];
		}
		int fd = fds[1].revents ? accept(fds[1].fd, NULL, NULL) : -1;
		if (fd >= 0 && count < 2 + CONNECTIONS_MAX)
			fds[count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
		else if (fd >= 0)
			close(fd);
	}
	return 0;
}

// ---------------------------------------------------------------- probing

struct message {
	uint64_t sent_ns;
	uint32_t ordinal;
};

struct probe {
	int fd;
	bool is_stream;
	long count, interval_ms, size;
	uint8_t *seen;
	double *rtt_ms;
	long sent, received, duplicates, reordered;
	int64_t highest;
	uint64_t last_ns, gap_max_ns;
	size_t partial; // bytes of an unfinished message of a stream
	uint8_t buffer[SIZE_MAX_BYTES];
};

static void take_message(struct probe *probe, const uint8_t *bytes)
{
	struct message message;
	uint64_t now = now_ns();
	memcpy(&message, bytes, sizeof(message));
	if (message.ordinal >= (uint32_t)probe->count)
		return;
	if (probe->last_ns && now - probe->last_ns > probe->gap_max_ns)
		probe->gap_max_ns = now - probe->last_ns;
	probe->last_ns = now;
	if (probe->seen[message.ordinal]++) {
		probe->duplicates++;
		return;
	}
	probe->reordered += message.ordinal < probe->highest;
	if (message.ordinal > probe->highest)
		probe->highest = message.ordinal;
	probe->rtt_ms[probe->received++] = (double)(now - message.sent_ns) / 1e6;
}

// False when the peer is gone.
static bool receive(struct probe *probe)
{
	ssize_t got = recv(probe->fd, probe->buffer + probe->partial, sizeof(probe->buffer) - probe->partial, MSG_DONTWAIT);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR || !probe->is_stream; // UDP: ICMP errors are no end
	if (!probe->is_stream) {
		if (got == probe->size)
			take_message(probe, probe->buffer);
		return true;
	}
	probe->partial += (size_t)got;
	size_t at = 0, size = (size_t)probe->size;
	for (; at + size <= probe->partial; at += size)
		take_message(probe, probe->buffer + at);
	memmove(probe->buffer, probe->buffer + at, probe->partial - at);
	probe->partial -= at;
	return got > 0;
}

static bool wait_until(struct probe *probe, uint64_t until_ns)
{
	for (uint64_t now; (now = now_ns()) < until_ns && probe->received < probe->count;) {
		struct pollfd fd = { .fd = probe->fd, .events = POLLIN };
		uint64_t left = until_ns - now;
		struct timespec timeout = { .tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000) };
		if (ppoll(&fd, 1, &timeout, NULL) > 0 && !receive(probe))
			return false;
	}
	return true;
}

static const char *run(struct probe *probe)
{
	static uint8_t bytes[SIZE_MAX_BYTES];
	uint64_t start = now_ns();
	for (long i = 0; i < probe->count; i++) {
		struct message message = { .sent_ns = now_ns(), .ordinal = (uint32_t)i };
		memcpy(bytes, &message, sizeof(message));
		// One refused datagram (an ICMP error of an earlier one) is a loss, not the end.
		if (send(probe->fd, bytes, (size_t)probe->size, MSG_NOSIGNAL) == probe->size)
			probe->sent++;
		else if (probe->is_stream)
			return strerror(errno);
		if (!wait_until(probe, start + (uint64_t)(i + 1) * (uint64_t)probe->interval_ms * 1000000))
			return "connection ended";
	}
	return wait_until(probe, now_ns() + (uint64_t)LINGER_MS * 1000000) ? NULL : "connection ended";
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void report(struct probe *probe, const char *error)
{
	qsort(probe->rtt_ms, (size_t)probe->received, sizeof(double), compare);
	double p50 = probe->received ? probe->rtt_ms[probe->received / 2] : 0, max = probe->received ? probe->rtt_ms[probe->received - 1] : 0;
	printf("{\"sent\":%ld,\"received\":%ld,\"duplicates\":%ld,\"reordered\":%ld,\"rtt_p50_ms\":%.3f,\"rtt_max_ms\":%.3f,"
	       "\"gap_max_ms\":%.3f,\"error\":\"%s\"}\n",
	       probe->sent, probe->received, probe->duplicates, probe->reordered, p50, max, (double)probe->gap_max_ns / 1e6, error ? error : "");
}

static int connect_to(const struct address *address, bool is_stream)
{
	int fd = socket(address->any.ss_family, (is_stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0), yes = 1;
	struct timeval patience = { .tv_sec = 3 };
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (is_stream)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	if (connect(fd, (const struct sockaddr *)&address->any, address->size) < 0) {
		int why = errno;
		close(fd);
		errno = why;
		return -1;
	}
	return fd;
}

static int probe_run(char **argv, const struct address *address)
{
	static struct probe probe = { .highest = -1 };
	probe.is_stream = strcmp(argv[1], "tcp") == 0;
	if (!parse_number(argv[4], 1, COUNT_MAX, &probe.count) || !parse_number(argv[5], 0, 60000, &probe.interval_ms) ||
	    !parse_number(argv[6], sizeof(struct message), SIZE_MAX_BYTES / 2, &probe.size)) {
		fputs(usage_text, stderr);
		return 2;
	}
	probe.seen = calloc((size_t)probe.count, 1);
	probe.rtt_ms = calloc((size_t)probe.count, sizeof(*probe.rtt_ms));
	probe.fd = probe.seen && probe.rtt_ms ? connect_to(address, probe.is_stream) : -1;
	const char *error = probe.fd < 0 ? strerror(errno) : run(&probe);
	if (probe.rtt_ms)
		report(&probe, error);
	if (probe.fd >= 0)
		close(probe.fd);
	free(probe.seen);
	free(probe.rtt_ms);
	return error ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct address address;
	long seconds;
	if (argc >= 5 && parse_address(argv[2], argv[3], &address)) {
		if (argc == 5 && strcmp(argv[1], "echo") == 0 && parse_number(argv[4], 1, 3600, &seconds))
			return echo(&address, seconds);
		if (argc == 7 && (strcmp(argv[1], "udp") == 0 || strcmp(argv[1], "tcp") == 0))
			return probe_run(argv, &address);
	}
	fputs(usage_text, stderr);
	return 2;
}
