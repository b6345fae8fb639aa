// SPDX-License-Identifier: Apache-2.0
#include "relay/table_region.h"

#include <stdbool.h>
#include <stdlib.h>

static void link_region(struct table_regions *r, uint32_t unit, unsigned order)
{
	uint32_t before = r->list[order];
	r->order[unit] = (uint8_t)(order + 1);
	r->prev[unit] = 0;
	r->next[unit] = before;
	if (before)
		r->prev[before] = unit;
	r->list[order] = unit;
}

static void unlink_region(struct table_regions *r, uint32_t unit, unsigned order)
{
	uint32_t next = r->next[unit], prev = r->prev[unit];
	if (next)
		r->prev[next] = prev;
	if (prev)
		r->next[prev] = next;
	else
		r->list[order] = next;
	r->order[unit] = 0;
}

enum err table_region_init(struct table_regions *r, uint32_t slots)
{
	*r = (struct table_regions){ .units = slots >> TABLE_REGION_MIN_LOG2, .fresh = 1 };
	size_t count = (size_t)r->units + 1;
	r->order = calloc(count, sizeof(*r->order));
	r->size = calloc(count, sizeof(*r->size));
	r->next = calloc(count, sizeof(*r->next));
	r->prev = calloc(count, sizeof(*r->prev));
	if (!r->order || !r->size || !r->next || !r->prev)
		return ERR_NOMEM;
	// From the end, so that the lowest are taken first: memory that was never used costs nothing.
	for (uint32_t left = r->units, order = 0; left > 0; order += order < TABLE_REGION_ORDERS - 1) {
		bool is_last = order == TABLE_REGION_ORDERS - 1;
		if (is_last || left & 1u << order) {
			left -= 1u << order;
			link_region(r, left + 1, order);
		}
	}
	return ERR_OK;
}

void table_region_fini(struct table_regions *r)
{
	free(r->order);
	free(r->size);
	free(r->next);
	free(r->prev);
	*r = (struct table_regions){ 0 };
}

uint32_t table_region_take(struct table_regions *r, unsigned log2, uint32_t *dirty)
{
	unsigned order = log2 - TABLE_REGION_MIN_LOG2, from = order;
	while (from < TABLE_REGION_ORDERS && !r->list[from])
		from++;
	if (from >= TABLE_REGION_ORDERS)
		return 0;
	uint32_t unit = r->list[from];
	unlink_region(r, unit, from);
	while (from > order) {
		from--;
		link_region(r, unit + (1u << from), from);
	}
	r->size[unit] = (uint8_t)log2;
	uint32_t end = unit + (1u << order), clean = r->fresh < unit ? unit : r->fresh < end ? r->fresh : end;
	*dirty = (clean - unit) << TABLE_REGION_MIN_LOG2;
	if (end > r->fresh)
		r->fresh = end;
	return unit;
}

void table_region_give(struct table_regions *r, uint32_t region)
{
	unsigned order = r->size[region] - TABLE_REGION_MIN_LOG2;
	r->size[region] = 0;
	uint32_t offset = region - 1;
	while (order < TABLE_REGION_ORDERS - 1) {
		uint32_t buddy = offset ^ 1u << order;
		if (buddy >= r->units || r->order[buddy + 1] != order + 1)
			break;
		unlink_region(r, buddy + 1, order);
		offset &= ~(1u << order);
		order++;
	}
	link_region(r, offset + 1, order);
}
