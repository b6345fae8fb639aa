// SPDX-License-Identifier: Apache-2.0
#include "relay/outbox.h"

#include <stdlib.h>

struct outbox *outbox_new(struct loop *loop, struct relay_stats *stats)
{
	struct outbox *outbox = malloc(sizeof(*outbox));
	if (!outbox)
		return NULL;
	outbox->loop = loop;
	outbox->stats = stats;
	outbox->count = outbox->own_count = 0;
	return outbox;
}

void outbox_free(struct outbox *outbox) { free(outbox); }

void outbox_add(struct outbox *outbox, const struct loop_address *to, const uint8_t *bytes, size_t size)
{
	if (outbox->count == OUTBOX_ITEMS) {
		size_t own = outbox->own_count; // one of them may be what is being added
		outbox_flush(outbox);
		outbox->own_count = own;
	}
	outbox->item[outbox->count++] = (struct loop_outgoing){ .to = *to, .bytes = bytes, .size = size };
	relay_stats_add(outbox->stats, STATS_bytes_sent, size);
}

uint8_t *outbox_own(struct outbox *outbox)
{
	if (outbox->own_count == OUTBOX_OWN)
		outbox_flush(outbox);
	return outbox->own[outbox->own_count++];
}

void outbox_flush(struct outbox *outbox)
{
	if (outbox->count > 0) {
		size_t taken = outbox->loop->ops->send(outbox->loop, outbox->item, outbox->count);
		relay_stats_add(outbox->stats, STATS_datagrams_sent, taken);
		relay_stats_add(outbox->stats, STATS_send_refused, outbox->count - taken);
	}
	outbox->count = outbox->own_count = 0;
}
