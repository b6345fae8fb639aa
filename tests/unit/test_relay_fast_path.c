// The relay's side of the loader: every way in which a loader can go wrong, and maps that are memory. The loader is this
// program itself, by its name. SPDX-License-Identifier: Apache-2.0
#include "relay/bpf_map.h"
#include "relay/fast_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <linux/bpf.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOADER_SOCKET = 3, HANG_MS = 300, PORT = 4443 };
#define SCENE "HUISCLOS_TEST_LOADER"

static const struct table_sizes sizes = { .senders = 40, .clients = 32, .blocks = 30, .receivers = 100, .history_small = 64, .history_large = 16 };

// ---------------------------------------------------------------- the loader

static void say(const struct loader_message *message, size_t size, const int *descriptors, size_t count)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(4 * sizeof(int))];
	} control = { 0 };
	struct iovec vector = { .iov_base = (void *)(uintptr_t)message, .iov_len = size };
	struct msghdr out = { .msg_iov = &vector, .msg_iovlen = 1 };
	if (count) {
		out.msg_control = &control;
		out.msg_controllen = CMSG_SPACE(count * sizeof(int));
		struct cmsghdr *header = CMSG_FIRSTHDR(&out);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(header), descriptors, count * sizeof(int));
	}
	if (sendmsg(LOADER_SOCKET, &out, MSG_NOSIGNAL) < 0)
		exit(9);
}

static int make_map(uint32_t type, uint32_t value_size, uint32_t entries, uint32_t flags)
{
	union bpf_attr attribute;
	memset(&attribute, 0, sizeof(attribute));
	attribute.map_type = type;
	attribute.key_size = type == BPF_MAP_TYPE_HASH ? 20 : 4;
	attribute.value_size = value_size;
	attribute.max_entries = entries;
	attribute.map_flags = flags;
	return (int)syscall(SYS_bpf, BPF_MAP_CREATE, &attribute, sizeof(attribute));
}

static int make_table_map(enum loader_map map)
{
	switch (map) {
	case LOADER_MAP_CONFIG:
		return make_map(BPF_MAP_TYPE_ARRAY, sizeof(struct fanout_config), 1, BPF_F_MMAPABLE);
	case LOADER_MAP_SENDERS:
		return make_map(BPF_MAP_TYPE_ARRAY, sizeof(struct fanout_sender), sizes.senders, BPF_F_MMAPABLE);
	case LOADER_MAP_WINDOWS:
		return make_map(BPF_MAP_TYPE_ARRAY, sizeof(struct fanout_window), sizes.senders, BPF_F_MMAPABLE);
	case LOADER_MAP_BLOCKS:
		return make_map(BPF_MAP_TYPE_ARRAY, sizeof(fanout_block), sizes.blocks, BPF_F_MMAPABLE);
	case LOADER_MAP_RECEIVERS:
		return make_map(BPF_MAP_TYPE_ARRAY, sizeof(struct fanout_receiver), sizes.receivers, BPF_F_MMAPABLE);
	case LOADER_MAP_HISTORY_SMALL:
		return make_map(BPF_MAP_TYPE_ARRAY, FANOUT_SMALL_SLOT, sizes.history_small, BPF_F_MMAPABLE);
	case LOADER_MAP_HISTORY_LARGE:
		return make_map(BPF_MAP_TYPE_ARRAY, FANOUT_LARGE_SLOT, sizes.history_large, BPF_F_MMAPABLE);
	case LOADER_MAP_RELAYS:
		return make_map(BPF_MAP_TYPE_HASH, sizeof(struct fanout_relay), 8, 0);
	case LOADER_MAP_ADDRESSES:
		return make_map(BPF_MAP_TYPE_HASH, 1, 8, 0);
	case LOADER_MAP_COUNTERS:
		return make_map(BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(struct fanout_counters), 1, 0);
	default: // the shape counts, not the type
		return make_map(BPF_MAP_TYPE_ARRAY, sizeof(uint32_t), 1, 0);
	}
}

static void say_map(enum loader_map map, int descriptor)
{
	const struct loader_message message = { .item = LOADER_MAP, .map = map, .entries = 1 };
	say(&message, sizeof(message), &descriptor, 1);
	close(descriptor);
}

