// The blocks of one room: which members want which stream, and their records in the table. For receivers.c.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_RECEIVERS_BLOCK_H
#define RELAY_RECEIVERS_BLOCK_H

#include "base/err.h"
#include "relay/engine.h"
#include "relay/room.h"

// Receivers by rising index, and where they are.
struct receivers_list {
	struct fanout_receiver *record;
	struct engine_place *place;
	size_t count;
};

// So many blocks a room may have for each member, besides the first; and the last quarter of the table's records is for
// first blocks only. Streams for which there is no block of their own then lead to the first, and are tried again later.
enum { RECEIVERS_BLOCKS_EACH = 3 };
#define RECEIVERS_RETRY_NS 400000000u

// Find or make the blocks that the room's streams need now: `wanted_block` of each. ERR_FULL, ERR_NOMEM: not even the first.
enum err receivers_block_all(struct relay *relay, struct room *room) CHECK_RESULT;
// This block cannot be written: its streams shall lead to the first.
void receivers_block_give_up(struct relay *relay, struct room *room, const struct room_block *block);
// Publish those of `all` that want the block's streams, if they are not what was published last; says so in `is_written`.
// `scratch` has room for as many, and has them afterwards. ERR_FULL: who is not among them does not receive any more.
enum err receivers_block_write(struct relay *relay, const struct room *room, struct room_block *block, const struct receivers_list *all,
			       struct receivers_list *scratch) CHECK_RESULT;
// Free those that no stream leads to, but the first.
void receivers_block_tidy(struct relay *relay, struct room *room);
void receivers_block_free_all(struct relay *relay, struct room *room);

#endif
