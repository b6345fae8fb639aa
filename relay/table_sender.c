// Senders' entries, and where their streams lead. SPDX-License-Identifier: Apache-2.0
#include "kernel-bpf/fanout_admit.h"
#include "relay/table_private.h"

#include <string.h>

struct fanout_sender *table_sender_find(const struct table *table, uint32_t handle)
{
	uint32_t index = table_index(handle);
	if (handle == 0 || index >= table->memory->sizes.senders)
		return NULL;
	struct fanout_sender *sender = &table->memory->sender[index];
	return sender->handle == handle ? sender : NULL;
}

bool table_sender_may_open(struct table *table, uint32_t handle)
{
	table_reclaim(table);
	uint32_t index = table_index(handle);
	return index < table->memory->sizes.senders && !table->entry[index].is_resting && table->memory->sender[index].handle == 0;
}

enum err table_sender_open(struct table *table, const struct table_sender *options)
{
	if (!table_sender_may_open(table, options->handle))
		return table_index(options->handle) < table->memory->sizes.senders ? ERR_AGAIN : ERR_FULL;
	// Entry and window are all zeros: they were never used, or cleared after their rest.
	struct fanout_sender *sender = &table->memory->sender[table_index(options->handle)];
	sender->index = options->index;
	sender->room = options->room;
	sender->ns_per_kib = options->ns_per_kib;
	memcpy(sender->tag_key, options->tag_key, sizeof(sender->tag_key));
	sender->flags = options->is_tls ? FANOUT_SENDER_IS_TLS | FANOUT_SENDER_HAS_ADDRESS : 0;
	if (options->may_send)
		sender->flags |= FANOUT_SENDER_MAY_SEND;
	for (size_t i = 0; i < FANOUT_STREAMS; i++)
		sender->stream[i].position = FANOUT_NOWHERE;
	__atomic_store_n(&sender->handle, options->handle, __ATOMIC_RELEASE);
	return ERR_OK;
}

// Between the two stores of flags all addresses are foreign; the packets of that moment go to user space.
void table_sender_move(struct table *table, uint32_t handle, const uint8_t peer[static 16], uint16_t port_be)
{
	struct fanout_sender *sender = table_sender_find(table, handle);
	if (!sender)
		return;
	uint64_t words[2], *at = (uint64_t *)sender->peer;
	memcpy(words, peer, sizeof(words));
	uint32_t flags = sender->flags & ~(uint32_t)FANOUT_SENDER_HAS_ADDRESS;
	__atomic_store_n(&sender->flags, flags, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	__atomic_store_n(&at[0], words[0], __ATOMIC_RELAXED);
	__atomic_store_n(&at[1], words[1], __ATOMIC_RELAXED);
	__atomic_store_n(&sender->peer_port_be, port_be, __ATOMIC_RELAXED);
	__atomic_store_n(&sender->flags, flags | FANOUT_SENDER_HAS_ADDRESS, __ATOMIC_RELEASE);
}

void table_sender_close(struct table *table, uint32_t handle)
{
	struct fanout_sender *sender = table_sender_find(table, handle);
	if (!sender)
		return;
	__atomic_store_n(&sender->handle, 0, __ATOMIC_RELEASE);
	for (size_t i = 0; i < FANOUT_STREAMS; i++)
		__atomic_store_n(&sender->stream[i].block, 0, __ATOMIC_RELEASE);
	table_history_end_all(table, sender, table_index(handle));
	table_retire_sender(table, table_index(handle));
	table_reclaim(table);
}

bool table_take(struct table_memory *memory, uint32_t index, uint32_t count)
{
	uint32_t windows = table_windows(&memory->sizes);
	if (index < windows)
		return fanout_take(&memory->window[index], count);
	uint32_t *last = &memory->tls_counter[index - windows];
	if (count <= *last)
		return false;
	*last = count;
	return true;
}

// ---------------------------------------------------------------- streams

// The record of this member in the block's extent. `hint` is where it was before.
static uint16_t position_of(const struct table *table, uint32_t block, uint32_t member, uint16_t hint)
{
	const struct fanout_extent *extent = block ? table_block_extent(table, block) : NULL;
	if (!extent)
		return FANOUT_NOWHERE;
	const struct fanout_receiver *record = (const struct fanout_receiver *)extent + 1;
	if (hint < extent->count && record[hint].member == member)
		return hint;
	for (uint16_t i = 0; i < extent->count; i++) {
		if (record[i].member == member)
			return i;
	}
	return FANOUT_NOWHERE;
}

void table_stream_position(struct table *table, uint32_t handle, uint8_t stream)
{
	struct fanout_sender *sender = table_sender_find(table, handle);
	if (!sender || stream >= FANOUT_STREAMS)
		return;
	struct fanout_stream *s = &sender->stream[stream];
	__atomic_store_n(&s->position, position_of(table, s->block, sender->index, s->position), __ATOMIC_RELAXED);
}

void table_stream_set(struct table *table, uint32_t handle, uint8_t stream, uint32_t block, uint32_t flags)
{
	struct fanout_sender *sender = table_sender_find(table, handle);
	if (!sender || stream >= FANOUT_STREAMS)
		return;
	struct fanout_stream *s = &sender->stream[stream];
	__atomic_store_n(&s->flags, flags, __ATOMIC_RELAXED);
	if (block && !s->history)
		table_history_begin(table, sender, stream);
	__atomic_store_n(&s->block, block, __ATOMIC_RELEASE);
	if (!block)
		table_history_end(table, sender, table_index(handle), stream);
	table_stream_position(table, handle, stream);
	table->changes++;
	table_reclaim(table);
}
