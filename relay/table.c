// The table as a whole, and when what was replaced may be used again. SPDX-License-Identifier: Apache-2.0
//
//   replaced ─► gathering ─ round begins ─► resting ─ round is over ─► free
//                                                          └─ extent that marks may name: a second ─► mark void ─► gathering
#include "relay/table_private.h"

#include "relay/bpf_map.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MARKED_REST_MS = 1000,
       SHORT_SHARE = 2 }; // marks are void at once while fewer than one part in so many of all records are free

// As many as the kernel has values for in per-CPU maps; glibc takes the number from this file. 0: not known, and then the
// counters cannot be read, for the kernel writes all of them.
static size_t possible_cpus(void)
{
	long count = access("/sys/devices/system/cpu/possible", R_OK) == 0 ? sysconf(_SC_NPROCESSORS_CONF) : 0;
	return count > 0 ? (size_t)count : 0;
}

static enum err init(struct table *table)
{
	const struct table_sizes *sizes = &table->memory->sizes;
	table->cpus = possible_cpus();
	table->cpu_counters = calloc(table->cpus ? table->cpus : 1, sizeof(*table->cpu_counters));
	table->entry = calloc(sizes->senders, sizeof(*table->entry));
	table->memory->tls_counter = calloc((size_t)sizes->tls + 1, sizeof(*table->memory->tls_counter));
	table->sender_link = calloc((size_t)sizes->senders + 1, sizeof(*table->sender_link));
	if (!table->cpu_counters || !table->memory->tls_counter || !table->entry || !table->sender_link)
		return ERR_NOMEM;
	enum err err = table_block_init(table);
	if (!err)
		err = table_region_init(&table->regions[0], sizes->history_small);
	if (!err)
		err = table_region_init(&table->regions[1], sizes->history_large);
	return err;
}

static void fini(struct table *table)
{
	for (uint32_t i = 0; table->entry && i < table->memory->sizes.senders; i++)
		free(table->entry[i].rates);
	table_region_fini(&table->regions[0]);
	table_region_fini(&table->regions[1]);
	table_block_fini(table);
	free(table->sender_link);
	free(table->entry);
	free(table->cpu_counters);
	free(table->memory->tls_counter);
	table->memory->tls_counter = NULL;
	free(table);
}

enum err table_new(struct table_memory *memory, struct table **out)
{
	struct table *table = aligned_alloc(_Alignof(struct table), sizeof(*table));
	if (!table)
		return ERR_NOMEM;
	memset(table, 0, sizeof(*table));
	table->memory = memory;
	enum err err = init(table);
	if (!err)
		err = table_grace_init(&table->grace, memory);
	if (err) {
		fini(table);
		return err;
	}
	*out = table;
	return ERR_OK;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	table_grace_fini(&table->grace);
	fini(table);
}

struct table_memory *table_memory(struct table *table) { return table->memory; }
uint64_t table_changes(const struct table *table) { return table->changes; }
size_t table_waiting(const struct table *table) { return table->waiting; }

struct table_reader *table_reader_new(struct table *table)
{
	struct table_grace *grace = &table->grace;
	uint32_t count = atomic_load(&grace->readers);
	if (count == TABLE_READERS)
		return NULL;
	struct table_reader *reader = &grace->reader[count];
	reader->grace = grace;
	table_reader_online(reader);
	atomic_store(&grace->readers, count + 1);
	return reader;
}

// ---------------------------------------------------------------- what was replaced

void table_retire_extent(struct table *table, uint32_t first)
{
	table_list_add(&table->gathering.extents, table->extents.next, first);
	table->gathering.is_used = true;
	table->waiting++;
}

void table_retire_block(struct table *table, uint32_t block)
{
	table_list_add(&table->gathering.blocks, table->block_link, block);
	table->gathering.is_used = true;
	table->waiting += table->memory->block[block] != 0;
}

void table_retire_region(struct table *table, bool is_large, uint32_t region)
{
	table_list_add(&table->gathering.regions[is_large], table->regions[is_large].next, region);
	table->gathering.is_used = true;
}

void table_retire_sender(struct table *table, uint32_t index)
{
	table->entry[index].is_resting = true;
	table_list_add(&table->gathering.senders, table->sender_link, index + 1);
	table->gathering.is_used = true;
}

