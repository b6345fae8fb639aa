// The forwarding table under load: one writer, several readers that forward without pause and check all that they hold.
// For private memory and for the kernel's. SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_UNIT_TABLE_STRESS_H
#define TESTS_UNIT_TABLE_STRESS_H

#include "relay/table.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	STRESS_ROOMS = 8, STRESS_MEMBERS = 64, STRESS_ALWAYS = 10, // members 0 to 9 are in every list
	STRESS_READERS = 3, STRESS_BATCH = 32,
	STRESS_PATIENCE = 20,
	STRESS_GUEST = 4, // entry of a sender that comes and goes, with a block of its own
};

struct stress_reader {
	struct stress *stress;
	struct table_reader *reader;
	pthread_t thread;
	uint32_t seed;
	uint64_t packets, copies;
};

struct stress {
	struct table *table;
	struct table_memory *memory;
	uint64_t changes_wanted, seconds; // at least; and at most STRESS_PATIENCE times so long
	uint64_t per_second;              // changes, 0: as many as can be
	uint32_t readers;
	bool is_all_inside;               // in the kernel; else one of 64 is outside
	// The writer's
	uint32_t block[STRESS_ROOMS];
	uint32_t guest, guest_block, other_block; // guest: its handle
	uint64_t version, full, guests;
	uint32_t seed;
	// The readers'
	struct stress_reader reader[STRESS_READERS];
	atomic_bool is_over;
	_Atomic(const char *) problem;
};

static inline uint32_t stress_roll(uint32_t *seed, uint32_t below)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed % below;
}

// A record's check value lies where its addresses would be.
static inline uint64_t stress_check(uint64_t version, uint32_t room, uint32_t member)
{
	return (version * 0x9e3779b97f4a7c15 ^ (uint64_t)room << 32 ^ member) * 0xbf58476d1ce4e5b9;
}

static inline struct fanout_receiver stress_record(uint64_t version, uint32_t room, uint32_t member, bool is_outside)
{
	struct fanout_receiver record = {
		.room = room,
		.member = member,
		.family = member & 1 ? FANOUT_IPV4 : FANOUT_IPV6,
		.device = is_outside ? 0 : 1,
	};
	uint64_t check = stress_check(version, room, member);
	memcpy(record.source, &version, sizeof(version));
	memcpy(record.destination, &check, sizeof(check));
	return record;
}

static inline uint64_t stress_version(const struct fanout_extent *extent)
{
	uint64_t version;
	memcpy(&version, ((const struct fanout_receiver *)extent + 1)->source, sizeof(version));
	return version;
}

// ---------------------------------------------------------------- readers

// NULL, or what is wrong with the list.
static inline const char *stress_forward(const struct fanout_extent *extent, uint32_t room, uint32_t sender, uint64_t *copies)
{
	const struct fanout_receiver *record = (const struct fanout_receiver *)extent + 1;
	uint64_t version = stress_version(extent), seen = 0;
	if (extent->room != room)
		return "a list of another room";
	if (extent->ipv4 > extent->in_kernel || extent->in_kernel > extent->count || extent->count > STRESS_MEMBERS)
		return "a torn header";
	for (uint32_t i = 0; i < extent->count; i++) {
		uint64_t found;
		memcpy(&found, record[i].source, sizeof(found));
		if (found != version)
			return "records of two changes in one list";
		memcpy(&found, record[i].destination, sizeof(found));
		if (record[i].room != room || record[i].member >= STRESS_MEMBERS || found != stress_check(version, room, record[i].member))
			return "a torn record";
		if (seen >> record[i].member & 1)
			return "somebody twice";
		seen |= 1ull << record[i].member;
		*copies += record[i].member != sender;
	}
	uint64_t always = (1ull << STRESS_ALWAYS) - 1;
	return (seen & always) == always ? NULL : "somebody who always was a receiver got nothing";
}

// What a reader holds of the sender that comes and goes: whoever found its handle finds its key, room and receivers.
struct stress_held_guest {
	uint32_t handle, block;
	const struct fanout_extent *extent;
	uint64_t version;
};

static inline const struct fanout_extent *stress_extent(const struct stress *stress, uint32_t block)
{
	uint32_t first = block ? (uint32_t)__atomic_load_n(&stress->memory->block[block], __ATOMIC_ACQUIRE) : 0;
	return first ? (const struct fanout_extent *)&stress->memory->receiver[first] : NULL;
}

