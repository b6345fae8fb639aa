// The packet path: who gets what, and every reason why nobody does. SPDX-License-Identifier: Apache-2.0
#include "relay/feedback.h"
#include "relay/relay_address.h"
#include "relay/tcs_session.h"
#include "tests/fake/relay_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct world world;
static struct client *a, *b, *c; // a and b on UDP, c on TLS, all in one meeting

static struct client *entered(void)
{
	struct client *client = calloc(1, sizeof(*client));
	assert_non_null(client);
	client_enter(client, &world);
	return client;
}

static void drop(struct client *client)
{
	client_free(client);
	free(client);
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
	drop(a);
	drop(b);
	drop(c);
	world_free(&world);
	return 0;
}

static uint64_t path_count(enum fanout_counter counter) { return world.relay->media.counters->counter[counter]; }

static uint32_t ssrc_of(const struct client *client, uint8_t stream) { return packet_ssrc(client->welcome.index, stream); }

static bool came_over_udp(const struct client *client, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < relay_loop_sent_count(world.loop); i++) {
		const struct relay_loop_sent *sent = relay_loop_sent_at(world.loop, i);
		if (sent->to.peer.sin6_port == client->address.sin6_port && sent->size == size && memcmp(sent->bytes, bytes, size) == 0)
			return true;
	}
	return false;
}

static struct room *room_of_world(void) { return rooms_find(world.relay->rooms, &world.meeting); }

static size_t sent_to(const struct client *client)
{
	size_t count = 0;
	for (size_t i = 0; i < relay_loop_sent_count(world.loop); i++)
		count += relay_loop_sent_at(world.loop, i)->to.peer.sin6_port == client->address.sin6_port;
	return count;
}

static bool came_over_tls(struct client *client, const uint8_t *bytes, size_t size)
{
	uint8_t got[PACKET_MAX_BYTES];
	size_t got_size;
	return client_expect_packet(client, got, &got_size) && got_size == size && memcmp(got, bytes, size) == 0;
}

// Nothing left by UDP, nothing came to c by TLS, and the reason was counted once.
static void assert_dropped(uint64_t counted)
{
	uint8_t got[PACKET_MAX_BYTES];
	size_t size;
	assert_int_equal(relay_loop_sent_count(world.loop), 0);
	assert_false(client_expect_packet(c, got, &size));
	assert_int_equal(counted, 1);
}

// ---------------------------------------------------------------- what goes through

static void media_is_verbatim_to_the_others_only(void **state)
{
	(void)state;
	uint8_t packet[CLIENT_MEDIA_BYTES];
	client_media(a, HOP_PATH_UDP, ssrc_of(a, 0), 1, packet);
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	assert_int_equal(relay_loop_sent_count(world.loop), 1);
	assert_true(came_over_udp(b, packet, sizeof(packet)));
	assert_true(came_over_tls(c, packet, sizeof(packet)));
	assert_false(came_over_udp(a, packet, sizeof(packet)));
	assert_int_equal(path_count(FANOUT_media_forwarded), 2);
	assert_int_equal(world.relay->stats.latency_count, 1);
	assert_in_range(relay_stats_percentile_ns(&world.relay->stats, 990), 90000, 110000);
}

static void media_over_tls_reaches_udp_and_tls(void **state)
{
	(void)state;
	struct client *d = entered();
	uint8_t packet[CLIENT_MEDIA_BYTES];
	client_media(c, HOP_PATH_TLS, ssrc_of(c, 0), 1, packet);
	client_send_frame(c, packet, sizeof(packet));
	assert_true(came_over_udp(a, packet, sizeof(packet)));
	assert_true(came_over_udp(b, packet, sizeof(packet)));
	assert_true(came_over_tls(d, packet, sizeof(packet)));
	assert_false(came_over_tls(c, packet, sizeof(packet)));
	drop(d);
}

static void other_meetings_hear_nothing(void **state)
{
	(void)state;
	world.meeting.bytes[0] ^= 1;
	struct client *stranger = entered();
	client_go_udp(stranger);
	uint8_t packet[CLIENT_MEDIA_BYTES];
	client_media(a, HOP_PATH_UDP, ssrc_of(a, 0), 1, packet);
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	assert_true(came_over_udp(b, packet, sizeof(packet)));
	assert_false(came_over_udp(stranger, packet, sizeof(packet)));
	drop(stranger);
}

// ---------------------------------------------------------------- what does not

static void malformed_datagrams_are_dropped(void **state)
{
	(void)state;
	static const uint8_t zeros[PACKET_MAX_BYTES + 1];
	uint8_t reserved[CLIENT_MEDIA_BYTES] = { 0x80 };
	relay_loop_receive(world.loop, &a->address, zeros, 0);
	relay_loop_receive(world.loop, &a->address, zeros, 15);
	relay_loop_receive(world.loop, &a->address, zeros, PACKET_MEDIA_MIN_BYTES - 1);
	relay_loop_receive(world.loop, &a->address, zeros, PACKET_MAX_BYTES + 1);
	relay_loop_receive(world.loop, &a->address, reserved, sizeof(reserved));
	assert_int_equal(path_count(FANOUT_packet_malformed), 5);
	assert_int_equal(relay_loop_sent_count(world.loop), 0);
}

