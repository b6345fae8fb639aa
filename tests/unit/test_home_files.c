// The home folder: whole files or none, one writer at a time, damage told in one line. SPDX-License-Identifier: Apache-2.0
#include "base/secret.h"
#include "client/engine/credentials.h"
#include "client/engine/identity.h"
#include "client/engine/meetings.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64];
static char problem[HOME_PROBLEM_MAX];

static struct home *open_home(void)
{
	struct home *home;
	assert_int_equal(home_open(directory, &home, problem), ERR_OK);
	return home;
}

static int set_up(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/test-home-XXXXXX");
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *at)
{
	(void)status, (void)flag, (void)at;
	return remove(path);
}

static int tear_down(void **state)
{
	(void)state;
	return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void put_file(const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static mode_t mode_of(const char *name)
{
	char path[128];
	struct stat status;
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	assert_int_equal(stat(path, &status), 0);
	return status.st_mode & 07777;
}

static void test_write_and_read(void **state)
{
	(void)state;
	struct home *home = open_home();
	char *bytes;
	size_t size;
	assert_int_equal(home_read(home, "file", &bytes, &size, problem), ERR_NOT_FOUND);
	assert_int_equal(home_write(home, "file", "one", 3, problem), ERR_OK);
	assert_int_equal(home_write(home, "file", "second", 6, problem), ERR_OK);
	assert_int_equal(home_read(home, "file", &bytes, &size, problem), ERR_OK);
	assert_int_equal(size, 6);
	assert_string_equal(bytes, "second");
	home_free(bytes, size);
	assert_int_equal(mode_of("file"), 0600);
	char left[128];
	snprintf(left, sizeof(left), "%s/.file.new", directory);
	assert_int_not_equal(access(left, F_OK), 0);
	home_close(home);
}

static void test_folder_is_made_private(void **state)
{
	(void)state;
	struct home *home;
	strcat(directory, "/a/b"); // removed with what is above it by tear_down of the next line
	assert_int_equal(home_open(directory, &home, problem), ERR_OK);
	home_close(home);
	assert_int_equal(mode_of("."), 0700);
	assert_int_equal(chmod(directory, 0777), 0);
	assert_int_equal(home_open(directory, &home, problem), ERR_DENIED);
	assert_non_null(strstr(problem, "can be written by everyone"));
	assert_int_equal(chmod(directory, 0700), 0);
	*strstr(directory, "/a/b") = 0;
	assert_int_equal(home_open("/proc/nowhere/x", &home, problem), ERR_IO);
	assert_non_null(strstr(problem, "/proc/nowhere"));
	assert_int_equal(home_open("", &home, problem), ERR_USAGE);
}

static void test_a_link_is_not_followed(void **state)
{
	(void)state;
	struct home *home = open_home();
	char path[128], target[128];
	put_file("victim", "untouched");
	snprintf(path, sizeof(path), "%s/.file.new", directory);
	snprintf(target, sizeof(target), "%s/victim", directory);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(home_write(home, "file", "new", 3, problem), ERR_OK);
	char *bytes;
	size_t size;
	assert_int_equal(home_read(home, "victim", &bytes, &size, problem), ERR_OK);
	assert_string_equal(bytes, "untouched");
	home_free(bytes, size);
	home_close(home);
}

// A writer that is killed at any moment leaves the old file or the new one.
static void test_killed_writer(void **state)
{
	(void)state;
	enum { SIZE = 200000 };
	char *one = malloc(SIZE), *two = malloc(SIZE), *bytes;
	size_t size;
	memset(one, '1', SIZE);
	memset(two, '2', SIZE);
	struct home *home = open_home();
	assert_int_equal(home_write(home, "file", one, SIZE, problem), ERR_OK);
	for (int i = 0; i < 20; i++) {
		pid_t child = fork();
		if (child == 0) {
			for (int turn = 0;; turn++) {
				if (home_write(home, "file", turn % 2 ? one : two, SIZE, problem) != ERR_OK)
					_exit(1);
			}
		}
		usleep((useconds_t)(1000 + i * 700));
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, NULL, 0), child);
		assert_int_equal(home_read(home, "file", &bytes, &size, problem), ERR_OK);
		assert_int_equal(size, SIZE);
		assert_true(memcmp(bytes, one, SIZE) == 0 || memcmp(bytes, two, SIZE) == 0);
		home_free(bytes, size);
	}
	home_close(home);
	free(one);
	free(two);
}

static struct meetings_entry entry_of(uint8_t number)
{
	struct meetings_entry entry = { .meeting = { { number } }, .secret = { number, 1 } };
	snprintf(entry.title, sizeof(entry.title), "meeting %d \"\\ü", number);
	return entry;
}

// Two processes that add at the same time do not lose each other's meetings.
static void test_two_writers(void **state)
{
	(void)state;
	enum { WRITERS = 4, EACH = 10 };
	struct meetings meetings;
	pid_t children[WRITERS];
	for (int writer = 0; writer < WRITERS; writer++) {
		children[writer] = fork();
		if (children[writer] != 0)
			continue;
		struct home *home;
		if (home_open(directory, &home, problem) != ERR_OK)
			_exit(1);
		for (int i = 0; i < EACH; i++) {
			struct meetings_entry entry = entry_of((uint8_t)(1 + writer * EACH + i));
			if (meetings_put(home, &entry, problem) != ERR_OK)
				_exit(2);
		}
		_exit(0);
	}
	for (int writer = 0; writer < WRITERS; writer++) {
		int status;
		waitpid(children[writer], &status, 0);
		assert_int_equal(status, 0);
	}
	struct home *home = open_home();
	assert_int_equal(meetings_load(home, &meetings, problem), ERR_OK);
	assert_int_equal(meetings.count, WRITERS * EACH);
	meetings_fini(&meetings);
	home_close(home);
}

