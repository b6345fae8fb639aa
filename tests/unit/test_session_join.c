// The real session against a relay in this process: join, path, fall-back, reconnect, NACK, ends, hostility.
// SPDX-License-Identifier: Apache-2.0
#include "base/secret.h"
#include "client/engine/session.h"
#include "client/engine/subscriptions.h"
#include "client/engine/transport/datagram.h"
#include "tests/fake/client_media.h"
#include "tests/fake/client_relay.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 8000 };

static const uint8_t secret[TOKEN_SECRET_BYTES] = { 7 }, other_secret[TOKEN_SECRET_BYTES] = { 8 };
static const struct id meeting = { { 1 } };
static char directory[] = "/tmp/test-session-XXXXXX";
static struct client_relay *relay;

struct member {
	struct engine_session *session;
	struct client_media media;
	struct packet_queue *queue;
	struct session_grant grant;
	struct session_options options;
	enum err fetch_result;
	// what its events told
	int joined, reconnecting, members, unreadable, gone, path_udp, path_tls;
	bool has_ended, is_udp;
	struct engine_event ended;
	struct engine_member last_member;
};

static uint64_t now_ms(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static enum err fetch(void *context, const atomic_bool *is_cancelled, struct session_grant *out, char problem[static ENGINE_PROBLEM_MAX])
{
	struct member *member = context;
	(void)is_cancelled;
	if (member->fetch_result)
		snprintf(problem, ENGINE_PROBLEM_MAX, "no ticket today");
	*out = member->grant;
	return member->fetch_result;
}

// Prepared, so that a test can change options before it starts.
static void prepare(struct member *member, uint8_t number)
{
	uint8_t public_key[TOKEN_ED25519_BYTES];
	memset(member, 0, sizeof(*member));
	assert_int_equal(token_ed25519_generate(member->options.device_key, public_key), ERR_OK);
	member->grant = (struct session_grant){ .meeting = meeting, .participant = { { 0xa0, number } }, .relay_name = "relay.test",
						.relay_address = "127.0.0.1", .relay_port = client_relay_port(relay), .title = "a title" };
	secret_random(member->grant.ticket, sizeof(member->grant.ticket));
	client_relay_set_device(relay, &member->grant.participant, public_key);
	assert_int_equal(packet_queue_new(&member->queue), ERR_OK);
	member->options.fetch = fetch;
	member->options.context = member;
	memcpy(member->options.secret, secret, sizeof(secret));
	member->options.relay_pins = *client_relay_pins(relay);
	snprintf(member->options.name, sizeof(member->options.name), "member %d", number);
	member->options.media = client_media_operations(&member->media);
	member->options.queue = member->queue;
	member->options.connect_timeout_ms = 1500;
}

static void start(struct member *member)
{
	assert_int_equal(session_start(&member->options, &member->session), ERR_OK);
}

static void take(struct member *member, const struct engine_event *event)
{
	switch (event->type) {
	case ENGINE_EVENT_STATE:
		member->joined += event->state == ENGINE_JOINED;
		member->reconnecting += event->state == ENGINE_RECONNECTING;
		break;
	case ENGINE_EVENT_MEMBER:
		member->members += event->member.is_readable;
		member->unreadable += !event->member.is_readable;
		member->last_member = event->member;
		break;
	case ENGINE_EVENT_GONE:
		member->gone++;
		break;
	case ENGINE_EVENT_PATH:
		member->path_udp += event->is_udp;
		member->path_tls += !event->is_udp;
		member->is_udp = event->is_udp;
		break;
	case ENGINE_EVENT_ENDED:
		assert_false(member->has_ended);
		member->has_ended = true;
		member->ended = *event;
		break;
	default:
		break;
	}
}

static void poll_events(struct member *member)
{
	struct engine_event event;
	while (session_next(member->session, &event))
		take(member, &event);
}

// Wait until `condition` holds, taking events of both members meanwhile.
#define WAIT(a, b, condition)                                                      \
	do {                                                                       \
		uint64_t until_ms_ = now_ms() + PATIENCE_MS;                       \
		for (;;) {                                                         \
			poll_events(a);                                            \
			if ((b) != (a))                                            \
				poll_events(b);                                    \
			if (condition)                                             \
				break;                                             \
			if (now_ms() > until_ms_)                                  \
				fail_msg("%s did not happen in time", #condition); \
			usleep(5000);                                              \
		}                                                                  \
	} while (0)

static void finish(struct member *member)
{
	session_leave(member->session);
	WAIT(member, member, member->has_ended);
	session_free(member->session);
	packet_queue_free(member->queue);
	assert_int_equal(member->media.freed, 1);
}

static void say(struct member *member, uint32_t value)
{
	const struct packet_rtp rtp = { .payload_type = PACKET_PT_OPUS };
	const uint8_t payload[] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value, 0xaa };
	packet_queue_push_media(member->queue, PACKET_STREAM_AUDIO, &rtp, payload, sizeof(payload));
	packet_queue_wake(member->queue);
}

static uint64_t counted(struct member *member, enum counter counter)
{
	struct engine_statistics *statistics = malloc(sizeof(*statistics));
	assert_non_null(statistics);
	session_statistics(member->session, statistics);
	uint64_t value = statistics->counters.value[counter];
	free(statistics);
	return value;
}

static int set_up(void **state)
{
	(void)state;
	relay = client_relay_start(directory);
	return relay ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	client_relay_stop(relay);
	return 0;
}

static void join_two(struct member *a, struct member *b)
{
	prepare(a, 1);
	prepare(b, 2);
	start(a);
	start(b);
	WAIT(a, b, a->members == 1 && b->members == 1);
}

static void test_two_members_hear_each_other_over_udp(void **state)
{
	(void)state;
	struct member a, b;
	join_two(&a, &b);
	assert_string_equal(a.last_member.name, "member 2");
	assert_int_equal(b.media.epoch_ns, 1700000000000000000u);
	WAIT(&a, &b, a.is_udp && b.is_udp);
	WAIT(&a, &b, a.media.round_trip_ns > 0 && a.media.round_trip_ns < 1000000000);
	for (uint32_t i = 1; i <= 100; i++)
		say(&a, i);
	say(&b, 7);
	WAIT(&a, &b, b.media.received == 100 && a.media.received == 1);
	assert_int_equal(b.media.payload_sum, 5050);
	assert_int_equal(a.media.payload_sum, 7);
	assert_int_equal(client_relay_figures(relay)->media_udp, 101);
	assert_int_equal(client_relay_figures(relay)->bad_tags, 0);
	assert_int_equal(client_relay_figures(relay)->bad_proofs, 0);
	finish(&b);
	WAIT(&a, &a, a.gone == 1 && a.media.gone == 1);
	finish(&a);
	assert_int_equal(a.ended.result, ERR_OK);
	assert_string_equal(a.ended.problem, "");
	for (int i = 0; i < 1000 && client_relay_figures(relay)->leaves != 2; i++)
		usleep(1000);
	assert_int_equal(client_relay_figures(relay)->leaves, 2);
}

static void test_tls_only(void **state)
{
	(void)state;
	struct member a, b;
	prepare(&a, 1);
	prepare(&b, 2);
	a.options.transport = b.options.transport = ENGINE_TRANSPORT_TLS;
	start(&a);
	start(&b);
	WAIT(&a, &b, a.members == 1 && b.members == 1);
	for (uint32_t i = 1; i <= 100; i++)
		say(&a, i);
	WAIT(&a, &b, b.media.received == 100);
	assert_int_equal(b.media.payload_sum, 5050);
	assert_int_equal(client_relay_figures(relay)->media_udp, 0);
	assert_int_equal(client_relay_figures(relay)->keepalives, 0);
	finish(&a);
	finish(&b);
}

// Pictures pile up, and are dropped; what is said afterwards still gets through.
static void test_sound_has_room_when_tls_is_stuck(void **state)
{
	(void)state;
	enum { PICTURES = 900, WORDS = 100 };
	static const uint8_t picture[1000];
	const struct packet_rtp rtp = { .payload_type = PACKET_PT_VP9 };
	struct member a;
	prepare(&a, 1);
	a.options.transport = ENGINE_TRANSPORT_TLS;
	start(&a);
	WAIT(&a, &a, client_relay_figures(relay)->streams == 1);
	client_relay_knobs(relay)->reads_nothing = true;
	for (int i = 0; i < PICTURES; i++)
		packet_queue_push_media(a.queue, PACKET_STREAM_VIDEO, &rtp, picture, sizeof(picture));
	packet_queue_wake(a.queue);
	WAIT(&a, &a, counted(&a, COUNTER_tls_congested) > 0);
	uint64_t dropped = counted(&a, COUNTER_tls_congested);
	for (uint32_t i = 0; i < WORDS; i++)
		say(&a, i);
	usleep(200000);
	client_relay_knobs(relay)->reads_nothing = false;
	WAIT(&a, &a, client_relay_figures(relay)->next_sequence[PACKET_STREAM_AUDIO] == WORDS);
	WAIT(&a, &a, client_relay_figures(relay)->media_tls == (int)(PICTURES + WORDS - dropped));
	finish(&a);
}

static void test_udp_only_waits_and_says_why_not(void **state)
{
	(void)state;
	struct member a;
	client_relay_knobs(relay)->drops_udp = true;
	prepare(&a, 1);
	a.options.transport = ENGINE_TRANSPORT_UDP;
	start(&a);
	WAIT(&a, &a, a.joined == 1);
	say(&a, 1);
	WAIT(&a, &a, counted(&a, COUNTER_no_path) == 1);
	client_relay_knobs(relay)->drops_udp = false;
	WAIT(&a, &a, a.is_udp);
	say(&a, 1);
	WAIT(&a, &a, client_relay_figures(relay)->media_udp == 1);
	assert_int_equal(client_relay_figures(relay)->media_tls, 0);
	finish(&a);
	client_relay_knobs(relay)->has_no_udp = true;
	prepare(&a, 2);
	a.options.transport = ENGINE_TRANSPORT_UDP;
	start(&a);
	WAIT(&a, &a, a.has_ended);
	assert_int_equal(a.ended.result, ERR_IO);
	assert_string_equal(a.ended.problem, "the server offers no UDP");
	finish(&a);
}

static void test_fall_back_and_return(void **state)
{
	(void)state;
	struct member a, b;
	join_two(&a, &b);
	WAIT(&a, &b, a.is_udp && b.is_udp);
	client_relay_knobs(relay)->drops_udp = true;
	uint64_t since_ms = now_ms();
	WAIT(&a, &b, !a.is_udp && !b.is_udp);
	assert_in_range(now_ms() - since_ms, 1000, 3500); // 2 s after it was last heard
	say(&a, 5);
	WAIT(&a, &b, b.media.received == 1);
	client_relay_knobs(relay)->drops_udp = false;
	WAIT(&a, &b, a.is_udp && b.is_udp);
	say(&a, 6);
	WAIT(&a, &b, b.media.received == 2);
	assert_int_equal(b.media.payload_sum, 11);
	finish(&a);
	finish(&b);
}

static void test_refused_udp_goes_on_over_tls(void **state)
{
	(void)state;
	struct member a, b;
	client_relay_knobs(relay)->refuses_udp = true;
	join_two(&a, &b);
	WAIT(&a, &b, client_relay_figures(relay)->keepalives >= 4);
	say(&a, 5);
	WAIT(&a, &b, b.media.received == 1);
	assert_int_equal(a.path_udp, 0);
	finish(&a);
	finish(&b);
}

// Keys and sequence numbers go on through a reconnect; packets from before it do not count twice.
static void test_reconnect(void **state)
{
	(void)state;
	struct member a, b;
	join_two(&a, &b);
	say(&a, 1);
	WAIT(&a, &b, b.media.received == 1);
	client_relay_cut(relay);
	WAIT(&a, &b, a.joined == 2 && b.joined == 2 && a.members >= 2 && b.members >= 2);
	assert_int_equal(a.reconnecting, 1);
	assert_int_equal(client_relay_figures(relay)->joins_again, 2);
	assert_int_equal(a.media.started, 1);
	say(&a, 2);
	WAIT(&a, &b, b.media.received == 2);
	assert_int_equal(b.media.last_sequence, 0); // a new index, so a new generation
	client_relay_knobs(relay)->first_index = 1; // the relay forgot the room: indices start anew
	client_relay_forget(relay);
	WAIT(&a, &b, a.joined == 3 && b.joined == 3 && a.members >= 3 && b.members >= 3);
	say(&a, 3);
	WAIT(&a, &b, b.media.received == 3);
	assert_int_equal(b.media.payload_sum, 6);
	assert_int_equal(counted(&b, COUNTER_decrypt_failed), 0);
	finish(&a);
	finish(&b);
	assert_int_equal(a.ended.result, ERR_OK);
}

static void show(struct member *member, uint32_t timestamp, size_t packets, size_t last_bytes)
{
	static const uint8_t payload[500];
	const struct packet_rtp rtp = { .payload_type = PACKET_PT_VP9, .timestamp = timestamp };
	for (size_t i = 1; i <= packets; i++)
		packet_queue_push_media(member->queue, PACKET_STREAM_VIDEO, &rtp, payload, i == packets ? last_bytes : sizeof(payload));
}

// What is ready together leaves together: a picture's packets, never two pictures, never sound.
static void test_pictures_leave_as_trains(void **state)
{
	(void)state;
	struct member a, b;
	struct client_relay_figures *figures = client_relay_figures(relay);
	join_two(&a, &b);
	WAIT(&a, &b, a.is_udp && b.is_udp);
	show(&a, 3600, 4, 300);
	show(&a, 7200, 3, 500);
	say(&a, 1); // wakes
	WAIT(&a, &b, b.media.received == 8);
	assert_int_equal(figures->trains, 2);
	assert_int_equal(figures->train_packets, 7);
	show(&a, 10800, 2 * DATAGRAM_TRAIN_MAX + 1, 100); // more than a train holds
	say(&a, 1);
	WAIT(&a, &b, b.media.received == 8 + 2 * DATAGRAM_TRAIN_MAX + 2);
	assert_int_equal(figures->trains, 4);
	assert_int_equal(figures->train_packets, 7 + 2 * DATAGRAM_TRAIN_MAX);
	show(&a, 14400, 1, 200);
	show(&a, 14400, 1, 201); // larger than the first: a train of its own
	for (uint32_t i = 0; i < 9; i++)
		say(&a, 1);
	WAIT(&a, &b, b.media.received == 8 + 2 * DATAGRAM_TRAIN_MAX + 2 + 11);
	assert_int_equal(figures->trains, 4);
	assert_int_equal(figures->mixed_trains, 0);
	assert_int_equal(figures->bad_tags, 0);
	finish(&a);
	assert_int_equal(figures->media_udp, b.media.received);
	finish(&b);
}

static void test_who_wants_no_pictures_gets_none(void **state)
{
	(void)state;
	struct member a, b;
	struct client_relay_figures *figures = client_relay_figures(relay);
	prepare(&a, 1);
	prepare(&b, 2);
	a.options.streams = (struct control_streams){ 2, { { PACKET_STREAM_AUDIO, CONTROL_AUDIO, 0, 0, 1 }, { PACKET_STREAM_VIDEO, CONTROL_VIDEO, 0, 0, 1 } } };
	b.options.is_audio_only = true;
	start(&a);
	start(&b);
	for (int round = 1; round <= 2; round++) { // the second one after a reconnect
		WAIT(&a, &b, a.members >= round && b.members >= round && figures->subscriptions == round);
		WAIT(&a, &b, a.is_udp && b.is_udp);
		show(&a, 3600, 3, 500);
		say(&a, 1);
		WAIT(&a, &b, b.media.received == round);
		assert_int_equal(packet_ssrc_stream(b.media.last_ssrc), PACKET_STREAM_AUDIO);
		if (round == 1)
			client_relay_cut(relay);
		WAIT(&a, &b, round == 2 || (a.joined == 2 && b.joined == 2));
	}
	// This one's are wanted after all; and then not even what it says.
	assert_int_equal(session_subscribe(b.session, &a.grant.participant, PACKET_STREAM_VIDEO, true), ERR_OK);
	WAIT(&a, &b, figures->subscriptions == 3);
	show(&a, 3600, 3, 500);
	say(&a, 1);
	WAIT(&a, &b, b.media.received == 6);
	assert_int_equal(session_subscribe(b.session, &a.grant.participant, PACKET_STREAM_AUDIO, false), ERR_OK);
	WAIT(&a, &b, figures->subscriptions == 4);
	say(&a, 1);
	show(&a, 3600, 1, 500);
	packet_queue_wake(a.queue);
	WAIT(&a, &b, b.media.received == 7);
	assert_int_equal(packet_ssrc_stream(b.media.last_ssrc), PACKET_STREAM_VIDEO);
	assert_int_equal(session_subscribe(b.session, &a.grant.participant, PACKET_STREAM_AUDIO, false), ERR_OK);
	assert_int_equal(session_subscribe(b.session, &a.grant.participant, 16, false), ERR_LIMIT);
	usleep(100000);
	assert_int_equal(figures->subscriptions, 4); // nothing new in that
	finish(&a);
	finish(&b);
}

// Wishes about those who are yet to come, as many as there may be; the relay hears of them when they come.
static void test_wishes_are_remembered(void **state)
{
	(void)state;
	struct member a;
	struct client_relay_figures *figures = client_relay_figures(relay);
	prepare(&a, 1);
	start(&a);
	WAIT(&a, &a, figures->streams == 1);
	struct id others[SUBSCRIPTIONS_MAX + 1];
	for (size_t i = 0; i <= SUBSCRIPTIONS_MAX; i++) {
		others[i] = (struct id){ { 0xee, (uint8_t)(i >> 8), (uint8_t)i } };
		assert_int_equal(session_subscribe(a.session, &others[i], PACKET_STREAM_VIDEO, false), i < SUBSCRIPTIONS_MAX ? ERR_OK : ERR_FULL);
	}
	assert_int_equal(session_subscribe(a.session, &others[0], PACKET_STREAM_VIDEO, true), ERR_OK);
	assert_int_equal(session_subscribe(a.session, &others[SUBSCRIPTIONS_MAX], PACKET_STREAM_VIDEO, false), ERR_OK); // there is room again
	for (uint32_t i = 0; i <= SUBSCRIPTIONS_MAX; i++) {
		const struct control_message member = { .type = CONTROL_MEMBER, .member = { .index = 100 + i, .participant = others[i] } };
		client_relay_send_message(relay, &member);
	}
	WAIT(&a, &a, figures->subscriptions == SUBSCRIPTIONS_MAX);
	usleep(100000);
	assert_int_equal(figures->subscriptions, SUBSCRIPTIONS_MAX);
	finish(&a);
}

static void test_nack_is_answered_with_the_same_packet(void **state)
{
	(void)state;
	struct member a, b;
	join_two(&a, &b);
	WAIT(&a, &b, a.is_udp && b.is_udp);
	client_relay_knobs(relay)->drops_media_in = 3;
	for (uint32_t i = 1; i <= 6; i++)
		say(&a, i);
	WAIT(&a, &b, b.media.received == 6);
	assert_int_equal(b.media.payload_sum, 21);
	assert_int_equal(client_relay_figures(relay)->resent, 3);
	assert_int_equal(client_relay_figures(relay)->bad_tags, 0);
	WAIT(&a, &b, counted(&a, COUNTER_nack_answered) == 3);
	// What is no longer kept, and what was never ours.
	const struct hop_message old = { .kind = HOP_NACK, .ssrc = b.media.last_ssrc, .sequences = { 1000 }, .sequence_count = 1 };
	client_relay_send_hop(relay, &old);
	WAIT(&a, &b, counted(&a, COUNTER_nack_unanswered) == 1 && counted(&b, COUNTER_nack_unanswered) == 1);
	finish(&a);
	finish(&b);
}

static void test_a_relay_that_asks_without_end(void **state)
{
	(void)state;
	enum { SAID = 20, ASKED = 30 };
	struct member a, b;
	join_two(&a, &b);
	WAIT(&a, &b, a.is_udp && b.is_udp);
	for (uint32_t i = 0; i < SAID; i++)
		say(&a, i);
	WAIT(&a, &b, b.media.received == SAID);
	struct hop_message nack = { .kind = HOP_NACK, .ssrc = b.media.last_ssrc, .sequence_count = SAID };
	for (uint16_t i = 0; i < SAID; i++)
		nack.sequences[i] = i;
	for (int i = 0; i < ASKED; i++)
		client_relay_send_hop(relay, &nack);
	WAIT(&a, &b, counted(&a, COUNTER_nack_refused) > 0);
	assert_int_equal(counted(&a, COUNTER_nack_answered), SAID);
	finish(&a);
	finish(&b);
}

// A relay that moves a member without a word of its own, and then takes it away: it is not heard from its old place.
static void test_a_moved_member_is_not_heard_from_where_it_was(void **state)
{
	(void)state;
	struct member a, b;
	join_two(&a, &b);
	say(&a, 1);
	WAIT(&a, &b, b.media.received == 1);
	struct control_message moved = { .type = CONTROL_MEMBER, .member = { .index = 900, .participant = a.grant.participant } };
	client_relay_send_message(relay, &moved);
	const struct control_message gone = { .type = CONTROL_GONE, .gone = { .index = 900, .participant = a.grant.participant } };
	client_relay_send_message(relay, &gone);
	WAIT(&a, &b, b.gone == 1);
	say(&a, 2);
	WAIT(&a, &b, counted(&b, COUNTER_unknown_sender) == 1);
	assert_int_equal(b.media.received, 1);
	finish(&a);
	finish(&b);
}

static void test_feedback_reaches_the_sender(void **state)
{
	(void)state;
	struct member a, b;
	join_two(&a, &b);
	say(&a, 1);
	WAIT(&a, &b, b.media.received == 1);
	for (int i = 0; i < 20; i++)
		packet_queue_push_key_frame(b.queue, b.media.last_ssrc);
	WAIT(&a, &b, a.media.key_frames == 1);
	usleep(100000);
	assert_int_equal(a.media.key_frames, 1); // twenty wishes, one request
	const uint16_t missing[] = { 0 };
	packet_queue_push_missing(b.queue, b.media.last_ssrc, missing, 1);
	WAIT(&a, &b, counted(&b, COUNTER_replayed) == 1); // it came again
	finish(&a);
	finish(&b);
}

static void test_ends(void **state)
{
	(void)state;
	static const struct {
		enum control_end reason;
		enum err result;
	} ends[] = { { CONTROL_END_TICKET, ERR_AUTH }, { CONTROL_END_EXPIRED, ERR_EXPIRED }, { CONTROL_END_CLOSED, ERR_CLOSED },
		     { CONTROL_END_REMOVED, ERR_DENIED }, { CONTROL_END_REPLACED, ERR_EXISTS }, { CONTROL_END_FULL, ERR_FULL },
		     { CONTROL_END_PROTOCOL, ERR_PARSE } };
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		struct member a;
		prepare(&a, 1);
		if (i % 2)
			client_relay_knobs(relay)->refuses_with = ends[i].reason; // at the door
		start(&a);
		if (i % 2 == 0) {
			WAIT(&a, &a, a.joined == 1); // or later
			const struct control_message end = { .type = CONTROL_END, .end = ends[i].reason };
			client_relay_send_message(relay, &end);
		}
		WAIT(&a, &a, a.has_ended);
		assert_int_equal(a.ended.result, ends[i].result);
		assert_string_equal(a.ended.problem, control_end_text(ends[i].reason));
		client_relay_knobs(relay)->refuses_with = 0;
		finish(&a);
	}
}

