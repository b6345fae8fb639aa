// Histories in the forwarding table: what is kept, found and missing, and how many slots a stream gets.
// SPDX-License-Identifier: Apache-2.0
#include "relay/table.h"

#include "kernel-bpf/fanout_admit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { INDEX = 5, HANDLE = 2, AUDIO = 0, VIDEO = 1, BLOCK = 1, SMALL_SLOTS = 2048, LARGE_SLOTS = 4096 };

struct world {
	struct table_memory memory;
	struct table *table;
	struct table_reader *reader;
	uint64_t now_ns;
};

static void open_sender(struct world *world, uint32_t handle)
{
	static const uint8_t key[16];
	struct table_sender sender = { .handle = handle, .index = INDEX, .room = 1, .may_send = true, .tag_key = key };
	assert_int_equal(table_sender_open(world->table, &sender), ERR_OK);
}

static int setup_with(void **state, uint32_t small, uint32_t large)
{
	struct world *world = calloc(1, sizeof(*world));
	assert_non_null(world);
	struct table_sizes sizes = { .senders = 16, .clients = 16, .blocks = 4, .receivers = 64, .history_small = small, .history_large = large };
	assert_int_equal(table_memory_private(&sizes, &world->memory), ERR_OK);
	assert_int_equal(table_new(&world->memory, &world->table), ERR_OK);
	world->reader = table_reader_new(world->table);
	world->now_ns = 1000000000;
	open_sender(world, HANDLE);
	*state = world;
	return 0;
}

static int setup(void **state) { return setup_with(state, SMALL_SLOTS, LARGE_SLOTS); }
static int setup_poor(void **state) { return setup_with(state, 32, 96); }

static int teardown(void **state)
{
	struct world *world = *state;
	table_free(world->table);
	table_memory_free(&world->memory);
	free(world);
	return 0;
}

static struct fanout_stream *stream_of(struct world *world, uint8_t stream) { return &world->memory.sender[HANDLE].stream[stream]; }

static struct fanout_slot *slot_of(struct world *world, uint8_t stream, uint16_t sequence)
{
	uint64_t history = stream_of(world, stream)->history;
	bool is_large = FANOUT_HISTORY_IS_LARGE(history);
	uint8_t *pool = is_large ? world->memory.history_large : world->memory.history_small;
	return (struct fanout_slot *)(pool + (size_t)fanout_slot_index(history, sequence) * (is_large ? FANOUT_LARGE_SLOT : FANOUT_SMALL_SLOT));
}

// What a program does with a packet.
static void forward(struct world *world, uint8_t stream, uint16_t sequence, uint16_t size)
{
	struct fanout_stream *s = stream_of(world, stream);
	s->packets++;
	s->bytes += size;
	if (s->packets == 1 || fanout_is_newer(sequence, s->newest))
		s->newest = sequence;
	if (!s->history || size > (FANOUT_HISTORY_IS_LARGE(s->history) ? FANOUT_LARGE_BYTES : FANOUT_SMALL_BYTES))
		return;
	struct fanout_packet packet = { .size = size };
	packet.head[2] = (uint64_t)__builtin_bswap16(sequence) << 16 | (uint64_t)__builtin_bswap32(sequence * 960u) << 32;
	packet.head[3] = __builtin_bswap32(INDEX << 8 | stream);
	struct fanout_slot *slot = slot_of(world, stream, sequence);
	assert_true(fanout_slot_lock(slot, &packet));
	memset(slot->bytes, (uint8_t)sequence, size);
	fanout_slot_unlock(slot);
}

static bool has(struct world *world, uint8_t stream, uint16_t sequence, size_t wanted)
{
	uint8_t bytes[FANOUT_PACKET_BYTES];
	size_t size;
	return table_history_get(world->table, HANDLE, stream, sequence, bytes, &size) && size == wanted &&
	       bytes[0] == (uint8_t)sequence && bytes[size - 1] == (uint8_t)sequence;
}

static uint32_t slots(struct world *world, uint8_t stream)
{
	uint64_t history = stream_of(world, stream)->history;
	return history ? 1u << FANOUT_HISTORY_LOG2(history) : 0;
}

