// What a confined relay can still do, and what kills it. SPDX-License-Identifier: Apache-2.0
#include "relay/confine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], socket_path[80], other_path[80], elsewhere[80];

static bool apply(void)
{
	char problem[CONFINE_PROBLEM_MAX];
	confine_begin();
	if (confine_apply(&(struct confine_options){ .socket = { socket_path } }, problem) == ERR_OK)
		return true;
	fprintf(stderr, "%s\n", problem);
	return false;
}

// Confinement is for good: each case has a process of its own. Returns its wait status.
static int in_child(int (*run)(void))
{
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(run());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void *do_nothing(void *argument) { return argument; }

// ---------------------------------------------------------------- what goes on

static int work(void)
{
	int pair[2], value = 1;
	pthread_t thread;
	void *memory;
	char byte = 'x';
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) || !apply())
		return 1;
	if (write(pair[0], &byte, 1) != 1 || recv(pair[1], &byte, 1, 0) != 1)
		return 2;
	if (setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &value, sizeof(value)) || fcntl(pair[0], F_SETFL, O_NONBLOCK))
		return 3;
	if (pthread_create(&thread, NULL, do_nothing, NULL) || pthread_join(thread, NULL))
		return 4;
	memory = malloc(1 << 22);
	if (!memory)
		return 5;
	free(memory);
	return close(pair[0]) || close(pair[1]) ? 6 : 0;
}

static void a_confined_process_works(void **state)
{
	(void)state;
	assert_int_equal(in_child(work), 0);
}

// ---------------------------------------------------------------- what does not

static int open_and_remove(void)
{
	if (!apply())
		return 1;
	if (open(other_path, O_RDONLY | O_CLOEXEC) >= 0 || errno != EPERM)
		return 2;
	return unlink(socket_path) == 0 ? 0 : 3;
}

static int remove_elsewhere(void)
{
	if (!apply())
		return 1;
	return unlink(elsewhere) == -1 && errno == EACCES ? 0 : 2;
}

static void only_the_sockets_folder_can_be_cleaned(void **state)
{
	(void)state;
	assert_int_equal(in_child(open_and_remove), 0);
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1)
		skip();
	assert_int_equal(in_child(remove_elsewhere), 0);
}

static int become_something_else(void)
{
	if (!apply())
		return 1;
	if (fork() != -1 || errno != EPERM)
		return 2;
	if (setuid(0) != -1 || errno != EPERM)
		return 3;
	return execl("/bin/true", "true", NULL) == -1 && errno == EPERM ? 0 : 4;
}

static void no_right_is_left(void **state)
{
	(void)state;
	assert_int_equal(in_child(become_something_else), 0);
}

static int trace(void)
{
	if (!apply())
		return 1;
	(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	return 2;
}

static int leave_namespace(void)
{
	if (!apply())
		return 1;
	(void)unshare(CLONE_NEWUSER);
	return 2;
}

static void the_absurd_kills(void **state)
{
	(void)state;
	int (*const absurd[])(void) = { trace, leave_namespace };
	for (size_t i = 0; i < sizeof(absurd) / sizeof(absurd[0]); i++) {
		int status = in_child(absurd[i]);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGSYS);
	}
}

static void *wait_for_end(void *pipe)
{
	char byte;
	return read(*(int *)pipe, &byte, 1) < 0 ? pipe : NULL;
}

// Landlock and capabilities are each thread's own: it would be too late.
static int confine_with_threads(void)
{
	char problem[CONFINE_PROBLEM_MAX] = "";
	int ends[2];
	pthread_t thread;
	if (pipe2(ends, O_CLOEXEC) || pthread_create(&thread, NULL, wait_for_end, &ends[0]))
		return 1;
	enum err err = confine_apply(&(struct confine_options){ 0 }, problem);
	return err == ERR_IO && strstr(problem, "threads") ? 0 : 2;
}

static void running_threads_are_refused(void **state)
{
	(void)state;
	assert_int_equal(in_child(confine_with_threads), 0);
}

static int confine_without_folder(void)
{
	char problem[CONFINE_PROBLEM_MAX] = "";
	enum err err = confine_apply(&(struct confine_options){ .socket = { "/nonexistent/tcs.sock" } }, problem);
	return err == ERR_IO && strstr(problem, "/nonexistent") ? 0 : 2;
}

static void a_missing_folder_is_said(void **state)
{
	(void)state;
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1)
		skip();
	assert_int_equal(in_child(confine_without_folder), 0);
}

// ---------------------------------------------------------------- rings

static int complete_one(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	assert_int_equal(io_uring_submit_and_wait(ring, 1), 1);
	assert_int_equal(io_uring_peek_cqe(ring, &cqe), 0);
	int result = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return result;
}

static void a_confined_ring_does_what_it_is_for(void **state)
{
	(void)state;
	static const uint8_t operations[] = { IORING_OP_NOP, IORING_OP_POLL_ADD };
	struct io_uring ring;
	uint8_t many[64] = { 0 };
	if (io_uring_queue_init(8, &ring, IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER) < 0)
		skip();
	assert_int_equal(confine_ring(&ring, many, sizeof(many)), ERR_IO);
	assert_int_equal(confine_ring(&ring, operations, sizeof(operations)), ERR_OK);
	assert_int_equal(io_uring_enable_rings(&ring), 0);
	io_uring_prep_nop(io_uring_get_sqe(&ring));
	assert_int_equal(complete_one(&ring), 0);
	io_uring_prep_openat(io_uring_get_sqe(&ring), AT_FDCWD, "/dev/null", O_RDONLY, 0);
	assert_int_equal(complete_one(&ring), -EACCES);
	io_uring_prep_socket(io_uring_get_sqe(&ring), AF_INET, SOCK_DGRAM, 0, 0);
	assert_int_equal(complete_one(&ring), -EACCES);
	assert_int_equal(io_uring_register_files(&ring, (const int[]){ STDERR_FILENO }, 1), -EACCES);
	assert_int_equal(confine_ring(&ring, operations, sizeof(operations)), ERR_IO); // it is enabled: too late
	io_uring_queue_exit(&ring);
}

static int make_files(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/confine-relay-%d", (int)getpid());
	snprintf(socket_path, sizeof(socket_path), "%s/tcs.sock", folder);
	snprintf(other_path, sizeof(other_path), "%s/other", folder);
	snprintf(elsewhere, sizeof(elsewhere), "%s.elsewhere", folder);
	return mkdir(folder, 0700) || mknod(elsewhere, S_IFREG | 0600, 0) || mknod(socket_path, S_IFREG | 0600, 0) || mknod(other_path, S_IFREG | 0600, 0);
}

static int remove_files(void **state)
{
	(void)state;
	(void)unlink(socket_path);
	return unlink(other_path) || unlink(elsewhere) || rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_confined_process_works),
		cmocka_unit_test(only_the_sockets_folder_can_be_cleaned),
		cmocka_unit_test(no_right_is_left),
		cmocka_unit_test(the_absurd_kills),
		cmocka_unit_test(running_threads_are_refused),
		cmocka_unit_test(a_missing_folder_is_said),
		cmocka_unit_test(a_confined_ring_does_what_it_is_for),
	};
	return cmocka_run_group_tests(tests, make_files, remove_files);
}
