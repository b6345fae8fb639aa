// Blocks and their extents: who receives. SPDX-License-Identifier: Apache-2.0
#include "relay/table_private.h"

#include <stdlib.h>
#include <string.h>

enum { SPARE_SHARE = 4 };

enum err table_block_init(struct table *table)
{
	uint32_t blocks = table->memory->sizes.blocks;
	table->block_link = calloc(blocks, sizeof(*table->block_link));
	if (!table->block_link)
		return ERR_NOMEM;
	for (uint32_t block = 1; block < blocks; block++)
		table_list_add(&table->free_blocks, table->block_link, block);
	return table_extent_init(&table->extents, table->memory->sizes.receivers);
}

void table_block_fini(struct table *table)
{
	table_extent_fini(&table->extents);
	free(table->block_link);
}

enum err table_block_new(struct table *table, uint32_t *block)
{
	table_reclaim(table);
	*block = table_list_take(&table->free_blocks, table->block_link);
	return *block ? ERR_OK : ERR_FULL;
}

// The change: one store. Whoever loads the block from now on sees a whole new extent.
static void publish(struct table *table, uint32_t block, uint32_t first)
{
	uint32_t before = table->memory->block[block];
	__atomic_store_n(&table->memory->block[block], first, __ATOMIC_RELEASE);
	table->changes++;
	if (before)
		table_retire_extent(table, before);
	table_reclaim(table);
}

// Somebody may have been led here just before the stream led elsewhere: who is in the block stays until all have let go.
void table_block_free(struct table *table, uint32_t block)
{
	table_retire_block(table, block);
	table_reclaim(table);
}

enum { KIND_IPV4, KIND_IPV6, KIND_OUTSIDE, KINDS };

static unsigned kind_of(const struct fanout_receiver *record)
{
	if (record->device == 0)
		return KIND_OUTSIDE;
	return record->family == FANOUT_IPV4 ? KIND_IPV4 : record->family == FANOUT_IPV6 ? KIND_IPV6 : KIND_OUTSIDE;
}

static bool is_by_loopback(const struct table *table, const struct fanout_receiver *record)
{
	return kind_of(record) == KIND_IPV4 && table->memory->config->ifindex[record->device % FANOUT_DEVICES] == FANOUT_LOOPBACK_IFINDEX;
}

// The header for these records; `at` says where each kind begins.
static struct fanout_extent describe(const struct table *table, uint32_t room, const struct fanout_receiver *records, size_t count, uint16_t flags, size_t at[static KINDS])
{
	size_t of_kind[KINDS] = { 0 };
	bool is_one_device = true, has_loopback = false;
	for (size_t i = 0; i < count; i++) {
		of_kind[kind_of(&records[i])]++;
		is_one_device = is_one_device && records[i].device == records[0].device;
		has_loopback = has_loopback || is_by_loopback(table, &records[i]);
	}
	at[KIND_IPV4] = 0;
	at[KIND_IPV6] = of_kind[KIND_IPV4];
	at[KIND_OUTSIDE] = of_kind[KIND_IPV4] + of_kind[KIND_IPV6];
	struct fanout_extent extent = {
		.room = room,
		.count = (uint16_t)count,
		.in_kernel = (uint16_t)at[KIND_OUTSIDE],
		.ipv4 = (uint16_t)at[KIND_IPV6],
	};
	if (extent.in_kernel == 0)
		return extent; // user space does it all
	extent.flags = flags & FANOUT_EXTENT_TCX;
	if (of_kind[KIND_IPV4] && of_kind[KIND_IPV6])
		extent.flags |= FANOUT_EXTENT_MIXED;
	if (has_loopback)
		extent.flags |= FANOUT_EXTENT_LOOPBACK;
	if ((flags & FANOUT_EXTENT_XDP) && is_one_device && extent.in_kernel == count && count <= FANOUT_XDP_MAX + 1) {
		extent.flags |= FANOUT_EXTENT_XDP;
		extent.device = records[0].device;
	}
	return extent;
}

