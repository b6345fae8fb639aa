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

// Find or make the blocks that the room's streams need now: `wanted_block` of each. ERR_FULL, ERR_NOMEM.
enum err receivers_block_all(struct relay *relay, struct room *room) CHECK_RESULT;
// Publish those of `all` that want the block's streams, if they are not what was published last; says so in `is_written`.
// `scratch` has room for as many.
enum err receivers_block_write(struct relay *relay, const struct room *room, struct room_block *block, const struct receivers_list *all,
			       struct receivers_list *scratch) CHECK_RESULT;
// Free those that no stream leads to, but the first.
void receivers_block_tidy(struct relay *relay, struct room *room);
void receivers_block_free_all(struct relay *relay, struct room *room);

#endif