static void test_meetings(void **state)
{
	(void)state;
	struct home *home = open_home();
	struct meetings meetings;
	struct meetings_entry entry = entry_of(1), other = entry_of(2);
	assert_int_equal(meetings_load(home, &meetings, problem), ERR_OK);
	assert_int_equal(meetings.count, 0);
	meetings_fini(&meetings);
	assert_int_equal(meetings_put(home, &entry, problem), ERR_OK);
	assert_int_equal(meetings_put(home, &other, problem), ERR_OK);
	strcpy(entry.title, "renamed");
	assert_int_equal(meetings_put(home, &entry, problem), ERR_OK);
	assert_int_equal(meetings_load(home, &meetings, problem), ERR_OK);
	assert_int_equal(meetings.count, 2);
	assert_string_equal(meetings_find(&meetings, &entry.meeting)->title, "renamed");
	assert_memory_equal(meetings_find(&meetings, &other.meeting), &other, sizeof(other));
	meetings_fini(&meetings);
	assert_int_equal(meetings_remove(home, &entry.meeting, problem), ERR_OK);
	assert_int_equal(meetings_load(home, &meetings, problem), ERR_OK);
	assert_null(meetings_find(&meetings, &entry.meeting));
	meetings_fini(&meetings);
	assert_int_equal(mode_of("meetings.json"), 0600);
	home_close(home);
}

static void test_a_held_lock_is_told(void **state)
{
	(void)state;
	struct home *home = open_home(), *other = open_home();
	struct meetings_entry entry = entry_of(1);
	assert_int_equal(home_lock(home, problem), ERR_OK);
	assert_int_equal(meetings_put(other, &entry, problem), ERR_TIMEOUT);
	assert_non_null(strstr(problem, "is being changed by another process"));
	home_unlock(home);
	assert_int_equal(meetings_put(other, &entry, problem), ERR_OK);
	home_close(home);
	home_close(other);
}

static struct identity identity_of_test(void)
{
	struct identity identity = { .user = { { 1 } }, .device = { { 2 } }, .name = "Ada", .server = "tmms.example", .address = "::1",
				     .port = 8443, .server_pins = { .count = 2, .pin = { { 3 }, { 4 } } },
				     .relay_pins = { .count = 1, .pin = { { 5 } } }, .root = { 6 } };
	return identity;
}

static void test_identity(void **state)
{
	(void)state;
	struct home *home = open_home();
	struct identity in = identity_of_test(), out;
	assert_int_equal(identity_load(home, &out, problem), ERR_NOT_FOUND);
	assert_non_null(strstr(problem, "not enrolled"));
	assert_int_equal(identity_save(home, &in, problem), ERR_OK);
	assert_int_equal(identity_load(home, &out, problem), ERR_OK);
	assert_memory_equal(&in, &out, sizeof(in));
	home_close(home);
}

// Cut anywhere, or with any byte changed to a quote: an error with the file's name, or still a whole identity.
static void test_damaged_identity(void **state)
{
	(void)state;
	struct home *home = open_home();
	struct identity in = identity_of_test(), out;
	char *bytes;
	size_t size;
	assert_int_equal(identity_save(home, &in, problem), ERR_OK);
	assert_int_equal(home_read(home, "identity.json", &bytes, &size, problem), ERR_OK);
	for (size_t cut = 0; cut < size - 1; cut++) {
		assert_int_equal(home_write(home, "identity.json", bytes, cut, problem), ERR_OK);
		assert_int_not_equal(identity_load(home, &out, problem), ERR_OK);
		assert_non_null(strstr(problem, "identity.json is damaged"));
		assert_null(strchr(problem, '\n'));
	}
	for (size_t i = 0; i < size; i++) {
		char before = bytes[i];
		bytes[i] = '"';
		if (identity_parse(bytes, size, &out) == ERR_OK)
			assert_in_range(out.server_pins.count, 1, TOKEN_PINS_MAX);
		bytes[i] = before;
	}
	home_free(bytes, size);
	put_file("identity.json", "{\"version\":2}");
	assert_int_equal(identity_load(home, &out, problem), ERR_VERSION);
	put_file("meetings.json", "[]");
	struct meetings meetings;
	assert_int_equal(meetings_load(home, &meetings, problem), ERR_PARSE);
	assert_non_null(strstr(problem, "meetings.json is damaged"));
	home_close(home);
}

static void test_device_key(void **state)
{
	(void)state;
	struct home *home = open_home();
	uint8_t key[TOKEN_ED25519_BYTES], public_key[TOKEN_ED25519_BYTES], loaded[TOKEN_ED25519_BYTES];
	assert_int_equal(token_ed25519_generate(key, public_key), ERR_OK);
	assert_int_equal(credentials_load_key(home, loaded, problem), ERR_NOT_FOUND);
	assert_int_equal(credentials_save_key(home, key, problem), ERR_OK);
	assert_int_equal(mode_of(CREDENTIALS_KEY_FILE), 0600);
	assert_int_equal(credentials_load_key(home, loaded, problem), ERR_OK);
	assert_memory_equal(key, loaded, sizeof(key));
	put_file(CREDENTIALS_KEY_FILE, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
	assert_int_equal(credentials_load_key(home, loaded, problem), ERR_PARSE);
	assert_non_null(strstr(problem, "device.key is damaged"));
	home_close(home);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_write_and_read), TEST(test_folder_is_made_private), TEST(test_a_link_is_not_followed), TEST(test_killed_writer),
		TEST(test_two_writers), TEST(test_meetings), TEST(test_a_held_lock_is_told), TEST(test_identity),
		TEST(test_damaged_identity), TEST(test_device_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
