// SPDX-License-Identifier: Apache-2.0
#include "relay/passed.h"

#include "relay/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SENDERS_MAX = 64, ROUNDS = 64 };

struct passed {
	struct relay *relay;
	int listener;
	int sender[SENDERS_MAX]; // connections of the mux
	size_t count;
};

enum err passed_open(struct relay *relay, int listener, struct passed **out)
{
	struct passed *passed = calloc(1, sizeof(*passed));
	if (!passed)
		return ERR_NOMEM;
	passed->relay = relay;
	passed->listener = listener;
	enum err err = relay->loop->ops->watch_readable(relay->loop, listener);
	if (err) {
		free(passed);
		return err;
	}
	*out = passed;
	return ERR_OK;
}

static void forget(struct passed *passed, int descriptor)
{
	struct loop *loop = passed->relay->loop;
	loop->ops->unwatch(loop, descriptor);
	close(descriptor);
	for (size_t i = 0; i < passed->count; i++) {
		if (passed->sender[i] == descriptor)
			passed->sender[i] = passed->sender[--passed->count];
	}
}

void passed_close(struct passed *passed)
{
	if (!passed)
		return;
	while (passed->count > 0)
		forget(passed, passed->sender[0]);
	passed->relay->loop->ops->unwatch(passed->relay->loop, passed->listener);
	close(passed->listener);
	free(passed);
}

bool passed_owns(const struct passed *passed, int descriptor)
{
	for (size_t i = 0; i < passed->count; i++) {
		if (passed->sender[i] == descriptor)
			return true;
	}
	return descriptor == passed->listener;
}

static void accept_senders(struct passed *passed)
{
	struct loop *loop = passed->relay->loop;
	for (int round = 0; round < ROUNDS; round++) {
		int sender = accept4(passed->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (sender < 0)
			return;
		if (passed->count == SENDERS_MAX)
			forget(passed, passed->sender[0]); // one that sent nothing for the longest time
		if (loop->ops->watch_readable(loop, sender)) {
			close(sender);
			return;
		}
		passed->sender[passed->count++] = sender;
	}
}

// The first descriptor of a message; all further ones are closed.
static int take_descriptor(struct msghdr *message)
{
	int taken = -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int descriptor;
			memcpy(&descriptor, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (taken < 0)
				taken = descriptor;
			else
				close(descriptor);
		}
	}
	return taken;
}

// One message of the mux. ERR_CLOSED at its end, ERR_AGAIN when there is none.
static enum err receive_one(struct passed *passed, int sender)
{
	uint8_t bytes[16];
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int) * 4)];
	struct iovec vector = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(sender, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? ERR_AGAIN : ERR_CLOSED;
	int descriptor = take_descriptor(&message);
	if (descriptor < 0 && got == 0)
		return ERR_CLOSED;
	int type = 0;
	socklen_t size = sizeof(type);
	if (descriptor < 0 || getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) {
		relay_stats_add(&passed->relay->stats, STATS_passed_malformed, 1);
		if (descriptor >= 0)
			close(descriptor);
		return ERR_OK;
	}
	struct loop_handlers handlers = relay_handlers(passed->relay);
	handlers.on_accept(handlers.context, descriptor);
	return ERR_OK;
}

void passed_receive(struct passed *passed, int descriptor)
{
	if (descriptor == passed->listener) {
		accept_senders(passed);
		return;
	}
	enum err err = ERR_OK;
	for (int round = 0; round < ROUNDS && !err; round++)
		err = receive_one(passed, descriptor);
	if (err == ERR_CLOSED)
		forget(passed, descriptor);
}