static inline const char *stress_guest(const struct stress *stress, struct stress_held_guest *held, uint64_t *copies)
{
	const struct fanout_sender *sender = &stress->memory->sender[STRESS_GUEST];
	*held = (struct stress_held_guest){ .handle = __atomic_load_n(&sender->handle, __ATOMIC_ACQUIRE) };
	if (held->handle == 0)
		return NULL;
	if (sender->tag_key[0] != held->handle || sender->room != held->handle)
		return "the entry of another sender";
	held->block = __atomic_load_n(&sender->stream[0].block, __ATOMIC_ACQUIRE);
	held->extent = stress_extent(stress, held->block);
	if (!held->extent)
		return NULL; // not yet, or not any more
	held->version = stress_version(held->extent);
	return stress_forward(held->extent, held->handle, 0, copies);
}

static inline const char *stress_guest_again(const struct stress *stress, const struct stress_held_guest *held)
{
	if (held->handle && stress->memory->sender[STRESS_GUEST].tag_key[0] != held->handle)
		return "an entry that was held was used again";
	if (held->extent && stress_version(held->extent) != held->version)
		return "a guest's list that was held was used again";
	const struct fanout_extent *now = stress_extent(stress, held->block);
	return now && now->room != held->handle ? "a block that was held was used again" : NULL;
}

static inline const char *stress_batch(struct stress_reader *self)
{
	const struct stress *stress = self->stress;
	const struct fanout_extent *held[STRESS_BATCH];
	uint64_t version[STRESS_BATCH];
	struct stress_held_guest guest;
	const char *problem = stress_guest(stress, &guest, &self->copies);
	for (size_t i = 0; i < STRESS_BATCH && !problem; i++) {
		uint32_t room = stress_roll(&self->seed, STRESS_ROOMS);
		held[i] = stress_extent(stress, stress->block[room]);
		if (!held[i])
			return "nobody receives";
		version[i] = stress_version(held[i]);
		problem = stress_forward(held[i], room + 1, room, &self->copies);
	}
	if (stress_roll(&self->seed, 8) == 0)
		sched_yield(); // interrupted in the midst of it
	for (size_t i = 0; i < STRESS_BATCH && !problem; i++) {
		if (stress_version(held[i]) != version[i])
			problem = "a list that was held was used again";
	}
	self->packets += STRESS_BATCH;
	return problem ? problem : stress_guest_again(stress, &guest);
}

static inline void *stress_read(void *argument)
{
	struct stress_reader *self = argument;
	struct stress *stress = self->stress;
	for (unsigned batch = 1; !atomic_load(&stress->is_over); batch++) {
		const char *problem = stress_batch(self);
		if (problem) {
			atomic_store(&stress->problem, problem);
			atomic_store(&stress->is_over, true);
		}
		table_reader_quiet(self->reader);
		if (batch % 64 == 0) { // now and then it sleeps
			table_reader_offline(self->reader);
			sched_yield();
			table_reader_online(self->reader);
		}
	}
	table_reader_offline(self->reader);
	return NULL;
}

// ---------------------------------------------------------------- the writer

// A room's next list: those who always are in it, and some of the others.
static inline enum err stress_write(struct stress *stress, uint32_t block, uint32_t room)
{
	struct fanout_receiver records[STRESS_MEMBERS];
	size_t count = 0;
	uint64_t version = ++stress->version;
	for (uint32_t member = 0; member < STRESS_MEMBERS; member++) {
		if (member < STRESS_ALWAYS || stress_roll(&stress->seed, 4) != 0)
			records[count++] = stress_record(version, room, member, !stress->is_all_inside && stress_roll(&stress->seed, 64) == 0);
	}
	return table_block_write(stress->table, block, room, records, count, FANOUT_EXTENT_TCX | FANOUT_EXTENT_XDP);
}

static inline void stress_guest_goes(struct stress *stress)
{
	if (!stress->guest)
		return;
	table_sender_close(stress->table, stress->guest);
	table_block_free(stress->table, stress->guest_block);
	stress->guest = 0;
}

