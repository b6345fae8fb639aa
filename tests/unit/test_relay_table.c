// The forwarding table's writer: who receives, who sends, what rests and for how long. SPDX-License-Identifier: Apache-2.0
#include "relay/table.h"

#include "kernel-bpf/fanout_admit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { PARTICIPANTS = 8, ROOM = 7 };

struct world {
	struct table_memory memory;
	struct table *table;
};

static int setup_with(void **state, const struct table_sizes *sizes)
{
	struct world *world = calloc(1, sizeof(*world));
	assert_non_null(world);
	assert_int_equal(table_memory_private(sizes, &world->memory), ERR_OK);
	assert_int_equal(table_new(&world->memory, &world->table), ERR_OK);
	*state = world;
	return 0;
}

static int setup(void **state)
{
	struct table_sizes sizes;
	table_sizes_for(PARTICIPANTS, 8 << 20, &sizes);
	return setup_with(state, &sizes);
}

static int setup_small(void **state)
{
	return setup_with(state, &(struct table_sizes){ .senders = 4, .clients = 4, .blocks = 4, .receivers = 41,
							.history_small = 32, .history_large = 32 });
}

static int teardown(void **state)
{
	struct world *world = *state;
	table_free(world->table);
	table_memory_free(&world->memory);
	assert_null(world->memory.sender);
	free(world);
	return 0;
}

static struct fanout_receiver record_of(uint32_t member, uint8_t family, uint8_t device)
{
	struct fanout_receiver record = { .room = ROOM, .member = member, .family = family, .device = device };
	table_receiver_finish(&record);
	return record;
}

// What forwards sees: the extent behind the block.
static const struct fanout_extent *extent_of(const struct world *world, uint32_t block)
{
	uint32_t first = world->memory.block[block];
	return first ? (const struct fanout_extent *)&world->memory.receiver[first] : NULL;
}

// ---------------------------------------------------------------- blocks

static void records_are_sorted_by_who_serves_them(void **state)
{
	struct world *world = *state;
	uint32_t block;
	assert_int_equal(table_block_new(world->table, &block), ERR_OK);
	assert_null(table_block_extent(world->table, block));
	const struct fanout_receiver records[] = {
		record_of(1, FANOUT_OUTSIDE, 0), record_of(2, FANOUT_IPV6, 1), record_of(3, FANOUT_IPV4, 1),
		record_of(4, FANOUT_IPV4, 0), // next hop unknown
		record_of(5, FANOUT_IPV6, 2), record_of(6, FANOUT_IPV4, 2),
	};
	static const uint32_t sorted[] = { 3, 6, 2, 5, 1, 4 };
	assert_int_equal(table_block_write(world->table, block, ROOM, records, 6, FANOUT_EXTENT_TCX | FANOUT_EXTENT_XDP), ERR_OK);
	const struct fanout_extent *extent = extent_of(world, block);
	assert_ptr_equal(extent, table_block_extent(world->table, block));
	assert_int_equal(extent->room, ROOM);
	assert_int_equal(extent->count, 6);
	assert_int_equal(extent->in_kernel, 4);
	assert_int_equal(extent->ipv4, 2);
	assert_int_equal(extent->flags, FANOUT_EXTENT_TCX | FANOUT_EXTENT_MIXED);
	const struct fanout_receiver *record = (const struct fanout_receiver *)extent + 1;
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(record[i].member, sorted[i]);
		assert_memory_equal(&record[i], &records[sorted[i] - 1], sizeof(record[i]));
	}
	assert_int_equal(table_block_write(world->table, block, ROOM, NULL, 0, FANOUT_EXTENT_TCX), ERR_OK);
	assert_null(extent_of(world, block));
	assert_int_equal(table_changes(world->table), 2);
}

