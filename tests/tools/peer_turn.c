// A TURN client (RFC 8656) for the benchmark: makes an allocation and binds a channel to a peer, then leaves both alone;
// who sends ChannelData from the same address afterwards reaches the peer. SPDX-License-Identifier: Apache-2.0
#include "tests/tools/stun.h"

#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { TRIES = 10, CHANNEL = 0x4000 };

static int fail(const char *what)
{
	fprintf(stderr, "peer_turn: %s: %s\n", what, strerror(errno));
	return 1;
}

static bool parse_address(const char *host, const char *port, struct sockaddr_in *out)
{
	uint64_t number;
	*out = (struct sockaddr_in){ .sin_family = AF_INET };
	if (inet_pton(AF_INET, host, &out->sin_addr) != 1 || text_u64_parse(port, 1, 65535, &number))
		return false;
	out->sin_port = htons((uint16_t)number);
	return true;
}

// Send until an answer to it comes; false if it is not the wanted one.
static bool ask(int fd, const struct stun *request, uint16_t wanted)
{
	uint8_t answer[STUN_MESSAGE_MAX];
	for (int i = 0; i < TRIES; i++) {
		if (send(fd, request->bytes, request->size, 0) < 0 && errno != ECONNREFUSED)
			return false;
		ssize_t size = recv(fd, answer, sizeof(answer), 0);
		if (size < 0 || !stun_is(answer, (size_t)size) || memcmp(answer + 8, request->bytes + 8, 12) != 0)
			continue;
		errno = stun_type(answer) == wanted ? 0 : EPROTO;
		return errno == 0;
	}
	errno = ETIMEDOUT;
	return false;
}

static void begin(struct stun *request, uint16_t type)
{
	uint8_t transaction[12];
	if (getrandom(transaction, sizeof(transaction), 0) != sizeof(transaction))
		abort();
	stun_begin(request, type, transaction);
}

static bool bind_channel(int fd, const struct sockaddr_in *peer)
{
	struct stun request;
	begin(&request, STUN_ALLOCATE);
	*stun_add(&request, STUN_REQUESTED_TRANSPORT, 4) = IPPROTO_UDP;
	stun_put32(stun_add(&request, STUN_LIFETIME, 4), 600);
	if (!ask(fd, &request, STUN_ALLOCATE_SUCCESS))
		return false;
	begin(&request, STUN_CHANNEL_BIND);
	stun_put16(stun_add(&request, STUN_CHANNEL_NUMBER, 4), CHANNEL);
	stun_add_address(&request, STUN_XOR_PEER_ADDRESS, peer);
	return ask(fd, &request, STUN_CHANNEL_BIND_SUCCESS);
}

int main(int argc, char **argv)
{
	struct sockaddr_in own, server, peer;
	const struct timeval wait = { .tv_usec = 200000 };
	if (argc != 7 || !parse_address(argv[1], argv[2], &own) || !parse_address(argv[3], argv[4], &server) ||
	    !parse_address(argv[5], argv[6], &peer)) {
		fputs("usage: peer_turn OWN-ADDRESS PORT SERVER-ADDRESS PORT PEER-ADDRESS PORT\n", stderr);
		return 2;
	}
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof(own)) != 0 || connect(fd, (struct sockaddr *)&server, sizeof(server)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0)
		return fail("socket");
	bool is_bound = bind_channel(fd, &peer);
	int status = is_bound ? 0 : fail("the TURN server did not bind a channel");
	close(fd);
	return status;
}
