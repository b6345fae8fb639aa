// What runs beside the control thread: media threads on real sockets while the table changes, their mailboxes, and
// handshakes. SPDX-License-Identifier: Apache-2.0
#include "relay/media_threads.h"

#include "base/log.h"
#include "relay/mailbox.h"
#include "relay/relay_address.h"
#include "relay/relay_socket.h"
#include "relay/tcs_session.h"
#include "tests/fake/relay_loop.h"
#include "tests/fake/relay_world.h"

#include <errno.h>
#include <liburing.h>
#include <netinet/udp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

// ---------------------------------------------------------------- mailbox

static bool put(struct mailbox *mailbox, enum fanout_counter reason, uint8_t value)
{
	uint8_t bytes[PACKET_MAX_BYTES];
	memset(bytes, value, sizeof(bytes));
	struct media_up up = { .reason = reason, .size = 100u + value, .bytes = bytes, .mark = value };
	return mailbox_put(mailbox, &up);
}

static bool is_rung(const struct mailbox *mailbox)
{
	struct pollfd p = { .fd = mailbox_descriptor(mailbox), .events = POLLIN };
	return poll(&p, 1, 0) == 1;
}

static void a_flood_of_one_kind_leaves_room_for_others(void **state)
{
	(void)state;
	struct mailbox *mailbox = mailbox_new();
	struct media_up up;
	assert_non_null(mailbox);
	for (int round = 0; round < 20; round++) {
		size_t taken = 0;
		for (size_t i = 0; i < MAILBOX_FOREIGN; i++)
			assert_true(put(mailbox, FANOUT_up_foreign, 1));
		assert_false(put(mailbox, FANOUT_up_foreign, 1));
		assert_true(put(mailbox, FANOUT_up_hop, 2));
		assert_true(put(mailbox, FANOUT_up_stream, 3));
		assert_true(put(mailbox, FANOUT_up_outside, 4));
		assert_false(is_rung(mailbox));
		mailbox_ring(mailbox);
		assert_true(is_rung(mailbox));
		mailbox_hush(mailbox);
		assert_false(is_rung(mailbox));
		while (mailbox_take(mailbox, &up)) {
			uint8_t value = taken < MAILBOX_FOREIGN ? 1 : (uint8_t)(taken - MAILBOX_FOREIGN + 2);
			assert_int_equal(up.mark, value);
			assert_int_equal(up.size, 100 + value);
			assert_int_equal(up.bytes[up.size - 1], value);
			taken++;
		}
		assert_int_equal(taken, MAILBOX_FOREIGN + 3);
		assert_false(put(mailbox, FANOUT_up_foreign, 1)); // the reader still holds them
		mailbox_release(mailbox);
		mailbox_ring(mailbox);
		mailbox_hush(mailbox);
	}
	mailbox_free(mailbox);
}

// ---------------------------------------------------------------- media threads

enum { ROOM = 7, ENTRY = 3, SENDER = 1, RECEIVERS = 3, BURST = 16, BURSTS = 200, BYTES = 700 };

struct lab {
	struct table_memory memory;
	struct table *table;
	struct media_threads *threads;
	int port[2];
	struct sockaddr_in6 relay_at, sender_at;
	uint32_t block, counter;
	int sender, receiver[RECEIVERS], leg;
	size_t ups;
};

static const uint8_t key[PACKET_TAG_KEY_BYTES] = "sixteen bytes...";

