// The forwarding table's writer: senders, blocks, extents, histories; what is published and when it may be used again.
// Control thread only, but for the readers' marks. Shapes: kernel-bpf/fanout.h. The control thread may read the table too
// without being a reader, if it keeps nothing of it across calls that change it.
//
// A change is published at once, by one store. What it replaced waits until the kernel's programs (an RCU grace period,
// by an update of the map `grace`, on a thread of the table's own) and all media threads have let go of it. Extents that
// packets are marked with (receivers outside of the kernel behind some inside, TLS, other relays) wait a second more, since
// such packets may still be queued; less, when room is short, and then such a packet goes to whom its stream leads now. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_TABLE_H
#define RELAY_TABLE_H

#include "base/err.h"
#include "kernel-bpf/fanout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_sizes {
	uint32_t senders;   // entries; index = that of the handle
	uint32_t clients;   // the first: UDP paths of clients; those of other relays come behind
	uint32_t tls;       // the last: TLS paths of clients, which have no replay window
	uint32_t blocks;    // entry 0 is unused
	uint32_t receivers; // records, extent headers included
	uint32_t history_small, history_large; // slots
};

// Where the table is. From the loader (mapped BPF arrays) or table_memory_private.
struct table_memory {
	struct table_sizes sizes;
	struct fanout_config *config;
	struct fanout_sender *sender;
	struct fanout_window *window;
	fanout_block *block;
	struct fanout_receiver *receiver; // extent headers among them
	uint8_t *history_small, *history_large;
	uint32_t *tls_counter;     // of TLS paths, the last that was taken; table_new's
	bool has_programs;         // false: plain memory, nobody in the kernel reads it
	int map[LOADER_MAPS];      // descriptors; -1 without programs
};

// Sizes for so many participants and so much memory for histories.
void table_sizes_for(uint64_t participants, uint64_t history_bytes, struct table_sizes *out);
// What a map with memory takes, in whole pages; 0: the others.
size_t table_memory_bytes(const struct table_sizes *sizes, enum loader_map map);
// Plain shared memory, zeroed. Freed with table_memory_free, like the loader's.
enum err table_memory_private(const struct table_sizes *sizes, struct table_memory *out) CHECK_RESULT;
// Unmaps what is mapped, closes the descriptors.
void table_memory_free(struct table_memory *memory);

struct table;

// Borrows the memory. If it has programs, a thread of the table's own starts with the first change that replaces something.
enum err table_new(struct table_memory *memory, struct table **out) CHECK_RESULT;
void table_free(struct table *table);
struct table_memory *table_memory(struct table *table);

// ---------------------------------------------------------------- readers: the media threads

enum { TABLE_READERS = 64 };
struct table_reader;
// NULL when there are too many. Call on the control thread before the reader's thread runs; it is online from then on, and
// nothing is used again until it says something. A thread that ends goes offline.
struct table_reader *table_reader_new(struct table *table);
// At the end of every batch: I hold nothing of the table. Before sleeping: offline; after: online.
void table_reader_quiet(struct table_reader *reader);
void table_reader_offline(struct table_reader *reader);
void table_reader_online(struct table_reader *reader);

// ---------------------------------------------------------------- senders

struct table_sender {
	uint32_t handle, index, room;
	bool is_tls, may_send;
	const uint8_t *tag_key;  // PACKET_TAG_KEY_BYTES, client to relay
	uint32_t ns_per_kib;     // rate limit, 0: none
};
// An entry that was closed rests until all who may still look at it, and would use up counters of the next owner, have let
// go of it: some ten milliseconds. Handles are best given out again in the order in which they came back.
bool table_sender_may_open(struct table *table, uint32_t handle);
// Fills the entry of the handle's index, whose window starts empty. The last thing written is the handle. ERR_AGAIN: it
// rests, or is open; ERR_FULL: there is no such entry.
enum err table_sender_open(struct table *table, const struct table_sender *sender);
void table_sender_move(struct table *table, uint32_t handle, const uint8_t peer[static 16], uint16_t port_be);
void table_sender_close(struct table *table, uint32_t handle); // gives back its histories
// Take a packet's counter: in the window, or on a TLS path, where all comes in order, if it is the highest so far. `index`
// is the sender's. Any thread for UDP, the control thread for TLS.
bool table_take(struct table_memory *memory, uint32_t index, uint32_t count);
static inline uint32_t table_windows(const struct table_sizes *sizes) { return sizes->senders - sizes->tls; }

// ---------------------------------------------------------------- blocks

// ERR_FULL. A new block is empty.
enum err table_block_new(struct table *table, uint32_t *block) CHECK_RESULT;
void table_block_free(struct table *table, uint32_t block); // no stream may lead to it any more
// Who receives from now on: `records` in any order; sorted, stored in a fresh extent and published by one store.
// `is_inside(record)` is record->device != 0 and family known. ERR_FULL leaves all as it was. `flags`: what the caller
// allows of FANOUT_EXTENT_TCX and _XDP; of that remains what these records allow.
enum err table_block_write(struct table *table, uint32_t block, uint32_t room, const struct fanout_receiver *records,
			   size_t count, uint16_t flags) CHECK_RESULT;
// Is there more than what is kept for those blocks that must be written?
bool table_has_spare(const struct table *table);
// What can be done when the table is full: whoever is not among these records, which rise by member, does not
// receive any more, at once.
void table_block_restrict(struct table *table, uint32_t block, const struct fanout_receiver *records, size_t count);
// The first record of the extent that a mark names, if it still is what it was, and of this room. 0: no.
uint32_t table_marked(const struct table_memory *memory, uint32_t mark, uint32_t room);
// The records as they are now: header, then header->count records. NULL: empty.
const struct fanout_extent *table_block_extent(const struct table *table, uint32_t block);
// Number of changes published, and of extents that wait for their grace period.
uint64_t table_changes(const struct table *table);
size_t table_waiting(const struct table *table);

// ---------------------------------------------------------------- streams and history

// Lead a stream to a block (0: none, user space decides; gives back its history) and find its sender's position there.
void table_stream_set(struct table *table, uint32_t handle, uint8_t stream, uint32_t block, uint32_t flags);
// After table_block_write: the sender's own position in it, by member. At once if it has not changed.
void table_stream_position(struct table *table, uint32_t handle, uint8_t stream);
// Size histories by the rate of the last while; call every 100 ms or so for each open sender. Replaced things come free
// here too, when nothing else changes.
void table_history_tick(struct table *table, uint32_t handle, uint64_t now_ns);
size_t table_history_bytes(const struct table *table); // in use

// A copy of the datagram with this sequence number; false: not there.
bool table_history_get(const struct table *table, uint32_t handle, uint8_t stream, uint16_t sequence,
		       uint8_t bytes[static FANOUT_PACKET_BYTES], size_t *size);
// Older than the newest, young enough to be here, and never came.
bool table_history_lacks(const struct table *table, uint32_t handle, uint8_t stream, uint16_t sequence);

// Checksum delta and the like of a record whose addresses and ports are set.
void table_receiver_finish(struct fanout_receiver *record);

// Counters of the kernel's programs, all CPUs together; zeros without programs.
void table_counters(const struct table *table, struct fanout_counters *out);

#endif
