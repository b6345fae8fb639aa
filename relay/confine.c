// SPDX-License-Identifier: Apache-2.0
#include "relay/confine.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CAPABILITIES_MAX = 64, PATH_BYTES = 110, TASK_LINKS = 3, RING_OPERATIONS_MAX = 16 };
enum { ABI_REFER = 2, ABI_TRUNCATE = 3, ABI_NET = 4, ABI_IOCTL = 5, ABI_SCOPE = 6 };
#define NAMESPACES ((uint64_t)(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET))

static enum err refused(const char *what, int error, char *problem)
{
	snprintf(problem, CONFINE_PROBLEM_MAX, "cannot confine the process (%s): %s", what, strerror(error));
	return ERR_IO;
}

// ---------------------------------------------------------------- capabilities

void confine_begin(void)
{
	for (unsigned long capability = 0; capability < CAPABILITIES_MAX; capability++)
		(void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0); // EINVAL: no such; EPERM: no right, so little to lose
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

enum err confine_capabilities(char problem[static CONFINE_PROBLEM_MAX])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return refused("no_new_privs", errno, problem);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 || syscall(SYS_capset, &header, none) != 0)
		return refused("capabilities", errno, problem);
	return ERR_OK;
}

// ---------------------------------------------------------------- Landlock

// Everything that this kernel knows to deny.
static struct landlock_ruleset_attr all_rights(long abi)
{
	struct landlock_ruleset_attr all = { .handled_access_fs = ((uint64_t)LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1 };
	if (abi >= ABI_REFER)
		all.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= ABI_TRUNCATE)
		all.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
	if (abi >= ABI_NET)
		all.handled_access_net = LANDLOCK_ACCESS_NET_BIND_TCP | LANDLOCK_ACCESS_NET_CONNECT_TCP;
	if (abi >= ABI_IOCTL)
		all.handled_access_fs |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
	if (abi >= ABI_SCOPE)
		all.scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL;
	return all;
}

// Files in the folder of this socket may be removed.
static enum err allow_removal(int rules, const char *socket, char *problem)
{
	char folder[PATH_BYTES];
	const char *slash = strrchr(socket, '/');
	int size = slash ? (int)(slash - socket) : 0;
	snprintf(folder, sizeof(folder), "%.*s", size, socket);
	if (size == 0)
		snprintf(folder, sizeof(folder), "%s", slash ? "/" : ".");
	struct landlock_path_beneath_attr rule = { .allowed_access = LANDLOCK_ACCESS_FS_REMOVE_FILE };
	rule.parent_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return refused(folder, errno, problem);
	long result = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	enum err err = result < 0 ? refused(folder, errno, problem) : ERR_OK;
	close(rule.parent_fd);
	return err;
}

static enum err confine_files(const struct confine_options *options, char *problem)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < 0 && (errno == ENOSYS || errno == EOPNOTSUPP)) {
		log_line(LOG_WARNING, "this kernel has no Landlock: only the system call filter keeps the relay from files");
		return ERR_OK;
	}
	const struct landlock_ruleset_attr all = all_rights(abi);
	int rules = abi < 0 ? -1 : (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
	if (rules < 0)
		return refused("Landlock", errno, problem);
	enum err err = ERR_OK;
	for (size_t i = 0; i < CONFINE_SOCKETS_MAX && !err; i++) {
		if (options->socket[i] && *options->socket[i])
			err = allow_removal(rules, options->socket[i], problem);
	}
	if (!err && syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		err = refused("Landlock", errno, problem);
	close(rules);
	return err;
}

// ---------------------------------------------------------------- system calls

static const int allowed[] = {
	// what is open
	SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(close), SCMP_SYS(lseek), SCMP_SYS(fstat),
	SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg), SCMP_SYS(sendto),
	SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(shutdown), SCMP_SYS(getsockname),
	SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(eventfd2), SCMP_SYS(io_uring_enter),
	SCMP_SYS(unlink),
	// memory
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
	// threads and signals of its own
	SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(membarrier), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_setaffinity),
	SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(sched_setscheduler), SCMP_SYS(sched_get_priority_min),
	SCMP_SYS(sched_get_priority_max), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(getcpu),
	// time, chance, figures of its own
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday),
	SCMP_SYS(time), SCMP_SYS(getrandom), SCMP_SYS(getrusage), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid),
};