static int open_client(struct sockaddr_in6 *at)
{
	struct timeval patience = { .tv_sec = 5 };
	int room = 4 << 20;
	socklen_t size = sizeof(*at);
	int s = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(relay_address_parse("::1", 0, at), ERR_OK);
	assert_int_equal(bind(s, (struct sockaddr *)at, sizeof(*at)), 0);
	assert_int_equal(getsockname(s, (struct sockaddr *)at, &size), 0);
	assert_int_equal(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	(void)setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	return s;
}

static void write_block(struct lab *lab)
{
	struct fanout_receiver record[RECEIVERS];
	for (size_t i = 0; i < RECEIVERS; i++) {
		struct sockaddr_in6 at;
		socklen_t size = sizeof(at);
		assert_int_equal(getsockname(lab->receiver[i], (struct sockaddr *)&at, &size), 0);
		record[i] = (struct fanout_receiver){ .room = ROOM, .member = (uint32_t)(10 + i), .family = FANOUT_IPV6,
						      .destination_port_be = at.sin6_port };
		memcpy(record[i].destination, &at.sin6_addr, sizeof(record[i].destination));
		memcpy(record[i].source, &lab->relay_at.sin6_addr, sizeof(record[i].source));
		table_receiver_finish(&record[i]);
	}
	assert_int_equal(table_block_write(lab->table, lab->block, ROOM, record, RECEIVERS, 0), ERR_OK);
}

static void lab_open(struct lab *lab, enum loop_choice choice)
{
	char problem[RELAY_SOCKET_PROBLEM_MAX];
	struct table_sizes sizes;
	memset(lab, 0, sizeof(*lab));
	socklen_t size = sizeof(lab->relay_at);
	struct sockaddr_in6 ignored;
	int probe;
	assert_int_equal(relay_address_parse("::1", 0, &lab->relay_at), ERR_OK);
	assert_int_equal(relay_socket_udp(&lab->relay_at, 0, 1, &probe, problem), ERR_OK);
	assert_int_equal(getsockname(probe, (struct sockaddr *)&lab->relay_at, &size), 0);
	close(probe);
	assert_int_equal(relay_socket_udp(&lab->relay_at, 0, 2, lab->port, problem), ERR_OK);
	assert_int_equal(relay_address_parse("::1", 0, &ignored), ERR_OK);
	assert_int_equal(relay_socket_udp(&ignored, 0, 1, &lab->leg, problem), ERR_OK);
	lab->sender = open_client(&lab->sender_at);
	for (size_t i = 0; i < RECEIVERS; i++)
		lab->receiver[i] = open_client(&ignored);
	table_sizes_for(16, 8 << 20, &sizes);
	assert_int_equal(table_memory_private(&sizes, &lab->memory), ERR_OK);
	assert_int_equal(table_new(&lab->memory, &lab->table), ERR_OK);
	assert_int_equal(table_block_new(lab->table, &lab->block), ERR_OK);
	write_block(lab);
	struct table_sender sender = { .handle = packet_handle(PACKET_MEDIA, 1, ENTRY), .index = SENDER, .room = ROOM,
				       .may_send = true, .tag_key = key };
	assert_int_equal(table_sender_open(lab->table, &sender), ERR_OK);
	table_sender_move(lab->table, sender.handle, lab->sender_at.sin6_addr.s6_addr, lab->sender_at.sin6_port);
	table_stream_set(lab->table, sender.handle, 0, lab->block, 0);
	const struct media_threads_options options = { .count = 2, .choice = choice, .descriptor = lab->port,
						       .leg_descriptor = lab->leg, .table = lab->table };
	assert_int_equal(media_threads_new(&options, &lab->threads), ERR_OK);
	assert_int_equal(media_threads_start(lab->threads), ERR_OK);
}

static void lab_close(struct lab *lab)
{
	media_threads_free(lab->threads);
	table_free(lab->table);
	table_memory_free(&lab->memory);
	close(lab->sender);
	for (size_t i = 0; i < RECEIVERS; i++)
		close(lab->receiver[i]);
	close(lab->leg);
	close(lab->port[0]);
	close(lab->port[1]);
}

// A burst as a client sends it: one message, cut by the kernel.
static void send_burst(struct lab *lab, uint16_t first)
{
	uint8_t bytes[BURST * BYTES];
	int segment = BYTES;
	for (uint16_t i = 0; i < BURST; i++) {
		uint8_t *at = bytes + i * BYTES;
		struct packet_rtp rtp = { .ssrc = packet_ssrc(SENDER, 0), .sequence = (uint16_t)(first + i) };
		memset(at, first + i, BYTES);
		packet_rtp_emit(&rtp, at + PACKET_HEADER_BYTES);
		packet_stamp(key, packet_handle(PACKET_MEDIA, 1, ENTRY), ++lab->counter, at, BYTES);
	}
	assert_int_equal(setsockopt(lab->sender, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0);
	assert_int_equal(sendto(lab->sender, bytes, sizeof(bytes), 0, (struct sockaddr *)&lab->relay_at, sizeof(lab->relay_at)), sizeof(bytes));
}

static void expect_burst(struct lab *lab, uint16_t first)
{
	for (size_t r = 0; r < RECEIVERS; r++) {
		for (uint16_t i = 0; i < BURST; i++) {
			uint8_t bytes[2048];
			struct packet_rtp rtp;
			struct sockaddr_in6 from;
			socklen_t size = sizeof(from);
			ssize_t got;
			do {
				got = recvfrom(lab->receiver[r], bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &size);
			} while (got < 0 && errno == EINTR); // a ring that ends interrupts who made it
			assert_int_equal(got, BYTES);
			assert_int_equal(from.sin6_port, lab->relay_at.sin6_port);
			assert_int_equal(packet_rtp_parse(bytes, BYTES, &rtp), ERR_OK);
			assert_int_equal(rtp.sequence, (uint16_t)(first + i));
			assert_int_equal(bytes[BYTES - 1], (uint8_t)(first + i));
		}
	}
}

static void on_up(void *context, struct media_up *up)
{
	struct lab *lab = context;
	assert_int_equal(up->reason, FANOUT_up_hop);
	assert_int_equal(up->size, 200);
	assert_int_equal(up->bytes[199], 0xaa);
	lab->ups++;
}

static void on_flush(void *context) { (void)context; }

static void hand_up(struct lab *lab)
{
	uint8_t bytes[200];
	int segment = 0;
	memset(bytes, 0xaa, sizeof(bytes));
	packet_stamp(key, packet_handle(PACKET_HOP, 1, ENTRY), ++lab->counter, bytes, sizeof(bytes));
	assert_int_equal(setsockopt(lab->sender, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0);
	assert_int_equal(sendto(lab->sender, bytes, sizeof(bytes), 0, (struct sockaddr *)&lab->relay_at, sizeof(lab->relay_at)), sizeof(bytes));
	struct pollfd p[2];
	for (size_t i = 0; i < 2; i++)
		p[i] = (struct pollfd){ .fd = media_threads_descriptor(lab->threads, i), .events = POLLIN };
	assert_int_equal(poll(p, 2, 5000), 1);
	const struct media_threads_receiver receiver = { on_up, on_flush, lab };
	assert_true(media_threads_receive(lab->threads, p[p[0].revents ? 0 : 1].fd, &receiver));
	assert_false(media_threads_receive(lab->threads, lab->sender, &receiver));
	assert_int_equal(lab->ups, 1);
}

static void multiply_bursts(enum loop_choice choice, const char *name)
{
	static struct lab lab;
	static struct fanout_counters counters;
	static struct relay_stats stats;
	memset(&counters, 0, sizeof(counters));
	memset(&stats, 0, sizeof(stats));
	lab_open(&lab, choice);
	assert_string_equal(media_threads_name(lab.threads), name);
	for (uint16_t i = 0; i < BURSTS; i++) {
		send_burst(&lab, (uint16_t)(i * BURST));
		write_block(&lab); // the same receivers in other places
		expect_burst(&lab, (uint16_t)(i * BURST));
	}
	hand_up(&lab);
	assert_int_equal(table_changes(lab.table) >= BURSTS, 1);
	usleep(50000); // until the last batch is counted
	media_threads_sum(lab.threads, &counters, &stats);
	assert_int_equal(counters.counter[FANOUT_media_received], BURSTS * BURST);
	assert_int_equal(counters.counter[FANOUT_media_forwarded], BURSTS * BURST * RECEIVERS);
	assert_true(counters.counter[FANOUT_train_packets] >= BURSTS * BURST / 2);
	assert_int_equal(stats.counter[STATS_datagrams_received], BURSTS * BURST + 1);
	assert_int_equal(stats.counter[STATS_datagrams_sent], BURSTS * BURST * RECEIVERS);
	assert_int_equal(stats.counter[STATS_send_refused], 0);
	assert_true(stats.latency_count > 0 && stats.latency_max_ns < 5000000000u);
	lab_close(&lab);
}

static void recvmmsg_multiplies_bursts_while_the_table_changes(void **state)
{
	(void)state;
	multiply_bursts(LOOP_EPOLL, "recvmmsg");
}

static void a_ring_multiplies_bursts_while_the_table_changes(void **state)
{
	(void)state;
	struct io_uring ring;
	if (io_uring_queue_init(1, &ring, 0) < 0)
		skip();
	io_uring_queue_exit(&ring);
	multiply_bursts(LOOP_IO_URING, "io_uring");
}

// Whichever thread it came to: what goes to another relay leaves by the port of relays.
static void legs_are_sent_by_all_threads(enum loop_choice choice)
{
	enum { TRIES = 8 };
	static struct lab lab;
	struct sockaddr_in6 leg_at, from = { 0 };
	socklen_t size = sizeof(leg_at);
	uint8_t bytes[BYTES];
	lab_open(&lab, choice);
	assert_int_equal(getsockname(lab.leg, (struct sockaddr *)&leg_at, &size), 0);
	struct fanout_receiver other = { .room = ROOM, .member = 10, .family = FANOUT_IPV6, .flags = FANOUT_RECEIVER_RELAY };
	assert_int_equal(getsockname(lab.receiver[0], (struct sockaddr *)&from, &size), 0);
	other.destination_port_be = from.sin6_port;
	memcpy(other.destination, &from.sin6_addr, sizeof(other.destination));
	assert_int_equal(table_block_write(lab.table, lab.block, ROOM, &other, 1, 0), ERR_OK);
	for (uint16_t i = 0; i < TRIES; i++) { // the kernel chooses the thread by the address
		close(lab.sender);
		lab.sender = open_client(&lab.sender_at);
		table_sender_move(lab.table, packet_handle(PACKET_MEDIA, 1, ENTRY), lab.sender_at.sin6_addr.s6_addr, lab.sender_at.sin6_port);
		struct packet_rtp rtp = { .ssrc = packet_ssrc(SENDER, 0), .sequence = i };
		memset(bytes, i, sizeof(bytes));
		packet_rtp_emit(&rtp, bytes + PACKET_HEADER_BYTES);
		packet_stamp(key, packet_handle(PACKET_MEDIA, 1, ENTRY), ++lab.counter, bytes, sizeof(bytes));
		assert_int_equal(sendto(lab.sender, bytes, sizeof(bytes), 0, (struct sockaddr *)&lab.relay_at, sizeof(lab.relay_at)), BYTES);
		ssize_t got;
		do {
			size = sizeof(from);
			got = recvfrom(lab.receiver[0], bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &size);
		} while (got < 0 && errno == EINTR);
		assert_int_equal(got, BYTES);
		assert_int_equal(bytes[BYTES - 1], i);
		assert_int_equal(from.sin6_port, leg_at.sin6_port);
	}
	lab_close(&lab);
}

static void legs_are_everybodys(void **state)
{
	(void)state;
	legs_are_sent_by_all_threads(LOOP_EPOLL);
	legs_are_sent_by_all_threads(LOOP_AUTO);
}

// ---------------------------------------------------------------- handshakes

static void run_workers(struct world *world, struct client *client)
{
	struct loop_handlers handlers = relay_handlers(world->relay);
	static uint8_t bytes[65536];
	for (int round = 0; round < 500 && world->relay->sessions && world->relay->sessions->state == TCS_SESSION_HANDSHAKE; round++) {
		struct pollfd p = { .fd = handshakes_descriptor(world->relay->handshakes), .events = POLLIN };
		size_t size = tls_conn_take(client->tls, bytes, sizeof(bytes));
		if (size > 0)
			relay_stream_feed(client->stream, bytes, size);
		if (poll(&p, 1, 10) == 1)
			handlers.on_readable(handlers.context, p.fd);
		relay_loop_wake(world->loop);
		size = relay_stream_take(client->stream, bytes, sizeof(bytes));
		if (size > 0 && !tls_conn_feed(client->tls, bytes, size))
			(void)!tls_conn_handshake(client->tls);
	}
}

static void connect_only(struct client *client, struct world *world)
{
	memset(client, 0, sizeof(*client));
	client->world = world;
	client->address = world_address(world);
	assert_int_equal(tls_conn_new(world->client, "relay.test", &client->tls), ERR_OK);
	assert_int_equal(tcs_session_open(world->relay, -1, &client->address), ERR_OK);
	client->stream = relay_loop_last_stream(world->loop);
	(void)!tls_conn_handshake(client->tls);
}

static void workers_shake_hands(void **state)
{
	(void)state;
	static struct world world;
	static struct client client;
	world_make(&world);
	assert_int_equal(handshakes_new(2, &world.relay->handshakes), ERR_OK);
	assert_int_equal(handshakes_start(world.relay->handshakes), ERR_OK);
	connect_only(&client, &world);
	run_workers(&world, &client);
	assert_int_equal(world.relay->sessions->state, TCS_SESSION_JOINING);
	struct token_ticket ticket = client_ticket(&client);
	client_sign(&client, &ticket);
	assert_true(client_join(&client, 0));
	client_free(&client);

	// One that hangs up in the middle of a step, and nonsense in place of a handshake.
	connect_only(&client, &world);
	client_pump(&client);
	relay_stream_hang_up(client.stream);
	client_free(&client);
	connect_only(&client, &world);
	static const uint8_t nonsense[64] = "GET / HTTP/1.1\r\n\r\n";
	relay_stream_feed(client.stream, nonsense, sizeof(nonsense));
	run_workers(&world, &client);
	assert_int_equal(world_count(&world, STATS_handshake_failed), 1);
	client_free(&client);

	// While a step runs, no more than a bound is kept.
	connect_only(&client, &world);
	static uint8_t much[TCS_SESSION_EARLY_MAX];
	world.relay->sessions->step.is_running = true; // a worker that takes long
	relay_stream_feed(client.stream, much, sizeof(much));
	assert_int_equal(world_count(&world, STATS_frame_malformed), 0);
	relay_stream_feed(client.stream, much, 1);
	assert_int_equal(world_count(&world, STATS_frame_malformed), 1);
	world.relay->sessions->step.is_running = false;
	client_free(&client);
	world_free(&world);
}

int main(void)
{
	log_init("test", LOG_ERROR);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flood_of_one_kind_leaves_room_for_others),
		cmocka_unit_test(recvmmsg_multiplies_bursts_while_the_table_changes),
		cmocka_unit_test(a_ring_multiplies_bursts_while_the_table_changes),
		cmocka_unit_test(legs_are_everybodys),
		cmocka_unit_test(workers_shake_hands),
	};
	return cmocka_run_group_tests_name("relay_threads", tests, NULL, NULL);
}