static void unknown_and_former_handles_are_dropped(void **state)
{
	(void)state;
	uint8_t packet[CLIENT_MEDIA_BYTES];
	client_media(a, HOP_PATH_UDP, ssrc_of(a, 0), 1, packet);
	packet_stamp(a->hop[HOP_PATH_UDP].tag_key_out, packet_handle(PACKET_MEDIA, 1, 999999), 1, packet, sizeof(packet));
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	assert_dropped(path_count(FANOUT_handle_unknown));
	uint32_t handle = a->welcome.handle[HOP_PATH_UDP];
	packet_stamp(a->hop[HOP_PATH_UDP].tag_key_out,
		     packet_handle(PACKET_MEDIA, packet_handle_generation(handle) + 1, packet_handle_index(handle)), 1, packet, sizeof(packet));
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	assert_int_equal(path_count(FANOUT_handle_unknown), 2);
	assert_int_equal(relay_loop_sent_count(world.loop), 0);
}

static void wrong_tag_is_dropped_for_every_byte_that_is_read(void **state)
{
	(void)state;
	uint8_t packet[CLIENT_MEDIA_BYTES];
	uint64_t wanted = 0;
	for (size_t at = 4; at < PACKET_HEADER_BYTES + PACKET_RTP_BYTES; at++) {
		client_media(a, HOP_PATH_UDP, ssrc_of(a, 0), (uint16_t)at, packet);
		packet[at] ^= 0x10;
		relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
		assert_int_equal(path_count(FANOUT_tag_wrong), ++wanted);
	}
	client_media(a, HOP_PATH_UDP, ssrc_of(a, 0), 1, packet);
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet) - 1); // the length is covered, too
	assert_int_equal(path_count(FANOUT_tag_wrong), ++wanted);
	assert_int_equal(relay_loop_sent_count(world.loop), 0);
}

static void replays_are_dropped(void **state)
{
	(void)state;
	uint8_t old[CLIENT_MEDIA_BYTES], packet[CLIENT_MEDIA_BYTES];
	client_media(a, HOP_PATH_UDP, ssrc_of(a, 0), 1, old);
	relay_loop_receive(world.loop, &a->address, old, sizeof(old));
	(void)came_over_tls(c, old, sizeof(old));
	relay_loop_forget_sent(world.loop);
	relay_loop_receive(world.loop, &a->address, old, sizeof(old));
	assert_dropped(path_count(FANOUT_counter_replayed));
	a->hop[HOP_PATH_UDP].counter += FANOUT_WINDOW_SLOTS; // later ones do not make room for it again
	client_media(a, HOP_PATH_UDP, ssrc_of(a, 0), 2, packet);
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	assert_int_equal(relay_loop_sent_count(world.loop), 1);
	relay_loop_receive(world.loop, &a->address, old, sizeof(old));
	assert_int_equal(path_count(FANOUT_counter_replayed), 2);
	assert_int_equal(relay_loop_sent_count(world.loop), 1);
}

static void foreign_streams_are_dropped(void **state)
{
	(void)state;
	uint8_t packet[CLIENT_MEDIA_BYTES];
	client_media(a, HOP_PATH_UDP, ssrc_of(b, 0), 1, packet);
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	assert_dropped(path_count(FANOUT_ssrc_foreign));
}

static void malformed_rtp_is_dropped(void **state)
{
	(void)state;
	uint8_t packet[CLIENT_MEDIA_BYTES];
	client_media(a, HOP_PATH_UDP, ssrc_of(a, 0), 1, packet);
	packet[PACKET_HEADER_BYTES] = 0x80; // no extension
	client_stamp(a, HOP_PATH_UDP, packet, sizeof(packet));
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	assert_dropped(path_count(FANOUT_rtp_malformed));
}

static void more_streams_than_allowed_are_dropped(void **state)
{
	(void)state;
	uint8_t packet[CLIENT_MEDIA_BYTES];
	for (unsigned stream = 0; stream < 40; stream++) {
		client_media(a, HOP_PATH_UDP, ssrc_of(a, (uint8_t)stream), 1, packet);
		relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	}
	assert_int_equal(path_count(FANOUT_stream_limit), 40 - CONTROL_STREAMS_MAX);
	assert_int_equal(relay_loop_sent_count(world.loop), CONTROL_STREAMS_MAX);
}

static void rights_are_kept(void **state)
{
	(void)state;
	struct client *mute = calloc(1, sizeof(*mute)), *deaf = calloc(1, sizeof(*deaf));
	struct client *both[] = { mute, deaf };
	const uint32_t rights[] = { TOKEN_RIGHT_RECEIVE, TOKEN_RIGHT_SEND };
	for (size_t i = 0; i < 2; i++) {
		client_connect(both[i], &world);
		struct token_ticket ticket = client_ticket(both[i]);
		ticket.rights = rights[i];
		client_sign(both[i], &ticket);
		assert_true(client_join(both[i], 0));
	}
	uint8_t packet[CLIENT_MEDIA_BYTES];
	client_media(mute, HOP_PATH_TLS, ssrc_of(mute, 0), 1, packet);
	client_send_frame(mute, packet, sizeof(packet));
	assert_dropped(path_count(FANOUT_send_not_allowed));
	client_media(a, HOP_PATH_UDP, ssrc_of(a, 0), 1, packet);
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	assert_true(came_over_tls(mute, packet, sizeof(packet)));
	assert_false(came_over_tls(deaf, packet, sizeof(packet)));
	drop(mute);
	drop(deaf);
}

