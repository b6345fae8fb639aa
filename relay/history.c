// SPDX-License-Identifier: Apache-2.0
#include "relay/history.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

enum { STRIDE_STEP = 64 };

struct history_slot {
	uint64_t stored_ns; // 0: empty
	uint16_t sequence, size;
};

static size_t footprint(uint32_t slots, uint32_t stride) { return slots * (sizeof(struct history_slot) + stride); }

static uint8_t *slot_bytes(const struct history *h, uint16_t sequence) { return h->bytes + (size_t)(sequence % h->slots) * h->stride; }

static void store(struct history *h, const struct history_slot *slot, const uint8_t *bytes)
{
	h->slot[slot->sequence % h->slots] = *slot;
	memcpy(slot_bytes(h, slot->sequence), bytes, slot->size);
}

static enum err resize(struct history *h, uint32_t slots, uint32_t stride, size_t *budget)
{
	size_t before = footprint(h->slots, h->stride), after = footprint(slots, stride);
	if (after > before && after - before > *budget)
		return ERR_LIMIT;
	struct history grown = { .slots = slots, .stride = stride, .newest = h->newest, .is_full = h->is_full };
	grown.slot = calloc(slots, sizeof(*grown.slot));
	grown.bytes = malloc((size_t)slots * stride);
	if (!grown.slot || !grown.bytes) {
		history_fini(&grown);
		return ERR_NOMEM;
	}
	for (uint32_t i = 0; i < h->slots; i++) {
		if (h->slot[i].stored_ns)
			store(&grown, &h->slot[i], slot_bytes(h, h->slot[i].sequence));
	}
	history_fini(h);
	*h = grown;
	*budget -= after - before;
	return ERR_OK;
}

// A step back by more than any history is a sender that starts anew.
static void set_newest(struct history *h, uint16_t sequence, bool is_first)
{
	int16_t ahead = (int16_t)(sequence - h->newest);
	if (is_first || ahead > 0 || ahead < -HISTORY_SLOTS_MAX)
		h->newest = sequence;
}

void history_put(struct history *h, uint16_t sequence, const uint8_t *bytes, size_t size, uint64_t now_ns, size_t *budget)
{
	bool is_first = !h->bytes;
	if (size > h->stride) {
		uint32_t stride = (uint32_t)((size + STRIDE_STEP - 1) / STRIDE_STEP * STRIDE_STEP);
		if (resize(h, h->slots ? h->slots : HISTORY_SLOTS_MIN, stride, budget))
			return;
	}
	// What would be pushed out is younger than the span: the stream is faster than the ring.
	const struct history_slot *victim = &h->slot[sequence % h->slots];
	bool is_short = victim->stored_ns && victim->sequence != sequence && now_ns - victim->stored_ns < HISTORY_SPAN_NS;
	if (is_short && !h->is_full && h->slots < HISTORY_SLOTS_MAX)
		h->is_full = resize(h, h->slots * 2, h->stride, budget) != ERR_OK; // no use trying with every packet
	set_newest(h, sequence, is_first);
	store(h, &(struct history_slot){ .stored_ns = now_ns, .sequence = sequence, .size = (uint16_t)size }, bytes);
}

const uint8_t *history_get(const struct history *h, uint16_t sequence, size_t *size)
{
	if (h->slots == 0)
		return NULL;
	const struct history_slot *slot = &h->slot[sequence % h->slots];
	if (!slot->stored_ns || slot->sequence != sequence)
		return NULL;
	*size = slot->size;
	return slot_bytes(h, sequence);
}

bool history_lacks(const struct history *h, uint16_t sequence)
{
	uint16_t age = (uint16_t)(h->newest - sequence);
	size_t size;
	return age > 0 && age < h->slots && !history_get(h, sequence, &size);
}

void history_fini(struct history *h)
{
	free(h->slot);
	free(h->bytes);
	*h = (struct history){ 0 };
}
