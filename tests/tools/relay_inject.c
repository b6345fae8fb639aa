// What could somebody do who has taken over a running relay? relay_inject PID confined|free
// Stops every thread of the process in turn and makes it call what a relay never calls. In a confined process each must be
// refused by the filter, in a free one (the control) none; looking up a map entry must always work. TAP on stdout, the
// process goes on as if nothing had been. SPDX-License-Identifier: Apache-2.0
#include "kernel-bpf/fanout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __x86_64__

enum { SCRATCH_BYTES = 1024, BELOW_STACK = 4096, ARGUMENTS = 6, SYSCALL_BYTES = 2, THREADS_MAX = 64, ATTRIBUTE = 0, KEY = 256, VALUE = 512,
       TRIES = 100, PAUSE_US = 10000 };

// Arguments that are addresses in the scratch memory are offsets with this bit.
#define AT(offset) (1ull << 62 | (offset))

struct call {
	const char *name;
	long number;
	uint64_t argument[ARGUMENTS];
	const char *text;    // at offset 0 of the scratch memory
	long refusal;        // 0: EPERM or EACCES
};

#define BPF(command) SYS_bpf, { (command), AT(ATTRIBUTE), sizeof(union bpf_attr) }
// None does harm where it is allowed.
static const struct call calls[] = {
	{ "bpf(BPF_MAP_CREATE)", BPF(BPF_MAP_CREATE), NULL, 0 },
	{ "bpf(BPF_PROG_LOAD)", BPF(BPF_PROG_LOAD), NULL, 0 },
	{ "bpf(BPF_LINK_CREATE)", BPF(BPF_LINK_CREATE), NULL, 0 },
	{ "bpf(BPF_LINK_UPDATE)", BPF(BPF_LINK_UPDATE), NULL, 0 },
	{ "bpf(BPF_LINK_DETACH)", BPF(BPF_LINK_DETACH), NULL, 0 },
	{ "bpf(BPF_PROG_ATTACH)", BPF(BPF_PROG_ATTACH), NULL, 0 },
	{ "bpf(BPF_PROG_TEST_RUN)", BPF(BPF_PROG_TEST_RUN), NULL, 0 },
	{ "bpf(BPF_PROG_GET_FD_BY_ID)", BPF(BPF_PROG_GET_FD_BY_ID), NULL, 0 },
	{ "bpf(BPF_OBJ_GET_INFO_BY_FD)", BPF(BPF_OBJ_GET_INFO_BY_FD), NULL, 0 },
	{ "bpf(BPF_OBJ_PIN)", BPF(BPF_OBJ_PIN), NULL, 0 },
	{ "socket(AF_PACKET)", SYS_socket, { AF_PACKET, SOCK_RAW, 0 }, NULL, 0 },
	{ "socket(AF_INET)", SYS_socket, { AF_INET, SOCK_STREAM, 0 }, NULL, 0 },
	{ "socket(AF_NETLINK)", SYS_socket, { AF_NETLINK, SOCK_RAW, 0 }, NULL, 0 },
	{ "socket(AF_UNIX)", SYS_socket, { AF_UNIX, SOCK_STREAM, 0 }, NULL, 0 },
	{ "bind", SYS_bind, { (uint64_t)-1, AT(0), 16 }, NULL, 0 },
	{ "connect", SYS_connect, { (uint64_t)-1, AT(0), 16 }, NULL, 0 },
	{ "execve", SYS_execve, { AT(0), 0, 0 }, "/nonexistent/program", 0 },
	{ "fork", SYS_clone, { CLONE_SIGHAND, 0, 0 }, NULL, 0 }, // without CLONE_VM: no kernel does it
	{ "clone3", SYS_clone3, { AT(0), 0 }, NULL, ENOSYS },
	{ "io_uring_setup", SYS_io_uring_setup, { 1, 0 }, NULL, 0 },
	{ "io_uring_register(files)", SYS_io_uring_register, { (uint64_t)-1, IORING_REGISTER_FILES, 0, 0 }, NULL, 0 },
	{ "openat(/etc/shadow)", SYS_openat, { (uint64_t)AT_FDCWD, AT(0), O_RDONLY, 0 }, "/etc/shadow", 0 },
	{ "openat(/dev/null, writing)", SYS_openat, { (uint64_t)AT_FDCWD, AT(0), O_WRONLY, 0 }, "/dev/null", 0 },
	{ "rename", SYS_rename, { AT(0), AT(0) }, "/nonexistent", 0 },
	{ "setuid(0)", SYS_setuid, { 0 }, NULL, 0 },
	{ "setgid(0)", SYS_setgid, { 0 }, NULL, 0 },
	{ "capset", SYS_capset, { 0, 0 }, NULL, 0 },
	{ "kill", SYS_kill, { 1, 0 }, NULL, 0 },
	{ "memory to execute", SYS_mmap, { 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0 }, NULL, 0 },
	{ "prctl(PR_SET_DUMPABLE)", SYS_prctl, { 4, 0, 0, 0, 0 }, NULL, 0 },
	{ "personality", SYS_personality, { 0xffffffff }, NULL, 0 },
};