// A stream at this rate for so long, looked at ten times a second. Returns the next sequence number.
static uint16_t run(struct world *world, uint8_t stream, uint16_t sequence, unsigned rate, unsigned tenths, uint16_t size)
{
	unsigned sent = 0;
	for (unsigned i = 1; i <= tenths; i++) {
		for (; sent < rate * i / 10; sent++)
			forward(world, stream, sequence++, size);
		world->now_ns += 100000000;
		table_history_tick(world->table, HANDLE, world->now_ns);
		table_reader_quiet(world->reader);
	}
	return sequence;
}

static void sound_and_video_begin_differently(void **state)
{
	struct world *world = *state;
	table_stream_set(world->table, HANDLE, AUDIO, BLOCK, 0);
	table_stream_set(world->table, HANDLE, VIDEO, BLOCK, FANOUT_STREAM_MAY_SHED);
	assert_int_equal(slots(world, AUDIO), 64);
	assert_int_equal(slots(world, VIDEO), 128);
	assert_false(FANOUT_HISTORY_IS_LARGE(stream_of(world, AUDIO)->history));
	assert_true(FANOUT_HISTORY_IS_LARGE(stream_of(world, VIDEO)->history));
	assert_int_equal(table_history_bytes(world->table), 64 * FANOUT_SMALL_SLOT + 128 * FANOUT_LARGE_SLOT);
	uint64_t before = stream_of(world, AUDIO)->history;
	table_stream_set(world->table, HANDLE, AUDIO, 2, 0); // to another block: the history stays
	assert_int_equal(stream_of(world, AUDIO)->history, before);
	assert_false(table_history_lacks(world->table, HANDLE, AUDIO, 65535)); // nothing came yet
}

static void what_is_there_and_what_is_missing(void **state)
{
	struct world *world = *state;
	table_stream_set(world->table, HANDLE, AUDIO, BLOCK, 0);
	for (unsigned i = 0; i < 100; i++) {
		uint16_t sequence = (uint16_t)(65500 + i);
		if (sequence != 5 && sequence != 20)
			forward(world, AUDIO, sequence, (uint16_t)(100 + i));
	}
	static const struct {
		const char *what;
		uint16_t sequence;
		bool is_there, is_lacking;
	} rows[] = {
		{ "newest", 63, true, false },   { "old", 0, true, false },      { "never came", 5, false, true },
		{ "never came", 20, false, true }, { "to come", 64, false, false }, { "too old", 65535, false, false },
		{ "long ago", 65500, false, false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint16_t sequence = rows[i].sequence;
		if (has(world, AUDIO, sequence, (size_t)100 + (uint16_t)(sequence - 65500)) != rows[i].is_there ||
		    table_history_lacks(world->table, HANDLE, AUDIO, sequence) != rows[i].is_lacking)
			fail_msg("%s: %u", rows[i].what, sequence);
	}
	assert_false(has(world, VIDEO, 63, 199));
}

static void a_slot_that_is_being_written_is_not_there(void **state)
{
	struct world *world = *state;
	table_stream_set(world->table, HANDLE, AUDIO, BLOCK, 0);
	forward(world, AUDIO, 9, 100);
	assert_true(has(world, AUDIO, 9, 100));
	slot_of(world, AUDIO, 9)->lock++;
	assert_false(has(world, AUDIO, 9, 100));
	slot_of(world, AUDIO, 9)->lock++;
	assert_true(has(world, AUDIO, 9, 100));
	slot_of(world, AUDIO, 9)->size = FANOUT_SMALL_BYTES + 1; // larger than a slot: never believed
	assert_false(has(world, AUDIO, 9, FANOUT_SMALL_BYTES + 1));
}

static void a_second_is_kept_at_any_rate(void **state)
{
	struct world *world = *state;
	static const struct {
		unsigned rate;
		uint32_t slots;
	} rows[] = { { 20, 32 }, { 50, 64 }, { 300, 512 }, { 900, 1024 }, { 3000, 1024 }, { 100, 128 } };
	table_stream_set(world->table, HANDLE, VIDEO, BLOCK, FANOUT_STREAM_MAY_SHED);
	uint16_t next = 65000;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		next = run(world, VIDEO, next, rows[i].rate, 200, 1000);
		// Never less; twice as many are not given back, lest they come and go.
		if (slots(world, VIDEO) != rows[i].slots && slots(world, VIDEO) != 2 * rows[i].slots)
			fail_msg("%u packets a second: %u slots", rows[i].rate, slots(world, VIDEO));
		unsigned kept = rows[i].rate < 1024 ? rows[i].rate : 1024;
		for (unsigned age = 1; age <= kept; age++)
			assert_true(has(world, VIDEO, (uint16_t)(next - age), 1000));
	}
}

