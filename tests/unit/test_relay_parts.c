// The relay's smaller parts: replay windows, flows, rooms, statistics, addresses. SPDX-License-Identifier: Apache-2.0
#include "kernel-bpf/fanout_admit.h"
#include "relay/flow.h"
#include "relay/relay_address.h"
#include "relay/relay_stats.h"
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
	struct fanout_window *window = calloc(1, sizeof(*window));
	assert_non_null(window);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (fanout_is_fresh(window, rows[i].counter) != rows[i].is_accepted || fanout_take(window, rows[i].counter) != rows[i].is_accepted)
			fail_msg("row %zu: counter %u", i, rows[i].counter);
	}
	free(window);
}

static void handles_rest_before_they_are_used_again(void **state)
{
	(void)state;
	struct hop_keys keys;
	struct member *member = calloc(1, sizeof(*member));
	struct flow *flow[4], *extra;
	struct table_memory memory;
	struct table *senders;
	struct table_sizes sizes;
	table_sizes_for(4, 1 << 20, &sizes);
	assert_int_equal(table_memory_private(&sizes, &memory), ERR_OK);
	assert_int_equal(table_new(&memory, &senders), ERR_OK);
	struct flow_options options = { .table = senders, .member = member, .room = 1, .path = HOP_PATH_UDP, .index = 1, .keys = &keys,
					.may_send = true };
	secret_random(&keys, sizeof(keys));
	struct flow_table *table = flow_table_new(&sizes);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(flow_open(table, &options, &flow[i]), ERR_OK);
	assert_int_equal(flow_open(table, &options, &extra), ERR_FULL);
	uint32_t former = flow[2]->handle;
	const struct fanout_sender *sender = &memory.sender[packet_handle_index(former)];
	assert_int_equal(sender->handle, former); // the packet path knows it, too
	assert_ptr_equal(flow_find(table, former), flow[2]);
	assert_ptr_equal(flow_find(table, former | (uint32_t)PACKET_HOP << 30), flow[2]);
	assert_null(flow_find(table, packet_handle(PACKET_MEDIA, 1, 4)));
	assert_null(flow_find(table, packet_handle(PACKET_MEDIA, 1, (1u << PACKET_INDEX_BITS) - 1)));
	flow_close(table, flow[2]);
	assert_null(flow_find(table, former));
	assert_int_equal(sender->handle, 0);
	flow_close(table, flow[0]);
	assert_int_equal(flow_open(table, &options, &extra), ERR_OK);
	assert_int_equal(packet_handle_index(extra->handle), packet_handle_index(former)); // free for longest
	assert_int_equal(packet_handle_generation(extra->handle), packet_handle_generation(former) + 1);
	assert_null(flow_find(table, former));
	flow_close(table, extra);
	flow_close(table, flow[1]);
	flow_close(table, flow[3]);
	flow_table_free(table);
	table_free(senders);
	table_memory_free(&memory);
	free(member);
}

// What comes over TLS comes in order: no window, the counter just rises. Its handles are apart.
static void tls_flows_have_no_window(void **state)
{
	(void)state;
	struct hop_keys keys;
	struct member *member = calloc(1, sizeof(*member));
	struct flow *udp, *tls, *again;
	struct table_memory memory;
	struct table *senders;
	struct table_sizes sizes;
	secret_random(&keys, sizeof(keys));
	table_sizes_for(2, 1 << 20, &sizes);
	assert_int_equal(table_memory_private(&sizes, &memory), ERR_OK);
	assert_int_equal(table_new(&memory, &senders), ERR_OK);
	struct flow_table *table = flow_table_new(&sizes);
	struct flow_options options = { .table = senders, .member = member, .room = 1, .path = HOP_PATH_UDP, .index = 1, .keys = &keys };
	assert_int_equal(flow_open(table, &options, &udp), ERR_OK);
	options.path = HOP_PATH_TLS;
	assert_int_equal(flow_open(table, &options, &tls), ERR_OK);
	assert_true(packet_handle_index(udp->handle) < sizes.clients);
	assert_true(packet_handle_index(tls->handle) >= table_windows(&sizes));
	assert_ptr_equal(flow_find(table, udp->handle), udp);
	assert_ptr_equal(flow_find(table, tls->handle), tls);
	assert_null(flow_find(table, packet_handle(PACKET_MEDIA, 1, sizes.clients))); // another relay's
	assert_true(flow_take(udp, 5) && flow_take(udp, 4)); // late
	assert_false(flow_take(udp, 5));
	assert_true(flow_take(tls, 5));
	assert_false(flow_take(tls, 4) || flow_take(tls, 5) || flow_take(tls, 0));
	assert_true(flow_take(tls, UINT32_MAX));
	flow_close(table, tls);
	assert_int_equal(flow_open(table, &options, &again), ERR_OK);
	flow_close(table, again);
	assert_int_equal(flow_open(table, &options, &tls), ERR_OK); // the first one's place, from the beginning
	assert_true(flow_take(tls, 1));
	flow_close(table, tls);
	flow_close(table, udp);
	flow_table_free(table);
	table_free(senders);
	table_memory_free(&memory);
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
		cmocka_unit_test(handles_rest_before_they_are_used_again),
		cmocka_unit_test(tls_flows_have_no_window),
		cmocka_unit_test(percentiles),
		cmocka_unit_test(addresses_as_text),
		cmocka_unit_test(rooms_have_limits_and_find_their_members),
	};
	return cmocka_run_group_tests_name("relay_parts", tests, NULL, NULL);
}