static int failures;

static void report(bool is_good, const char *what, pid_t thread, long result)
{
	failures += !is_good;
	printf("%s - thread %d: %s: %s\n", is_good ? "ok" : "not ok", (int)thread, what, result < 0 ? strerror((int)-result) : "it was done");
}

static _Noreturn void bail(const char *what)
{
	printf("not ok - %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

// ---------------------------------------------------------------- a stopped thread

struct thread {
	pid_t id;
	int memory; // /proc/PID/mem
	struct user_regs_struct before;
	uint64_t scratch;
};

// Where one makes system calls: seen in a thread that waits in one, good for all.
static uint64_t call_at;

static bool waits_in_call(const struct thread *t)
{
	uint16_t code = 0;
	return pread(t->memory, &code, sizeof(code), (off_t)(t->before.rip - SYSCALL_BYTES)) == sizeof(code) && code == 0x050f;
}

static void stop_thread(struct thread *t)
{
	int status;
	if (ptrace(PTRACE_SEIZE, t->id, 0, 0) != 0)
		bail("the thread cannot be stopped");
	for (int i = 0; i < TRIES; i++) {
		if (ptrace(PTRACE_INTERRUPT, t->id, 0, 0) != 0 || waitpid(t->id, &status, __WALL) != t->id ||
		    ptrace(PTRACE_GETREGS, t->id, 0, &t->before) != 0)
			bail("the thread cannot be stopped");
		if (waits_in_call(t))
			call_at = t->before.rip - SYSCALL_BYTES;
		if (call_at != 0)
			break;
		if (ptrace(PTRACE_CONT, t->id, 0, 0) != 0)
			bail("the thread cannot go on");
		usleep(PAUSE_US);
	}
	if (call_at == 0)
		bail("the first thread never waits in a system call");
	t->scratch = (t->before.rsp - BELOW_STACK) & ~15ull;
}

static void put(const struct thread *t, size_t offset, const void *bytes, size_t size)
{
	if (pwrite(t->memory, bytes, size, (off_t)(t->scratch + offset)) != (ssize_t)size)
		bail("memory cannot be written");
}

static long make_call(const struct thread *t, long number, const uint64_t argument[ARGUMENTS])
{
	uint64_t a[ARGUMENTS];
	struct user_regs_struct registers = t->before;
	int status;
	for (size_t i = 0; i < ARGUMENTS; i++)
		a[i] = argument[i] >> 62 == 1 ? t->scratch + (argument[i] & ~(1ull << 62)) : argument[i];
	registers.rip = call_at;
	registers.rax = (uint64_t)number;
	registers.orig_rax = (uint64_t)-1; // nothing to be restarted
	registers.rdi = a[0], registers.rsi = a[1], registers.rdx = a[2], registers.r10 = a[3], registers.r8 = a[4], registers.r9 = a[5];
	if (ptrace(PTRACE_SETREGS, t->id, 0, &registers) != 0 || ptrace(PTRACE_SINGLESTEP, t->id, 0, 0) != 0 ||
	    waitpid(t->id, &status, __WALL) != t->id || !WIFSTOPPED(status) || ptrace(PTRACE_GETREGS, t->id, 0, &registers) != 0)
		bail("the process did not survive the call");
	return (long)registers.rax;
}

static void let_go(const struct thread *t)
{
	if (ptrace(PTRACE_SETREGS, t->id, 0, &t->before) != 0 || ptrace(PTRACE_DETACH, t->id, 0, 0) != 0)
		bail("the thread cannot be let go");
}

// ---------------------------------------------------------------- what is tried

static void try_call(const struct thread *t, const struct call *call, bool is_confined)
{
	const uint8_t zeros[SCRATCH_BYTES] = { 0 };
	put(t, 0, zeros, sizeof(zeros));
	if (call->text)
		put(t, 0, call->text, strlen(call->text) + 1);
	long result = make_call(t, call->number, call->argument);
	bool is_refused = call->refusal ? result == -call->refusal : result == -EPERM || result == -EACCES;
	if (is_confined)
		report(is_refused, call->name, t->id, result);
	else if (!call->refusal)
		report(!is_refused, call->name, t->id, result);
	if (result >= 0 && (call->number == SYS_socket || call->number == SYS_openat))
		(void)make_call(t, SYS_close, (const uint64_t[ARGUMENTS]){ (uint64_t)result });
}

// Descriptor of the map "config" in the process; -1: it has none.
static int find_config(pid_t process)
{
	char path[320], line[128];
	snprintf(path, sizeof(path), "/proc/%d/fdinfo", (int)process);
	DIR *folder = opendir(path);
	int found = -1;
	for (const struct dirent *entry; folder && (entry = readdir(folder)) && found < 0;) {
		unsigned type = 0, value = 0;
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", (int)process, entry->d_name);
		FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
		while (file && fgets(line, sizeof(line), file)) {
			(void)sscanf(line, "map_type: %u", &type);
			(void)sscanf(line, "value_size: %u", &value);
		}
		if (file)
			fclose(file);
		if (type == BPF_MAP_TYPE_ARRAY && value == sizeof(struct fanout_config))
			found = atoi(entry->d_name);
	}
	if (folder)
		closedir(folder);
	return found;
}

static void try_lookup(const struct thread *t, int map)
{
	const uint32_t key = 0;
	union bpf_attr attribute;
	memset(&attribute, 0, sizeof(attribute));
	attribute.map_fd = (uint32_t)map;
	attribute.key = t->scratch + KEY;
	attribute.value = t->scratch + VALUE;
	put(t, ATTRIBUTE, &attribute, sizeof(attribute));
	put(t, KEY, &key, sizeof(key));
	long result = make_call(t, SYS_bpf, (const uint64_t[ARGUMENTS]){ BPF_MAP_LOOKUP_ELEM, AT(ATTRIBUTE), sizeof(attribute) });
	report(result == 0, "bpf(BPF_MAP_LOOKUP_ELEM) of its own map", t->id, result);
}

static size_t list_threads(pid_t process, pid_t out[static THREADS_MAX])
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task", (int)process);
	DIR *folder = opendir(path);
	size_t count = 0;
	for (const struct dirent *entry; folder && (entry = readdir(folder)) && count < THREADS_MAX;) {
		if (entry->d_name[0] != '.')
			out[count++] = atoi(entry->d_name);
	}
	if (folder)
		closedir(folder);
	return count;
}

int main(int argc, char **argv)
{
	if (argc != 3 || (strcmp(argv[2], "confined") != 0 && strcmp(argv[2], "free") != 0)) {
		fputs("usage: relay_inject PID confined|free\n", stderr);
		return 2;
	}
	pid_t process = atoi(argv[1]), id[THREADS_MAX];
	bool is_confined = strcmp(argv[2], "confined") == 0;
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)process);
	int memory = open(path, O_RDWR | O_CLOEXEC), map = find_config(process);
	size_t count = list_threads(process, id);
	if (memory < 0 || count == 0)
		bail("there is no such process");
	for (size_t i = 0; i < count; i++) {
		struct thread thread = { .id = id[i], .memory = memory };
		stop_thread(&thread);
		for (size_t k = 0; k < sizeof(calls) / sizeof(calls[0]); k++)
			try_call(&thread, &calls[k], is_confined);
		if (map >= 0)
			try_lookup(&thread, map);
		else if (is_confined)
			puts("# the process has no map");
		let_go(&thread);
	}
	close(memory);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

#else

int main(void)
{
	puts("ok - injecting system calls # SKIP not written for this processor");
	return EXIT_SUCCESS;
}

#endif