static void handles_belong_to_their_path_and_connection(void **state)
{
	(void)state;
	uint8_t packet[CLIENT_MEDIA_BYTES];
	client_media(a, HOP_PATH_UDP, ssrc_of(a, 0), 1, packet); // a UDP handle over TLS
	client_send_frame(a, packet, sizeof(packet));
	assert_dropped(path_count(FANOUT_address_foreign));
	client_media(c, HOP_PATH_TLS, ssrc_of(c, 0), 1, packet); // a TLS handle over UDP
	relay_loop_receive(world.loop, &c->address, packet, sizeof(packet));
	assert_int_equal(path_count(FANOUT_address_foreign), 2);
	client_media(c, HOP_PATH_TLS, ssrc_of(c, 0), 2, packet); // somebody else's over one's own connection
	client_send_frame(a, packet, sizeof(packet));
	assert_int_equal(path_count(FANOUT_address_foreign), 3);
	assert_int_equal(relay_loop_sent_count(world.loop), 0);
}

// ---------------------------------------------------------------- subscriptions

static void subscribe(struct client *client, uint32_t ssrc, bool is_wanted)
{
	struct control_message message = { .type = CONTROL_SUBSCRIBE };
	message.subscribe.count = 1;
	message.subscribe.subscription[0] = (struct control_subscription){ .ssrc = ssrc, .is_wanted = is_wanted };
	client_send(client, &message);
}

// Does the next packet of this stream of a's come to b, and to c?
static bool comes(uint8_t stream, uint16_t sequence, bool is_b_wanting, bool is_c_wanting)
{
	uint8_t packet[CLIENT_MEDIA_BYTES];
	relay_loop_forget_sent(world.loop);
	client_media(a, HOP_PATH_UDP, ssrc_of(a, stream), sequence, packet);
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	return came_over_udp(b, packet, sizeof(packet)) == is_b_wanting && came_over_tls(c, packet, sizeof(packet)) == is_c_wanting;
}

static void unwanted_streams_do_not_come(void **state)
{
	(void)state;
	assert_true(comes(0, 1, true, true));
	subscribe(b, ssrc_of(a, 1), false); // before there is such a stream
	assert_true(comes(1, 1, false, true));
	assert_true(comes(0, 2, true, true)); // the others do
	assert_true(comes(2, 1, true, true));
	subscribe(c, ssrc_of(a, 1), false); // now nobody wants it
	assert_true(comes(1, 2, false, false));
	subscribe(b, ssrc_of(a, 1), true); // it holds for the next packet
	assert_true(comes(1, 3, true, false));
	subscribe(c, ssrc_of(a, 1), true);
	assert_true(comes(1, 4, true, true));
	subscribe(a, ssrc_of(a, 1), false); // one's own: nonsense, and harmless
	assert_true(comes(1, 5, true, true));
	assert_null(room_of_world()->block->next); // all share one block again
}

static void streams_that_the_same_members_refuse_share_a_block(void **state)
{
	(void)state;
	for (uint8_t stream = 0; stream < 8; stream++)
		assert_true(comes(stream, 1, true, true));
	for (uint8_t stream = 1; stream < 8; stream++)
		subscribe(b, ssrc_of(a, stream), false);
	assert_true(comes(7, 2, false, true));
	const struct room *room = room_of_world();
	assert_non_null(room->block->next);
	assert_null(room->block->next->next);
	struct client *d = entered(); // a new member is in both
	assert_true(comes(7, 3, false, true));
	uint8_t got[PACKET_MAX_BYTES];
	size_t size;
	assert_true(client_expect_packet(d, got, &size));
	assert_true(comes(0, 3, true, true));
	assert_true(client_expect_packet(d, got, &size));
	drop(d);
	assert_true(comes(7, 4, false, true));
}

static void subscriptions_have_limits(void **state)
{
	(void)state;
	assert_true(comes(1, 1, true, true));
	for (uint32_t i = 0; i < ROOM_UNWANTED_MAX + 5; i++)
		subscribe(b, packet_ssrc(1000 + i / 8, (uint8_t)(i % 8)), false); // of those who are yet to come
	assert_int_equal(world_count(&world, STATS_subscribe_limit), 5);
	subscribe(b, ssrc_of(a, 1), false); // no note is made of it
	assert_int_equal(world_count(&world, STATS_subscribe_limit), 6);
	assert_true(comes(1, 2, true, true));
	for (uint16_t i = 0; i < 200; i++) // too many changes: they wait for the next tick, and the last one counts
		subscribe(c, ssrc_of(a, 1), i % 2);
	assert_true(world_count(&world, STATS_subscribe_coalesced) > 100);
	subscribe(c, ssrc_of(a, 1), false);
	relay_loop_advance(world.loop, 200000000u);
	assert_true(comes(1, 3, true, false));
}