// Allowed if the argument, masked, is `value`. Several rows of a call: one of them suffices.
static const struct {
	int call;
	unsigned argument;
	uint64_t mask, value;
} allowed_if[] = {
	{ SCMP_SYS(bpf), 0, UINT32_MAX, BPF_MAP_LOOKUP_ELEM },
	{ SCMP_SYS(bpf), 0, UINT32_MAX, BPF_MAP_UPDATE_ELEM },
	{ SCMP_SYS(bpf), 0, UINT32_MAX, BPF_MAP_DELETE_ELEM },
	{ SCMP_SYS(io_uring_register), 1, UINT32_MAX, IORING_REGISTER_ENABLE_RINGS },
	{ SCMP_SYS(mmap), 2, PROT_EXEC, 0 },
	{ SCMP_SYS(mprotect), 2, PROT_EXEC, 0 },
	{ SCMP_SYS(clone), 0, (uint64_t)CLONE_THREAD | CLONE_VM | NAMESPACES, (uint64_t)CLONE_THREAD | CLONE_VM },
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_GETFL },
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_SETFL },
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_GETFD },
	{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_SETFD },
	{ SCMP_SYS(setsockopt), 1, UINT32_MAX, SOL_SOCKET },
	{ SCMP_SYS(setsockopt), 1, UINT32_MAX, IPPROTO_TCP },
	{ SCMP_SYS(prctl), 0, UINT32_MAX, PR_SET_NAME },
	{ SCMP_SYS(prctl), 0, UINT32_MAX, PR_SET_VMA },             // malloc names its arenas
	{ SCMP_SYS(newfstatat), 3, AT_EMPTY_PATH, AT_EMPTY_PATH },  // fstat() of some libraries
};

// No library asks for these: somebody has taken over.
static const int absurd[] = {
	SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd), SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load), SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(mount),
	SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(reboot),
	SCMP_SYS(userfaultfd), SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(perf_event_open),
};

static int allow_if(scmp_filter_ctx filter, int call, unsigned argument, uint64_t mask, uint64_t value)
{
	const struct scmp_arg_cmp test = { .arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value };
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &test);
}

static int fill_filter(scmp_filter_ctx filter)
{
	int error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!error) // a tree instead of a list: the calls of the packet path must not pay for the others
		error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; !error && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; !error && i < sizeof(allowed_if) / sizeof(allowed_if[0]); i++)
		error = allow_if(filter, allowed_if[i].call, allowed_if[i].argument, allowed_if[i].mask, allowed_if[i].value);
	// abort() and pthread_kill(); another process cannot be meant.
	if (!error)
		error = allow_if(filter, SCMP_SYS(tgkill), 0, UINT32_MAX, (uint64_t)getpid());
	for (size_t i = 0; !error && i < sizeof(absurd) / sizeof(absurd[0]); i++)
		error = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, absurd[i], 0);
	// Its arguments cannot be looked at; told that there is no such call, the C library takes clone.
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return error;
}

static enum err confine_calls(char *problem)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!filter)
		return refused("seccomp", ENOMEM, problem);
	int error = fill_filter(filter);
	if (!error)
		error = seccomp_load(filter);
	seccomp_release(filter);
	return error ? refused("seccomp", -error, problem) : ERR_OK;
}

// ---------------------------------------------------------------- rings

enum err confine_ring(struct io_uring *ring, const uint8_t *operations, size_t count)
{
	struct io_uring_restriction rule[RING_OPERATIONS_MAX + 1] = { { 0 } };
	if (count > RING_OPERATIONS_MAX) {
		errno = E2BIG;
		return ERR_IO;
	}
	for (size_t i = 0; i < count; i++) {
		rule[i].opcode = IORING_RESTRICTION_SQE_OP;
		rule[i].sqe_op = operations[i];
	}
	rule[count].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	rule[count].sqe_flags = IOSQE_BUFFER_SELECT;
	int result = io_uring_register_restrictions(ring, rule, (unsigned)count + 1);
	errno = result < 0 ? -result : 0;
	return result < 0 ? ERR_IO : ERR_OK;
}

// ---------------------------------------------------------------- all of it

enum err confine_apply(const struct confine_options *options, char problem[static CONFINE_PROBLEM_MAX])
{
	struct stat tasks;
	if (stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink > TASK_LINKS)
		return refused("threads run already", EBUSY, problem);
	enum err err = confine_capabilities(problem);
	if (!err)
		err = confine_files(options, problem);
	return err ? err : confine_calls(problem);
}
