// Sessions from the first byte of TLS to the last message. SPDX-License-Identifier: Apache-2.0
#include "relay/tcs_session.h"

#include "tests/fake/relay_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct world world;

static int setup(void **state) { (void)state; world_make(&world); return 0; }
static int teardown(void **state) { (void)state; world_free(&world); return 0; }

// Large: on the heap, so that the sanitizers watch its ends.
static struct client *client_new(void)
{
	struct client *client = calloc(1, sizeof(*client));
	assert_non_null(client);
	return client;
}

static void client_drop(struct client *client)
{
	client_free(client);
	free(client);
}

static struct client *entered(void)
{
	struct client *client = client_new();
	client_enter(client, &world);
	return client;
}

static void join_is_welcomed_and_told(void **state)
{
	(void)state;
	struct control_message message;
	struct client *a = entered();
	assert_int_equal(a->welcome.index, 1);
	assert_int_equal(a->welcome.udp_port, world.config.udp_port);
	client_send(a, &(struct control_message){ .type = CONTROL_ANNOUNCE, .announce = { (const uint8_t *)"sealed", 6 } });
	struct control_message streams = { .type = CONTROL_STREAMS };
	streams.streams.count = 1;
	streams.streams.stream[0] = (struct control_stream){ .stream = 1, .kind = CONTROL_VIDEO, .width = 640, .height = 360 };
	client_send(a, &streams);

	struct client *b = entered();
	assert_int_equal(b->welcome.index, 2);
	assert_true(text_id_equal(&a->welcome.incarnation, &b->welcome.incarnation));
	assert_true(client_expect(b, CONTROL_MEMBER, &message));
	assert_int_equal(message.member.index, 1);
	assert_true(text_id_equal(&message.member.participant, &a->participant));
	assert_int_equal(message.member.announcement_size, 6);
	assert_memory_equal(message.member.announcement, "sealed", 6);
	assert_true(client_expect(b, CONTROL_STREAMS_OF, &message)); // who joins hears it all at once
	assert_int_equal(message.streams_of.index, 1);
	assert_int_equal(message.streams_of.streams.stream[0].width, 640);
	relay_loop_advance(world.loop, TCS_SESSION_TELL_NS * 2);
	assert_true(client_expect(a, CONTROL_MEMBER, &message));
	assert_true(text_id_equal(&message.member.participant, &b->participant));
	assert_int_equal(message.member.announcement_size, 0);

	client_send(b, &(struct control_message){ .type = CONTROL_LEAVE });
	assert_int_equal(client_ended(b), CONTROL_END_LEFT);
	assert_true(client_expect(a, CONTROL_GONE, &message));
	assert_int_equal(message.gone.index, 2);
	assert_int_equal(message.gone.reason, CONTROL_END_LEFT);
	client_drop(b);
	struct client *c = entered();
	assert_int_equal(c->welcome.index, 3); // never given twice
	client_drop(c);
	client_drop(a);
	assert_int_equal(rooms_count(world.relay->rooms), 0);
	assert_null(world.relay->sessions);
}

static void flood_of_announcements_is_told_in_its_last_form(void **state)
{
	(void)state;
	struct control_message message;
	struct client *a = entered(), *b = entered();
	relay_loop_advance(world.loop, TCS_SESSION_TELL_NS * 2);
	while (client_expect(b, CONTROL_MEMBER, &message))
		;
	for (uint8_t i = 0; i < 100; i++)
		client_send(a, &(struct control_message){ .type = CONTROL_ANNOUNCE, .announce = { &i, 1 } });
	relay_loop_advance(world.loop, TCS_SESSION_TELL_NS * 2);
	unsigned told = 0;
	uint8_t last = 0;
	while (client_expect(b, CONTROL_MEMBER, &message)) {
		told++;
		last = message.member.announcement[0];
	}
	assert_int_equal(told, 2);
	assert_int_equal(last, 99);
	client_drop(b);
	client_drop(a);
}