static void who_leaves_is_forgotten_in_subscriptions(void **state)
{
	(void)state;
	struct client *d = entered();
	uint32_t gone = ssrc_of(d, 0);
	subscribe(b, gone, false);
	struct member *member = room_find_index(room_of_world(), b->welcome.index);
	assert_int_equal(member->unwanted_count, 1);
	drop(d);
	assert_int_equal(member->unwanted_count, 0);
	subscribe(b, gone, false); // nobody gets that index again
	assert_int_equal(member->unwanted_count, 0);
}

// ---------------------------------------------------------------- the table

static void a_full_table_is_tried_again(void **state)
{
	(void)state;
	size_t count = 0, blocks = table_memory(world.relay->table)->sizes.blocks;
	uint32_t *block = calloc(blocks, sizeof(*block));
	assert_true(comes(0, 1, true, true));
	while (count < blocks && !table_block_new(world.relay->table, &block[count]))
		count++;
	subscribe(b, ssrc_of(a, 0), false); // there is no block for that: it stays as it was
	assert_true(world_count(&world, STATS_table_full) > 0);
	assert_true(comes(0, 2, true, true));
	while (count > 0)
		table_block_free(world.relay->table, block[--count]);
	free(block);
	relay_loop_advance(world.loop, 500000000u);
	assert_true(comes(0, 3, false, true));
}

static void streams_begin_while_subscriptions_wait(void **state)
{
	(void)state;
	assert_true(comes(0, 1, true, true));
	for (uint16_t i = 0; i < 200; i++)
		subscribe(c, ssrc_of(a, 0), i % 2);
	assert_true(world_count(&world, STATS_subscribe_coalesced) > 100);
	assert_true(comes(1, 1, true, true)); // a's next stream, while c's wishes wait
	relay_loop_advance(world.loop, 200000000u);
	assert_true(comes(1, 2, true, true));
	assert_int_equal(world_count(&world, STATS_table_full), 0);
}

// The last records are for lists of everybody: who wants less gets it all rather than somebody nothing.
static void without_room_for_lists_of_their_own_everybody_is_served(void **state)
{
	(void)state;
	struct table *table = world.relay->table;
	struct table_reader *reader = table_reader_new(table); // holds what is replaced
	static struct fanout_receiver records[1024];
	uint32_t block;
	assert_int_equal(table_block_new(table, &block), ERR_OK);
	while (table_has_spare(table))
		assert_int_equal(table_block_write(table, block, 1000, records, 1024, 0), ERR_OK);
	subscribe(b, ssrc_of(a, 0), false);
	assert_true(comes(0, 1, true, true));
	assert_true(world_count(&world, STATS_table_full) > 0);
	struct client *d = entered();
	assert_true(comes(0, 2, true, true));
	assert_true(sent_to(b) > 0);
	table_reader_offline(reader);
	relay_loop_advance(world.loop, 100000000u);
	relay_loop_advance(world.loop, 500000000u);
	assert_true(comes(0, 3, false, true));
	drop(d);
}

// Not even lists of everybody can be written: who has left gets nothing more, and who is there goes on.
static void who_leaves_a_full_table_receives_nothing_more(void **state)
{
	(void)state;
	struct table *table = world.relay->table;
	struct table_reader *reader = table_reader_new(table);
	struct client *d = entered();
	client_go_udp(d);
	assert_true(comes(0, 1, true, true));
	static struct fanout_receiver records[1024];
	uint32_t block;
	assert_int_equal(table_block_new(table, &block), ERR_OK);
	for (size_t size = 1024; size > 0; size /= 2) {
		while (!table_block_write(table, block, 1000, records, size, 0))
			continue;
	}
	relay_loop_forget_sent(world.loop);
	assert_true(comes(0, 2, true, true));
	assert_int_equal(sent_to(d), 1);
	client_send(d, &(struct control_message){ .type = CONTROL_LEAVE });
	relay_loop_forget_sent(world.loop);
	assert_true(comes(0, 3, true, true));
	assert_int_equal(sent_to(d), 0);
	assert_true(comes(1, 1, true, true)); // a stream that is new
	assert_true(path_count(FANOUT_room_foreign) > 0);
	assert_true(world_count(&world, STATS_table_full) > 0);
	table_reader_offline(reader);
	relay_loop_advance(world.loop, 100000000u);
	relay_loop_advance(world.loop, 100000000u);
	uint64_t foreign = path_count(FANOUT_room_foreign);
	assert_true(comes(0, 4, true, true));
	assert_int_equal(path_count(FANOUT_room_foreign), foreign);
	drop(d);
}

// A member that goes to and fro has its room's lists written so often, and no oftener.
static void goes_to_and_fro(struct client *client, unsigned times)
{
	struct control_message told;
	for (unsigned i = 0; i < times; i++) {
		client_send(client, &(struct control_message){ .type = CONTROL_PATH, .path = i % 2 ? HOP_PATH_UDP : HOP_PATH_TLS });
		assert_true(client_expect(client, CONTROL_PATH_IS, &told));
		while (client->frame_count > 0) {
			free(client->frame[--client->frame_count].bytes);
			client->frame[client->frame_count].bytes = NULL;
		}
	}
}

