// Lets a client that sends to an IPv6 address be one of IPv4 to the relay: what comes to a UDP port of the loopback address
// goes on from a socket of that family, answers go to who asked last. For one client.
// SPDX-License-Identifier: Apache-2.0
//
//   family PORT TO_ADDRESS TO_PORT SECONDS     prints what passed as JSON
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SIZE_MAX_BYTES = 2048, BURST = 64, BUFFER_BYTES = 4 << 20 };

struct passed {
	uint64_t there, back, refused;
};

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool parse_number(const char *text, long max, long *out)
{
	char *end;
	errno = 0;
	*out = strtol(text, &end, 10);
	return !errno && end != text && !*end && *out >= 1 && *out <= max;
}

static int open_socket(int family)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), bytes = BUFFER_BYTES;
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	return fd;
}

static int listen_at(long port)
{
	// Where nft redirects to, so that answers come from there.
	struct sockaddr_in6 own = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = open_socket(AF_INET6);
	return fd >= 0 && bind(fd, (const struct sockaddr *)&own, sizeof(own)) == 0 ? fd : -1;
}

static int reach(const char *address, long port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
	if (!is_v4 && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1) {
		errno = EINVAL;
		return -1;
	}
	int fd = open_socket(is_v4 ? AF_INET : AF_INET6);
	const struct sockaddr *to = is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
	return fd >= 0 && connect(fd, to, is_v4 ? sizeof(v4) : sizeof(v6)) == 0 ? fd : -1;
}

static void pass(int inside, int outside, struct sockaddr_in6 *client, struct passed *passed)
{
	uint8_t bytes[SIZE_MAX_BYTES];
	ssize_t size;
	socklen_t length = sizeof(*client);
	for (int i = 0; i < BURST && (size = recvfrom(inside, bytes, sizeof(bytes), 0, (struct sockaddr *)client, &length)) >= 0; i++) {
		if (send(outside, bytes, (size_t)size, 0) == size)
			passed->there++;
		else
			passed->refused++;
	}
	for (int i = 0; i < BURST && (size = recv(outside, bytes, sizeof(bytes), 0)) >= 0; i++) {
		if (sendto(inside, bytes, (size_t)size, 0, (const struct sockaddr *)client, sizeof(*client)) == size)
			passed->back++;
		else
			passed->refused++;
	}
}

int main(int argc, char **argv)
{
	long port, to_port, seconds;
	if (argc != 5 || !parse_number(argv[1], 65535, &port) || !parse_number(argv[3], 65535, &to_port) ||
	    !parse_number(argv[4], 3600, &seconds)) {
		fputs("usage: family PORT TO_ADDRESS TO_PORT SECONDS\n", stderr);
		return 2;
	}
	struct pollfd fds[2] = { { .fd = listen_at(port), .events = POLLIN }, { .fd = reach(argv[2], to_port), .events = POLLIN } };
	if (fds[0].fd < 0 || fds[1].fd < 0) {
		perror("family");
		return 1;
	}
	struct sockaddr_in6 client = { 0 };
	struct passed passed = { 0 };
	for (uint64_t end = now_ms() + (uint64_t)seconds * 1000, now; (now = now_ms()) < end;) {
		if (poll(fds, 2, (int)(end - now)) > 0)
			pass(fds[0].fd, fds[1].fd, &client, &passed);
	}
	printf("{\"there\":%" PRIu64 ",\"back\":%" PRIu64 ",\"refused\":%" PRIu64 "}\n", passed.there, passed.back, passed.refused);
	return 0;
}