static void ping_is_answered_and_silence_ends(void **state)
{
	(void)state;
	struct control_message message;
	struct client *a = entered();
	for (int i = 0; i < 4; i++) {
		relay_loop_advance(world.loop, 5000000000u);
		client_send(a, &(struct control_message){ .type = CONTROL_PING, .ping = 77 });
		assert_true(client_expect(a, CONTROL_PONG, &message));
		assert_int_equal(message.ping, 77);
	}
	relay_loop_advance(world.loop, TCS_SESSION_SILENT_NS + 200000000u);
	assert_int_equal(client_ended(a), CONTROL_END_TIMEOUT);
	assert_int_equal(world_count(&world, STATS_session_timeout), 1);
	client_drop(a);
}

// ---------------------------------------------------------------- refused joins

static enum control_end refused(void (*spoil)(struct client *client, struct token_ticket *ticket))
{
	struct client *client = client_new();
	client_connect(client, &world);
	struct token_ticket ticket = client_ticket(client);
	spoil(client, &ticket);
	client_sign(client, &ticket);
	assert_false(client_join(client, 0));
	enum control_end reason = client_ended(client);
	assert_true(relay_stream_is_finished(client->stream));
	client_drop(client);
	return reason;
}

static void spoil_date(struct client *client, struct token_ticket *ticket) { (void)client; ticket->join_before -= 120; }
static void spoil_future(struct client *client, struct token_ticket *ticket) { (void)client; ticket->issued += 3600; }
static void spoil_relay(struct client *client, struct token_ticket *ticket) { (void)client; ticket->relay.bytes[0] ^= 1; }
static void spoil_device(struct client *client, struct token_ticket *ticket) { (void)ticket; client->device_private[0] ^= 1; }
static void spoil_key(struct client *client, struct token_ticket *ticket) { (void)ticket; client->world->pki.ticket_private[0] ^= 1; }
static void spoil_nothing(struct client *client, struct token_ticket *ticket) { (void)client; (void)ticket; }

static void bad_tickets_are_refused(void **state)
{
	(void)state;
	assert_int_equal(refused(spoil_date), CONTROL_END_EXPIRED);
	assert_int_equal(refused(spoil_future), CONTROL_END_EXPIRED);
	assert_int_equal(world_count(&world, STATS_join_expired), 2);
	assert_int_equal(refused(spoil_relay), CONTROL_END_TICKET);
	assert_int_equal(refused(spoil_device), CONTROL_END_TICKET);
	assert_int_equal(refused(spoil_key), CONTROL_END_TICKET);
	assert_int_equal(world_count(&world, STATS_join_ticket), 3);
	assert_int_equal(rooms_count(world.relay->rooms), 0);
}

static void a_stolen_proof_is_of_no_use_on_another_connection(void **state)
{
	(void)state;
	struct client *a = client_new(), *thief = client_new();
	client_connect(a, &world);
	client_connect(thief, &world);
	struct token_ticket ticket = client_ticket(a);
	client_sign(a, &ticket);
	memcpy(thief->ticket, a->ticket, sizeof(a->ticket));
	struct control_message message = { .type = CONTROL_JOIN };
	uint8_t exporter[ADMISSION_EXPORTER_BYTES], input[ADMISSION_PROOF_INPUT_BYTES];
	message.join = (struct control_join){ .version = CONTROL_VERSION, .ticket = a->ticket, .ticket_size = sizeof(a->ticket) };
	assert_int_equal(tls_conn_export(a->tls, CONTROL_JOIN_EXPORTER, NULL, 0, exporter, sizeof(exporter)), ERR_OK);
	admission_proof_input(exporter, a->ticket, sizeof(a->ticket), input);
	assert_int_equal(token_ed25519_sign(a->device_private, input, sizeof(input), message.join.proof), ERR_OK);
	client_send(thief, &message);
	assert_int_equal(client_ended(thief), CONTROL_END_TICKET);
	client_drop(thief);
	client_drop(a);
}

