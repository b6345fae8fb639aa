// The relay's neighbours on its own machine: tcsctl, the mux, the manager process, its configuration.
// SPDX-License-Identifier: Apache-2.0
#include "relay/control_socket.h"
#include "relay/manager_link.h"
#include "relay/manager_message.h"
#include "relay/manager_spawner.h"
#include "relay/passed.h"
#include "relay/relay_socket.h"
#include "relay/tcs_session.h"
#include "tests/fake/relay_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <yyjson.h>

#include <cmocka.h>

static struct world world;
static char path[100]; // as long as a socket's may be

static int setup(void **state) { (void)state; world_make(&world); return 0; }
static int teardown(void **state) { (void)state; world_free(&world); return 0; }

static int listen_at(const char *name, int type)
{
	char problem[RELAY_SOCKET_PROBLEM_MAX] = "";
	int listener = -1;
	snprintf(path, sizeof(path), "%s/%s", world.directory, name);
	if (relay_socket_unix(path, type, &listener, problem))
		fail_msg("%s", problem);
	return listener;
}

static int connect_to_it(int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	int s = socket(AF_UNIX, type, 0);
	assert_int_equal(connect(s, (const struct sockaddr *)&address, sizeof(address)), 0);
	return s;
}

// ---------------------------------------------------------------- control socket

static yyjson_doc *ask(const char *request)
{
	static uint8_t bytes[65536];
	int s = connect_to_it(SOCK_STREAM);
	control_socket_accept(world.relay->control);
	struct loop_stream *stream = relay_loop_last_stream(world.loop);
	for (size_t i = 0; i < strlen(request); i++) // in the smallest pieces there are
		relay_stream_feed(stream, (const uint8_t *)request + i, 1);
	size_t size = relay_stream_take(stream, bytes, sizeof(bytes));
	assert_int_equal(relay_stream_take(stream, bytes + size, sizeof(bytes) - size), 0);
	assert_true(relay_stream_is_finished(stream));
	relay_stream_hang_up(stream);
	relay_stream_release(stream);
	close(s);
	return yyjson_read((const char *)bytes, size, 0);
}

static void status_is_json(void **state)
{
	(void)state;
	assert_int_equal(control_socket_open(world.relay, listen_at("c.sock", SOCK_STREAM), &world.relay->control), ERR_OK);
	struct stat status;
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0660);
	struct client *client = calloc(1, sizeof(*client));
	client_enter(client, &world);
	client_go_udp(client);
	yyjson_doc *doc = ask("status\n");
	yyjson_val *root = yyjson_doc_get_root(doc);
	assert_int_equal(yyjson_get_uint(yyjson_obj_get(root, "participants")), 1);
	assert_string_equal(yyjson_get_str(yyjson_obj_get(root, "loop")), "fake");
	assert_non_null(yyjson_obj_get(yyjson_obj_get(root, "latency_us"), "p99"));
	assert_non_null(yyjson_obj_get(yyjson_obj_get(root, "drops"), "tag_wrong"));
	assert_non_null(yyjson_obj_get(yyjson_obj_get(root, "counts"), "media_forwarded"));
	assert_non_null(yyjson_obj_get(yyjson_obj_get(root, "drops"), "hop_wrong"));
	assert_non_null(yyjson_obj_get(yyjson_obj_get(root, "ups"), "up_outside"));
	assert_non_null(yyjson_obj_get(yyjson_obj_get(root, "counts"), "sessions_joined"));
	assert_non_null(yyjson_obj_get(yyjson_obj_get(root, "table"), "changes"));
	assert_string_equal(yyjson_get_str(yyjson_obj_get(root, "engine")), "auto");
	assert_int_equal(yyjson_arr_size(yyjson_obj_get(root, "engines")), 0); // no programs here
	assert_false(yyjson_get_bool(yyjson_obj_get(yyjson_obj_get(root, "management"), "connected")));
	yyjson_doc_free(doc);
	doc = ask("meetings\n");
	yyjson_val *meeting = yyjson_arr_get_first(yyjson_obj_get(yyjson_doc_get_root(doc), "meetings"));
	yyjson_val *participant = yyjson_arr_get_first(yyjson_obj_get(meeting, "participants"));
	assert_string_equal(yyjson_get_str(yyjson_obj_get(participant, "path")), "udp");
	assert_string_equal(yyjson_get_str(yyjson_obj_get(meeting, "engine")), "user");
	assert_int_equal(yyjson_get_uint(yyjson_obj_get(meeting, "in_kernel")), 0);
	yyjson_doc_free(doc);
	doc = ask("counters\n");
	assert_non_null(yyjson_obj_get(yyjson_doc_get_root(doc), "drops"));
	yyjson_doc_free(doc);
	doc = ask("engine user\n");
	assert_string_equal(yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "engine")), "user");
	yyjson_doc_free(doc);
	assert_int_equal(world.relay->engine.wish, ENGINE_USER);
	doc = ask("engine\n");
	assert_string_equal(yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "engine")), "user");
	yyjson_doc_free(doc);
	client_free(client);
	free(client);
	control_socket_close(world.relay->control);
	world.relay->control = NULL;
}