static void changes_of_a_room_have_an_allowance(void **state)
{
	(void)state;
	assert_true(comes(0, 1, true, true));
	uint64_t before = table_changes(world.relay->table);
	goes_to_and_fro(b, 10000);
	assert_in_range(table_changes(world.relay->table) - before, 1000, 5000); // 8,000 records, three to a list
	assert_true(room_of_world()->block->is_changed);
	before = table_changes(world.relay->table);
	drop(c); // who leaves does not wait
	c = entered();
	assert_true(table_changes(world.relay->table) > before);
	goes_to_and_fro(b, 10000);
	assert_true(room_of_world()->block->is_changed);
	relay_loop_advance(world.loop, 200000000u);
	assert_false(room_of_world()->block->is_changed);
	assert_true(comes(0, 2, true, true));
}

static void an_idle_stream_gives_back_its_place(void **state)
{
	(void)state;
	assert_true(comes(3, 1, true, true));
	const struct member *member = room_find_index(room_of_world(), a->welcome.index);
	assert_true(member->flow[HOP_PATH_UDP]->open_streams >> 3 & 1);
	for (int i = 0; i < 8; i++) { // the sessions live
		relay_loop_advance(world.loop, 5000000000u);
		struct client *all[] = { a, b, c };
		for (size_t n = 0; n < 3; n++)
			client_send(all[n], &(struct control_message){ .type = CONTROL_PING });
	}
	assert_int_equal(member->flow[HOP_PATH_UDP]->open_streams, 0);
	assert_int_equal(table_history_bytes(world.relay->table), 0);
	assert_true(comes(3, 2, true, true));
}

static void addresses_hear_from_a_socket_every_few_seconds(void **state)
{
	(void)state;
	struct hop_message message;
	relay_loop_forget_sent(world.loop);
	relay_loop_advance(world.loop, FEEDBACK_KEEPALIVE_NS + 200000000u);
	assert_int_equal(relay_loop_sent_count(world.loop), 2);
	assert_true(client_hop_received(a, &a->address, &message));
	assert_int_equal(message.kind, HOP_KEEPALIVE);
}

// ---------------------------------------------------------------- addresses

static void foreign_address_gets_one_challenge_and_nothing_else(void **state)
{
	(void)state;
	struct sockaddr_in6 foreign = world_address(&world);
	uint8_t packet[CLIENT_MEDIA_BYTES];
	client_media(a, HOP_PATH_UDP, ssrc_of(a, 0), 1, packet);
	relay_loop_receive(world.loop, &foreign, packet, sizeof(packet));
	assert_int_equal(path_count(FANOUT_address_foreign), 1);
	assert_int_equal(relay_loop_sent_count(world.loop), 1);
	const struct relay_loop_sent *sent = relay_loop_sent_at(world.loop, 0);
	assert_int_equal(sent->to.peer.sin6_port, foreign.sin6_port);
	assert_true(sent->size <= sizeof(packet));
	assert_int_equal(sent->bytes[0] >> 6, PACKET_HOP);
	for (int i = 0; i < 10; i++)
		relay_loop_receive(world.loop, &foreign, packet, sizeof(packet));
	assert_int_equal(relay_loop_sent_count(world.loop), 1);
	assert_int_equal(world_count(&world, STATS_challenge_rate), 10);
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet)); // and the original still counts
	assert_true(came_over_udp(b, packet, sizeof(packet)));
	packet[8] ^= 1; // without a good tag: nothing at all
	relay_loop_advance(world.loop, 1000000000u);
	relay_loop_forget_sent(world.loop);
	relay_loop_receive(world.loop, &foreign, packet, sizeof(packet));
	assert_int_equal(relay_loop_sent_count(world.loop), 0);
}

static void a_challenge_is_never_larger_than_its_cause(void **state)
{
	(void)state;
	struct sockaddr_in6 foreign = world_address(&world);
	struct hop_message message = { .kind = HOP_PLI, .ssrc = ssrc_of(b, 0) }; // the shortest there is
	client_hop(a, &message, &foreign);
	assert_int_equal(relay_loop_sent_count(world.loop), 0);
	assert_int_equal(world_count(&world, STATS_challenge_size), 1);
	relay_loop_advance(world.loop, 100000000u);
	message.kind = HOP_KEEPALIVE; // made long enough
	client_hop(a, &message, &foreign);
	assert_int_equal(relay_loop_sent_count(world.loop), 1);
}

static void an_answer_moves_the_address(void **state)
{
	(void)state;
	struct sockaddr_in6 before = a->address, after = world_address(&world);
	struct hop_message message = { .kind = HOP_KEEPALIVE };
	client_hop(a, &message, &after);
	assert_true(client_hop_received(a, &after, &message));
	assert_int_equal(message.kind, HOP_CHALLENGE);
	message.kind = HOP_RESPONSE;
	relay_loop_forget_sent(world.loop);
	client_hop(a, &message, &after);
	assert_int_equal(world_count(&world, STATS_addresses_moved), 3); // a, b, a again
	assert_true(client_hop_received(a, &after, &message));
	assert_int_equal(message.kind, HOP_KEEPALIVE); // so that it knows
	a->address = after;
	uint8_t packet[CLIENT_MEDIA_BYTES];
	relay_loop_forget_sent(world.loop);
	client_media(b, HOP_PATH_UDP, ssrc_of(b, 0), 1, packet);
	relay_loop_receive(world.loop, &b->address, packet, sizeof(packet));
	assert_true(came_over_udp(a, packet, sizeof(packet)));
	assert_int_equal(relay_loop_sent_count(world.loop), 1);
	client_media(a, HOP_PATH_UDP, ssrc_of(a, 0), 1, packet); // the old one is foreign now
	relay_loop_receive(world.loop, &before, packet, sizeof(packet));
	assert_false(came_over_udp(b, packet, sizeof(packet)));
}