static void test_shutdown_brings_it_back(void **state)
{
	(void)state;
	struct member a;
	const struct control_message end = { .type = CONTROL_END, .end = CONTROL_END_SHUTDOWN };
	prepare(&a, 1);
	start(&a);
	WAIT(&a, &a, a.joined == 1);
	client_relay_send_message(relay, &end);
	client_relay_cut(relay);
	WAIT(&a, &a, a.joined == 2);
	const struct control_message no_reason = { .type = CONTROL_END };
	client_relay_send_message(relay, &no_reason);
	client_relay_cut(relay);
	WAIT(&a, &a, a.joined == 3);
	finish(&a);
}

static void test_no_ticket(void **state)
{
	(void)state;
	struct member a;
	prepare(&a, 1);
	a.fetch_result = ERR_DENIED;
	start(&a);
	WAIT(&a, &a, a.has_ended);
	assert_int_equal(a.ended.result, ERR_DENIED);
	assert_string_equal(a.ended.problem, "no ticket today");
	finish(&a);
}

static void test_wrong_pin_is_final_and_shows_both_keys(void **state)
{
	(void)state;
	struct member a;
	char seen[TEXT_BASE64_SIZE(TOKEN_PIN_BYTES)], pinned[sizeof(seen)];
	prepare(&a, 1);
	memset(a.options.relay_pins.pin[0], 0x11, TOKEN_PIN_BYTES);
	start(&a);
	WAIT(&a, &a, a.has_ended);
	assert_int_equal(a.ended.result, ERR_AUTH);
	text_base64_emit(client_relay_pins(relay)->pin[0], TOKEN_PIN_BYTES, seen);
	text_base64_emit(a.options.relay_pins.pin[0], TOKEN_PIN_BYTES, pinned);
	assert_non_null(strstr(a.ended.problem, seen));
	assert_non_null(strstr(a.ended.problem, pinned));
	finish(&a);
}