static void ended_meetings_and_removed_participants_stay_out(void **state)
{
	(void)state;
	struct client *a = entered(), *b = entered();
	struct control_message message;
	relay_remove_participant(world.relay, &world.meeting, &b->participant, world_now_s(&world) + 3600);
	relay_loop_wake(world.loop);
	assert_int_equal(client_ended(b), CONTROL_END_REMOVED);
	assert_true(client_expect(a, CONTROL_GONE, &message));
	assert_int_equal(message.gone.reason, CONTROL_END_REMOVED);
	struct client *again = client_new();
	client_connect(again, &world);
	again->participant = b->participant;
	struct token_ticket ticket = client_ticket(again);
	client_sign(again, &ticket);
	assert_false(client_join(again, 0));
	assert_int_equal(client_ended(again), CONTROL_END_REMOVED);

	relay_end_meeting(world.relay, &world.meeting, world_now_s(&world) + 3600);
	relay_loop_wake(world.loop);
	assert_int_equal(client_ended(a), CONTROL_END_CLOSED);
	client_drop(again);
	client_drop(b);
	client_drop(a);
	assert_int_equal(refused(spoil_nothing), CONTROL_END_CLOSED);
	world_restart(&world); // and the relay remembers
	assert_int_equal(refused(spoil_nothing), CONTROL_END_CLOSED);
}

static void coming_back_needs_a_first_time(void **state)
{
	(void)state;
	struct client *a = client_new();
	client_connect(a, &world);
	struct token_ticket ticket = client_ticket(a);
	client_sign(a, &ticket);
	relay_loop_advance(world.loop, 1000000000u);
	assert_true(client_join(a, 0));
	client_free(a);
	uint8_t kept[TOKEN_TICKET_BYTES], device[TOKEN_ED25519_BYTES];
	memcpy(kept, a->ticket, sizeof(kept));
	memcpy(device, a->device_private, sizeof(device));
	relay_loop_set_clock(world.loop, world_now_s(&world) + 600); // past join_before
	world_restart(&world);                                      // and the relay was away, too
	client_connect(a, &world);
	memcpy(a->ticket, kept, sizeof(kept));
	memcpy(a->device_private, device, sizeof(device));
	assert_false(client_join(a, 0)); // without AGAIN it is a first join, and late
	assert_int_equal(client_ended(a), CONTROL_END_EXPIRED);
	client_free(a);
	client_connect(a, &world);
	memcpy(a->ticket, kept, sizeof(kept));
	memcpy(a->device_private, device, sizeof(device));
	assert_true(client_join(a, CONTROL_JOIN_AGAIN));
	client_free(a);
	relay_loop_set_clock(world.loop, world_now_s(&world) - 86400); // our clock is a day behind: the ticket is known all the same
	client_connect(a, &world);
	memcpy(a->ticket, kept, sizeof(kept));
	memcpy(a->device_private, device, sizeof(device));
	assert_true(client_join(a, CONTROL_JOIN_AGAIN));
	client_drop(a);
	relay_loop_set_clock(world.loop, world_now_s(&world) + 86400);

	struct client *late = client_new(); // never admitted: AGAIN is a lie
	client_connect(late, &world);
	ticket = client_ticket(late);
	ticket.join_before -= 120;
	client_sign(late, &ticket);
	assert_false(client_join(late, CONTROL_JOIN_AGAIN));
	assert_int_equal(client_ended(late), CONTROL_END_EXPIRED);
	client_drop(late);
}

static void joining_from_elsewhere_replaces(void **state)
{
	(void)state;
	struct client *a = entered(), *b = client_new();
	client_connect(b, &world);
	b->participant = a->participant;
	struct token_ticket ticket = client_ticket(b);
	client_sign(b, &ticket);
	assert_true(client_join(b, 0));
	assert_int_equal(client_ended(a), CONTROL_END_REPLACED);
	assert_int_equal(rooms_member_count(world.relay->rooms), 1);
	client_drop(a);
	client_drop(b);
}

