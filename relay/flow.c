// SPDX-License-Identifier: Apache-2.0
#include "relay/flow.h"

#include "kernel-bpf/fanout_admit.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	struct flow *flow; // allocated at first use, then kept
	uint32_t generation;
};

// The entries of one path. Their handles' indexes begin with `first`.
struct pool {
	uint32_t first;
	size_t capacity;
	struct entry *entry;
	uint32_t *free_index; // ring: the entry that has been free longest comes first
	size_t free_first, free_count;
};

struct flow_table {
	struct pool pool[HOP_PATHS];
};

static enum err pool_init(struct pool *pool, uint32_t first, uint32_t capacity)
{
	*pool = (struct pool){ .first = first, .capacity = capacity, .free_count = capacity };
	pool->entry = calloc(capacity, sizeof(*pool->entry));
	pool->free_index = calloc(capacity, sizeof(*pool->free_index));
	if (!pool->entry || !pool->free_index)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < capacity; i++)
		pool->free_index[i] = i;
	return ERR_OK;
}

static void pool_fini(struct pool *pool)
{
	for (size_t i = 0; pool->entry && i < pool->capacity; i++)
		free(pool->entry[i].flow);
	free(pool->entry);
	free(pool->free_index);
}

struct flow_table *flow_table_new(const struct table_sizes *sizes)
{
	struct flow_table *table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	if (pool_init(&table->pool[HOP_PATH_UDP], 0, sizes->clients) ||
	    pool_init(&table->pool[HOP_PATH_TLS], table_windows(sizes), sizes->tls)) {
		flow_table_free(table);
		return NULL;
	}
	return table;
}

void flow_table_free(struct flow_table *table)
{
	if (!table)
		return;
	for (size_t path = 0; path < HOP_PATHS; path++)
		pool_fini(&table->pool[path]);
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

static enum err fill(struct entry *entry, uint32_t index, const struct flow_options *options)
{
	if (!entry->flow)
		entry->flow = malloc(sizeof(*entry->flow));
	if (!entry->flow)
		return ERR_NOMEM;
	uint32_t generation = (entry->generation + 1) & ((1u << PACKET_GENERATION_BITS) - 1);
	if (generation == 0)
		generation = 1; // handle 0 is nobody's
	enum err err = flow_init(entry->flow, packet_handle(PACKET_MEDIA, generation, index), options);
	if (err)
		return err;
	err = open_sender(entry->flow, options);
	if (err) {
		flow_fini(entry->flow);
		return err;
	}
	entry->generation = generation;
	entry->flow->member = options->member;
	return ERR_OK;
}

enum err flow_open(struct flow_table *table, const struct flow_options *options, struct flow **out)
{
	struct pool *pool = &table->pool[options->path];
	if (pool->free_count == 0)
		return ERR_FULL;
	uint32_t index = pool->free_index[pool->free_first];
	enum err err = fill(&pool->entry[index], pool->first + index, options);
	if (err)
		return err;
	pool->free_first = (pool->free_first + 1) % pool->capacity;
	pool->free_count--;
	*out = pool->entry[index].flow;
	return ERR_OK;
}

void flow_close(struct flow_table *table, struct flow *flow)
{
	if (!flow)
		return;
	struct pool *pool = &table->pool[flow->path];
	table_sender_close(flow->table, flow->handle);
	pool->free_index[(pool->free_first + pool->free_count) % pool->capacity] = packet_handle_index(flow->handle) - pool->first;
	pool->free_count++;
	flow_fini(flow);
	flow->member = NULL;
}

struct flow *flow_find(const struct flow_table *table, uint32_t handle)
{
	uint32_t index = packet_handle_index(handle);
	const struct pool *pool = &table->pool[index < table->pool[HOP_PATH_TLS].first ? HOP_PATH_UDP : HOP_PATH_TLS];
	if (index - pool->first >= pool->capacity)
		return NULL;
	const struct entry *entry = &pool->entry[index - pool->first];
	bool is_known = entry->flow && entry->flow->member && entry->generation == packet_handle_generation(handle);
	return is_known ? entry->flow : NULL;
}

void flow_move(struct flow *flow, const struct loop_address *to)
{
	flow->address = *to;
	flow->has_address = true;
	table_sender_move(flow->table, flow->handle, to->peer.sin6_addr.s6_addr, to->peer.sin6_port);
}

bool flow_is_fresh(const struct flow *flow, uint32_t counter)
{
	return fanout_is_fresh(&table_memory(flow->table)->window[packet_handle_index(flow->handle)], counter);
}

bool flow_take(const struct flow *flow, uint32_t counter)
{
	return table_take(table_memory(flow->table), packet_handle_index(flow->handle), counter);
}