static inline void stress_guest_comes(struct stress *stress)
{
	uint32_t handle = (uint32_t)(stress->guests % 1023 + 1) << 20 | STRESS_GUEST;
	uint64_t key[2] = { handle, 0 };
	struct table_sender sender = { .handle = handle, .index = 1, .room = handle, .tag_key = (const uint8_t *)key, .may_send = true };
	if (stress->guest || !table_sender_may_open(stress->table, handle) || table_block_new(stress->table, &stress->guest_block))
		return;
	if (stress_write(stress, stress->guest_block, handle) || table_sender_open(stress->table, &sender)) {
		table_block_free(stress->table, stress->guest_block);
		return;
	}
	table_stream_set(stress->table, handle, 0, stress->guest_block, 0);
	stress->guest = handle;
	stress->guests++;
}

// The guest's stream leads elsewhere, and another room gets a block.
static inline void stress_guest_moves(struct stress *stress)
{
	if (stress->other_block)
		table_block_free(stress->table, stress->other_block);
	stress->other_block = 0;
	uint32_t block;
	if (!stress->guest || table_block_new(stress->table, &block))
		return;
	if (!stress_write(stress, block, stress->guest)) {
		table_stream_set(stress->table, stress->guest, 0, block, 0);
		uint32_t before = stress->guest_block;
		stress->guest_block = block;
		block = before;
	}
	table_block_free(stress->table, block);
	if (table_block_new(stress->table, &stress->other_block) == ERR_OK)
		stress->full += stress_write(stress, stress->other_block, STRESS_ROOMS + 1) != ERR_OK;
}

static inline uint64_t stress_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline bool stress_is_enough(const struct stress *stress, uint64_t elapsed_ns)
{
	uint64_t wanted_ns = stress->seconds * 1000000000u;
	return elapsed_ns > STRESS_PATIENCE * wanted_ns ||
	       (elapsed_ns > wanted_ns && table_changes(stress->table) >= stress->changes_wanted);
}

static inline void stress_change(struct stress *stress)
{
	uint64_t begin_ns = stress_now_ns();
	while (!atomic_load(&stress->is_over) && !stress_is_enough(stress, stress_now_ns() - begin_ns)) {
		if (stress->per_second && stress->version * 1000000000u > stress->per_second * (stress_now_ns() - begin_ns)) {
			clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_nsec = 500000 }, NULL);
			continue;
		}
		uint32_t room = stress_roll(&stress->seed, STRESS_ROOMS);
		if (stress_write(stress, stress->block[room], room + 1)) {
			stress->full++;
			sched_yield();
		}
		if (stress->version % 32 == 0)
			stress_guest_goes(stress);
		else if (stress->version % 32 == 16)
			stress_guest_comes(stress);
		else if (stress->version % 4 == 1)
			stress_guest_moves(stress);
	}
}

// Sizes with which extents are used again all the time.
static inline struct table_sizes stress_sizes(uint32_t receivers)
{
	return (struct table_sizes){ .senders = 8, .clients = 8, .blocks = STRESS_ROOMS + 3, .receivers = receivers,
				     .history_small = 1024, .history_large = 1024 };
}

// Fill in table, memory and what is wanted. Returns NULL, or what went wrong.
static inline const char *stress_run(struct stress *stress)
{
	stress->seed = 99;
	for (uint32_t i = 0; i < STRESS_ROOMS; i++) {
		if (table_block_new(stress->table, &stress->block[i]) || stress_write(stress, stress->block[i], i + 1))
			return "no room to begin with";
	}
	uint32_t started = 0;
	for (; started < stress->readers; started++) {
		struct stress_reader *reader = &stress->reader[started];
		*reader = (struct stress_reader){ .stress = stress, .seed = started + 1, .reader = table_reader_new(stress->table) };
		if (!reader->reader || pthread_create(&reader->thread, NULL, stress_read, reader) != 0)
			break;
	}
	if (started == stress->readers)
		stress_change(stress);
	atomic_store(&stress->is_over, true);
	for (uint32_t i = 0; i < started; i++)
		pthread_join(stress->reader[i].thread, NULL);
	if (atomic_load(&stress->problem))
		return atomic_load(&stress->problem);
	return started < stress->readers ? "no threads" : table_changes(stress->table) < stress->changes_wanted ? "too few changes" : NULL;
}

#endif