static void answers_from_elsewhere_or_again_do_not_move(void **state)
{
	(void)state;
	struct sockaddr_in6 after = world_address(&world), thief = world_address(&world);
	struct hop_message message = { .kind = HOP_KEEPALIVE };
	client_hop(a, &message, &after);
	assert_true(client_hop_received(a, &after, &message));
	message.kind = HOP_RESPONSE;
	uint8_t answer[PACKET_MAX_BYTES];
	size_t size;
	assert_int_equal(hop_emit(&a->hop[HOP_PATH_UDP], &message, answer, &size), ERR_OK);
	relay_loop_receive(world.loop, &thief, answer, size); // a racing copy
	assert_int_equal(world_count(&world, STATS_response_wrong), 1);
	assert_int_equal(world_count(&world, STATS_addresses_moved), 2);
	relay_loop_advance(world.loop, 100000000u);
	struct hop_message again = { .kind = HOP_KEEPALIVE }; // the client tries on, and gets through
	client_hop(a, &again, &after);
	assert_true(client_hop_received(a, &after, &again));
	again.kind = HOP_RESPONSE;
	assert_int_equal(hop_emit(&a->hop[HOP_PATH_UDP], &again, answer, &size), ERR_OK);
	relay_loop_receive(world.loop, &after, answer, size);
	assert_int_equal(world_count(&world, STATS_addresses_moved), 3);
	struct sockaddr_in6 third = world_address(&world);
	again.kind = HOP_KEEPALIVE;
	client_hop(a, &again, &third);
	assert_true(client_hop_received(a, &third, &again));
	again.kind = HOP_RESPONSE;
	client_hop(a, &again, &third);
	assert_int_equal(world_count(&world, STATS_addresses_moved), 4);
	relay_loop_receive(world.loop, &after, answer, size); // an old answer does not move it back
	assert_int_equal(world_count(&world, STATS_addresses_moved), 4);
	assert_int_equal(path_count(FANOUT_counter_replayed), 1);
}

static void unusable_addresses_get_nothing(void **state)
{
	(void)state;
	static const char *const rows[] = { "0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "169.254.1.1", "::", "fe80::1",
					    "ff02::1", "64:ff9b::a00:1", "64:ff9b:1::a00:1", "::1.2.3.4", "fec0::1" };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sockaddr_in6 from;
		struct hop_message message = { .kind = HOP_KEEPALIVE };
		assert_int_equal(relay_address_parse(rows[i], 4000, &from), ERR_OK);
		client_hop(a, &message, &from);
		assert_int_equal(world_count(&world, STATS_address_refused), i + 1);
	}
	assert_int_equal(relay_loop_sent_count(world.loop), 0);
}

static void path_is_granted_only_when_proven(void **state)
{
	(void)state;
	struct control_message message = { .type = CONTROL_PATH, .path = HOP_PATH_UDP };
	client_send(c, &message);
	assert_true(client_expect(c, CONTROL_PATH_IS, &message));
	assert_int_equal(message.path, HOP_PATH_TLS);
	message = (struct control_message){ .type = CONTROL_PATH, .path = HOP_PATH_TLS };
	client_send(b, &message);
	assert_true(client_expect(b, CONTROL_PATH_IS, &message));
	assert_int_equal(message.path, HOP_PATH_TLS);
	uint8_t packet[CLIENT_MEDIA_BYTES];
	client_media(a, HOP_PATH_UDP, ssrc_of(a, 0), 1, packet);
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	assert_int_equal(relay_loop_sent_count(world.loop), 0);
	assert_true(came_over_tls(b, packet, sizeof(packet)));
}

// ---------------------------------------------------------------- feedback

static void keepalive_is_answered(void **state)
{
	(void)state;
	struct hop_message message = { .kind = HOP_KEEPALIVE };
	client_hop(a, &message, &a->address);
	assert_true(client_hop_received(a, &a->address, &message));
	assert_int_equal(message.kind, HOP_KEEPALIVE);
	message.kind = HOP_CHALLENGE; // not for a client to send
	client_hop(a, &message, &a->address);
	assert_int_equal(world_count(&world, STATS_hop_unexpected), 1);
}

static void nack_is_served_from_the_history(void **state)
{
	(void)state;
	uint8_t packet[3][CLIENT_MEDIA_BYTES];
	for (uint16_t i = 0; i < 3; i++) {
		client_media(a, HOP_PATH_UDP, ssrc_of(a, 1), (uint16_t)(65535 + i), packet[i]);
		relay_loop_receive(world.loop, &a->address, packet[i], CLIENT_MEDIA_BYTES);
	}
	relay_loop_forget_sent(world.loop);
	struct hop_message message = { .kind = HOP_NACK, .ssrc = ssrc_of(a, 1), .sequences = { 65535, 0 }, .sequence_count = 2 };
	client_hop(b, &message, &b->address);
	assert_int_equal(relay_loop_sent_count(world.loop), 2);
	assert_true(came_over_udp(b, packet[0], CLIENT_MEDIA_BYTES));
	assert_true(came_over_udp(b, packet[1], CLIENT_MEDIA_BYTES));
	assert_int_equal(world_count(&world, STATS_media_retransmitted), 2);
}

