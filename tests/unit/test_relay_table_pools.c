// Pools of the forwarding table against a simple model: no two runs overlap, nothing is lost, all comes together again.
// SPDX-License-Identifier: Apache-2.0
#include "relay/table_extent.h"
#include "relay/table_region.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RECORDS = 20000, STEPS = 200000, HELD = 600, SLOTS = 5 * 1024 + 96 };

static uint32_t seed = 12345;

static uint32_t roll(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % below;
}

struct held {
	uint32_t first, count;
};

static void mark(uint8_t *used, uint32_t first, uint32_t count, uint8_t from, uint8_t to)
{
	for (uint32_t i = first; i < first + count; i++) {
		if (used[i] != from)
			fail_msg("%u is in use twice, or was given back twice", i);
		used[i] = to;
	}
}

static void extents_never_overlap(void **state)
{
	(void)state;
	struct table_extents extents;
	assert_int_equal(table_extent_init(&extents, RECORDS), ERR_OK);
	static uint8_t used[RECORDS];
	static struct held held[HELD];
	unsigned full = 0;
	for (unsigned step = 0; step < STEPS; step++) {
		struct held *h = &held[roll(HELD)];
		if (h->count) {
			mark(used, h->first, h->count, 1, 0);
			table_extent_give(&extents, h->first, h->count);
			h->count = 0;
			continue;
		}
		uint32_t count = roll(10) ? 1 + roll(60) : 1 + roll(2000);
		uint32_t first = table_extent_take(&extents, count);
		full += first == 0;
		if (first == 0)
			continue;
		assert_true(first > 0 && first + count <= RECORDS);
		*h = (struct held){ first, count };
		mark(used, first, count, 0, 1);
	}
	assert_true(full > 0); // the model came to the end of the pool
	for (unsigned i = 0; i < HELD; i++) {
		if (held[i].count)
			table_extent_give(&extents, held[i].first, held[i].count);
	}
	assert_int_equal(extents.free_records, RECORDS - 1);
	assert_int_equal(table_extent_take(&extents, RECORDS), 0);
	assert_int_equal(table_extent_take(&extents, 0), 0);
	assert_int_equal(table_extent_take(&extents, RECORDS - 1), 1); // one run again
	table_extent_fini(&extents);
}

// Meetings of one size: all of the pool can be used, over and over.
static void equal_extents_fill_the_pool(void **state)
{
	(void)state;
	struct table_extents extents;
	assert_int_equal(table_extent_init(&extents, 51 * 100 + 1), ERR_OK);
	uint32_t first[100];
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 100; i++)
			assert_int_not_equal(first[i] = table_extent_take(&extents, 51), 0);
		assert_int_equal(table_extent_take(&extents, 51), 0);
		for (unsigned i = 0; i < 100; i++) // not in order
			table_extent_give(&extents, first[i * 37 % 100], 51);
	}
	table_extent_fini(&extents);
}

static void generations_differ_from_use_to_use(void **state)
{
	(void)state;
	struct table_extents extents;
	assert_int_equal(table_extent_init(&extents, 10), ERR_OK);
	for (unsigned i = 1; i < 600; i++) {
		uint32_t first = table_extent_take(&extents, 9);
		assert_int_equal(first, 1);
		assert_int_equal(extents.generation[first], i & 0xff);
		table_extent_give(&extents, first, 9);
	}
	table_extent_fini(&extents);
}

static void regions_never_overlap(void **state)
{
	(void)state;
	struct table_regions regions;
	assert_int_equal(table_region_init(&regions, SLOTS), ERR_OK);
	static uint8_t used[SLOTS], touched[SLOTS];
	static struct held held[HELD];
	unsigned full = 0;
	for (unsigned step = 0; step < STEPS; step++) {
		struct held *h = &held[roll(HELD)];
		if (h->count) {
			mark(used, table_region_slot(h->first), h->count, 1, 0);
			table_region_give(&regions, h->first);
			h->count = 0;
			continue;
		}
		unsigned log2 = TABLE_REGION_MIN_LOG2 + roll(TABLE_REGION_ORDERS);
		uint32_t dirty, region = table_region_take(&regions, log2, &dirty);
		full += region == 0;
		if (region == 0)
			continue;
		uint32_t slot = table_region_slot(region), count = 1u << log2;
		assert_true(slot + count <= SLOTS);
		assert_int_equal(slot % count, 0);
		assert_int_equal(table_region_of(slot), region);
		*h = (struct held){ region, count };
		mark(used, slot, count, 0, 1);
		for (uint32_t i = 0; i < count; i++) {
			if (touched[slot + i] && i >= dirty)
				fail_msg("slot %u was in use, and counts as fresh", slot + i);
			touched[slot + i] = 1;
		}
	}
	assert_true(full > 0);
	for (unsigned i = 0; i < HELD; i++) {
		if (held[i].count)
			table_region_give(&regions, held[i].first);
	}
	uint32_t dirty;
	for (unsigned i = 0; i < SLOTS / 1024; i++)
		assert_int_not_equal(table_region_take(&regions, 10, &dirty), 0);
	assert_int_not_equal(table_region_take(&regions, 6, &dirty), 0);
	assert_int_not_equal(table_region_take(&regions, 5, &dirty), 0);
	assert_int_equal(table_region_take(&regions, 5, &dirty), 0);
	table_region_fini(&regions);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(extents_never_overlap),
		cmocka_unit_test(equal_extents_fill_the_pool),
		cmocka_unit_test(generations_differ_from_use_to_use),
		cmocka_unit_test(regions_never_overlap),
	};
	return cmocka_run_group_tests_name("relay_table_pools", tests, NULL, NULL);
}