static void what_is_kept_moves_along(void **state)
{
	struct world *world = *state;
	table_stream_set(world->table, HANDLE, VIDEO, BLOCK, FANOUT_STREAM_MAY_SHED);
	for (uint16_t i = 0; i < 128; i++)
		forward(world, VIDEO, i, 1200);
	table_history_tick(world->table, HANDLE, world->now_ns += 100000000);
	for (uint16_t i = 128; i < 250; i++)
		forward(world, VIDEO, i, 1200);
	uint64_t before = stream_of(world, VIDEO)->history;
	table_history_tick(world->table, HANDLE, world->now_ns += 100000000);
	assert_int_not_equal(stream_of(world, VIDEO)->history, before);
	assert_int_equal(slots(world, VIDEO), 256);
	for (uint16_t i = 250 - 128; i < 250; i++)
		assert_true(has(world, VIDEO, i, 1200));
	// Small again: the newest come along.
	uint16_t next = run(world, VIDEO, 250, 10, 200, 1200);
	assert_true(slots(world, VIDEO) <= 64);
	for (uint16_t age = 1; age <= 32; age++)
		assert_true(has(world, VIDEO, (uint16_t)(next - age), 1200));
}

static void large_sound_gets_large_slots(void **state)
{
	struct world *world = *state;
	table_stream_set(world->table, HANDLE, AUDIO, BLOCK, 0);
	uint16_t next = run(world, AUDIO, 0, 50, 10, FANOUT_SMALL_BYTES);
	assert_false(FANOUT_HISTORY_IS_LARGE(stream_of(world, AUDIO)->history));
	next = run(world, AUDIO, next, 50, 2, FANOUT_SMALL_BYTES + 1);
	assert_true(FANOUT_HISTORY_IS_LARGE(stream_of(world, AUDIO)->history));
	assert_true(has(world, AUDIO, (uint16_t)(next - 11), FANOUT_SMALL_BYTES)); // from before
	run(world, AUDIO, next, 50, 1, 400);
	assert_true(has(world, AUDIO, (uint16_t)(next + 4), 400));
}

// Four streams of 1,024 large slots would be 4.98 MB; a sender gets 4 MiB.
static void a_sender_has_its_share(void **state)
{
	struct world *world = *state;
	for (uint8_t i = 0; i < 4; i++)
		table_stream_set(world->table, HANDLE, i, BLOCK, FANOUT_STREAM_MAY_SHED);
	for (unsigned tenth = 0; tenth < 30; tenth++) {
		for (uint8_t i = 0; i < 4; i++) {
			for (unsigned packet = 0; packet < 90; packet++)
				forward(world, i, (uint16_t)(tenth * 90 + packet), 1200);
		}
		table_history_tick(world->table, HANDLE, world->now_ns += 100000000);
		table_reader_quiet(world->reader);
	}
	assert_true(table_history_bytes(world->table) <= 4 << 20);
	assert_true(table_history_bytes(world->table) > 3 << 20);
	for (uint8_t i = 0; i < 4; i++)
		assert_true(slots(world, i) >= 256);
}

