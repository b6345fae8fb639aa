// SPDX-License-Identifier: Apache-2.0
#include "client/engine/transport/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <unistd.h>

enum { NOTSENT_LOWAT_BYTES = 16384 };

void dial_init(struct dial *dial, const struct resolve_answer *addresses)
{
	*dial = (struct dial){ .addresses = *addresses, .problem = ENOENT };
	for (size_t i = 0; i < RESOLVE_ADDRESSES_MAX; i++)
		dial->sockets[i] = -1;
}

static void drop(struct dial *dial, size_t i)
{
	if (dial->sockets[i] >= 0)
		close(dial->sockets[i]);
	dial->sockets[i] = -1;
}

void dial_fini(struct dial *dial)
{
	for (size_t i = 0; i < RESOLVE_ADDRESSES_MAX; i++)
		drop(dial, i);
}

size_t dial_poll(const struct dial *dial, struct pollfd *out)
{
	size_t count = 0;
	for (size_t i = 0; i < dial->next; i++) {
		if (dial->sockets[i] >= 0)
			out[count++] = (struct pollfd){ .fd = dial->sockets[i], .events = POLLOUT };
	}
	return count;
}

int dial_timeout_ms(const struct dial *dial, uint64_t now_ms)
{
	if (dial->next == dial->addresses.count)
		return -1;
	return dial->next_attempt_ms > now_ms ? (int)(dial->next_attempt_ms - now_ms) : 0;
}

static socklen_t address_size(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

// Media shares this connection: nothing may wait in it for the sake of fuller segments or a deeper queue.
static void set_options(int fd)
{
	int on = 1, lowat = NOTSENT_LOWAT_BYTES;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat));
}

static void attempt(struct dial *dial, uint64_t now_ms)
{
	const struct sockaddr_storage *address = &dial->addresses.address[dial->next];
	int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	dial->next_attempt_ms = now_ms + DIAL_ATTEMPT_DELAY_MS;
	if (fd >= 0)
		set_options(fd);
	if (fd < 0 || (connect(fd, (const struct sockaddr *)address, address_size(address)) != 0 && errno != EINPROGRESS)) {
		dial->problem = errno;
		dial->next_attempt_ms = now_ms;
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	dial->sockets[dial->next++] = fd;
}

// True if the attempt has ended, well or not; the socket stays only if well.
static bool has_connected(struct dial *dial, size_t i)
{
	struct pollfd poll_fd = { .fd = dial->sockets[i], .events = POLLOUT };
	int problem = 0;
	socklen_t size = sizeof(problem);
	if (dial->sockets[i] < 0 || poll(&poll_fd, 1, 0) != 1)
		return false;
	if (getsockopt(dial->sockets[i], SOL_SOCKET, SO_ERROR, &problem, &size) != 0)
		problem = errno;
	if (!problem)
		return true;
	dial->problem = problem;
	dial->next_attempt_ms = 0;
	drop(dial, i);
	return false;
}

enum err dial_step(struct dial *dial, uint64_t now_ms, int *out)
{
	for (;;) {
		bool is_any_open = false;
		for (size_t i = 0; i < dial->next; i++) {
			if (has_connected(dial, i)) {
				*out = dial->sockets[i];
				dial->sockets[i] = -1;
				dial_fini(dial);
				return ERR_OK;
			}
			is_any_open |= dial->sockets[i] >= 0;
		}
		if (dial->next == dial->addresses.count)
			return is_any_open ? ERR_AGAIN : ERR_IO;
		if (is_any_open && now_ms < dial->next_attempt_ms)
			return ERR_AGAIN;
		attempt(dial, now_ms);
	}
}
