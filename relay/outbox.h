// Datagrams that leave at the end of the present batch. Media is not copied: its bytes stay where the loop
// received them until the outbox is flushed. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_OUTBOX_H
#define RELAY_OUTBOX_H

#include "base/packet.h"
#include "relay/loop.h"
#include "relay/relay_stats.h"

enum { OUTBOX_ITEMS = 4096, OUTBOX_OWN = 256 };

struct outbox {
	struct loop *loop;
	struct relay_stats *stats;
	size_t count, own_count;
	struct loop_outgoing item[OUTBOX_ITEMS];
	uint8_t own[OUTBOX_OWN][PACKET_MAX_BYTES]; // what the relay itself makes
};

struct outbox *outbox_new(struct loop *loop, struct relay_stats *stats);
void outbox_free(struct outbox *outbox);

// `bytes` must stay until the flush.
void outbox_add(struct outbox *outbox, const struct loop_address *to, const uint8_t *bytes, size_t size);
// Room for a datagram that is made in place and then added.
uint8_t *outbox_own(struct outbox *outbox);
void outbox_flush(struct outbox *outbox);

#endif
