// SPDX-License-Identifier: Apache-2.0
#include "relay/receivers_block.h"

#include "base/token.h"
#include "relay/relay.h"

#include <stdlib.h>
#include <string.h>

static enum err block_new(struct relay *relay, const uint32_t *unwilling, size_t count, struct room_block **out)
{
	struct room_block *block = calloc(1, sizeof(*block));
	if (!block)
		return ERR_NOMEM;
	block->unwilling = count ? malloc(count * sizeof(*unwilling)) : NULL;
	enum err err = count && !block->unwilling ? ERR_NOMEM : table_block_new(relay->table, &block->block);
	if (err) {
		free(block->unwilling);
		free(block);
		return err;
	}
	if (count > 0)
		memcpy(block->unwilling, unwilling, count * sizeof(*unwilling));
	block->unwilling_count = count;
	block->is_changed = true;
	*out = block;
	return ERR_OK;
}

static void block_free(struct relay *relay, struct room_block *block)
{
	table_block_free(relay->table, block->block);
	free(block->unwilling);
	free(block);
}

// ---------------------------------------------------------------- which

// Who of the room does not want the stream, by rising index. `out` has room for all.
static size_t find_unwilling(const struct room *room, const struct member *sender, uint8_t stream, uint32_t *out)
{
	uint32_t ssrc = packet_ssrc(sender->index, stream);
	size_t count = 0;
	for (size_t i = 0; i < room->count; i++) {
		if (!room_is_wanted(room->member[i], ssrc))
			out[count++] = room->member[i]->index;
	}
	return count;
}

static enum err find_block(struct relay *relay, struct room *room, const uint32_t *unwilling, size_t count, struct room_block **out)
{
	struct room_block **at = &room->block;
	size_t blocks = 0;
	for (; *at; at = &(*at)->next, blocks++) {
		if ((*at)->unwilling_count == count && (count == 0 || memcmp((*at)->unwilling, unwilling, count * sizeof(*unwilling)) == 0))
			break;
	}
	bool is_allowed = blocks == 0 || (blocks <= room->count * RECEIVERS_BLOCKS_EACH && table_has_spare(relay->table));
	enum err err = *at ? ERR_OK : is_allowed ? block_new(relay, unwilling, count, at) : ERR_FULL;
	*out = *at;
	return err;
}

// Nobody is silent because there is no room for a list of its own: everybody's list does, of which some have no need.
static void lead_to_everybody(struct relay *relay, struct room *room, struct room_stream *stream)
{
	stream->wanted_block = room->block;
	stream->is_resubscribed = true;
	room->retry_ns = relay_now_ns(relay) + RECEIVERS_RETRY_NS;
	relay_stats_add(&relay->stats, STATS_table_full, 1);
}

void receivers_block_give_up(struct relay *relay, struct room *room, const struct room_block *block)
{
	for (size_t i = 0; i < room->count; i++) {
		for (size_t n = 0; n < room->member[i]->stream_count; n++) {
			if (room->member[i]->stream[n]->wanted_block == block)
				lead_to_everybody(relay, room, room->member[i]->stream[n]);
		}
	}
}

static void resubscribe(struct relay *relay, struct room *room, uint32_t *unwilling)
{
	room->retry_ns = 0;
	for (size_t i = 0; i < room->count; i++) {
		struct member *sender = room->member[i];
		for (size_t n = 0; n < sender->stream_count; n++) {
			struct room_stream *stream = sender->stream[n];
			if (!stream->is_resubscribed)
				continue;
			size_t count = find_unwilling(room, sender, stream->stream, unwilling);
			if (find_block(relay, room, unwilling, count, &stream->wanted_block))
				lead_to_everybody(relay, room, stream);
			else
				stream->is_resubscribed = false;
		}
	}
}

enum err receivers_block_all(struct relay *relay, struct room *room)
{
	struct room_block *first;
	enum err err = room->block ? ERR_OK : find_block(relay, room, NULL, 0, &first);
	if (err)
		return err;
	uint32_t *unwilling = malloc(room->count * sizeof(*unwilling));
	if (!unwilling)
		return ERR_NOMEM;
	resubscribe(relay, room, unwilling);
	free(unwilling);
	return ERR_OK;
}

// ---------------------------------------------------------------- what

// Both lists rise by index.
static void select_willing(const struct room_block *block, const struct receivers_list *all, struct receivers_list *out)
{
	size_t at = 0;
	out->count = 0;
	for (size_t i = 0; i < all->count; i++) {
		while (at < block->unwilling_count && block->unwilling[at] < all->record[i].member)
			at++;
		if (at < block->unwilling_count && block->unwilling[at] == all->record[i].member)
			continue;
		out->record[out->count] = all->record[i];
		out->place[out->count++] = all->place[i];
	}
}

static uint64_t digest_of(const struct receivers_list *list, uint16_t flags)
{
	const uint8_t key[PACKET_TAG_KEY_BYTES] = { (uint8_t)flags };
	uint64_t digest = packet_siphash(key, (const uint8_t *)list->record, list->count * sizeof(*list->record));
	return digest ? digest : 1;
}

enum err receivers_block_write(struct relay *relay, const struct room *room, struct room_block *block, const struct receivers_list *all,
			       struct receivers_list *scratch)
{
	select_willing(block, all, scratch);
	uint16_t flags = engine_choose(relay, scratch->record, scratch->place, scratch->count);
	for (size_t i = 0; i < scratch->count; i++)
		table_receiver_finish(&scratch->record[i]);
	uint64_t digest = digest_of(scratch, flags);
	bool is_allowed = block == room->block || table_has_spare(relay->table);
	if (digest != block->digest) {
		enum err err = is_allowed ? table_block_write(relay->table, block->block, room->number, scratch->record, scratch->count, flags) : ERR_FULL;
		if (err) {
			table_block_restrict(relay->table, block->block, scratch->record, scratch->count);
			block->digest = 0;
			return err;
		}
		block->is_written = true;
		block->digest = digest;
	}
	block->is_changed = false;
	return ERR_OK;
}

// ---------------------------------------------------------------- enough

void receivers_block_tidy(struct relay *relay, struct room *room)
{
	for (size_t i = 0; i < room->count; i++) {
		for (size_t n = 0; n < room->member[i]->stream_count; n++) {
			struct room_block *block = room->member[i]->stream[n]->block;
			if (block)
				block->is_used = true;
		}
	}
	room->block->is_used = true;
	for (struct room_block **at = &room->block; *at;) {
		struct room_block *block = *at;
		if (!block->is_used) {
			*at = block->next;
			block_free(relay, block);
			continue;
		}
		block->is_used = block->is_written = false;
		at = &block->next;
	}
}

void receivers_block_free_all(struct relay *relay, struct room *room)
{
	while (room->block) {
		struct room_block *block = room->block;
		room->block = block->next;
		block_free(relay, block);
	}
}
