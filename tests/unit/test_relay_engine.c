// Which engine serves whom, the records that say so, and what comes up from the packet path. SPDX-License-Identifier: Apache-2.0
#include "relay/engine.h"

#include "relay/receivers.h"
#include "relay/upward.h"
#include "tests/fake/relay_world.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// ---------------------------------------------------------------- choice

enum { BOTH = 1 << FANOUT_TCX | 1 << FANOUT_XDP, TCX = 1 << FANOUT_TCX, RING = 256 };

// Two devices that can do both, one with T alone, a VLAN with T on one of the first, one with X alone.
static struct fast_path devices = { .device = { [1] = { "x0", 11, BOTH, RING, { -1, -1 } }, [2] = { "x1", 12, BOTH, 0, { -1, -1 } },
						[3] = { "t0", 13, TCX, 0, { -1, -1 } }, [4] = { "x0.7", 14, TCX, 0, { -1, -1 } },
						[5] = { "x2", 15, 1 << FANOUT_XDP, 0, { -1, -1 } } },
				    .device_count = 5 };

static struct relay *relay_of(enum engine_wish wish)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	assert_non_null(relay);
	relay->fast_path = &devices;
	relay->engine.wish = wish;
	return relay;
}

enum place { X0, X1, T0, VLAN, X2, NOWHERE, PLACES };
static const struct neighbour_hop hops[PLACES] = {
	[X0] = { .ifindex = 11 }, [X1] = { .ifindex = 12 }, [T0] = { .ifindex = 13 }, [VLAN] = { .ifindex = 14, .parent = 11, .vlan = 7 },
	[X2] = { .ifindex = 15 }, [NOWHERE] = { .ifindex = 99 },
};