static void engines_get_only_what_they_can_do(void **state)
{
	struct world *world = *state;
	uint32_t block;
	assert_int_equal(table_block_new(world->table, &block), ERR_OK);
	enum { BOTH = FANOUT_EXTENT_TCX | FANOUT_EXTENT_XDP };
	static const struct {
		const char *what;
		uint8_t family[2], device[2];
		uint16_t asked, flags;
	} rows[] = {
		{ "one device", { 4, 4 }, { 3, 3 }, BOTH, BOTH },
		{ "one device, both families", { 6, 4 }, { 3, 3 }, BOTH, BOTH | FANOUT_EXTENT_MIXED },
		{ "X not wished", { 4, 4 }, { 3, 3 }, FANOUT_EXTENT_TCX, FANOUT_EXTENT_TCX },
		{ "none wished", { 4, 4 }, { 3, 3 }, 0, 0 },
		{ "two devices", { 4, 4 }, { 3, 4 }, BOTH, FANOUT_EXTENT_TCX },
		{ "one outside", { 4, 0 }, { 3, 0 }, BOTH, FANOUT_EXTENT_TCX },
		{ "all outside", { 0, 4 }, { 0, 0 }, BOTH, 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fanout_receiver records[2];
		for (uint32_t j = 0; j < 2; j++)
			records[j] = record_of(j, rows[i].family[j], rows[i].device[j]);
		assert_int_equal(table_block_write(world->table, block, ROOM, records, 2, rows[i].asked), ERR_OK);
		const struct fanout_extent *extent = extent_of(world, block);
		if (extent->flags != rows[i].flags || extent->device != (rows[i].flags & FANOUT_EXTENT_XDP ? 3 : 0))
			fail_msg("%s: flags %u, device %u", rows[i].what, extent->flags, extent->device);
	}
}

static void xdp_takes_the_sender_and_256_others(void **state)
{
	struct world *world = *state;
	uint32_t block;
	assert_int_equal(table_block_new(world->table, &block), ERR_OK);
	struct fanout_receiver records[FANOUT_XDP_MAX + 2];
	for (uint32_t i = 0; i < FANOUT_XDP_MAX + 2; i++)
		records[i] = record_of(i, FANOUT_IPV4, 1);
	assert_int_equal(table_block_write(world->table, block, ROOM, records, FANOUT_XDP_MAX + 1, FANOUT_EXTENT_XDP), ERR_OK);
	assert_int_equal(extent_of(world, block)->flags, FANOUT_EXTENT_XDP);
	assert_int_equal(table_block_write(world->table, block, ROOM, records, FANOUT_XDP_MAX + 2, FANOUT_EXTENT_XDP), ERR_OK);
	assert_int_equal(extent_of(world, block)->flags, 0);
}

// 40 records: two extents of 20, and a third only when the first was given back.
static void a_full_table_leaves_all_as_it_was(void **state)
{
	struct world *world = *state;
	struct table_reader *reader = table_reader_new(world->table);
	assert_non_null(reader);
	struct fanout_receiver records[19];
	for (uint32_t i = 0; i < 19; i++)
		records[i] = record_of(i, FANOUT_IPV4, 0);
	uint32_t block;
	assert_int_equal(table_block_new(world->table, &block), ERR_OK);
	assert_int_equal(table_block_write(world->table, block, ROOM, records, 19, 0), ERR_OK);
	assert_int_equal(table_block_write(world->table, block, ROOM, records, 19, 0), ERR_OK);
	const struct fanout_extent *before = extent_of(world, block);
	assert_int_equal(table_block_write(world->table, block, ROOM, records, 19, 0), ERR_FULL);
	assert_int_equal(table_block_write(world->table, block, ROOM, records, UINT16_MAX, 0), ERR_FULL);
	assert_ptr_equal(extent_of(world, block), before);
	assert_int_equal(table_waiting(world->table), 1);
	table_reader_quiet(reader);
	assert_int_equal(table_block_write(world->table, block, ROOM, records, 19, 0), ERR_OK);
	assert_ptr_not_equal(extent_of(world, block), before);
	assert_int_equal(extent_of(world, block)->generation, 2);
}

static void blocks_are_limited_and_rest(void **state)
{
	struct world *world = *state;
	struct table_reader *reader = table_reader_new(world->table);
	uint32_t block[4];
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(table_block_new(world->table, &block[i]), ERR_OK);
	assert_int_equal(table_block_new(world->table, &block[3]), ERR_FULL);
	struct fanout_receiver record = record_of(1, FANOUT_IPV4, 0);
	assert_int_equal(table_block_write(world->table, block[1], ROOM, &record, 1, 0), ERR_OK);
	table_block_free(world->table, block[1]);
	assert_non_null(extent_of(world, block[1])); // somebody may be on the way there: nothing is lost
	assert_int_equal(table_waiting(world->table), 1);
	assert_int_equal(table_block_new(world->table, &block[3]), ERR_FULL);
	table_reader_quiet(reader);
	assert_int_equal(table_block_new(world->table, &block[3]), ERR_OK);
	assert_int_equal(block[3], block[1]);
	assert_null(extent_of(world, block[3]));
	assert_int_equal(table_waiting(world->table), 0);
}

static void a_sleeping_reader_holds_nothing(void **state)
{
	struct world *world = *state;
	struct table_reader *awake = table_reader_new(world->table), *asleep = table_reader_new(world->table);
	uint32_t block;
	assert_int_equal(table_block_new(world->table, &block), ERR_OK);
	struct fanout_receiver record = record_of(1, FANOUT_IPV4, 0);
	assert_int_equal(table_block_write(world->table, block, ROOM, &record, 1, 0), ERR_OK);
	table_reader_offline(asleep);
	assert_int_equal(table_block_write(world->table, block, ROOM, &record, 1, 0), ERR_OK);
	table_reader_quiet(awake);
	table_history_tick(world->table, 1, 0);
	assert_int_equal(table_waiting(world->table), 0);
	table_reader_online(asleep);
	assert_int_equal(table_block_write(world->table, block, ROOM, &record, 1, 0), ERR_OK);
	table_reader_quiet(awake);
	table_history_tick(world->table, 1, 0);
	assert_int_equal(table_waiting(world->table), 1);
	table_reader_offline(asleep);
	table_history_tick(world->table, 1, 0);
	assert_int_equal(table_waiting(world->table), 0);
}

// A media thread hands packets for them to the control thread, with a mark.
static void lists_with_tls_receivers_rest_a_second_more(void **state)
{
	struct world *world = *state;
	uint32_t block[2];
	const struct fanout_receiver tls = record_of(1, FANOUT_OUTSIDE, 0);
	struct fanout_receiver leg = record_of(1, FANOUT_IPV4, 0);
	leg.flags = FANOUT_RECEIVER_RELAY;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(table_block_new(world->table, &block[i]), ERR_OK);
		assert_int_equal(table_block_write(world->table, block[i], ROOM, i ? &leg : &tls, 1, 0), ERR_OK);
		assert_int_equal(table_block_write(world->table, block[i], ROOM, NULL, 0, 0), ERR_OK);
	}
	for (unsigned ms = 0; ms < 900; ms += 50) {
		table_history_tick(world->table, 1, 0);
		assert_int_equal(table_waiting(world->table), 2);
		clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_nsec = 50000000 }, NULL);
	}
	clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_nsec = 200000000 }, NULL);
	table_history_tick(world->table, 1, 0);
	table_history_tick(world->table, 1, 0); // who followed a mark just then has let go, too
	assert_int_equal(table_waiting(world->table), 0);
}

