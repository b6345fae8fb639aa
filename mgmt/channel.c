// SPDX-License-Identifier: Apache-2.0
#include "mgmt/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum err channel_pair(int fd[static 2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) == 0 ? ERR_OK : ERR_IO;
}

static enum err failure(void)
{
	switch (errno) {
	case EAGAIN:
	case ENOBUFS:
	case EINTR:
	case ETOOMANYREFS: // too many descriptors under way
		return ERR_AGAIN;
	case EPIPE:
	case ECONNRESET:
	case ENOTCONN:
		return ERR_CLOSED;
	case EMSGSIZE:
		return ERR_LIMIT;
	default:
		return ERR_IO;
	}
}

enum err channel_send(int fd, const uint8_t *bytes, size_t size, int passed)
{
	if (fd < 0)
		return ERR_CLOSED;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)bytes, size};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	if (passed >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &passed, sizeof(int));
	}
	ssize_t n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n == (ssize_t)size ? ERR_OK : n < 0 ? failure() : ERR_LIMIT;
}

// Keep the first descriptor if it is wanted, close the others.
static void take_descriptors(struct msghdr *message, int *passed)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (passed && *passed < 0)
				*passed = fd;
			else
				close(fd);
		}
	}
}

enum err channel_receive(int fd, uint8_t *bytes, size_t capacity, size_t *size, int *passed)
{
	if (passed)
		*passed = -1;
	*size = 0;
	if (fd < 0)
		return ERR_CLOSED;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec iov = {bytes, capacity};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return failure();
	take_descriptors(&message, passed);
	if (n == 0) // every message of ours has bytes, so this is the end
		return ERR_CLOSED;
	if (message.msg_flags & MSG_TRUNC) {
		if (passed && *passed >= 0)
			close(*passed);
		if (passed)
			*passed = -1;
		return ERR_LIMIT;
	}
	*size = (size_t)n;
	return ERR_OK;
}

enum err channel_wait(int fd, short events, int timeout_ms)
{
	if (fd < 0)
		return ERR_CLOSED;
	struct pollfd p = {.fd = fd, .events = events};
	int n = poll(&p, 1, timeout_ms);
	return n > 0 ? ERR_OK : n == 0 ? ERR_TIMEOUT : errno == EINTR ? ERR_AGAIN : ERR_IO;
}