static void unknown_requests_are_told_so(void **state)
{
	(void)state;
	static const char *const rows[] = { "\n", "statu\n", "status \n", "status\r\n", "engine \n", "engine warp\n", "engine user \n", "engineuser\n",
					    "0123456789012345678901234567890123456789012345678901234567890123456789" };
	assert_int_equal(control_socket_open(world.relay, listen_at("c.sock", SOCK_STREAM), &world.relay->control), ERR_OK);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		yyjson_doc *doc = ask(rows[i]);
		assert_non_null(yyjson_obj_get(yyjson_doc_get_root(doc), "error"));
		yyjson_doc_free(doc);
		assert_int_equal(world_count(&world, STATS_request_malformed), i + 1);
	}
	int idle[CONTROL_SOCKET_CLIENTS_MAX * 2]; // who says nothing does not keep others out
	struct loop_stream *stream[CONTROL_SOCKET_CLIENTS_MAX * 2];
	for (size_t i = 0; i < CONTROL_SOCKET_CLIENTS_MAX * 2; i++) {
		idle[i] = connect_to_it(SOCK_STREAM);
		control_socket_accept(world.relay->control);
		stream[i] = relay_loop_last_stream(world.loop);
	}
	yyjson_doc *doc = ask("status\n");
	assert_non_null(yyjson_obj_get(yyjson_doc_get_root(doc), "version"));
	yyjson_doc_free(doc);
	control_socket_close(world.relay->control);
	world.relay->control = NULL;
	for (size_t i = 0; i < CONTROL_SOCKET_CLIENTS_MAX * 2; i++) {
		assert_true(relay_stream_is_closed(stream[i]));
		relay_stream_release(stream[i]);
		close(idle[i]);
	}
}

// ---------------------------------------------------------------- mux

static void send_descriptors(int s, const int *descriptors, size_t count)
{
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int) * 4)] = { 0 };
	uint8_t byte = 0;
	struct iovec vector = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
	if (count > 0) {
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		if (!c)
			abort();
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(c), descriptors, sizeof(int) * count);
	}
	assert_int_equal(sendmsg(s, &message, 0), 1);
}

static int connected_tcp(int *other)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	*other = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || *other < 0)
		abort();
	assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(connect(*other, (const struct sockaddr *)&address, sizeof(address)), 0);
	int accepted = accept(listener, NULL, NULL);
	close(listener);
	return accepted;
}

// Two descriptors of the mux in the relay: its listener's and that of the one connection.
static void passed_connections_become_sessions(void **state)
{
	(void)state;
	int listener = listen_at("m.sock", SOCK_SEQPACKET), other, pair[2];
	struct passed *passed;
	assert_int_equal(passed_open(world.relay, listener, &passed), ERR_OK);
	assert_true(passed_owns(passed, listener));
	int mux = connect_to_it(SOCK_SEQPACKET), sender = -1;
	passed_receive(passed, listener);
	for (int d = 3; d < 256 && sender < 0; d++) {
		if (d != listener && passed_owns(passed, d))
			sender = d;
	}
	assert_true(sender >= 0);
	int tcp = connected_tcp(&other);
	send_descriptors(mux, &tcp, 1);
	close(tcp);
	passed_receive(passed, sender);
	assert_int_equal(world.relay->session_count, 1);
	assert_true(IN6_IS_ADDR_V4MAPPED(&world.relay->sessions->peer.sin6_addr));
	struct loop_stream *stream = relay_loop_last_stream(world.loop);

	send_descriptors(mux, NULL, 0); // no descriptor, one that is no stream socket, two at once
	assert_int_equal(pipe(pair), 0);
	send_descriptors(mux, pair, 2);
	close(pair[0]);
	close(pair[1]);
	passed_receive(passed, sender);
	assert_int_equal(world_count(&world, STATS_passed_malformed), 2);
	assert_int_equal(world.relay->session_count, 1);
	close(mux);
	passed_receive(passed, sender);
	assert_false(passed_owns(passed, sender));
	relay_stream_hang_up(stream);
	relay_stream_release(stream);
	passed_close(passed);
	close(other);
}