static void a_full_meeting_refuses(void **state)
{
	(void)state;
	world.config.participants_per_meeting_max = 2;
	world_restart(&world);
	struct client *a = entered(), *b = entered();
	assert_int_equal(refused(spoil_nothing), CONTROL_END_FULL);
	assert_int_equal(world_count(&world, STATS_join_full), 1);
	client_drop(b);
	client_drop(a);
}

// The table's entries of who has just left rest until nobody looks at them any more.
static void a_join_waits_for_an_entry_to_rest(void **state)
{
	(void)state;
	struct control_message message;
	world.config.participants_max = 2;
	world_restart(&world);
	struct table_reader *reader = table_reader_new(world.relay->table);
	struct client *a = entered(), *b = entered(), *c = client_new(), *d = client_new();
	client_drop(b);
	client_connect(c, &world);
	struct token_ticket ticket = client_ticket(c);
	client_sign(c, &ticket);
	assert_false(client_join(c, 0));
	relay_loop_advance(world.loop, 1000000000u);
	assert_int_equal(client_ended(c), 0);
	assert_false(client_expect(c, CONTROL_WELCOME, &message));
	client_connect(d, &world); // this one has no patience
	ticket = client_ticket(d);
	client_sign(d, &ticket);
	assert_false(client_join(d, 0));
	client_send(d, &(struct control_message){ .type = CONTROL_PING });
	assert_int_equal(client_ended(d), CONTROL_END_PROTOCOL);
	table_reader_offline(reader);
	relay_loop_advance(world.loop, 200000000u);
	assert_true(client_expect(c, CONTROL_WELCOME, &message));
	assert_true(client_expect(a, CONTROL_MEMBER, &message));
	assert_int_equal(rooms_member_count(world.relay->rooms), 2);
	assert_int_equal(world_count(&world, STATS_join_full), 0);
	client_drop(a);
	client_drop(c);
	client_drop(d);
}

// ---------------------------------------------------------------- bad input

static void garbage_before_tls_ends_without_an_answer(void **state)
{
	(void)state;
	struct sockaddr_in6 peer = world_address(&world);
	uint8_t garbage[500];
	for (size_t i = 0; i < sizeof(garbage); i++)
		garbage[i] = (uint8_t)(i * 37);
	assert_int_equal(tcs_session_open(world.relay, -1, &peer), ERR_OK);
	struct loop_stream *stream = relay_loop_last_stream(world.loop);
	relay_stream_feed(stream, garbage, sizeof(garbage));
	assert_int_equal(world_count(&world, STATS_handshake_failed), 1);
	relay_loop_advance(world.loop, TCS_SESSION_LINGER_NS * 2);
	assert_true(relay_stream_is_closed(stream));
	relay_stream_release(stream);
	assert_null(world.relay->sessions);
}

static void garbage_frames_end_the_session(void **state)
{
	(void)state;
	static const struct {
		uint8_t bytes[4];
		size_t size;
	} rows[] = { { { 0xC0, 99 }, 2 }, { { 0x80, 1, 2, 3 }, 4 }, { { 0xC0 }, 1 }, { { 0 }, 0 }, { { 0xC0, CONTROL_PATH, 9 }, 3 } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct client *a = entered();
		client_send_frame(a, rows[i].bytes, rows[i].size);
		assert_int_equal(client_ended(a), CONTROL_END_PROTOCOL);
		assert_int_equal(world_count(&world, STATS_frame_malformed), i + 1);
		client_drop(a);
	}
	struct client *a = entered(); // a frame that is longer than any message
	uint8_t length[2] = { 0xff, 0xff };
	assert_int_equal(tls_conn_write(a->tls, length, sizeof(length)), ERR_OK);
	assert_int_equal(client_ended(a), CONTROL_END_PROTOCOL);
	client_drop(a);
	a = entered(); // well formed, but the relay's to say
	client_send(a, &(struct control_message){ .type = CONTROL_PONG });
	assert_int_equal(client_ended(a), CONTROL_END_PROTOCOL);
	assert_int_equal(world_count(&world, STATS_message_unexpected), 1);
	client_drop(a);
}

