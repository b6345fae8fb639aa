// What a confined process can still do. SPDX-License-Identifier: Apache-2.0
#include "mgmt/confine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char own[64], other[64];

static bool has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

// 0, or the errno of the attempt.
static int try_open(const char *directory, const char *name, int flags)
{
	char path[96];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	int fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

// Confinement is for good, so each case has a process of its own. Returns the status that `run` exits with.
static int in_child(int (*run)(void))
{
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? 100 : run());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int no_files(void)
{
	if (confine_files(NULL, 0))
		return 1;
	return try_open(own, "file", O_RDONLY) == EACCES && try_open(own, "new", O_WRONLY | O_CREAT) == EACCES &&
	       try_open("/etc", "passwd", O_RDONLY) == EACCES ? 0 : 2;
}

static int one_to_read(void)
{
	const struct confine_path path = {own, CONFINE_READ};
	if (confine_files(&path, 1))
		return 1;
	return try_open(own, "file", O_RDONLY) == 0 && try_open(own, "file", O_WRONLY) == EACCES &&
	       try_open(other, "file", O_RDONLY) == EACCES ? 0 : 2;
}

static int one_to_write(void)
{
	const struct confine_path path = {own, CONFINE_WRITE};
	if (confine_files(&path, 1))
		return 1;
	return try_open(own, "new", O_RDWR | O_CREAT | O_TRUNC) == 0 && try_open(other, "file", O_WRONLY) == EACCES ? 0 : 2;
}

static int no_sockets(void)
{
	int pair[2];
	if (confine_sockets())
		return 1;
	if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != EACCES || socket(AF_UNIX, SOCK_STREAM, 0) >= 0)
		return 2;
	return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 ? 0 : 3;
}

static void files_that_were_not_named_are_out_of_reach(void **state)
{
	(void)state;
	if (!has_landlock())
		skip();
	assert_int_equal(in_child(no_files), 0);
	assert_int_equal(in_child(one_to_read), 0);
	assert_int_equal(in_child(one_to_write), 0);
}

static void sockets_cannot_be_made(void **state)
{
	(void)state;
	assert_int_equal(in_child(no_sockets), 0);
}

static int make_directories(void **state)
{
	(void)state;
	snprintf(own, sizeof(own), "/tmp/confine-own-%d", (int)getpid());
	snprintf(other, sizeof(other), "/tmp/confine-other-%d", (int)getpid());
	return mkdir(own, 0700) || mkdir(other, 0700) || try_open(own, "file", O_WRONLY | O_CREAT) ||
	       try_open(other, "file", O_WRONLY | O_CREAT);
}

static int remove_directories(void **state)
{
	(void)state;
	char path[96];
	static const char *const names[] = {"file", "new"};
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", own, names[i]);
		unlink(path);
		snprintf(path, sizeof(path), "%s/%s", other, names[i]);
		unlink(path);
	}
	return rmdir(own) || rmdir(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_that_were_not_named_are_out_of_reach),
		cmocka_unit_test(sockets_cannot_be_made),
	};
	return cmocka_run_group_tests(tests, make_directories, remove_directories);
}