static void what_is_missing_is_asked_of_the_sender_once(void **state)
{
	(void)state;
	uint8_t packet[CLIENT_MEDIA_BYTES];
	client_media(a, HOP_PATH_UDP, ssrc_of(a, 1), 10, packet);
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	relay_loop_forget_sent(world.loop);
	struct hop_message message = { .kind = HOP_NACK, .ssrc = ssrc_of(a, 1), .sequences = { 7, 8 }, .sequence_count = 2 };
	client_hop(b, &message, &b->address);
	assert_int_equal(relay_loop_sent_count(world.loop), 1);
	struct hop_message asked;
	assert_true(client_hop_received(a, &a->address, &asked));
	assert_int_equal(asked.kind, HOP_NACK);
	assert_int_equal(asked.ssrc, ssrc_of(a, 1));
	assert_int_equal(asked.sequence_count, 2);
	client_hop(b, &message, &b->address); // at once again: not asked
	assert_int_equal(relay_loop_sent_count(world.loop), 1);
	assert_int_equal(world_count(&world, STATS_nack_coalesced), 2);
	relay_loop_advance(world.loop, FEEDBACK_NACK_PAUSE_NS);
	client_hop(b, &message, &b->address);
	assert_int_equal(relay_loop_sent_count(world.loop), 2);
}

// What a hostile receiver can make the sender send again, at everybody's cost: only what the relay never had.
static void senders_are_not_asked_for_what_came_or_never_was(void **state)
{
	(void)state;
	uint8_t packet[CLIENT_MEDIA_BYTES];
	for (uint16_t i = 0; i < 300; i++) {
		client_media(a, HOP_PATH_UDP, ssrc_of(a, 1), (uint16_t)(1000 + i), packet);
		relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
		relay_loop_advance(world.loop, 30000000u); // slow: the ring stays small, the first are gone
	}
	relay_loop_forget_sent(world.loop);
	struct hop_message message = { .kind = HOP_NACK, .ssrc = ssrc_of(a, 1), .sequences = { 900, 1000, 1040, 1301, 40000 },
				       .sequence_count = 5 };
	client_hop(b, &message, &b->address);
	assert_int_equal(relay_loop_sent_count(world.loop), 0);
	assert_int_equal(world_count(&world, STATS_nack_outside), 5);
}

static void what_comes_again_goes_to_nobody(void **state)
{
	(void)state;
	uint8_t packet[CLIENT_MEDIA_BYTES];
	client_media(a, HOP_PATH_UDP, ssrc_of(a, 1), 10, packet);
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	assert_true(came_over_tls(c, packet, sizeof(packet)));
	relay_loop_forget_sent(world.loop);
	client_stamp(a, HOP_PATH_UDP, packet, sizeof(packet)); // as a retransmission comes
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	assert_dropped(path_count(FANOUT_media_repeated));
	packet[PACKET_HEADER_BYTES + 7] ^= 1; // another packet: its timestamp differs
	client_stamp(a, HOP_PATH_UDP, packet, sizeof(packet));
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	assert_true(relay_loop_sent_count(world.loop) > 0);
}

static void key_frames_cannot_be_asked_for_all_the_time(void **state)
{
	(void)state;
	uint8_t packet[CLIENT_MEDIA_BYTES];
	client_media(a, HOP_PATH_UDP, ssrc_of(a, 1), 5, packet);
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	relay_loop_forget_sent(world.loop);
	struct hop_message message = { .kind = HOP_PLI, .ssrc = ssrc_of(a, 1) };
	for (int i = 0; i < 100; i++) { // ten seconds
		client_hop(b, &message, &b->address);
		relay_loop_advance(world.loop, 100000000u);
	}
	assert_in_range(sent_to(a), 10, 14);
}

static void retransmissions_have_a_limit(void **state)
{
	(void)state;
	uint8_t packet[CLIENT_MEDIA_BYTES];
	client_media(a, HOP_PATH_UDP, ssrc_of(a, 1), 5, packet);
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	relay_loop_forget_sent(world.loop);
	struct hop_message message = { .kind = HOP_NACK, .ssrc = ssrc_of(a, 1), .sequences = { 5 }, .sequence_count = 1 };
	for (int i = 0; i < 300; i++)
		client_hop(b, &message, &b->address);
	assert_int_equal(relay_loop_sent_count(world.loop), 200);
	assert_int_equal(world_count(&world, STATS_nack_rate), 100);
}