static void too_many_connections_are_refused(void **state)
{
	(void)state;
	static const struct {
		uint64_t handshakes, per_address;
		enum relay_stats_counter reason;
	} rows[] = { { 5, 100, STATS_connection_limit }, { 2, 100, STATS_handshake_limit }, { 100, 2, STATS_connection_limit } };
	for (size_t i = 0; i < 3; i++) {
		uint64_t before = world_count(&world, rows[i].reason);
		struct loop_handlers handlers = relay_handlers(world.relay);
		struct loop_stream *stream[2];
		int other[3];
		world.config.handshakes_max = rows[i].handshakes;
		world.config.connections_per_address_max = rows[i].per_address;
		for (size_t n = 0; n < 3; n++) {
			handlers.on_accept(handlers.context, connected_tcp(&other[n]));
			if (n >= 2)
				continue;
			stream[n] = relay_loop_last_stream(world.loop);
			if (rows[i].reason == STATS_handshake_limit) // as if from everywhere
				world.relay->sessions->peer.sin6_addr.s6_addr[12]++;
		}
		assert_int_equal(world.relay->session_count, 2);
		assert_int_equal(world_count(&world, rows[i].reason), before + 1);
		uint8_t byte;
		assert_int_equal(recv(other[2], &byte, 1, 0), 0); // closed at once
		for (size_t n = 0; n < 3; n++)
			close(other[n]);
		for (size_t n = 0; n < 2; n++) {
			relay_stream_hang_up(stream[n]);
			relay_stream_release(stream[n]);
		}
	}
}

// ---------------------------------------------------------------- manager process

// A manager that says what `script` says.
static void write_manager(const char *script)
{
	snprintf(path, sizeof(path), "%s/manager", world.directory);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "#!/bin/sh\n%s\n", script);
	fclose(file);
	assert_int_equal(chmod(path, 0700), 0);
}

// The manager at `path`, by a spawner as tcs starts it.
static struct manager_link *open_link(void)
{
	const struct manager_spawner_options options = { .program = path, .state_directory = world.directory, .log_level = 3,
							 .journal = journal_descriptor(world.journal) };
	struct manager_link *link;
	int spawner;
	assert_int_equal(manager_spawner_start(&options, &spawner), ERR_OK);
	assert_int_equal(manager_link_open(world.relay, spawner, &link), ERR_OK);
	return link;
}

static void receive_until(struct manager_link *link, bool (*is_there)(const struct manager_link_state *state))
{
	struct manager_link_state state;
	for (int i = 0; i < 500; i++) {
		manager_link_receive(link);
		manager_link_state(link, &state);
		if (is_there(&state))
			return;
		usleep(10000);
	}
	fail_msg("the manager's message did not come");
}

static bool is_synced(const struct manager_link_state *state) { return state->is_synced; }
static bool is_gone(const struct manager_link_state *state) { return !state->is_running; }

static void orders_of_the_manager_are_obeyed(void **state)
{
	(void)state;
	char script[1024], meeting[TEXT_ID_BYTES * 4 + 1], *at = meeting;
	for (size_t i = 0; i < TEXT_ID_BYTES; i++)
		at += sprintf(at, "\\%03o", world.meeting.bytes[i]);
	// connection made; meeting ended until 2^40; nonsense; synced; then it lives until its socket ends
	snprintf(script, sizeof(script),
		 "z4='\\000\\000\\000\\000'; z16=$z4$z4$z4$z4\n"
		 "printf \"\\004\\000\\000\\000\\001$z4$z4$z16$z16\" >&3\n"
		 "printf \"\\001$z4\\000\\000\\001\\000$z4%s$z16\" >&3\n"
		 "printf 'nonsense' >&3\n"
		 "printf \"\\003$z4$z4$z4$z16$z16\" >&3\n"
		 "dd bs=64 count=1 <&3 >/dev/null 2>&1\nsleep 0.2", meeting);
	write_manager(script);
	struct client *client = calloc(1, sizeof(*client));
	client_enter(client, &world);
	struct manager_link *link = open_link();
	manager_link_tick(link, relay_now_ns(world.relay));
	receive_until(link, is_synced);
	relay_loop_wake(world.loop);
	assert_int_equal(client_ended(client), CONTROL_END_CLOSED);
	assert_int_equal(world_count(&world, STATS_manager_malformed), 1);
	assert_true(journal_has(world.journal, JOURNAL_ENDED, &world.meeting, NULL, world_now_s(&world)));
	manager_link_tick(link, relay_now_ns(world.relay)); // the report that it waits for
	receive_until(link, is_gone);
	manager_link_close(link);
	client_free(client);
	free(client);
}