static uint32_t mark_of(const struct world *world, const struct fanout_extent *extent)
{
	return FANOUT_MARK((uint32_t)((const struct fanout_receiver *)extent - table_memory(world->table)->receiver), extent->generation);
}

// A mark leads to its extent and to no other, also when the records there are used for something else.
static void marks_are_void_after_their_rest(void **state)
{
	struct world *world = *state;
	struct table_memory *memory = table_memory(world->table);
	struct table_reader *reader = table_reader_new(world->table);
	struct fanout_receiver records[12];
	for (uint32_t i = 0; i < 12; i++)
		records[i] = record_of(i + 1, FANOUT_OUTSIDE, 0);
	uint32_t block;
	assert_int_equal(table_block_new(world->table, &block), ERR_OK);
	assert_int_equal(table_block_write(world->table, block, ROOM, records, 12, 0), ERR_OK);
	uint32_t mark = mark_of(world, extent_of(world, block));
	assert_int_equal(table_marked(memory, mark, ROOM), FANOUT_MARK_FIRST(mark));
	assert_int_equal(table_marked(memory, mark, ROOM + 1), 0);
	assert_int_equal(table_marked(memory, FANOUT_MARK(memory->sizes.receivers, 1), ROOM), 0);
	assert_int_equal(table_marked(memory, FANOUT_MARK(0, 0), 0), 0);
	// Of 40 records 13 are free then: marks are not kept, but who follows one may go on until it lets go.
	assert_int_equal(table_block_write(world->table, block, ROOM, records, 12, 0), ERR_OK);
	assert_int_equal(table_marked(memory, mark, ROOM), FANOUT_MARK_FIRST(mark));
	table_reader_quiet(reader);
	table_history_tick(world->table, 1, 0); // rested: now the mark is void
	table_history_tick(world->table, 1, 0);
	assert_int_equal(table_marked(memory, mark, ROOM), 0);
	assert_int_equal(table_waiting(world->table), 1);
	table_reader_quiet(reader);
	table_history_tick(world->table, 1, 0);
	assert_int_equal(table_waiting(world->table), 0);
	// A record where a header was, and which looks as if it were one that goes on far beyond the table.
	struct fanout_extent *stale = (struct fanout_extent *)&memory->receiver[FANOUT_MARK_FIRST(mark)];
	stale->generation = FANOUT_MARK_GENERATION(mark);
	stale->count = UINT16_MAX;
	assert_int_equal(table_marked(memory, mark, ROOM), 0);
}

