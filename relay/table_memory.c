// SPDX-License-Identifier: Apache-2.0
#include "base/hop.h"
#include "relay/table.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	ROUND_SLOTS = 1024,
	RELAY_SENDERS = 64,                  // 300 KB
	BLOCKS_EACH = 4, RECEIVERS_EACH = 8, // of a participant
	BLOCKS_MIN = 256,
	// What 10,000 changes a second of 50 receivers each replace while a round of grace passes and the next one gathers.
	RECEIVERS_MIN = 65536,
	SMALL_SHARE = 8, // one part in so many of the histories' memory is for small slots
};

static uint32_t slots_for(uint64_t bytes, uint32_t slot_bytes)
{
	uint64_t slots = bytes / slot_bytes / ROUND_SLOTS * ROUND_SLOTS;
	return slots < ROUND_SLOTS ? ROUND_SLOTS : slots > UINT32_MAX / 2 ? UINT32_MAX / 2 / ROUND_SLOTS * ROUND_SLOTS : (uint32_t)slots;
}

static uint32_t at_most(uint64_t count, uint32_t most) { return count < most ? (uint32_t)count : most; }

void table_sizes_for(uint64_t participants, uint64_t history_bytes, struct table_sizes *out)
{
	enum { INDEXES = 1 << PACKET_INDEX_BITS, MOST = (INDEXES - RELAY_SENDERS) / HOP_PATHS };
	if (participants > MOST)
		participants = MOST;
	*out = (struct table_sizes){
		.clients = (uint32_t)participants,
		.tls = (uint32_t)participants,
		.blocks = at_most(participants * BLOCKS_EACH + BLOCKS_MIN, INDEXES),
		.receivers = at_most(participants * RECEIVERS_EACH + RECEIVERS_MIN, 1u << FANOUT_EXTENT_BITS),
		.history_small = slots_for(history_bytes / SMALL_SHARE, FANOUT_SMALL_SLOT),
		.history_large = slots_for(history_bytes - history_bytes / SMALL_SHARE, FANOUT_LARGE_SLOT),
	};
	out->senders = out->clients + RELAY_SENDERS + out->tls;
}

size_t table_memory_bytes(const struct table_sizes *sizes, enum loader_map map)
{
	size_t bytes = 0;
	if (map == LOADER_MAP_CONFIG)
		bytes = sizeof(struct fanout_config);
	else if (map == LOADER_MAP_SENDERS)
		bytes = sizes->senders * sizeof(struct fanout_sender);
	else if (map == LOADER_MAP_WINDOWS)
		bytes = table_windows(sizes) * sizeof(struct fanout_window);
	else if (map == LOADER_MAP_BLOCKS)
		bytes = sizes->blocks * sizeof(fanout_block);
	else if (map == LOADER_MAP_RECEIVERS)
		bytes = sizes->receivers * sizeof(struct fanout_receiver);
	else if (map == LOADER_MAP_HISTORY_SMALL)
		bytes = (size_t)sizes->history_small * FANOUT_SMALL_SLOT;
	else if (map == LOADER_MAP_HISTORY_LARGE)
		bytes = (size_t)sizes->history_large * FANOUT_LARGE_SLOT;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	return (bytes + page - 1) / page * page;
}

// Where the memory of a map is kept; NULL: a map without.
static void **place(struct table_memory *memory, enum loader_map map)
{
	switch (map) {
	case LOADER_MAP_CONFIG:
		return (void **)&memory->config;
	case LOADER_MAP_SENDERS:
		return (void **)&memory->sender;
	case LOADER_MAP_WINDOWS:
		return (void **)&memory->window;
	case LOADER_MAP_BLOCKS:
		return (void **)&memory->block;
	case LOADER_MAP_RECEIVERS:
		return (void **)&memory->receiver;
	case LOADER_MAP_HISTORY_SMALL:
		return (void **)&memory->history_small;
	case LOADER_MAP_HISTORY_LARGE:
		return (void **)&memory->history_large;
	default:
		return NULL;
	}
}

enum err table_memory_private(const struct table_sizes *sizes, struct table_memory *out)
{
	*out = (struct table_memory){ .sizes = *sizes };
	for (enum loader_map map = 0; map < LOADER_MAPS; map++)
		out->map[map] = -1;
	for (enum loader_map map = 0; map < LOADER_MAPS; map++) {
		void **at = place(out, map);
		if (!at)
			continue;
		// A page at least: an empty class of history has an address too.
		size_t bytes = table_memory_bytes(sizes, map);
		void *start = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (start == MAP_FAILED) {
			table_memory_free(out);
			return ERR_NOMEM;
		}
		(void)madvise(start, bytes, MADV_DONTDUMP); // keys
		*at = start;
	}
	return ERR_OK;
}

void table_memory_free(struct table_memory *memory)
{
	for (enum loader_map map = 0; map < LOADER_MAPS; map++) {
		if (memory->map[map] >= 0)
			close(memory->map[map]);
		void **at = place(memory, map);
		size_t bytes = table_memory_bytes(&memory->sizes, map);
		if (at && *at)
			munmap(*at, bytes ? bytes : 1);
	}
	memset(memory, 0, sizeof(*memory));
	for (enum loader_map map = 0; map < LOADER_MAPS; map++)
		memory->map[map] = -1;
}