static void nothing_but_join_before_join(void **state)
{
	(void)state;
	struct client *a = client_new();
	client_connect(a, &world);
	client_send(a, &(struct control_message){ .type = CONTROL_PING, .ping = 1 });
	assert_int_equal(client_ended(a), CONTROL_END_PROTOCOL);
	client_drop(a);
	a = client_new();
	client_connect(a, &world);
	relay_loop_advance(world.loop, TCS_SESSION_JOIN_NS + 200000000u);
	assert_int_equal(client_ended(a), CONTROL_END_TIMEOUT);
	assert_int_equal(world_count(&world, STATS_handshake_timeout), 1);
	client_drop(a);
}

// ---------------------------------------------------------------- slow and gone

static void a_client_that_does_not_read_is_dropped(void **state)
{
	(void)state;
	struct client *a = entered(), *slow = entered();
	static uint8_t announcement[CONTROL_ANNOUNCE_MAX];
	slow->is_deaf = true;
	for (unsigned i = 0; i < 400 && world_count(&world, STATS_client_slow) == 0; i++) {
		client_send(a, &(struct control_message){ .type = CONTROL_ANNOUNCE, .announce = { announcement, sizeof(announcement) } });
		client_send(slow, &(struct control_message){ .type = CONTROL_PING });
		relay_loop_advance(world.loop, TCS_SESSION_TELL_NS + 1);
	}
	assert_int_equal(world_count(&world, STATS_client_slow), 1);
	struct control_message message;
	assert_true(client_expect(a, CONTROL_GONE, &message));
	assert_int_equal(message.gone.index, slow->welcome.index);
	client_drop(slow);
	client_drop(a);
}

static void a_broken_connection_is_told(void **state)
{
	(void)state;
	struct client *a = entered(), *b = entered();
	struct control_message message;
	relay_stream_hang_up(b->stream);
	assert_true(client_expect(a, CONTROL_GONE, &message));
	assert_int_equal(message.gone.index, b->welcome.index);
	assert_true(relay_stream_is_closed(b->stream));
	client_drop(b);
	client_drop(a);
}

static void shutdown_tells_everyone(void **state)
{
	(void)state;
	struct client *a = entered(), *b = entered();
	struct control_message message;
	relay_shutdown(world.relay);
	relay_loop_wake(world.loop);
	assert_false(client_expect(a, CONTROL_GONE, &message)); // nobody left: the relay stops
	assert_false(client_expect(b, CONTROL_GONE, &message));
	assert_int_equal(client_ended(a), CONTROL_END_SHUTDOWN);
	assert_int_equal(client_ended(b), CONTROL_END_SHUTDOWN);
	client_drop(a);
	client_drop(b);
	relay_loop_advance(world.loop, 1500000000u);
	assert_true(relay_loop_is_stopped(world.loop));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(join_is_welcomed_and_told, setup, teardown),
		cmocka_unit_test_setup_teardown(flood_of_announcements_is_told_in_its_last_form, setup, teardown),
		cmocka_unit_test_setup_teardown(ping_is_answered_and_silence_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_tickets_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stolen_proof_is_of_no_use_on_another_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(ended_meetings_and_removed_participants_stay_out, setup, teardown),
		cmocka_unit_test_setup_teardown(coming_back_needs_a_first_time, setup, teardown),
		cmocka_unit_test_setup_teardown(joining_from_elsewhere_replaces, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_meeting_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(a_join_waits_for_an_entry_to_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(garbage_before_tls_ends_without_an_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(garbage_frames_end_the_session, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_but_join_before_join, setup, teardown),
		cmocka_unit_test_setup_teardown(a_client_that_does_not_read_is_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(a_broken_connection_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(shutdown_tells_everyone, setup, teardown),
	};
	return cmocka_run_group_tests_name("relay_session", tests, NULL, NULL);
}