static void key_frame_requests_are_coalesced(void **state)
{
	(void)state;
	uint8_t packet[CLIENT_MEDIA_BYTES];
	client_media(a, HOP_PATH_UDP, ssrc_of(a, 1), 5, packet);
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	relay_loop_forget_sent(world.loop);
	struct hop_message message = { .kind = HOP_PLI, .ssrc = ssrc_of(a, 1) }, asked;
	for (int i = 0; i < 10; i++)
		client_hop(b, &message, &b->address);
	assert_int_equal(relay_loop_sent_count(world.loop), 1);
	assert_true(client_hop_received(a, &a->address, &asked));
	assert_int_equal(asked.kind, HOP_PLI);
	assert_int_equal(asked.ssrc, ssrc_of(a, 1));
	assert_int_equal(world_count(&world, STATS_pli_coalesced), 9);
	relay_loop_advance(world.loop, FEEDBACK_PLI_PAUSE_NS);
	client_hop(b, &message, &b->address);
	assert_int_equal(relay_loop_sent_count(world.loop), 2);
	message.ssrc = ssrc_of(a, 9); // a stream that nobody sends
	client_hop(b, &message, &b->address);
	message.ssrc = ssrc_of(b, 0); // or oneself
	client_hop(b, &message, &b->address);
	assert_int_equal(world_count(&world, STATS_feedback_unknown), 2);
	assert_int_equal(relay_loop_sent_count(world.loop), 2);
}

static void forged_feedback_is_dropped(void **state)
{
	(void)state;
	uint8_t bytes[PACKET_MAX_BYTES];
	size_t size;
	struct hop_message message = { .kind = HOP_PLI, .ssrc = ssrc_of(b, 1) };
	assert_int_equal(hop_emit(&a->hop[HOP_PATH_UDP], &message, bytes, &size), ERR_OK);
	bytes[size - 10] ^= 1; // not covered by the tag, but by SRTCP
	relay_loop_receive(world.loop, &a->address, bytes, size);
	assert_dropped(world_count(&world, STATS_hop_wrong));
}

// ---------------------------------------------------------------- back-pressure

static void slow_tls_receivers_lose_media_not_the_meeting(void **state)
{
	(void)state;
	uint8_t packet[CLIENT_MEDIA_BYTES];
	c->is_deaf = true;
	for (unsigned i = 0; i < 2000; i++) {
		client_media(a, HOP_PATH_UDP, ssrc_of(a, 0), (uint16_t)i, packet);
		relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	}
	assert_true(world_count(&world, STATS_media_queue_full) > 1000);
	assert_int_equal(relay_loop_sent_count(world.loop), 2000); // b has all of it
	assert_int_equal(world_count(&world, STATS_client_slow), 0);
	relay_loop_advance(world.loop, TCS_SESSION_STUCK_NS + 200000000u);
	assert_int_equal(world_count(&world, STATS_client_slow), 1); // ten seconds without a byte taken
	relay_loop_forget_sent(world.loop);
}

static void refused_sends_are_counted(void **state)
{
	(void)state;
	uint8_t packet[CLIENT_MEDIA_BYTES];
	relay_loop_refuse(world.loop, true);
	client_media(a, HOP_PATH_UDP, ssrc_of(a, 0), 1, packet);
	relay_loop_receive(world.loop, &a->address, packet, sizeof(packet));
	assert_int_equal(world_count(&world, STATS_send_refused), 1);
	relay_loop_refuse(world.loop, false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(media_is_verbatim_to_the_others_only),
		TEST(media_over_tls_reaches_udp_and_tls),
		TEST(other_meetings_hear_nothing),
		TEST(malformed_datagrams_are_dropped),
		TEST(unknown_and_former_handles_are_dropped),
		TEST(wrong_tag_is_dropped_for_every_byte_that_is_read),
		TEST(replays_are_dropped),
		TEST(foreign_streams_are_dropped),
		TEST(malformed_rtp_is_dropped),
		TEST(more_streams_than_allowed_are_dropped),
		TEST(rights_are_kept),
		TEST(handles_belong_to_their_path_and_connection),
		TEST(unwanted_streams_do_not_come),
		TEST(streams_that_the_same_members_refuse_share_a_block),
		TEST(subscriptions_have_limits),
		TEST(who_leaves_is_forgotten_in_subscriptions),
		TEST(a_full_table_is_tried_again),
		TEST(streams_begin_while_subscriptions_wait),
		TEST(without_room_for_lists_of_their_own_everybody_is_served),
		TEST(who_leaves_a_full_table_receives_nothing_more),
		TEST(changes_of_a_room_have_an_allowance),
		TEST(an_idle_stream_gives_back_its_place),
		TEST(addresses_hear_from_a_socket_every_few_seconds),
		TEST(foreign_address_gets_one_challenge_and_nothing_else),
		TEST(a_challenge_is_never_larger_than_its_cause),
		TEST(an_answer_moves_the_address),
		TEST(answers_from_elsewhere_or_again_do_not_move),
		TEST(unusable_addresses_get_nothing),
		TEST(path_is_granted_only_when_proven),
		TEST(keepalive_is_answered),
		TEST(nack_is_served_from_the_history),
		TEST(what_is_missing_is_asked_of_the_sender_once),
		TEST(senders_are_not_asked_for_what_came_or_never_was),
		TEST(what_comes_again_goes_to_nobody),
		TEST(key_frames_cannot_be_asked_for_all_the_time),
		TEST(retransmissions_have_a_limit),
		TEST(key_frame_requests_are_coalesced),
		TEST(forged_feedback_is_dropped),
		TEST(slow_tls_receivers_lose_media_not_the_meeting),
		TEST(refused_sends_are_counted),
	};
	return cmocka_run_group_tests_name("relay_forward", tests, NULL, NULL);
}
