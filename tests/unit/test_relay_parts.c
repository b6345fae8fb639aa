// The relay's smaller parts: replay windows, history, flows, statistics, addresses. SPDX-License-Identifier: Apache-2.0
#include "relay/flow.h"
#include "relay/history.h"
#include "relay/relay_address.h"
#include "relay/relay_stats.h"
#include "relay/replay.h"
#include "relay/room.h"

#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// Edge cases as a table: counters in order, and whether each is accepted.
static void replay_window(void **state)
{
	(void)state;
	static const struct {
		uint32_t counter;
		bool is_accepted;
	} rows[] = {
		{ 0, false }, { 1, true }, { 1, false }, { 3, true }, { 2, true }, { 2, false }, { 1024, true }, { 0, false },
		{ 1025, true },         // pushes 1 out
		{ 1, false },           // and it does not come back
		{ 1026, true }, { 1024, false }, { 1027, true }, { 3, false }, { 1023, true }, { 1023, false },
		{ 100000, true }, { 99000, true }, // late, but its slot is older
		{ 99000, false }, { UINT32_MAX, true }, { UINT32_MAX, false }, { UINT32_MAX - 1024, false }, { UINT32_MAX - 1, true },
	};
	struct replay *replay = calloc(1, sizeof(*replay));
	assert_non_null(replay);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (replay_is_fresh(replay, rows[i].counter) != rows[i].is_accepted || replay_accept(replay, rows[i].counter) != rows[i].is_accepted)
			fail_msg("row %zu: counter %u", i, rows[i].counter);
	}
	free(replay);
}

static void put(struct history *history, uint16_t sequence, size_t size, uint64_t now_ns, size_t *budget)
{
	uint8_t bytes[1200];
	memset(bytes, (uint8_t)sequence, sizeof(bytes));
	history_put(history, sequence, bytes, size, now_ns, budget);
}

static bool has(const struct history *history, uint16_t sequence, size_t wanted)
{
	size_t size;
	const uint8_t *bytes = history_get(history, sequence, &size);
	return bytes && size == wanted && bytes[0] == (uint8_t)sequence && bytes[size - 1] == (uint8_t)sequence;
}

static void history_keeps_a_second_at_any_rate(void **state)
{
	(void)state;
	static const unsigned rates[] = { 10, 50, 300, 900 };
	for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
		struct history history = { 0 };
		size_t budget = 4 << 20;
		uint64_t step_ns = 1000000000u / rates[r];
		assert_null(history_get(&history, 0, &budget));
		for (unsigned i = 0; i < 5 * rates[r]; i++)
			put(&history, (uint16_t)(65000 + i), i % 2 ? 150 : 1200, (i + 1) * step_ns, &budget);
		for (unsigned age = 1; age < rates[r]; age++) {
			unsigned i = 5 * rates[r] - age;
			assert_true(has(&history, (uint16_t)(65000 + i), i % 2 ? 150 : 1200));
		}
		assert_false(has(&history, (uint16_t)(65000 + 5 * rates[r]), 150));
		assert_true(history.slots <= HISTORY_SLOTS_MAX);
		history_fini(&history);
	}
}

// However many members send as much as they may, memory has an end; who leaves gives it back.
static void histories_share_one_budget(void **state)
{
	(void)state;
	enum { MEMBERS = ROOM_HISTORY_ALL_MIN_BYTES / ROOM_HISTORY_BYTES + 1 };
	static const struct id meeting = { { 1 } };
	struct rooms *rooms = rooms_new(&(struct room_limits){ .members_per_room = MEMBERS, .rooms = 1, .members = MEMBERS });
	struct member *member[MEMBERS];
	assert_non_null(rooms);
	for (uint8_t i = 0; i < MEMBERS; i++) {
		assert_int_equal(rooms_join(rooms, &meeting, &(struct id){ { i, 2 } }, &member[i]), ERR_OK);
		size_t left = rooms_history_left(rooms, member[i]);
		assert_int_equal(left, i < MEMBERS - 1 ? (size_t)ROOM_HISTORY_BYTES : 0);
		rooms_history_take(rooms, member[i], left);
	}
	rooms_leave(rooms, member[0]);
	assert_int_equal(rooms_history_left(rooms, member[MEMBERS - 1]), ROOM_HISTORY_BYTES);
	for (size_t i = 1; i < MEMBERS; i++)
		rooms_leave(rooms, member[i]);
	rooms_free(rooms);
}

static void history_stays_within_its_budget(void **state)
{
	(void)state;
	struct history history = { 0 };
	size_t budget = 100000;
	for (unsigned i = 0; i < 5000; i++)
		put(&history, (uint16_t)i, 1200, (i + 1) * 1000000ull, &budget);
	assert_true(history.slots * (size_t)history.stride <= 100000);
	assert_true(has(&history, 4999, 1200));
	history_fini(&history);
	budget = 0;
	put(&history, 1, 1200, 1, &budget);
	assert_false(has(&history, 1, 1200));
	history_fini(&history);
}

