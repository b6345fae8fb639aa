// The rules of docs/protocol.md section 3 for the way media takes, in simulated time. SPDX-License-Identifier: Apache-2.0
#include "client/engine/transport/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

// A world around the path: a relay that answers keepalives over UDP while `is_open`, and grants what is asked.
struct world {
	struct path path;
	uint64_t now_ms;
	bool is_open, grants;
	unsigned keepalives, requests_udp, requests_tls, reopens;
};

static void step(struct world *world)
{
	unsigned actions = path_tick(&world->path, world->now_ms);
	if (actions & PATH_SEND_KEEPALIVE) {
		world->keepalives++;
		if (world->is_open)
			path_answered(&world->path, world->now_ms + 5);
	}
	world->reopens += (actions & PATH_REOPEN) != 0;
	if (actions & PATH_REQUEST_UDP) {
		world->requests_udp++;
		(void)path_granted(&world->path, world->grants ? HOP_PATH_UDP : HOP_PATH_TLS);
	}
	if (actions & PATH_REQUEST_TLS) {
		world->requests_tls++;
		(void)path_granted(&world->path, HOP_PATH_TLS);
	}
}

static void run(struct world *world, uint64_t for_ms)
{
	for (uint64_t end_ms = world->now_ms + for_ms; world->now_ms < end_ms; world->now_ms += 10)
		step(world);
}

static struct world make(enum path_mode mode, bool has_udp)
{
	struct world world = { .now_ms = 100000, .is_open = true, .grants = true };
	path_init(&world.path, mode, has_udp, world.now_ms);
	return world;
}

static void test_auto_goes_to_udp_at_once(void **state)
{
	(void)state;
	struct world world = make(PATH_AUTO, true);
	enum hop_path way;
	assert_true(path_for_media(&world.path, &way));
	assert_int_equal(way, HOP_PATH_TLS);
	run(&world, 100);
	assert_true(path_for_media(&world.path, &way));
	assert_int_equal(way, HOP_PATH_UDP);
	run(&world, 9900);
	assert_in_range(world.keepalives, 9, 11); // one a second
	assert_int_equal(world.requests_udp, 1);
}

static void test_unanswered_keepalives_come_every_200_ms(void **state)
{
	(void)state;
	struct world world = make(PATH_AUTO, true);
	world.is_open = false;
	run(&world, 4000);
	assert_in_range(world.keepalives, 19, 21);
	assert_int_equal(world.requests_udp, 0);
	assert_int_equal(world.requests_tls, 0); // it never was on UDP
	run(&world, 7000);
	assert_int_equal(world.reopens, 2);
}

static void test_silence_falls_back_and_comes_back(void **state)
{
	(void)state;
	struct world world = make(PATH_AUTO, true);
	enum hop_path way;
	run(&world, 3000);
	world.is_open = false;
	run(&world, 900);
	assert_true(world.path.is_udp);
	run(&world, 1300);
	assert_int_equal(world.requests_tls, 1);
	assert_true(path_for_media(&world.path, &way));
	assert_int_equal(way, HOP_PATH_TLS);
	run(&world, 5000);
	assert_int_equal(world.requests_tls, 1);
	world.is_open = true;
	run(&world, 300);
	assert_true(world.path.is_udp);
}

static void test_media_alone_does_not_prove_the_way_out(void **state)
{
	(void)state;
	struct world world = make(PATH_AUTO, true);
	run(&world, 2000);
	world.is_open = false; // what we send is lost, what is sent to us arrives
	for (int i = 0; i < 400; i++) {
		path_heard(&world.path, world.now_ms);
		run(&world, 10);
	}
	assert_int_equal(world.requests_tls, 1);
	assert_false(world.path.is_udp);
}

static void test_refusal_is_asked_again_once_a_second(void **state)
{
	(void)state;
	struct world world = make(PATH_AUTO, true);
	world.grants = false;
	run(&world, 5000);
	assert_in_range(world.requests_udp, 4, 6);
	assert_false(world.path.is_udp);
}

static void test_crossing_answers(void **state)
{
	(void)state;
	struct world world = make(PATH_AUTO, true);
	run(&world, 1000);
	world.is_open = false;
	run(&world, 2500);
	assert_false(world.path.is_udp);
	assert_false(path_granted(&world.path, HOP_PATH_UDP)); // of before we asked for TLS
	assert_false(world.path.is_udp);
}

static void test_udp_only_sends_nothing_else(void **state)
{
	(void)state;
	struct world world = make(PATH_UDP_ONLY, true);
	enum hop_path way;
	assert_false(path_for_media(&world.path, &way));
	run(&world, 1000);
	assert_true(path_for_media(&world.path, &way));
	assert_int_equal(way, HOP_PATH_UDP);
	world.is_open = false;
	run(&world, 10000);
	assert_int_equal(world.requests_tls, 0);
	assert_true(path_for_media(&world.path, &way));
	assert_int_equal(way, HOP_PATH_UDP);
}

static void test_tls_only_and_no_udp(void **state)
{
	(void)state;
	struct world worlds[2];
	worlds[0] = make(PATH_TLS_ONLY, true);
	worlds[1] = make(PATH_AUTO, false);
	for (size_t i = 0; i < 2; i++) {
		enum hop_path way;
		run(&worlds[i], 5000);
		assert_int_equal(worlds[i].keepalives + worlds[i].requests_udp + worlds[i].reopens, 0);
		assert_int_equal(path_timeout_ms(&worlds[i].path, worlds[i].now_ms), -1);
		assert_true(path_for_media(&worlds[i].path, &way));
		assert_int_equal(way, HOP_PATH_TLS);
	}
}

// Sleeping for as long as it says misses nothing.
static void test_timeout_is_exact(void **state)
{
	(void)state;
	struct world world = make(PATH_AUTO, true);
	step(&world);
	for (int i = 0; i < 1000; i++) {
		int sleep_ms = path_timeout_ms(&world.path, world.now_ms);
		assert_in_range(sleep_ms, 0, PATH_KEEPALIVE_MS + 5); // answers come 5 ms after the keepalive
		if (i == 500)
			world.is_open = false;
		if (sleep_ms > 0)
			assert_int_equal(path_tick(&world.path, world.now_ms + (uint64_t)sleep_ms - 1) & PATH_SEND_KEEPALIVE, 0);
		world.now_ms += (uint64_t)sleep_ms;
		step(&world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_auto_goes_to_udp_at_once), cmocka_unit_test(test_unanswered_keepalives_come_every_200_ms),
		cmocka_unit_test(test_silence_falls_back_and_comes_back), cmocka_unit_test(test_media_alone_does_not_prove_the_way_out),
		cmocka_unit_test(test_refusal_is_asked_again_once_a_second), cmocka_unit_test(test_crossing_answers),
		cmocka_unit_test(test_udp_only_sends_nothing_else), cmocka_unit_test(test_tls_only_and_no_udp),
		cmocka_unit_test(test_timeout_is_exact),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