// The table is full, and somebody has left.
static void a_list_can_be_restricted_in_place(void **state)
{
	struct world *world = *state;
	struct fanout_receiver records[5];
	for (uint32_t i = 0; i < 5; i++) {
		records[i] = record_of(i + 1, i % 2 ? FANOUT_IPV6 : FANOUT_IPV4, 0);
		records[i].room = ROOM;
	}
	uint32_t block;
	assert_int_equal(table_block_new(world->table, &block), ERR_OK);
	table_block_restrict(world->table, block, records, 0); // an empty one
	assert_int_equal(table_block_write(world->table, block, ROOM, records, 5, 0), ERR_OK);
	records[2] = records[3]; // 1, 2, 4 and 5 are left
	records[3] = records[4];
	table_block_restrict(world->table, block, records, 4);
	const struct fanout_receiver *record = (const struct fanout_receiver *)extent_of(world, block) + 1;
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(record[i].room, record[i].member == 3 ? 0 : ROOM);
}

// A kernel that refuses: nothing is used again, the table runs full and says so; what is published stays.
static void without_grace_nothing_is_used_again(void **state)
{
	(void)state;
	struct table_sizes sizes = { .senders = 1, .clients = 1, .blocks = 2, .receivers = 21 };
	struct table_memory memory;
	struct table *table;
	assert_int_equal(table_memory_private(&sizes, &memory), ERR_OK);
	memory.has_programs = true; // and no map to ask the kernel with
	assert_int_equal(table_new(&memory, &table), ERR_OK);
	uint32_t block;
	assert_int_equal(table_block_new(table, &block), ERR_OK);
	struct fanout_receiver record = record_of(1, FANOUT_IPV4, 1);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(table_block_write(table, block, ROOM, &record, 1, 0), ERR_OK);
	for (unsigned ms = 0; ms < 300; ms += 50) {
		assert_int_equal(table_block_write(table, block, ROOM, &record, 1, 0), ERR_FULL);
		clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_nsec = 50000000 }, NULL);
	}
	assert_int_equal(table_waiting(table), 9);
	assert_int_equal(table_block_extent(table, block)->count, 1);
	table_free(table);
	table_memory_free(&memory);
}

static void readers_are_limited(void **state)
{
	struct world *world = *state;
	for (size_t i = 0; i < TABLE_READERS; i++)
		assert_non_null(table_reader_new(world->table));
	assert_null(table_reader_new(world->table));
}