static void handles_rest_before_they_are_used_again(void **state)
{
	(void)state;
	struct hop_keys keys;
	struct member *member = calloc(1, sizeof(*member));
	struct flow *flow[4], *extra;
	struct flow_options options = { .member = member, .path = HOP_PATH_UDP, .index = 1, .keys = &keys };
	assert_true(srtp_box_library_init() == ERR_OK);
	secret_random(&keys, sizeof(keys));
	struct flow_table *table = flow_table_new(4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(flow_open(table, &options, &flow[i]), ERR_OK);
	assert_int_equal(flow_open(table, &options, &extra), ERR_FULL);
	uint32_t former = flow[2]->handle;
	assert_ptr_equal(flow_find(table, former), flow[2]);
	assert_ptr_equal(flow_find(table, former | (uint32_t)PACKET_HOP << 30), flow[2]);
	assert_null(flow_find(table, packet_handle(PACKET_MEDIA, 1, 4)));
	assert_null(flow_find(table, packet_handle(PACKET_MEDIA, 1, (1u << PACKET_INDEX_BITS) - 1)));
	flow_close(table, flow[2]);
	assert_null(flow_find(table, former));
	flow_close(table, flow[0]);
	assert_int_equal(flow_open(table, &options, &extra), ERR_OK);
	assert_int_equal(packet_handle_index(extra->handle), packet_handle_index(former)); // free for longest
	assert_int_equal(packet_handle_generation(extra->handle), packet_handle_generation(former) + 1);
	assert_null(flow_find(table, former));
	flow_close(table, extra);
	flow_close(table, flow[1]);
	flow_close(table, flow[3]);
	flow_table_free(table);
	free(member);
}

static void percentiles(void **state)
{
	(void)state;
	struct relay_stats *stats = calloc(1, sizeof(*stats));
	assert_int_equal(relay_stats_percentile_ns(stats, 990), 0);
	for (uint64_t ns = 1000; ns <= 1000000; ns += 1000)
		relay_stats_latency(stats, ns, 1);
	assert_in_range(relay_stats_percentile_ns(stats, 500), 500000, 533000);
	assert_in_range(relay_stats_percentile_ns(stats, 990), 990000, 1000000);
	assert_int_equal(relay_stats_percentile_ns(stats, 1000), 1000000);
	relay_stats_latency(stats, UINT64_MAX, 1); // beyond the last bucket
	relay_stats_latency(stats, 0, 1);
	assert_int_equal(stats->latency_max_ns, UINT64_MAX);
	free(stats);
}

static void addresses_as_text(void **state)
{
	(void)state;
	struct sockaddr_in6 v4, v6;
	char text[RELAY_ADDRESS_TEXT_MAX];
	assert_int_equal(relay_address_parse("192.0.2.1", 443, &v4), ERR_OK);
	relay_address_emit(&v4, text);
	assert_string_equal(text, "192.0.2.1:443");
	assert_int_equal(relay_address_parse("2001:db8::1", 443, &v6), ERR_OK);
	relay_address_emit(&v6, text);
	assert_string_equal(text, "[2001:db8::1]:443");
	assert_int_equal(relay_address_parse("localhost", 443, &v6), ERR_PARSE);
	assert_true(relay_address_is_usable(&v4));
	v4.sin6_port = 0;
	assert_false(relay_address_is_usable(&v4));
}

static void rooms_have_limits_and_find_their_members(void **state)
{
	(void)state;
	struct rooms *rooms = rooms_new(&(struct room_limits){ .members_per_room = 3, .rooms = 2, .members = 4 });
	struct id meeting[3] = { { { 1 } }, { { 2 } }, { { 3 } } }, person = { { 9 } };
	struct member *m[4], *extra;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(rooms_join(rooms, &meeting[0], &person, &m[i]), ERR_OK);
	assert_int_equal(rooms_join(rooms, &meeting[0], &person, &extra), ERR_FULL);
	assert_int_equal(rooms_join(rooms, &meeting[1], &person, &m[3]), ERR_OK);
	assert_int_equal(rooms_join(rooms, &meeting[1], &person, &extra), ERR_FULL); // four in all
	rooms_leave(rooms, m[1]);
	assert_ptr_equal(room_find_index(m[0]->room, 1), m[0]);
	assert_null(room_find_index(m[0]->room, 2));
	assert_ptr_equal(room_find_index(m[0]->room, 3), m[2]);
	assert_int_equal(rooms_join(rooms, &meeting[2], &person, &extra), ERR_FULL); // two rooms
	assert_int_equal(rooms_join(rooms, &meeting[0], &person, &m[1]), ERR_OK);
	assert_int_equal(m[1]->index, 4);
	size_t seen = 0;
	for (struct room *room = rooms_next(rooms, NULL); room; room = rooms_next(rooms, room))
		seen += room->count;
	assert_int_equal(seen, 4);
	for (size_t i = 0; i < 4; i++)
		rooms_leave(rooms, m[i]);
	assert_int_equal(rooms_count(rooms), 0);
	assert_null(rooms_find(rooms, &meeting[0]));
	rooms_free(rooms);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replay_window),
		cmocka_unit_test(history_keeps_a_second_at_any_rate),
		cmocka_unit_test(history_stays_within_its_budget),
		cmocka_unit_test(histories_share_one_budget),
		cmocka_unit_test(handles_rest_before_they_are_used_again),
		cmocka_unit_test(percentiles),
		cmocka_unit_test(addresses_as_text),
		cmocka_unit_test(rooms_have_limits_and_find_their_members),
	};
	return cmocka_run_group_tests_name("relay_parts", tests, NULL, NULL);
}
