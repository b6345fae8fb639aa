// The last second of one stream as ciphertext, to answer NACKs from: a ring indexed by sequence number that
// grows to the stream's rate and packet size. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_HISTORY_H
#define RELAY_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HISTORY_SLOTS_MIN = 32, HISTORY_SLOTS_MAX = 1024 };
#define HISTORY_SPAN_NS 1000000000u

struct history {
	struct history_slot *slot;
	uint8_t *bytes;
	uint32_t slots, stride;
	uint16_t newest; // sequence number
	bool is_full;    // there was no memory to grow
};

// Keep a copy of a datagram. `budget` is what may still be taken in memory, and is lessened by what was; without it
// older packets go earlier.
void history_put(struct history *history, uint16_t sequence, const uint8_t *bytes, size_t size, uint64_t now_ns, size_t *budget);
// NULL if it is not there (any more). Valid until the next put.
const uint8_t *history_get(const struct history *history, uint16_t sequence, size_t *size);
// Older than the newest, young enough to be here, and never came.
bool history_lacks(const struct history *history, uint16_t sequence);
void history_fini(struct history *history);

#endif
