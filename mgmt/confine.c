// SPDX-License-Identifier: Apache-2.0
#include "mgmt/confine.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __aarch64__
enum { ARCHITECTURE = (int)AUDIT_ARCH_AARCH64, CALLS_END = 0x40000000 };
#else
enum { ARCHITECTURE = (int)AUDIT_ARCH_X86_64, CALLS_END = 0x40000000 }; // x32 calls start there
#endif

enum { TRUNCATE_ABI = 3 };
#define READS ((uint64_t)(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR))
#define REMOVES ((uint64_t)LANDLOCK_ACCESS_FS_REMOVE_FILE)
#define WRITES (READS | REMOVES | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_DIR | \
		LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_TRUNCATE)
// All of Landlock's first version, and truncate() where it is known.
#define FIRST_ABI (((uint64_t)LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

static enum err fail(const char *what)
{
	log_line(LOG_ERROR, "cannot confine the process (%s): %s", what, strerror(errno));
	return ERR_IO;
}

static enum err allow(int rules, uint64_t handled, const struct confine_path *path)
{
	static const uint64_t rights[] = {[CONFINE_READ] = READS, [CONFINE_WRITE] = WRITES, [CONFINE_REMOVE] = REMOVES};
	struct landlock_path_beneath_attr rule = {.allowed_access = rights[path->access] & handled};
	struct stat info;
	rule.parent_fd = open(path->path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return fail(path->path);
	if (fstat(rule.parent_fd, &info) == 0 && !S_ISDIR(info.st_mode))
		rule.allowed_access &= LANDLOCK_ACCESS_FS_READ_FILE;
	long result = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	enum err err = result < 0 ? fail(path->path) : ERR_OK;
	close(rule.parent_fd);
	return err;
}

enum err confine_files(const struct confine_path *paths, size_t count)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < 0 && (errno == ENOSYS || errno == EOPNOTSUPP)) {
		log_line(LOG_WARNING, "this kernel has no Landlock: only file permissions keep this role from files of others");
		return ERR_OK;
	}
	struct landlock_ruleset_attr all = {.handled_access_fs = FIRST_ABI | (abi >= TRUNCATE_ABI ? LANDLOCK_ACCESS_FS_TRUNCATE : 0)};
	int rules = abi < 0 ? -1 : (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all.handled_access_fs), 0);
	if (rules < 0)
		return fail("Landlock");
	enum err err = ERR_OK;
	for (size_t i = 0; !err && i < count; i++)
		err = allow(rules, all.handled_access_fs, &paths[i]);
	if (!err && syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		err = fail("Landlock");
	close(rules);
	return err;
}

enum err confine_sockets(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)ARCHITECTURE, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, CALLS_END, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? fail("seccomp") : ERR_OK;
}