static void a_poor_pool_gives_less_and_later_more(void **state)
{
	struct world *world = *state;
	table_stream_set(world->table, HANDLE, VIDEO, BLOCK, FANOUT_STREAM_MAY_SHED);
	assert_int_equal(slots(world, VIDEO), 64); // of 96
	table_stream_set(world->table, HANDLE, 2, BLOCK, FANOUT_STREAM_MAY_SHED);
	assert_int_equal(slots(world, 2), 32);
	table_stream_set(world->table, HANDLE, 3, BLOCK, FANOUT_STREAM_MAY_SHED);
	assert_int_equal(slots(world, 3), 0);
	forward(world, 3, 1, 1000); // goes on without
	assert_false(has(world, 3, 1, 1000));
	assert_false(table_history_lacks(world->table, HANDLE, 3, 0));
	open_sender(world, HANDLE + 1);
	table_sender_close(world->table, HANDLE);
	table_stream_set(world->table, HANDLE + 1, 0, BLOCK, FANOUT_STREAM_MAY_SHED);
	const struct fanout_stream *other = &world->memory.sender[HANDLE + 1].stream[0];
	assert_int_equal(other->history, 0); // they rest
	assert_int_equal(table_history_bytes(world->table), 0);
	table_reader_quiet(world->reader);
	table_history_tick(world->table, HANDLE + 1, world->now_ns);
	assert_int_equal(FANOUT_HISTORY_LOG2(other->history), 6);
}

// A region that was somebody else's: nothing of it is found.
static void regions_are_handed_on_empty(void **state)
{
	struct world *world = *state;
	table_stream_set(world->table, HANDLE, VIDEO, BLOCK, FANOUT_STREAM_MAY_SHED);
	for (uint16_t i = 0; i < 64; i++)
		forward(world, VIDEO, i, 1000);
	assert_true(has(world, VIDEO, 10, 1000));
	uint64_t history = stream_of(world, VIDEO)->history;
	table_sender_close(world->table, HANDLE);
	table_reader_quiet(world->reader);
	assert_true(table_sender_may_open(world->table, HANDLE));
	open_sender(world, HANDLE);
	table_stream_set(world->table, HANDLE, VIDEO, BLOCK, FANOUT_STREAM_MAY_SHED);
	assert_int_equal(stream_of(world, VIDEO)->history, history);
	for (uint16_t i = 0; i < 64; i++)
		assert_false(has(world, VIDEO, i, 1000));
}

// A stream that leads nowhere any more leaves its slots to others.
static void a_stream_that_ends_gives_back(void **state)
{
	struct world *world = *state;
	table_stream_set(world->table, HANDLE, VIDEO, BLOCK, FANOUT_STREAM_MAY_SHED);
	forward(world, VIDEO, 7, 1000);
	uint64_t history = stream_of(world, VIDEO)->history;
	table_stream_set(world->table, HANDLE, VIDEO, 0, FANOUT_STREAM_MAY_SHED);
	assert_int_equal(stream_of(world, VIDEO)->history, 0);
	assert_int_equal(table_history_bytes(world->table), 0);
	assert_false(has(world, VIDEO, 7, 1000));
	table_reader_quiet(world->reader);
	table_history_tick(world->table, HANDLE, world->now_ns);
	table_stream_set(world->table, HANDLE, VIDEO, BLOCK, FANOUT_STREAM_MAY_SHED);
	assert_int_equal(stream_of(world, VIDEO)->history, history);
	assert_false(has(world, VIDEO, 7, 1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sound_and_video_begin_differently, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_there_and_what_is_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_slot_that_is_being_written_is_not_there, setup, teardown),
		cmocka_unit_test_setup_teardown(a_second_is_kept_at_any_rate, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_kept_moves_along, setup, teardown),
		cmocka_unit_test_setup_teardown(large_sound_gets_large_slots, setup, teardown),
		cmocka_unit_test_setup_teardown(a_sender_has_its_share, setup, teardown),
		cmocka_unit_test_setup_teardown(a_poor_pool_gives_less_and_later_more, setup_poor, teardown),
		cmocka_unit_test_setup_teardown(a_stream_that_ends_gives_back, setup_poor, teardown),
		cmocka_unit_test_setup_teardown(regions_are_handed_on_empty, setup_poor, teardown),
	};
	return cmocka_run_group_tests_name("relay_table_history", tests, NULL, NULL);
}