static void the_choice_follows_devices_and_wishes(void **state)
{
	(void)state;
	enum { T = FANOUT_EXTENT_TCX, X = FANOUT_EXTENT_XDP, RECEIVERS = 300 };
	static const struct {
		const char *what;
		enum engine_wish wish;
		size_t count;
		enum place first, rest;
		uint16_t flags;
		uint8_t first_device, rest_device;
		bool has_vlan;
	} rows[] = {
		{ "one X device", ENGINE_AUTO, 10, X0, X0, T | X, 1, 1, false },
		{ "an eighth of the ring", ENGINE_AUTO, RING / ENGINE_RING_SHARE, X0, X0, T | X, 1, 1, false },
		{ "more than the ring takes", ENGINE_AUTO, RING / ENGINE_RING_SHARE + 1, X0, X0, T, 1, 1, false },
		{ "the same, forced", ENGINE_XDP, RING / ENGINE_RING_SHARE + 1, X0, X0, T | X, 1, 1, false },
		{ "a ring that is not known", ENGINE_AUTO, 200, X1, X1, T | X, 2, 2, false },
		{ "more than X can count", ENGINE_XDP, FANOUT_XDP_MAX + 2, X1, X1, T, 2, 2, false },
		{ "two X devices", ENGINE_XDP, 10, X0, X1, T, 1, 2, false },
		{ "X and T", ENGINE_XDP, 10, X0, T0, T, 1, 3, false },
		{ "X without T", ENGINE_AUTO, 10, X2, X2, T | X, 5, 5, false },
		{ "X without T, and another", ENGINE_AUTO, 10, X0, X2, T, 1, 0, false },
		{ "T alone", ENGINE_AUTO, 10, T0, T0, T, 3, 3, false },
		{ "T wished", ENGINE_TCX, 10, X0, X0, T, 1, 1, false },
		{ "T wished, not there", ENGINE_TCX, 10, X2, X2, 0, 0, 0, false },
		{ "user space wished", ENGINE_USER, 10, X0, X0, 0, 0, 0, false },
		{ "somebody outside", ENGINE_XDP, 10, NOWHERE, X0, T, 0, 1, false },
		{ "nobody inside", ENGINE_AUTO, 10, NOWHERE, NOWHERE, 0, 0, 0, false },
		{ "nobody at all", ENGINE_AUTO, 0, X0, X0, 0, 0, 0, false },
		{ "a VLAN, by X on the device below", ENGINE_AUTO, 10, VLAN, VLAN, X, 1, 1, true },
		{ "a VLAN and the device below", ENGINE_AUTO, 10, X0, VLAN, X, 1, 1, true },
		{ "a VLAN, by T on itself", ENGINE_TCX, 10, VLAN, VLAN, T, 4, 4, false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fanout_receiver record[RECEIVERS] = { 0 };
		struct engine_place place[RECEIVERS];
		struct relay *relay = relay_of(rows[i].wish);
		for (size_t n = 0; n < rows[i].count; n++)
			place[n] = engine_place(relay, &hops[n == 0 ? rows[i].first : rows[i].rest]);
		uint16_t flags = engine_choose(relay, record, place, rows[i].count);
		size_t last = rows[i].count ? rows[i].count - 1 : 0;
		if (flags != rows[i].flags || record[0].device != rows[i].first_device || record[last].device != rows[i].rest_device ||
		    record[last].vlan_be != (rows[i].has_vlan ? htons(7) : 0))
			fail_msg("%s: flags %u, devices %u, %u, VLAN %u", rows[i].what, flags, record[0].device, record[last].device, record[last].vlan_be);
		free(relay);
	}
}

static void a_device_says_its_engine_and_why(void **state)
{
	(void)state;
	static const struct {
		enum engine_wish wish;
		uint8_t slot;
		enum fanout_engine engine;
		const char *reason;
	} rows[] = {
		{ ENGINE_AUTO, 1, FANOUT_XDP, "native XDP" }, { ENGINE_TCX, 1, FANOUT_TCX, "asked for" },
		{ ENGINE_AUTO, 3, FANOUT_TCX, "no native XDP program on this device" }, { ENGINE_USER, 1, FANOUT_USER, "asked for" },
		{ ENGINE_AUTO, 6, FANOUT_USER, "no program on this device" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct relay *relay = relay_of(rows[i].wish);
		const char *reason;
		assert_int_equal(engine_of_device(relay, &devices.device[rows[i].slot], &reason), rows[i].engine);
		assert_string_equal(reason, rows[i].reason);
		free(relay);
	}
}

// ---------------------------------------------------------------- records

static struct world world;
static struct client *a, *b, *c; // a and b on UDP, c on TLS

static struct client *entered(void)
{
	struct client *client = calloc(1, sizeof(*client));
	assert_non_null(client);
	client_enter(client, &world);
	return client;
}

static int setup(void **state)
{
	(void)state;
	world_make(&world);
	a = entered();
	b = entered();
	c = entered();
	client_go_udp(a);
	client_go_udp(b);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	struct client *all[] = { a, b, c };
	for (size_t i = 0; i < 3; i++) {
		client_free(all[i]);
		free(all[i]);
	}
	world_free(&world);
	return 0;
}

static void send_media(uint8_t out[static CLIENT_MEDIA_BYTES], uint16_t sequence)
{
	client_media(a, HOP_PATH_UDP, packet_ssrc(a->welcome.index, 0), sequence, out);
	relay_loop_receive(world.loop, &a->address, out, CLIENT_MEDIA_BYTES);
}

static const struct fanout_extent *extent(void)
{
	const struct room *room = rooms_find(world.relay->rooms, &world.meeting);
	return table_block_extent(world.relay->table, room->block->block);
}

static const struct fanout_receiver *record_of(const struct client *client)
{
	const struct fanout_receiver *record = (const struct fanout_receiver *)extent() + 1;
	for (size_t i = 0; i < extent()->count; i++) {
		if (record[i].member == client->welcome.index)
			return &record[i];
	}
	fail_msg("no record");
	return NULL;
}

static void records_say_where_each_receives(void **state)
{
	(void)state;
	uint8_t packet[CLIENT_MEDIA_BYTES];
	send_media(packet, 1);
	assert_int_equal(extent()->count, 3);
	assert_int_equal(extent()->in_kernel, 0);
	assert_int_equal(extent()->flags, 0);
	const struct fanout_receiver *record = record_of(b);
	assert_int_equal(record->family, FANOUT_IPV6);
	assert_memory_equal(record->destination, &b->address.sin6_addr, 16);
	assert_int_equal(record->destination_port_be, b->address.sin6_port);
	assert_int_equal(record->source_port_be, htons((uint16_t)world.config.udp_port));
	assert_int_equal(record->traffic_class, 34 << 2);
	assert_int_equal(record->device, 0);
	assert_int_equal(record_of(c)->family, FANOUT_OUTSIDE);
	uint32_t generation = extent()->generation;
	uint64_t changes = table_changes(world.relay->table);
	receivers_changed_all(world.relay); // nothing has: nothing is written
	relay_loop_wake(world.loop);
	assert_int_equal(table_changes(world.relay->table), changes);
	assert_int_equal(extent()->generation, generation);
	client_send(b, &(struct control_message){ .type = CONTROL_PATH, .path = HOP_PATH_TLS });
	assert_int_equal(record_of(b)->family, FANOUT_OUTSIDE);
}

static void ipv4_is_written_as_such(void **state)
{
	(void)state;
	struct hop_message message = { .kind = HOP_KEEPALIVE };
	uint8_t packet[CLIENT_MEDIA_BYTES];
	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.9", &b->address.sin6_addr), 1);
	client_hop(b, &message, &b->address);
	assert_true(client_hop_received(b, &b->address, &message));
	message.kind = HOP_RESPONSE;
	client_hop(b, &message, &b->address);
	send_media(packet, 1);
	const struct fanout_receiver *record = record_of(b);
	assert_int_equal(record->family, FANOUT_IPV4);
	assert_memory_equal(record->destination, "\xc0\0\x02\x09\0\0\0\0\0\0\0\0\0\0\0\0", 16);
}

// ---------------------------------------------------------------- what comes up late

static bool came_over_tls(struct client *client, const uint8_t *packet)
{
	uint8_t got[PACKET_MAX_BYTES];
	size_t size;
	return client_expect_packet(client, got, &size) && size == CLIENT_MEDIA_BYTES && memcmp(got, packet, size) == 0;
}

static void hand_up(enum fanout_counter reason, uint32_t mark, uint8_t *packet, const struct sockaddr_in6 *from)
{
	struct media_up up = { .reason = reason, .mark = mark, .from.peer = *from, .size = CLIENT_MEDIA_BYTES, .bytes = packet };
	upward_receive(world.relay, &up);
	relay_loop_wake(world.loop);
}

static void marks_lead_to_tls_receivers_only(void **state)
{
	(void)state;
	uint8_t packet[CLIENT_MEDIA_BYTES];
	send_media(packet, 1);
	assert_true(came_over_tls(c, packet));
	const struct table_memory *memory = table_memory(world.relay->table);
	uint32_t first = (uint32_t)((const struct fanout_receiver *)extent() - memory->receiver);
	const uint32_t marks[] = { FANOUT_MARK(first, extent()->generation), FANOUT_MARK(first, (uint8_t)(extent()->generation + 1)),
				   FANOUT_MARK(0, 0), FANOUT_MARK((1u << FANOUT_EXTENT_BITS) - 1, 0), 0 };
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) { // the right one, a stale one, nonsense
		relay_loop_forget_sent(world.loop);
		client_media(a, HOP_PATH_UDP, packet_ssrc(a->welcome.index, 0), (uint16_t)(2 + i), packet);
		hand_up(FANOUT_up_outside, marks[i], packet, &a->address);
		assert_true(came_over_tls(c, packet));
		assert_false(came_over_tls(c, packet)); // once
		assert_int_equal(relay_loop_sent_count(world.loop), 0);
	}
}

// Packets wait in a mailbox while the control thread does something else.
static void what_comes_up_late_is_judged_anew(void **state)
{
	(void)state;
	const uint64_t *drops = world.relay->media.counters->counter;
	struct sockaddr_in6 before = world_address(&world);
	uint8_t packet[CLIENT_MEDIA_BYTES];
	client_media(a, HOP_PATH_UDP, packet_ssrc(a->welcome.index, 0), 1, packet);
	hand_up(FANOUT_up_foreign, 0, packet, &a->address); // its address was proven meanwhile
	assert_true(came_over_tls(c, packet));
	hand_up(FANOUT_up_stream, 0, packet, &a->address); // a second time
	assert_int_equal(drops[FANOUT_counter_replayed], 1);
	client_media(a, HOP_PATH_UDP, packet_ssrc(a->welcome.index, 1), 1, packet);
	relay_loop_forget_sent(world.loop);
	hand_up(FANOUT_up_stream, 0, packet, &before); // it moved meanwhile: not from there any more
	assert_false(came_over_tls(c, packet));
	hand_up(FANOUT_up_hop, 0, packet, &a->address); // no hop packet at all
	assert_int_equal(world_count(&world, STATS_hop_wrong), 1);
	client_media(a, HOP_PATH_UDP, packet_ssrc(a->welcome.index, 0), 9, packet);
	client_send(a, &(struct control_message){ .type = CONTROL_LEAVE });
	uint64_t unknown = drops[FANOUT_handle_unknown];
	hand_up(FANOUT_up_foreign, 0, packet, &a->address); // it left
	assert_int_equal(drops[FANOUT_handle_unknown], unknown + 1);
	assert_false(came_over_tls(c, packet));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_choice_follows_devices_and_wishes),
		cmocka_unit_test(a_device_says_its_engine_and_why),
		TEST(records_say_where_each_receives),
		TEST(ipv4_is_written_as_such),
		TEST(marks_lead_to_tls_receivers_only),
		TEST(what_comes_up_late_is_judged_anew),
	};
	return cmocka_run_group_tests_name("relay_engine", tests, NULL, NULL);
}
