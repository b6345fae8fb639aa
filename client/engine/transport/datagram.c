// SPDX-License-Identifier: Apache-2.0
#include "client/engine/transport/datagram.h"

#include "base/packet.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// One byte more than a packet may have, so that a longer one is seen as such.
enum { BATCH = 32, BATCHES = 8, BUFFER_BYTES = PACKET_MAX_BYTES + 1, SOCKET_BUFFER_BYTES = 1 << 20 };

struct datagram {
	int fd;
	bool is_gso_refused;
	uint64_t trains;
	uint8_t bytes[BATCH][BUFFER_BYTES];
	_Alignas(struct cmsghdr) uint8_t control[BATCH][CMSG_SPACE(sizeof(struct timespec))];
};

static enum err connect_socket(int fd, const struct sockaddr_storage *peer, uint16_t port)
{
	struct sockaddr_storage address = *peer;
	socklen_t size = sizeof(struct sockaddr_in);
	if (address.ss_family == AF_INET6) {
		((struct sockaddr_in6 *)&address)->sin6_port = htons(port);
		size = sizeof(struct sockaddr_in6);
	} else {
		((struct sockaddr_in *)&address)->sin_port = htons(port);
	}
	int on = 1, bytes = SOCKET_BUFFER_BYTES;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) != 0 ||
	    connect(fd, (const struct sockaddr *)&address, size) != 0)
		return ERR_IO;
	return ERR_OK;
}

enum err datagram_open(const struct sockaddr_storage *peer, uint16_t port, struct datagram **out)
{
	struct datagram *datagram = calloc(1, sizeof(*datagram));
	if (!datagram)
		return ERR_NOMEM;
	datagram->fd = socket(peer->ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (datagram->fd < 0 || connect_socket(datagram->fd, peer, port) != ERR_OK) {
		datagram_close(datagram);
		return ERR_IO;
	}
	*out = datagram;
	return ERR_OK;
}

void datagram_close(struct datagram *datagram)
{
	if (!datagram)
		return;
	if (datagram->fd >= 0)
		close(datagram->fd);
	free(datagram);
}

int datagram_descriptor(const struct datagram *datagram)
{
	return datagram->fd;
}

enum err datagram_send(struct datagram *datagram, const uint8_t *bytes, size_t size)
{
	// An ICMP error for an earlier datagram is reported once by the next call: that one is tried again.
	for (int attempt = 0; attempt < 2; attempt++) {
		if (send(datagram->fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size)
			return ERR_OK;
		if (errno == EAGAIN || errno == ENOBUFS)
			return ERR_AGAIN;
	}
	return ERR_IO;
}

static ssize_t send_segments(int fd, const uint8_t *bytes, size_t size, uint16_t segment_bytes)
{
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(segment_bytes))] = { 0 };
	struct iovec vector = { (void *)bytes, size };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	c->cmsg_level = SOL_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(segment_bytes));
	memcpy(CMSG_DATA(c), &segment_bytes, sizeof(segment_bytes));
	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static bool send_whole(struct datagram *datagram, const uint8_t *bytes, size_t size, size_t segment_bytes)
{
	for (int attempt = 0; attempt < 2; attempt++) { // as in datagram_send
		if (send_segments(datagram->fd, bytes, size, (uint16_t)segment_bytes) == (ssize_t)size) {
			datagram->trains++;
			return true;
		}
		// An older kernel, a device that cannot do checksums, IPsec, an MTU below our size: all that stays as it is.
		if (errno == EIO || errno == EINVAL) {
			datagram->is_gso_refused = true;
			return false;
		}
	}
	return false;
}

size_t datagram_send_train(struct datagram *datagram, const uint8_t *bytes, size_t size, size_t segment_bytes)
{
	size_t refused = 0;
	if (size > segment_bytes && !datagram->is_gso_refused) {
		if (send_whole(datagram, bytes, size, segment_bytes))
			return 0;
		if (!datagram->is_gso_refused) // no room, or nobody there: the same for each piece
			return (size + segment_bytes - 1) / segment_bytes;
	}
	for (size_t at = 0; at < size; at += segment_bytes)
		refused += datagram_send(datagram, bytes + at, size - at < segment_bytes ? size - at : segment_bytes) != ERR_OK;
	return refused;
}

uint64_t datagram_trains(const struct datagram *datagram)
{
	return datagram->trains;
}

static uint64_t arrival(struct msghdr *message)
{
	struct timespec time;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
			memcpy(&time, CMSG_DATA(c), sizeof(time));
			return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
		}
	}
	clock_gettime(CLOCK_REALTIME, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void datagram_receive(struct datagram *datagram,
		      void (*on_datagram)(void *context, uint8_t *bytes, size_t size, uint64_t arrival_ns), void *context)
{
	struct mmsghdr messages[BATCH];
	struct iovec vectors[BATCH];
	for (int batch = 0; batch < BATCHES; batch++) {
		for (size_t i = 0; i < BATCH; i++) {
			vectors[i] = (struct iovec){ datagram->bytes[i], BUFFER_BYTES };
			messages[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &vectors[i], .msg_iovlen = 1,
								     .msg_control = datagram->control[i],
								     .msg_controllen = sizeof(datagram->control[i]) } };
		}
		int count = recvmmsg(datagram->fd, messages, BATCH, MSG_DONTWAIT, NULL);
		if (count < 0 && errno == ECONNREFUSED)
			continue; // nobody listens there: that shows as silence
		if (count <= 0)
			return;
		for (int i = 0; i < count; i++)
			on_datagram(context, datagram->bytes[i], messages[i].msg_len, arrival(&messages[i].msg_hdr));
		if (count < BATCH)
			return;
	}
}