static void say_maps(void)
{
	for (enum loader_map map = 0; map < LOADER_MAPS; map++)
		say_map(map, make_table_map(map));
}

static void say_end(enum loader_item item, const char *text)
{
	struct loader_message message = { .item = item };
	snprintf(message.text, sizeof(message.text), "%s", text);
	say(&message, sizeof(message), NULL, 0);
}

static void say_device(uint32_t slot, uint32_t engines, size_t count)
{
	const int links[] = { STDERR_FILENO, STDERR_FILENO, STDERR_FILENO };
	const struct loader_message message = { .item = LOADER_DEVICE, .device = slot, .ifindex = 1, .engines = engines, .ring = 256,
						.name = "lo" };
	say(&message, sizeof(message), links, count);
}

static void say_poll(void)
{
	const int link = STDERR_FILENO;
	const struct loader_message message = { .item = LOADER_POLL };
	say(&message, sizeof(message), &link, 1);
}

static bool is_argument(int argc, char **argv, const char *name, const char *value)
{
	for (int i = 1; i + 1 < argc; i++) {
		if (strcmp(argv[i], name) == 0)
			return strcmp(argv[i + 1], value) == 0;
	}
	return false;
}

static int play_loader(int argc, char **argv)
{
	const char *scene = getenv(SCENE);
	const uint32_t tcx = 1u << FANOUT_TCX, both = tcx | 1u << FANOUT_XDP;
	if (!scene || strcmp(scene, "silent") == 0)
		return 3;
	if (strcmp(scene, "hangs") == 0)
		pause();
	else if (strcmp(scene, "fails") == 0)
		say_end(LOADER_FAILED, "no privilege");
	else if (strcmp(scene, "short") == 0)
		say(&(struct loader_message){ .item = LOADER_DONE }, 8, NULL, 0);
	else if (strcmp(scene, "unknown item") == 0)
		say_end((enum loader_item)99, "");
	else if (strcmp(scene, "unknown map") == 0)
		say_map(LOADER_MAPS, dup(STDERR_FILENO));
	else if (strcmp(scene, "no map") == 0)
		say_map(LOADER_MAP_SENDERS, dup(STDERR_FILENO));
	else if (strcmp(scene, "map without descriptor") == 0)
		say(&(struct loader_message){ .item = LOADER_MAP, .map = LOADER_MAP_GRACE }, sizeof(struct loader_message), NULL, 0);
	else if (strcmp(scene, "nothing") == 0)
		say_end(LOADER_DONE, "");
	else if (strcmp(scene, "slot 0") == 0)
		say_device(0, tcx, 1);
	else if (strcmp(scene, "slot 32") == 0)
		say_device(FANOUT_DEVICES, tcx, 1);
	else if (strcmp(scene, "slot twice") == 0)
		say_device(1, tcx, 1), say_device(1, tcx, 1);
	else if (strcmp(scene, "too few links") == 0)
		say_device(1, both, 1);
	else if (strcmp(scene, "too many links") == 0)
		say_device(1, both, 3);
	else if (strcmp(scene, "unknown engine") == 0)
		say_device(1, 1u << FANOUT_ENGINES, 1);
	else if (strcmp(scene, "poll twice") == 0)
		say_poll(), say_poll();
	else if (strcmp(scene, "other shape") == 0)
		say_map(LOADER_MAP_SENDERS, make_map(BPF_MAP_TYPE_ARRAY, sizeof(struct fanout_sender) + 8, sizes.senders, BPF_F_MMAPABLE));
	else if (strcmp(scene, "other size") == 0)
		say_map(LOADER_MAP_SENDERS, make_map(BPF_MAP_TYPE_ARRAY, sizeof(struct fanout_sender), sizes.senders - 1, BPF_F_MMAPABLE));
	else if (strcmp(scene, "map twice") == 0)
		say_map(LOADER_MAP_BLOCKS, make_table_map(LOADER_MAP_BLOCKS)), say_map(LOADER_MAP_BLOCKS, make_table_map(LOADER_MAP_BLOCKS));
	else if (strcmp(scene, "not to be mapped") == 0) {
		for (enum loader_map map = 0; map < LOADER_MAPS; map++)
			say_map(map, map == LOADER_MAP_WINDOWS ? make_map(BPF_MAP_TYPE_ARRAY, sizeof(struct fanout_window), sizes.senders, 0) :
								 make_table_map(map));
		say_end(LOADER_DONE, "");
	} else if (strcmp(scene, "good") == 0) {
		if (!is_argument(argc, argv, "--port", "4443") || !is_argument(argc, argv, "--relay-port", "4444") ||
		    !is_argument(argc, argv, "--devices", "lo,eth0") || !is_argument(argc, argv, "--engine", "xdp") ||
		    !is_argument(argc, argv, "--senders", "40") || !is_argument(argc, argv, "--history-large", "16"))
			say_end(LOADER_FAILED, "wrong arguments");
		say_maps();
		say_poll();
		say_device(3, both, 2);
		say_device(0, 0, 0);
		say_end(LOADER_DONE, "");
	}
	return 0;
}

