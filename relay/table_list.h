// Numbers in a row, first in, first out: what is free and what waits in the table. The links lie in an array by number,
// so putting one in a list takes no memory. 0 is no number. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_TABLE_LIST_H
#define RELAY_TABLE_LIST_H

#include <stddef.h>
#include <stdint.h>

struct table_list {
	uint32_t first, last;
};

static inline void table_list_add(struct table_list *list, uint32_t *link, uint32_t item)
{
	link[item] = 0;
	if (list->first)
		link[list->last] = item;
	else
		list->first = item;
	list->last = item;
}

// 0: the list is empty.
static inline uint32_t table_list_take(struct table_list *list, const uint32_t *link)
{
	uint32_t item = list->first;
	if (item)
		list->first = link[item];
	return item;
}

#endif