static void test_nobody_there(void **state)
{
	(void)state;
	struct member a;
	prepare(&a, 1);
	a.grant.relay_port = 1; // nothing listens there
	start(&a);
	WAIT(&a, &a, a.has_ended);
	assert_int_equal(a.ended.result, ERR_IO);
	assert_string_equal(a.ended.problem, "relay.test:1: Connection refused");
	finish(&a);
}

static void test_leaving_a_silent_relay_does_not_hang(void **state)
{
	(void)state;
	struct member a;
	client_relay_knobs(relay)->is_silent = true;
	prepare(&a, 1);
	start(&a);
	usleep(300000);
	uint64_t since_ms = now_ms();
	finish(&a);
	assert_in_range(now_ms() - since_ms, 0, 1000);
	assert_int_equal(a.ended.result, ERR_OK);
}

// A member with another secret is seen, and nothing of it is heard.
static void test_ghost_is_seen(void **state)
{
	(void)state;
	struct member a, b;
	prepare(&a, 1);
	prepare(&b, 2);
	memcpy(b.options.secret, other_secret, sizeof(other_secret));
	start(&a);
	start(&b);
	WAIT(&a, &b, a.unreadable >= 1 && b.unreadable >= 1);
	say(&b, 1);
	WAIT(&a, &b, counted(&a, COUNTER_unknown_sender) == 1);
	assert_int_equal(a.media.received, 0);
	WAIT(&a, &b, counted(&a, COUNTER_announcement_failed) >= 1);
	finish(&a);
	finish(&b);
}