// ---------------------------------------------------------------- the relay

static char problem[FAST_PATH_PROBLEM_MAX];

static enum err open_with(const char *scene, struct fast_path *out)
{
	const struct fast_path_options options = { .loader = "/proc/self/exe", .devices = "lo,eth0", .highest = FANOUT_XDP,
						   .is_xdp_forced = true, .sizes = sizes, .port = PORT, .relay_port = PORT + 1,
						   .wait_ms = strcmp(scene, "hangs") == 0 ? HANG_MS : 0 };
	problem[0] = '\0';
	assert_int_equal(setenv(SCENE, scene, 1), 0);
	return fast_path_open(&options, out, problem);
}

static size_t count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	size_t count = 0;
	while (folder && readdir(folder))
		count++;
	if (folder)
		closedir(folder);
	return count;
}

static bool may_make_maps(void)
{
	int map = make_table_map(LOADER_MAP_CONFIG);
	if (map >= 0)
		close(map);
	return map >= 0;
}

static void expect_failures(const char *const rows[][2], size_t count)
{
	struct fast_path fast_path;
	for (size_t i = 0; i < count; i++) {
		size_t before = count_descriptors();
		enum err err = open_with(rows[i][0], &fast_path);
		if (err == ERR_OK || !strstr(problem, rows[i][1]) || strchr(problem, '\n'))
			fail_msg("%s: %s, \"%s\"", rows[i][0], err_text(err), problem);
		if (count_descriptors() != before)
			fail_msg("%s: descriptors are left open", rows[i][0]);
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); // nor a process
	}
}

static void a_broken_loader_is_one_line(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "silent", "too early" }, { "hangs", "does not come to an end" }, { "fails", "no privilege" }, { "short", "another version" },
		{ "unknown item", "another version" }, { "unknown map", "another version" }, { "no map", "another version" },
		{ "map without descriptor", "another version" }, { "nothing", "a map is missing" }, { "slot 0", "another version" },
		{ "slot 32", "another version" }, { "slot twice", "another version" }, { "too few links", "another version" },
		{ "too many links", "another version" }, { "unknown engine", "another version" },
		{ "poll twice", "another version" },
	};
	expect_failures(rows, sizeof(rows) / sizeof(rows[0]));
}

static void maps_of_another_shape_are_refused(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "other shape", "another version" }, { "other size", "another version" }, { "map twice", "another version" },
		{ "not to be mapped", "mapped into memory" },
	};
	if (!may_make_maps())
		skip();
	expect_failures(rows, sizeof(rows) / sizeof(rows[0]));
}

static void a_missing_loader_is_said(void **state)
{
	(void)state;
	struct fast_path fast_path;
	const struct fast_path_options options = { .loader = "/nonexistent/huisclos-loader", .devices = "auto", .sizes = sizes };
	assert_int_equal(fast_path_open(&options, &fast_path, problem), ERR_IO);
	assert_non_null(strstr(problem, "/nonexistent/huisclos-loader"));
	fast_path_close(&fast_path); // again: harmless
}

