// A forwarding table in the kernel's maps, made without the loader: for tests that need the maps and no programs.
// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_UNIT_TABLE_MAPS_H
#define TESTS_UNIT_TABLE_MAPS_H

#include "relay/table.h"

#include <bpf/bpf.h>
#include <string.h>
#include <sys/mman.h>

static inline int table_maps_array(const char *name, uint32_t value_bytes, uint32_t entries)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	return bpf_map_create(BPF_MAP_TYPE_ARRAY, name, sizeof(uint32_t), value_bytes, entries, &options);
}

static inline void *table_maps_memory(const struct table_memory *memory, enum loader_map map)
{
	if (memory->map[map] < 0)
		return NULL;
	size_t bytes = table_memory_bytes(&memory->sizes, map);
	void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory->map[map], 0);
	return start == MAP_FAILED ? NULL : start;
}

static inline int table_maps_grace(int inner)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .inner_map_fd = (uint32_t)inner);
	return inner < 0 ? -1 : bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "grace", sizeof(uint32_t), sizeof(uint32_t), 1, &options);
}

// False: the kernel does not let us. To be freed with table_memory_free also then.
static inline bool table_maps_open(const struct table_sizes *sizes, struct table_memory *out)
{
	*out = (struct table_memory){ .sizes = *sizes, .has_programs = true };
	memset(out->map, -1, sizeof(out->map));
	int *map = out->map;
	map[LOADER_MAP_CONFIG] = table_maps_array("config", sizeof(struct fanout_config), 1);
	map[LOADER_MAP_SENDERS] = table_maps_array("senders", sizeof(struct fanout_sender), sizes->senders);
	map[LOADER_MAP_WINDOWS] = table_maps_array("windows", sizeof(struct fanout_window), sizes->senders);
	map[LOADER_MAP_BLOCKS] = table_maps_array("blocks", sizeof(fanout_block), sizes->blocks);
	map[LOADER_MAP_RECEIVERS] = table_maps_array("receivers", sizeof(struct fanout_receiver), sizes->receivers);
	map[LOADER_MAP_HISTORY_SMALL] = table_maps_array("history_small", FANOUT_SMALL_SLOT, sizes->history_small);
	map[LOADER_MAP_HISTORY_LARGE] = table_maps_array("history_large", FANOUT_LARGE_SLOT, sizes->history_large);
	map[LOADER_MAP_COUNTERS] = bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "counters", sizeof(uint32_t), sizeof(struct fanout_counters), 1, NULL);
	map[LOADER_MAP_GRACE_INNER] = bpf_map_create(BPF_MAP_TYPE_ARRAY, "grace_inner", sizeof(uint32_t), sizeof(uint32_t), 1, NULL);
	map[LOADER_MAP_GRACE] = table_maps_grace(map[LOADER_MAP_GRACE_INNER]);
	out->config = table_maps_memory(out, LOADER_MAP_CONFIG);
	out->sender = table_maps_memory(out, LOADER_MAP_SENDERS);
	out->window = table_maps_memory(out, LOADER_MAP_WINDOWS);
	out->block = table_maps_memory(out, LOADER_MAP_BLOCKS);
	out->receiver = table_maps_memory(out, LOADER_MAP_RECEIVERS);
	out->history_small = table_maps_memory(out, LOADER_MAP_HISTORY_SMALL);
	out->history_large = table_maps_memory(out, LOADER_MAP_HISTORY_LARGE);
	return out->config && out->sender && out->window && out->block && out->receiver && out->history_small &&
	       out->history_large && map[LOADER_MAP_COUNTERS] >= 0 && map[LOADER_MAP_GRACE] >= 0;
}

#endif
