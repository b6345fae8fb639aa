// Datagrams that leave at the end of the present batch, as messages for sendmmsg. Media is not copied: its bytes stay
// where they were received until the outbox is flushed. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_OUTBOX_H
#define RELAY_OUTBOX_H

#include "base/packet.h"
#include "kernel-bpf/fanout.h"
#include "relay/loop.h"
#include "relay/media_port.h"
#include "relay/relay_stats.h"

#include <sys/socket.h>

enum {
	OUTBOX_MESSAGES = 1024, // what sendmmsg takes at once
	OUTBOX_VECTORS = 2048,
	OUTBOX_CONTROLS = 256,
	OUTBOX_OWN = 256,
	OUTBOX_TRAIN_BYTES = 64000, // IP and UDP header must fit into 64 KiB, too
};

struct outbox_control {
	_Alignas(struct cmsghdr) uint8_t bytes[96];
	size_t size;
	struct in6_addr source;
	size_t segment;
};

// What every message of a train has in common.
struct outbox_shape {
	struct iovec *vector;
	size_t vectors, segment, datagrams, bytes;
};

struct outbox {
	struct media_port *port;
	bool is_leg; // leaves by the port of relay legs
	struct relay_stats *stats;
	struct outbox_shape shape; // of the train that is being copied
	size_t count, vectors, controls, own_count;
	struct mmsghdr message[OUTBOX_MESSAGES];
	struct sockaddr_in6 to[OUTBOX_MESSAGES];
	uint16_t datagrams[OUTBOX_MESSAGES]; // in each message
	struct iovec vector[OUTBOX_VECTORS];
	struct outbox_control control[OUTBOX_CONTROLS];
	uint8_t own[OUTBOX_OWN][PACKET_MAX_BYTES]; // what the relay itself makes
};

struct outbox *outbox_new(struct media_port *port, bool is_leg, struct relay_stats *stats);
void outbox_free(struct outbox *outbox);

// `bytes` must stay until the flush.
void outbox_add(struct outbox *outbox, const struct loop_address *to, const uint8_t *bytes, size_t size);
// Room for a datagram that is made in place and then added.
uint8_t *outbox_own(struct outbox *outbox);

// Datagrams of equal size, the last may be shorter, of together at most OUTBOX_TRAIN_BYTES; then a copy of all of them to
// each record.
void outbox_train(struct outbox *outbox, const struct loop_datagram *const *datagrams, size_t count);
void outbox_copy(struct outbox *outbox, const struct fanout_receiver *record);

void outbox_flush(struct outbox *outbox);

#endif
