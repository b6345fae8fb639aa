// SPDX-License-Identifier: Apache-2.0
#include "relay/table_extent.h"

#include "kernel-bpf/fanout.h"

#include <stdlib.h>

enum { TRIES_IN_OWN_BIN = 16 };

// Lengths below 8 have a bin each; above, each power of two has four.
static unsigned bin_of(uint32_t count)
{
	if (count < 4)
		return count;
	unsigned log2 = 31 - (unsigned)__builtin_clz(count);
	return (log2 - 1) * 4 + (count >> (log2 - 2) & 3);
}

static void link_run(struct table_extents *e, uint32_t first, uint32_t count)
{
	unsigned bin = bin_of(count);
	uint32_t before = e->bin[bin];
	e->run[first] = e->run[first + count - 1] = count;
	e->prev[first] = 0;
	e->next[first] = before;
	if (before)
		e->prev[before] = first;
	e->bin[bin] = first;
	e->bin_used[bin / 64] |= 1ull << (bin % 64);
}

static void unlink_run(struct table_extents *e, uint32_t first, uint32_t count)
{
	unsigned bin = bin_of(count);
	uint32_t next = e->next[first], prev = e->prev[first];
	if (next)
		e->prev[next] = prev;
	if (prev)
		e->next[prev] = next;
	else
		e->bin[bin] = next;
	if (!e->bin[bin])
		e->bin_used[bin / 64] &= ~(1ull << (bin % 64));
	e->run[first] = e->run[first + count - 1] = 0;
}

enum err table_extent_init(struct table_extents *e, uint32_t records)
{
	*e = (struct table_extents){ .records = records };
	if (records < 2 || records > 1u << FANOUT_EXTENT_BITS)
		return ERR_LIMIT;
	size_t last = records - 1;
	e->run = calloc(last + 2, sizeof(*e->run)); // one more: the last run's neighbour
	e->next = calloc(records, sizeof(*e->next));
	e->prev = calloc(records, sizeof(*e->prev));
	e->generation = calloc(records, sizeof(*e->generation));
	if (!e->run || !e->next || !e->prev || !e->generation)
		return ERR_NOMEM;
	e->free_records = (uint32_t)last;
	link_run(e, 1, e->free_records);
	return ERR_OK;
}

void table_extent_fini(struct table_extents *e)
{
	free(e->run);
	free(e->next);
	free(e->prev);
	free(e->generation);
	*e = (struct table_extents){ 0 };
}

// The first bin from `bin` on that has a run; 0: none.
static unsigned used_from(const struct table_extents *e, unsigned bin)
{
	for (unsigned word = bin / 64; word < 2; word++) {
		uint64_t used = e->bin_used[word];
		if (word == bin / 64)
			used &= ~0ull << (bin % 64);
		if (used)
			return word * 64 + (unsigned)__builtin_ctzll(used);
	}
	return 0;
}

// Meetings change in their size rarely, so what was freed last in the own bin is mostly the length that is wanted.
static uint32_t find(const struct table_extents *e, uint32_t count)
{
	unsigned bin = bin_of(count);
	uint32_t first = e->bin[bin];
	for (unsigned i = 0; first && i < TRIES_IN_OWN_BIN; i++, first = e->next[first]) {
		if (e->run[first] >= count)
			return first;
	}
	unsigned larger = used_from(e, bin + 1);
	return larger ? e->bin[larger] : 0;
}

uint32_t table_extent_take(struct table_extents *e, uint32_t count)
{
	if (count == 0 || count > e->free_records)
		return 0;
	uint32_t first = find(e, count);
	if (!first)
		return 0;
	uint32_t length = e->run[first];
	unlink_run(e, first, length);
	if (length > count)
		link_run(e, first + count, length - count);
	e->free_records -= count;
	e->generation[first]++;
	return first;
}

void table_extent_give(struct table_extents *e, uint32_t first, uint32_t count)
{
	e->free_records += count;
	uint32_t before = e->run[first - 1], after = e->run[first + count]; // run[0] stays 0
	if (after) {
		unlink_run(e, first + count, after);
		count += after;
	}
	if (before) {
		unlink_run(e, first - before, before);
		first -= before;
		count += before;
	}
	link_run(e, first, count);
}
