// SPDX-License-Identifier: Apache-2.0
#include "relay/flow.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	struct flow *flow; // allocated at first use, then kept
	uint32_t generation;
};

struct flow_table {
	size_t capacity;
	struct entry *entry;
	uint32_t *free_index; // ring: the entry that has been free longest comes first
	size_t free_first, free_count;
};

struct flow_table *flow_table_new(size_t capacity)
{
	struct flow_table *table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	table->capacity = table->free_count = capacity;
	table->entry = calloc(capacity, sizeof(*table->entry));
	table->free_index = calloc(capacity, sizeof(*table->free_index));
	if (!table->entry || !table->free_index) {
		flow_table_free(table);
		return NULL;
	}
	for (size_t i = 0; i < capacity; i++)
		table->free_index[i] = (uint32_t)i;
	return table;
}

void flow_table_free(struct flow_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; table->entry && i < table->capacity; i++)
		free(table->entry[i].flow);
	free(table->entry);
	free(table->free_index);
	free(table);
}

static enum err flow_init(struct flow *flow, uint32_t handle, const struct flow_options *options)
{
	memset(flow, 0, sizeof(*flow));
	flow->path = options->path;
	flow->handle = handle;
	flow->table = options->table;
	enum err err = hop_init(&flow->hop, HOP_RELAY, options->index, handle, options->keys);
	if (err || options->path != HOP_PATH_UDP)
		return err;
	err = path_check_init(&flow->check, options->index, handle, options->keys);
	if (err)
		hop_fini(&flow->hop);
	return err;
}

static void flow_fini(struct flow *flow)
{
	if (flow->path == HOP_PATH_UDP)
		path_check_fini(&flow->check);
	hop_fini(&flow->hop);
}

static enum err open_sender(const struct flow *flow, const struct flow_options *options)
{
	struct table_sender sender = { .handle = flow->handle, .index = options->index, .room = options->room,
				       .is_tls = options->path == HOP_PATH_TLS, .may_send = options->may_send,
				       .tag_key = flow->hop.tag_key_in, .ns_per_kib = options->ns_per_kib };
	return table_sender_open(flow->table, &sender);
}

enum err flow_open(struct flow_table *table, const struct flow_options *options, struct flow **out)
{
	if (table->free_count == 0)
		return ERR_FULL;
	uint32_t index = table->free_index[table->free_first];
	struct entry *entry = &table->entry[index];
	if (!entry->flow)
		entry->flow = malloc(sizeof(*entry->flow));
	if (!entry->flow)
		return ERR_NOMEM;
	uint32_t generation = (entry->generation + 1) & ((1u << PACKET_GENERATION_BITS) - 1);
	if (generation == 0)
		generation = 1; // handle 0 is nobody's
	enum err err = flow_init(entry->flow, packet_handle(PACKET_MEDIA, generation, index), options);
	if (!err) {
		err = open_sender(entry->flow, options);
		if (err)
			flow_fini(entry->flow);
	}
	if (err)
		return err;
	entry->generation = generation;
	entry->flow->member = options->member;
	table->free_first = (table->free_first + 1) % table->capacity;
	table->free_count--;
	*out = entry->flow;
	return ERR_OK;
}

void flow_close(struct flow_table *table, struct flow *flow)
{
	if (!flow)
		return;
	table_sender_close(flow->table, flow->handle);
	table->free_index[(table->free_first + table->free_count) % table->capacity] = packet_handle_index(flow->handle);
	table->free_count++;
	flow_fini(flow);
	flow->member = NULL;
}

struct flow *flow_find(const struct flow_table *table, uint32_t handle)
{
	uint32_t index = packet_handle_index(handle);
	if (index >= table->capacity)
		return NULL;
	const struct entry *entry = &table->entry[index];
	bool is_known = entry->flow && entry->flow->member && entry->generation == packet_handle_generation(handle);
	return is_known ? entry->flow : NULL;
}

void flow_move(struct flow *flow, const struct loop_address *to)
{
	flow->address = *to;
	flow->has_address = true;
	table_sender_move(flow->table, flow->handle, to->peer.sin6_addr.s6_addr, to->peer.sin6_port);
}

struct fanout_window *flow_window(const struct flow *flow)
{
	return &table_memory(flow->table)->window[packet_handle_index(flow->handle)];
}
