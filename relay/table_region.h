// Which slots of one class of history are free: regions of 32 to 1,024 slots, powers of two, as buddies. Regions are
// numbered by their first 32 slots, from 1. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_TABLE_REGION_H
#define RELAY_TABLE_REGION_H

#include "base/err.h"

#include <stdint.h>

enum { TABLE_REGION_MIN_LOG2 = 5, TABLE_REGION_MAX_LOG2 = 10, TABLE_REGION_ORDERS = 6 };

struct table_regions {
	uint32_t units;        // of 32 slots
	uint8_t *order;        // of a free region, at its first unit: its order + 1; elsewhere 0
	uint8_t *size;         // of a region in use, at its first unit: log2 of its slots
	uint32_t *next, *prev; // in the list of its order. Of a region in use they are the owner's
	uint32_t list[TABLE_REGION_ORDERS];
	uint32_t fresh;        // units from here on were never in use, and are all zeros
};

// ERR_NOMEM. table_region_fini also after a failure.
enum err table_region_init(struct table_regions *regions, uint32_t slots) CHECK_RESULT;
void table_region_fini(struct table_regions *regions);

// A region of 1 << log2 slots; 0: there is none. The first `*dirty` of them were in use before, the others are zeros.
uint32_t table_region_take(struct table_regions *regions, unsigned log2, uint32_t *dirty);
void table_region_give(struct table_regions *regions, uint32_t region);
static inline uint32_t table_region_slot(uint32_t region) { return (region - 1) << TABLE_REGION_MIN_LOG2; }
static inline uint32_t table_region_of(uint32_t slot) { return (slot >> TABLE_REGION_MIN_LOG2) + 1; }

#endif