// More meetings than its socket has room for messages, and a manager that does not read at once.
static void a_long_report_arrives_whole(void **state)
{
	(void)state;
	enum { MEETINGS = 900 };
	char out[sizeof(path) + 8];
	struct member *member[MEETINGS];
	struct manager_link *link = NULL;
	struct stat status = { 0 };
	for (uint32_t i = 0; i < MEETINGS; i++) {
		struct id meeting = { { 7 } };
		memcpy(meeting.bytes + 8, &i, sizeof(i));
		assert_int_equal(rooms_join(world.relay->rooms, &meeting, &meeting, &member[i]), ERR_OK);
	}
	write_manager("while :; do sleep 0.05; dd bs=64 count=1000 <&3 >>\"$0.out\" 2>/dev/null; done"); // the socket does not block
	snprintf(out, sizeof(out), "%s.out", path);
	world.relay->is_changed = true;
	link = open_link();
	for (int i = 0; i < 500 && status.st_size < (MEETINGS + 1) * MANAGER_MESSAGE_BYTES; i++) {
		manager_link_receive(link);
		manager_link_tick(link, relay_now_ns(world.relay));
		relay_loop_advance(world.loop, 1000000u);
		usleep(10000);
		(void)stat(out, &status);
	}
	assert_int_equal(status.st_size, (MEETINGS + 1) * MANAGER_MESSAGE_BYTES);
	assert_int_equal(world_count(&world, STATS_report_skipped), 0);
	manager_link_close(link);
	for (size_t i = 0; i < MEETINGS; i++)
		rooms_leave(world.relay->rooms, member[i]);
	unlink(out);
}

static void a_dead_manager_is_started_again(void **state)
{
	(void)state;
	struct manager_link_state seen;
	write_manager("exit 3");
	struct manager_link *link = open_link();
	for (uint64_t start = 0; start < 4; start++) {
		manager_link_tick(link, relay_now_ns(world.relay));
		manager_link_state(link, &seen);
		assert_int_equal(seen.restarts, start);
		assert_true(seen.is_running);
		receive_until(link, is_gone);
		manager_link_tick(link, relay_now_ns(world.relay)); // not at once
		manager_link_state(link, &seen);
		assert_int_equal(seen.restarts, start);
		relay_loop_advance(world.loop, 1000000000ull << start); // pauses grow
	}
	manager_link_close(link);
}

// ---------------------------------------------------------------- configuration

static void defaults_are_as_documented(void **state)
{
	(void)state;
	char problem[OPTION_PROBLEM_MAX];
	struct tcs_config config;
	assert_int_equal(options_load(tcs_config_rows, tcs_config_row_count, NULL, &config, problem), ERR_OK);
	assert_string_equal(config.listen_address, "::");
	assert_int_equal(config.participants_per_meeting_max, 300);
	assert_int_equal(config.loop, LOOP_AUTO);
	assert_int_equal(options_set(tcs_config_rows, tcs_config_row_count, "loop=epoll", &config, problem), ERR_OK);
	assert_int_equal(config.loop, LOOP_EPOLL);
	assert_int_equal(options_set(tcs_config_rows, tcs_config_row_count, "udp-port=65536", &config, problem), ERR_USAGE);
	assert_non_null(strstr(problem, "from 0 to 65535"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(status_is_json),
		TEST(unknown_requests_are_told_so),
		TEST(passed_connections_become_sessions),
		TEST(too_many_connections_are_refused),
		TEST(orders_of_the_manager_are_obeyed),
		TEST(a_long_report_arrives_whole),
		TEST(a_dead_manager_is_started_again),
		cmocka_unit_test(defaults_are_as_documented),
	};
	return cmocka_run_group_tests_name("relay_edges", tests, NULL, NULL);
}