static void sum_of_addresses_and_ports(void **state)
{
	(void)state;
	struct fanout_receiver record = {
		.family = FANOUT_IPV4, .source = { 192, 0, 2, 1 }, .destination = { 198, 51, 100, 7 },
		.source_port_be = __builtin_bswap16(7443), .destination_port_be = __builtin_bswap16(40000),
	};
	table_receiver_finish(&record);
	// c000 + 0201 + c633 + 6407 + 1d13 + 9c40 = 2a58e, folded a590
	assert_int_equal(__builtin_bswap16(record.sum), 0xa590);
	memset(record.source, 0xff, 16);
	memset(record.destination, 0xff, 16);
	record.source_port_be = record.destination_port_be = 0xffff;
	table_receiver_finish(&record);
	assert_int_equal(record.sum, 0xffff);
}

// ---------------------------------------------------------------- senders

static const uint8_t key[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
static const uint8_t home[16] = { [10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 5 };

static struct table_sender sender_of(uint32_t handle)
{
	return (struct table_sender){ .handle = handle, .index = 5, .room = ROOM, .may_send = true, .tag_key = key, .ns_per_kib = 99 };
}

static void a_sender_comes_moves_and_goes(void **state)
{
	struct world *world = *state;
	enum { HANDLE = 3 << 20 | 2 };
	struct table_sender options = sender_of(HANDLE);
	assert_true(table_sender_may_open(world->table, HANDLE));
	assert_int_equal(table_sender_open(world->table, &options), ERR_OK);
	assert_int_equal(table_sender_open(world->table, &options), ERR_AGAIN);
	const struct fanout_sender *sender = &world->memory.sender[2];
	assert_int_equal(sender->handle, HANDLE);
	assert_int_equal(sender->index, 5);
	assert_int_equal(sender->room, ROOM);
	assert_int_equal(sender->ns_per_kib, 99);
	assert_int_equal(sender->flags, FANOUT_SENDER_MAY_SEND);
	assert_memory_equal(sender->tag_key, key, 16);
	struct fanout_packet packet = { .peer_port_be = 77 };
	memcpy(packet.peer, home, 16);
	assert_false(fanout_is_at_home(&packet, sender));
	table_sender_move(world->table, HANDLE, home, 77);
	assert_true(fanout_is_at_home(&packet, sender));
	packet.peer[15]++;
	assert_false(fanout_is_at_home(&packet, sender));
	table_sender_move(world->table, 4 << 20 | 2, packet.peer, 77); // somebody's former handle
	assert_false(fanout_is_at_home(&packet, sender));
	table_sender_close(world->table, 4 << 20 | 2);
	assert_int_equal(sender->handle, HANDLE);
	table_sender_close(world->table, HANDLE);
	assert_int_equal(sender->handle, 0);
}

static void a_tls_sender_is_at_home_in_frames_only(void **state)
{
	struct world *world = *state;
	struct table_sender options = sender_of(9);
	options.is_tls = true;
	options.may_send = false;
	assert_int_equal(table_sender_open(world->table, &options), ERR_OK);
	struct fanout_packet packet = { .is_tls = true };
	assert_true(fanout_is_at_home(&packet, &world->memory.sender[9]));
	packet.is_tls = false;
	assert_false(fanout_is_at_home(&packet, &world->memory.sender[9]));
	assert_int_equal(world->memory.sender[9].flags & FANOUT_SENDER_MAY_SEND, 0);
}

static void an_entry_rests_while_somebody_may_hold_it(void **state)
{
	struct world *world = *state;
	struct table_reader *reader = table_reader_new(world->table);
	struct table_sender options = sender_of(1 << 20 | 3);
	assert_int_equal(table_sender_open(world->table, &options), ERR_OK);
	assert_true(fanout_take(&world->memory.window[3], 500));
	table_sender_close(world->table, options.handle);
	assert_memory_equal(world->memory.sender[3].tag_key, key, 16); // who is at work with it goes on
	options.handle = 2 << 20 | 3;
	assert_false(table_sender_may_open(world->table, options.handle));
	assert_int_equal(table_sender_open(world->table, &options), ERR_AGAIN);
	assert_true(fanout_take(&world->memory.window[3], 1025)); // late, of the former owner
	table_reader_quiet(reader);
	assert_true(table_sender_may_open(world->table, options.handle));
	static const uint64_t zeros[2];
	assert_memory_equal(world->memory.sender[3].tag_key, zeros, 16);
	assert_int_equal(table_sender_open(world->table, &options), ERR_OK);
	assert_true(fanout_take(&world->memory.window[3], 1));
	assert_true(fanout_take(&world->memory.window[3], 500));
}

static void handles_beyond_the_table(void **state)
{
	struct world *world = *state;
	struct table_sender options = sender_of(world->memory.sizes.senders);
	assert_false(table_sender_may_open(world->table, options.handle));
	assert_int_equal(table_sender_open(world->table, &options), ERR_FULL);
	table_sender_move(world->table, options.handle, home, 1);
	table_stream_set(world->table, options.handle, 0, 1, 0);
	table_stream_position(world->table, options.handle, 0);
	table_history_tick(world->table, options.handle, 1);
	table_sender_close(world->table, options.handle);
	uint8_t bytes[FANOUT_PACKET_BYTES];
	size_t size;
	assert_false(table_history_get(world->table, options.handle, 0, 1, bytes, &size));
	assert_false(table_history_lacks(world->table, options.handle, 0, 1));
	// A stream that no sender has.
	options.handle = 1;
	assert_int_equal(table_sender_open(world->table, &options), ERR_OK);
	table_stream_set(world->table, 1, FANOUT_STREAMS, 1, 0);
	table_stream_position(world->table, 1, FANOUT_STREAMS);
	assert_false(table_history_lacks(world->table, 1, FANOUT_STREAMS, 1));
	assert_int_equal(table_history_bytes(world->table), 0);
}

static void a_stream_knows_its_own_place(void **state)
{
	struct world *world = *state;
	struct table_sender options = sender_of(4);
	assert_int_equal(table_sender_open(world->table, &options), ERR_OK);
	const struct fanout_stream *stream = &world->memory.sender[4].stream[1];
	assert_int_equal(stream->block, 0);
	uint32_t block;
	assert_int_equal(table_block_new(world->table, &block), ERR_OK);
	struct fanout_receiver records[3] = { record_of(8, FANOUT_IPV4, 1), record_of(9, FANOUT_IPV4, 1), record_of(5, FANOUT_IPV4, 1) };
	assert_int_equal(table_block_write(world->table, block, ROOM, records, 3, 0), ERR_OK);
	table_stream_set(world->table, 4, 1, block, FANOUT_STREAM_MAY_SHED);
	assert_int_equal(stream->block, block);
	assert_int_equal(stream->flags, FANOUT_STREAM_MAY_SHED);
	assert_int_equal(stream->position, 2);
	assert_int_equal(table_block_write(world->table, block, ROOM, records + 1, 2, 0), ERR_OK);
	table_stream_position(world->table, 4, 1);
	assert_int_equal(stream->position, 1);
	assert_int_equal(table_block_write(world->table, block, ROOM, records, 2, 0), ERR_OK);
	table_stream_position(world->table, 4, 1);
	assert_int_equal(stream->position, FANOUT_NOWHERE);
	table_stream_set(world->table, 4, 1, 0, 0);
	assert_int_equal(stream->block, 0);
	assert_int_equal(stream->position, FANOUT_NOWHERE);
}

// ---------------------------------------------------------------- memory

static void what_a_participant_costs(void **state)
{
	(void)state;
	struct table_sizes few, many;
	table_sizes_for(1000, 64 << 20, &few);
	table_sizes_for(11000, 64 << 20, &many);
	size_t bytes = 0;
	for (enum loader_map map = LOADER_MAP_SENDERS; map <= LOADER_MAP_RECEIVERS; map++)
		bytes += table_memory_bytes(&many, map) - table_memory_bytes(&few, map);
	print_message("# %zu bytes for each participant: entry %zu, window %zu, record %zu\n", bytes / 10000,
		      sizeof(struct fanout_sender), sizeof(struct fanout_window), sizeof(struct fanout_receiver));
	assert_true(bytes / 10000 <= 7 * 1024);
	assert_int_equal(few.clients, 1000);
	assert_int_equal(few.tls, 1000);
	assert_int_equal(table_memory_bytes(&few, LOADER_MAP_WINDOWS) / sizeof(struct fanout_window), few.senders - few.tls);
	assert_true(few.senders > few.clients + few.tls);
	size_t history = table_memory_bytes(&few, LOADER_MAP_HISTORY_SMALL) + table_memory_bytes(&few, LOADER_MAP_HISTORY_LARGE);
	assert_true(history <= 64 << 20 && history > 60 << 20);
}

static void sizes_stay_within_what_a_handle_and_a_mark_can_name(void **state)
{
	(void)state;
	static const uint64_t participants[] = { 0, 1, 65536, 1 << 20, UINT64_MAX };
	for (size_t i = 0; i < sizeof(participants) / sizeof(participants[0]); i++) {
		struct table_sizes sizes;
		table_sizes_for(participants[i], participants[i] * 1000, &sizes);
		assert_true(sizes.clients <= 1 << 20);
		assert_true(sizes.receivers <= 1 << FANOUT_EXTENT_BITS);
		assert_true(sizes.blocks > 1 && sizes.history_small && sizes.history_large);
	}
}

static void impossible_tables_are_refused(void **state)
{
	(void)state;
	struct table_memory memory;
	struct table *table = NULL;
	struct table_sizes sizes = { .senders = 1, .clients = 1, .blocks = 2, .receivers = (1 << FANOUT_EXTENT_BITS) + 1 };
	assert_int_equal(table_memory_private(&sizes, &memory), ERR_OK);
	assert_int_equal(table_new(&memory, &table), ERR_LIMIT);
	assert_null(table);
	table_memory_free(&memory);
	sizes.receivers = 2;
	assert_int_equal(table_memory_private(&sizes, &memory), ERR_OK);
	assert_int_equal(table_new(&memory, &table), ERR_OK);
	struct fanout_counters counters;
	memset(&counters, 1, sizeof(counters));
	table_counters(table, &counters);
	assert_int_equal(counters.counter[FANOUT_media_received], 0);
	table_free(table);
	table_memory_free(&memory);
	table_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(records_are_sorted_by_who_serves_them, setup, teardown),
		cmocka_unit_test_setup_teardown(engines_get_only_what_they_can_do, setup, teardown),
		cmocka_unit_test_setup_teardown(xdp_takes_the_sender_and_256_others, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_table_leaves_all_as_it_was, setup_small, teardown),
		cmocka_unit_test_setup_teardown(blocks_are_limited_and_rest, setup_small, teardown),
		cmocka_unit_test_setup_teardown(a_sleeping_reader_holds_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(lists_with_tls_receivers_rest_a_second_more, setup, teardown),
		cmocka_unit_test_setup_teardown(marks_are_void_after_their_rest, setup_small, teardown),
		cmocka_unit_test_setup_teardown(a_list_can_be_restricted_in_place, setup, teardown),
		cmocka_unit_test(without_grace_nothing_is_used_again),
		cmocka_unit_test_setup_teardown(readers_are_limited, setup, teardown),
		cmocka_unit_test(sum_of_addresses_and_ports),
		cmocka_unit_test_setup_teardown(a_sender_comes_moves_and_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_tls_sender_is_at_home_in_frames_only, setup, teardown),
		cmocka_unit_test_setup_teardown(an_entry_rests_while_somebody_may_hold_it, setup, teardown),
		cmocka_unit_test_setup_teardown(handles_beyond_the_table, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stream_knows_its_own_place, setup, teardown),
		cmocka_unit_test(what_a_participant_costs),
		cmocka_unit_test(sizes_stay_within_what_a_handle_and_a_mark_can_name),
		cmocka_unit_test(impossible_tables_are_refused),
	};
	return cmocka_run_group_tests_name("relay_table", tests, NULL, NULL);
}