// Does somebody hand packets on with a mark that names the extent: the kernel to user space, or a media thread to the
// control thread?
static bool may_be_marked(const struct table *table, const struct fanout_extent *extent, const struct fanout_receiver *records)
{
	if (table->memory->has_programs && extent->in_kernel > 0 && extent->in_kernel < extent->count)
		return true;
	for (size_t i = 0; i < extent->count; i++) {
		if (records[i].family == FANOUT_OUTSIDE || records[i].flags & FANOUT_RECEIVER_RELAY)
			return true;
	}
	return false;
}

enum err table_block_write(struct table *table, uint32_t block, uint32_t room, const struct fanout_receiver *records, size_t count, uint16_t flags)
{
	if (count > UINT16_MAX - 1)
		return ERR_FULL;
	if (count == 0) {
		if (table->memory->block[block])
			publish(table, block, 0);
		return ERR_OK;
	}
	uint32_t first = table_extent_take(&table->extents, (uint32_t)count + 1);
	if (!first) {
		table_reclaim(table);
		first = table_extent_take(&table->extents, (uint32_t)count + 1);
	}
	if (!first)
		return ERR_FULL;
	size_t at[KINDS];
	struct fanout_extent header = describe(table, room, records, count, flags, at);
	header.generation = table->extents.generation[first];
	table->extents.prev[first] = may_be_marked(table, &header, records);
	struct fanout_receiver *out = &table->memory->receiver[first];
	memcpy(out, &header, sizeof(header));
	for (size_t i = 0; i < count; i++)
		out[1 + at[kind_of(&records[i])]++] = records[i];
	publish(table, block, first);
	return ERR_OK;
}

bool table_has_spare(const struct table *table) { return table->extents.free_records >= table->extents.records / SPARE_SHARE; }

static bool is_among(const struct fanout_receiver *records, size_t count, uint32_t member)
{
	size_t low = 0, high = count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (records[middle].member < member)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && records[low].member == member;
}

void table_block_restrict(struct table *table, uint32_t block, const struct fanout_receiver *records, size_t count)
{
	uint32_t first = (uint32_t)table->memory->block[block];
	if (!first)
		return;
	const struct fanout_extent *extent = (const struct fanout_extent *)&table->memory->receiver[first];
	struct fanout_receiver *record = &table->memory->receiver[first + 1];
	for (size_t i = 0; i < extent->count; i++) {
		if (!is_among(records, count, record[i].member))
			__atomic_store_n(&record[i].room, 0, __ATOMIC_RELAXED);
	}
}

const struct fanout_extent *table_block_extent(const struct table *table, uint32_t block)
{
	uint32_t first = table->memory->block[block];
	return first ? (const struct fanout_extent *)&table->memory->receiver[first] : NULL;
}

uint32_t table_marked(const struct table_memory *memory, uint32_t mark, uint32_t room)
{
	uint32_t first = FANOUT_MARK_FIRST(mark);
	if (first == 0 || first >= memory->sizes.receivers)
		return 0;
	const struct fanout_extent *extent = (const struct fanout_extent *)&memory->receiver[first];
	bool is_same = __atomic_load_n(&extent->generation, __ATOMIC_ACQUIRE) == FANOUT_MARK_GENERATION(mark) && extent->room == room;
	return is_same && extent->count < memory->sizes.receivers - first ? first : 0;
}

void table_receiver_finish(struct fanout_receiver *record)
{
	uint16_t words[18];
	memcpy(words, record->source, 16);
	memcpy(words + 8, record->destination, 16);
	words[16] = record->source_port_be;
	words[17] = record->destination_port_be;
	uint32_t sum = 0;
	for (size_t i = 0; i < 18; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	record->sum = (uint16_t)(sum + (sum >> 16));
}