static uint32_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint32_t)((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
}

// Packets with a mark that names the extent may still lie in a socket's queue, or between threads.
static void free_extent(struct table *table, uint32_t first)
{
	bool is_marked = table->extents.prev[first]; // see table_block_write
	if (!is_marked) {
		const struct fanout_extent *extent = (const struct fanout_extent *)&table->memory->receiver[first];
		table_extent_give(&table->extents, first, (uint32_t)extent->count + 1);
		table->waiting--;
		return;
	}
	table->extents.prev[first] = now_ms() + MARKED_REST_MS;
	table_list_add(&table->marked, table->extents.next, first);
}

// From now on the mark leads nowhere, and who has it takes what its stream leads to. When those who followed it just before
// have let go, the extent is free.
static void void_mark(struct table *table, uint32_t first)
{
	struct fanout_extent *extent = (struct fanout_extent *)&table->memory->receiver[first];
	__atomic_store_n(&extent->generation, (uint8_t)(extent->generation + 1), __ATOMIC_RELEASE);
	table->extents.prev[first] = 0;
	table_list_add(&table->gathering.extents, table->extents.next, first);
	table->gathering.is_used = true;
}

static void void_marks(struct table *table)
{
	struct table_extents *e = &table->extents;
	bool is_short = e->free_records < e->records / SHORT_SHARE;
	uint32_t now = table->marked.first ? now_ms() : 0;
	while (table->marked.first && (is_short || (int32_t)(now - e->prev[table->marked.first]) >= 0))
		void_mark(table, table_list_take(&table->marked, e->next));
}

// All have let go of the block and of who was in it.
static void free_block(struct table *table, uint32_t block)
{
	uint32_t first = (uint32_t)table->memory->block[block];
	table->memory->block[block] = 0;
	if (first)
		free_extent(table, first);
	table_list_add(&table->free_blocks, table->block_link, block);
}

static void clear_sender(struct table *table, uint32_t index)
{
	explicit_bzero(&table->memory->sender[index], sizeof(table->memory->sender[index]));
	uint32_t windows = table_windows(&table->memory->sizes);
	if (index < windows)
		memset(&table->memory->window[index], 0, sizeof(table->memory->window[index]));
	else
		table->memory->tls_counter[index - windows] = 0;
	table->entry[index].is_resting = false;
}

static void free_resting(struct table *table)
{
	struct table_limbo *limbo = &table->resting;
	uint32_t item;
	while ((item = table_list_take(&limbo->extents, table->extents.next)))
		free_extent(table, item);
	while ((item = table_list_take(&limbo->blocks, table->block_link)))
		free_block(table, item);
	while ((item = table_list_take(&limbo->senders, table->sender_link)))
		clear_sender(table, item - 1);
	for (unsigned class = 0; class < TABLE_CLASSES; class++) {
		while ((item = table_list_take(&limbo->regions[class], table->regions[class].next)))
			table_region_give(&table->regions[class], item);
	}
	limbo->is_used = false;
}

void table_reclaim(struct table *table)
{
	void_marks(table);
	if (table->resting.is_used) {
		if (!table_grace_is_over(&table->grace))
			return;
		free_resting(table);
	}
	if (!table->gathering.is_used)
		return;
	table->resting = table->gathering;
	table->gathering = (struct table_limbo){ 0 };
	table_grace_begin(&table->grace);
}

void table_counters(const struct table *table, struct fanout_counters *out)
{
	memset(out, 0, sizeof(*out));
	uint32_t zero = 0;
	int map = table->memory->map[LOADER_MAP_COUNTERS];
	if (!table->memory->has_programs || table->cpus == 0 || bpf_map_lookup(map, &zero, table->cpu_counters))
		return;
	for (size_t cpu = 0; cpu < table->cpus; cpu++) {
		for (size_t i = 0; i < FANOUT_COUNTERS; i++)
			out->counter[i] += table->cpu_counters[cpu].counter[i];
		for (size_t i = 0; i < FANOUT_LATENCY_BUCKETS; i++)
			out->latency[i] += table->cpu_counters[cpu].latency[i];
	}
}