static void maps_are_memory(void **state)
{
	(void)state;
	if (!may_make_maps())
		skip();
	struct fast_path f;
	size_t before = count_descriptors();
	if (open_with("good", &f))
		fail_msg("%s", problem);
	assert_true(f.memory.has_programs);
	assert_int_equal(f.device_count, 1);
	assert_string_equal(f.device[3].name, "lo");
	assert_int_equal(f.device[3].ring, 256);
	assert_int_equal(f.device[3].engines, 1u << FANOUT_TCX | 1u << FANOUT_XDP);
	assert_true(f.poll_link >= 0);
	assert_true(f.device[3].link[0] >= 0 && f.device[3].link[1] >= 0);

	// Each entry is where the kernel has it.
	for (uint32_t i = 0; i < sizes.blocks; i++)
		f.memory.block[i] = 1000 + i;
	for (uint32_t i = 0; i < sizes.history_large; i++)
		f.memory.history_large[(size_t)i * FANOUT_LARGE_SLOT] = (uint8_t)i;
	for (uint32_t i = 0; i < sizes.senders; i++) {
		f.memory.sender[i].room = i;
		f.memory.window[i].slot[FANOUT_WINDOW_SLOTS - 1] = i;
	}
	for (uint32_t i = 0; i < sizes.receivers; i++)
		f.memory.receiver[i].member = i;
	struct fanout_window window;
	struct fanout_sender sender;
	struct fanout_receiver receiver;
	fanout_block block;
	uint8_t slot[FANOUT_LARGE_SLOT];
	for (uint32_t i = 0; i < sizes.senders; i++) {
		assert_int_equal(bpf_map_lookup(f.memory.map[LOADER_MAP_SENDERS], &i, &sender), ERR_OK);
		assert_int_equal(sender.room, i);
		assert_int_equal(bpf_map_lookup(f.memory.map[LOADER_MAP_WINDOWS], &i, &window), ERR_OK);
		assert_int_equal(window.slot[FANOUT_WINDOW_SLOTS - 1], i);
	}
	for (uint32_t i = 0; i < sizes.blocks; i++) {
		assert_int_equal(bpf_map_lookup(f.memory.map[LOADER_MAP_BLOCKS], &i, &block), ERR_OK);
		assert_int_equal(block, 1000 + i);
	}
	for (uint32_t i = 0; i < sizes.receivers; i++) {
		assert_int_equal(bpf_map_lookup(f.memory.map[LOADER_MAP_RECEIVERS], &i, &receiver), ERR_OK);
		assert_int_equal(receiver.member, i);
	}
	for (uint32_t i = 0; i < sizes.history_large; i++) {
		assert_int_equal(bpf_map_lookup(f.memory.map[LOADER_MAP_HISTORY_LARGE], &i, slot), ERR_OK);
		assert_int_equal(slot[0], i);
	}
	fast_path_close(&f);
	assert_int_equal(count_descriptors(), before);
}

static void entries_of_hashes_come_and_go(void **state)
{
	(void)state;
	int map = make_table_map(LOADER_MAP_RELAYS);
	if (map < 0)
		skip();
	struct fanout_relay_key key = { .port_be = 1 };
	struct fanout_relay relay = { .base = 5, .count = 6 }, seen;
	assert_int_equal(bpf_map_lookup(map, &key, &seen), ERR_NOT_FOUND);
	assert_int_equal(bpf_map_update(map, &key, &relay), ERR_OK);
	assert_int_equal(bpf_map_lookup(map, &key, &seen), ERR_OK);
	assert_memory_equal(&seen, &relay, sizeof(seen));
	for (uint16_t i = 2; i <= 8; i++) {
		key.port_be = i;
		assert_int_equal(bpf_map_update(map, &key, &relay), ERR_OK);
	}
	key.port_be = 9;
	assert_int_equal(bpf_map_update(map, &key, &relay), ERR_FULL);
	assert_int_equal(bpf_map_delete(map, &key), ERR_NOT_FOUND);
	key.port_be = 8;
	assert_int_equal(bpf_map_delete(map, &key), ERR_OK);
	assert_int_equal(bpf_map_lookup(-1, &key, &seen), ERR_IO);
	close(map);
}

int main(int argc, char **argv)
{
	if (argc > 0 && strcmp(argv[0], "huisclos-loader") == 0)
		return play_loader(argc, argv);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_broken_loader_is_one_line),
		cmocka_unit_test(maps_of_another_shape_are_refused),
		cmocka_unit_test(a_missing_loader_is_said),
		cmocka_unit_test(maps_are_memory),
		cmocka_unit_test(entries_of_hashes_come_and_go),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
