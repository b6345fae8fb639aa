// Rooms: who is in which running meeting, what they announced, and what they want of each other.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_ROOM_H
#define RELAY_ROOM_H

#include "base/control.h"
#include "relay/flow.h"

struct tcs_session;
struct rooms;

enum { ROOM_ASKED = 128, ROOM_UNWANTED_MAX = 1024 };

// A packet that the sender was lately asked for.
struct room_asked {
	uint64_t at_ns;
	uint16_t sequence;
};

// One stream as the relay knows it: from the first packet on.
struct room_stream {
	uint8_t stream; // low byte of the SSRC
	bool is_resubscribed;         // who wants it may have changed since its block was found
	struct room_block *block;     // who receives it; of the room's list
	struct room_block *wanted_block; // the same, once it has been written
	uint64_t packets[HOP_PATHS];  // forwarded on this path when last looked at,
	uint64_t moved_ns[HOP_PATHS]; // and when that number last changed
	uint64_t pli_ns, pli_used_ns; // when its sender was last asked for a key frame; what is used of the allowance
	struct room_asked *asked; // ROOM_ASKED of them, from the first request on
};

struct member {
	struct room *room;
	struct tcs_session *session;
	uint32_t index;
	struct id participant;
	uint32_t rights; // enum token_right
	enum hop_path path; // on which it receives media
	struct flow *flow[HOP_PATHS];
	uint8_t *announcement;
	size_t announcement_size;
	struct control_streams catalogue;
	bool is_changed;        // announcement or catalogue not yet told to the others
	uint64_t told_ns;
	struct room_stream *stream[CONTROL_STREAMS_MAX];
	size_t stream_count;
	uint64_t retransmit_ns; // up to which its allowance of retransmissions is used
	uint64_t subscribe_ns;  // the same of subscriptions that take effect at once
	uint32_t *unwanted;     // SSRCs of others that it does not want, rising
	uint32_t unwanted_count, unwanted_capacity;
};

// Receivers of those streams that exactly `unwilling` do not want.
struct room_block {
	uint32_t block;     // of the table
	uint64_t digest;    // of the records that were last written, 0: none
	bool is_changed;    // to be written
	bool is_written;    // just now: the senders' positions in it are new
	bool is_used;       // some stream leads here; while blocks are tidied
	uint32_t *unwilling; // indexes of members, rising
	size_t unwilling_count;
	struct room_block *next;
};

struct room {
	struct id meeting, incarnation;
	uint32_t number;     // in the forwarding table; never 0
	uint32_t next_index; // never given twice while the room lives
	struct member **member; // by rising index
	size_t count, capacity;
	struct room_block *block; // the first, if any, is that of streams that everybody wants
	bool is_changed, is_changed_later; // in the list of rooms whose blocks are to be written; at the next tick
	bool is_urgent;      // written at once, whatever the room has used of its allowance
	bool is_stuck;       // the table had no room for what must be written
	uint64_t written_ns; // up to when its allowance of records is used
	uint64_t retry_ns;   // when blocks of its own are tried again for streams that not everybody wants; 0: all have theirs
	struct room *next, *next_changed;
};

struct room_limits {
	size_t members_per_room, rooms, members;
};

struct rooms *rooms_new(const struct room_limits *limits);
void rooms_free(struct rooms *rooms); // members must have left
size_t rooms_count(const struct rooms *rooms);
size_t rooms_member_count(const struct rooms *rooms);
struct room *rooms_find(const struct rooms *rooms, const struct id *meeting);
// The rooms one by one; NULL after the last. `previous` NULL: the first.
struct room *rooms_next(const struct rooms *rooms, const struct room *previous);

// Enter; makes the room if need be. ERR_FULL at a limit.
enum err rooms_join(struct rooms *rooms, const struct id *meeting, const struct id *participant, struct member **out) CHECK_RESULT;
// Frees the member, whose flows must be closed, and the room after its last one.
void rooms_leave(struct rooms *rooms, struct member *member);

// Rooms that wait to be written: put one there (once), take the oldest out; NULL: none.
void rooms_change(struct rooms *rooms, struct room *room);
struct room *rooms_take_changed(struct rooms *rooms);

struct member *room_find_index(const struct room *room, uint32_t index);
struct member *room_find_participant(const struct room *room, const struct id *participant);
enum err room_announce(struct member *member, const uint8_t *bytes, size_t size) CHECK_RESULT;
// The stream's record, NULL if there is none.
struct room_stream *room_stream_find(const struct member *member, uint8_t stream);
// The same, made if need be; NULL beyond CONTROL_STREAMS_MAX or without memory.
struct room_stream *room_stream_make(struct member *member, uint8_t stream);

// Note whether the member wants a stream of somebody else's. True if that is news; `*err` is ERR_LIMIT beyond
// ROOM_UNWANTED_MAX and ERR_NOMEM without memory.
bool room_want(struct member *member, uint32_t ssrc, bool is_wanted, enum err *err);
bool room_is_wanted(const struct member *member, uint32_t ssrc);
// Nobody notes anything of somebody who leaves.
void room_forget_wishes(struct room *room, uint32_t index);

#endif