static void test_generations_on_the_wire(void **state)
{
	(void)state;
	struct member a, b;
	prepare(&a, 1);
	prepare(&b, 2);
	a.options.generation_packets = 10;
	start(&a);
	start(&b);
	WAIT(&a, &b, a.members == 1 && b.members == 1);
	for (uint32_t i = 1; i <= 95; i++)
		say(&a, i);
	WAIT(&a, &b, b.media.received == 95);
	assert_int_equal(b.media.payload_sum, 4560);
	finish(&a);
	finish(&b);
}

static void test_hostile_relay(void **state)
{
	(void)state;
	struct member a, b;
	static uint8_t frame[CONTROL_FRAME_MAX];
	uint32_t seed = 12345;
	join_two(&a, &b);
	WAIT(&a, &b, a.is_udp && b.is_udp);
	for (int i = 0; i < 400; i++) { // datagrams of chance, of all sizes, some with the look of media
		size_t size = 1 + (seed >> 8) % 1400;
		for (size_t j = 0; j < size; j++)
			frame[j] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
		if (i % 2)
			frame[0] &= 0x3f;
		client_relay_send_datagram(relay, frame, size);
	}
	memset(frame, 0, sizeof(frame));
	client_relay_send_frame(relay, frame, sizeof(frame)); // oversize media
	client_relay_send_frame(relay, frame, 1);
	frame[0] = 0x40;
	client_relay_send_frame(relay, frame, 100); // hop control without a tag
	const struct control_message unexpected[] = {
		{ .type = CONTROL_LEAVE },
		{ .type = CONTROL_WELCOME, .welcome = { .index = 99 } },
		{ .type = CONTROL_MEMBER, .member = { .index = b.last_member.index, .participant = a.grant.participant } }, // ourselves, to one of them
		{ .type = CONTROL_MEMBER, .member = { .index = 51, .participant = { { 0xdd } }, .announcement = frame, .announcement_size = 500 } },
		{ .type = CONTROL_GONE, .gone = { .index = 4242 } },
		{ .type = CONTROL_PONG, .ping = UINT64_MAX },
	};
	for (size_t i = 0; i < sizeof(unexpected) / sizeof(*unexpected); i++)
		client_relay_send_message(relay, &unexpected[i]);
	WAIT(&a, &b, counted(&a, COUNTER_message_unexpected) >= 3 && counted(&a, COUNTER_announcement_failed) == 1);
	WAIT(&a, &b, counted(&a, COUNTER_datagram_malformed) >= 2 && counted(&a, COUNTER_hop_unauthentic) >= 1 &&
			     counted(&a, COUNTER_media_malformed) >= 1);
	say(&a, 9);
	WAIT(&a, &b, b.media.received == 1); // all of that changed nothing
	frame[0] = 0xc0;
	frame[1] = 0xee;
	client_relay_send_frame(relay, frame, 50); // no such message: the connection is not to be trusted
	WAIT(&a, &b, a.reconnecting == 1 && a.joined == 2 && b.joined == 2);
	WAIT(&a, &b, counted(&a, COUNTER_message_malformed) == 1); // as soon as the figures are fresh
	for (uint32_t i = 0; i < 700; i++) { // members without end
		struct control_message member = { .type = CONTROL_MEMBER, .member = { .index = 1000 + i, .participant = { { 0xcc, (uint8_t)(i >> 8), (uint8_t)i } } } };
		client_relay_send_message(relay, &member);
	}
	WAIT(&a, &b, counted(&a, COUNTER_member_limit) > 0);
	finish(&a);
	finish(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_two_members_hear_each_other_over_udp), TEST(test_tls_only),
		TEST(test_sound_has_room_when_tls_is_stuck), TEST(test_udp_only_waits_and_says_why_not),
		TEST(test_fall_back_and_return), TEST(test_refused_udp_goes_on_over_tls), TEST(test_reconnect),
		TEST(test_pictures_leave_as_trains), TEST(test_who_wants_no_pictures_gets_none), TEST(test_wishes_are_remembered),
		TEST(test_nack_is_answered_with_the_same_packet), TEST(test_a_relay_that_asks_without_end),
		TEST(test_a_moved_member_is_not_heard_from_where_it_was),
		TEST(test_feedback_reaches_the_sender), TEST(test_ends), TEST(test_shutdown_brings_it_back), TEST(test_no_ticket),
		TEST(test_wrong_pin_is_final_and_shows_both_keys), TEST(test_nobody_there), TEST(test_leaving_a_silent_relay_does_not_hang),
		TEST(test_ghost_is_seen), TEST(test_generations_on_the_wire), TEST(test_hostile_relay),
	};
	if (!mkdtemp(directory))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	char command[128];
	static const char *const files[] = { "relay.crt", "relay.key" };
	for (size_t i = 0; i < 2; i++) {
		snprintf(command, sizeof(command), "%s/%s", directory, files[i]);
		unlink(command);
	}
	rmdir(directory);
	return failed;
}
