// The table's inside, shared by table*.c only. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_TABLE_PRIVATE_H
#define RELAY_TABLE_PRIVATE_H

#include "base/packet.h"
#include "relay/table_extent.h"
#include "relay/table_grace.h"
#include "relay/table_list.h"
#include "relay/table_region.h"

enum { TABLE_SENDER_HISTORY_BYTES = 4 << 20, TABLE_CLASSES = 2 }; // histories of small and of large slots

// What a stream did since the last look, and its rate.
struct table_rate {
	uint32_t packets, bytes;      // low words of the counters at the last look
	uint32_t packets_per_1000s;
	uint16_t calm;                // looks at which a quarter of its slots would have done
};

struct table_rates {
	uint64_t looked_ns;
	struct table_rate stream[FANOUT_STREAMS];
};

// What only the writer knows of a sender.
struct table_entry {
	struct table_rates *rates; // made with the first stream
	uint32_t history_bytes;
	bool is_resting;           // may not be opened yet
};

// What was replaced while one round of grace was gathering.
struct table_limbo {
	struct table_list extents, blocks, senders, regions[TABLE_CLASSES];
	bool is_used;
};

struct table {
	struct table_memory *memory;
	struct table_grace grace;

	struct table_extents extents;
	struct table_list free_blocks;
	uint32_t *block_link;
	struct table_regions regions[TABLE_CLASSES];
	struct table_entry *entry;
	uint32_t *sender_link; // by index + 1

	// Things are replaced into `gathering`; when the round that `resting` waits for is over, that is used again and the
	// next round begins. Then, for a second, `marked`: extents that packets' marks may name.
	struct table_limbo gathering, resting;
	struct table_list marked;

	uint64_t changes;
	size_t waiting; // extents in the three
	size_t history_bytes;
	size_t cpus;
	struct fanout_counters *cpu_counters;
};

static inline uint32_t table_index(uint32_t handle) { return handle & ((1u << PACKET_INDEX_BITS) - 1); }

// The entry that has this handle; NULL: none.
struct fanout_sender *table_sender_find(const struct table *table, uint32_t handle);

// Use again what everyone has let go of. Called with every change, and costs next to nothing.
void table_reclaim(struct table *table);
void table_retire_extent(struct table *table, uint32_t first);
void table_retire_block(struct table *table, uint32_t block);
void table_retire_region(struct table *table, bool is_large, uint32_t region);
void table_retire_sender(struct table *table, uint32_t index);

enum err table_block_init(struct table *table) CHECK_RESULT;
void table_block_fini(struct table *table);

// A first region, if the stream has none and there is room.
void table_history_begin(struct table *table, struct fanout_sender *sender, uint8_t stream);
// Of a stream that leads nowhere any more; `index` is of the sender's entry. All: when it is closed.
void table_history_end(struct table *table, struct fanout_sender *sender, uint32_t index, uint8_t stream);
void table_history_end_all(struct table *table, struct fanout_sender *sender, uint32_t index);

#endif
