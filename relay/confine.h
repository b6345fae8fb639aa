// What the relay gives up for good before it looks at the first byte of a stranger.
//
// Order in tcs.c:
//   1. sockets, give_up_rights() (no_new_privs), priority          as it was started
//   2. fast_path_open()                                            its loader needs the capabilities
//   3. confine_begin()                                             nothing that is started from here on gets any
//   4. taking on the account
//   5. journal; manager_spawner_start()                            before the TLS key is read, one thread
//   6. table, loops, rings (IORING_SETUP_R_DISABLED, restricted), netlink and signal descriptors, worker threads' objects
//   7. confine_apply()                                             still one thread: Landlock and capabilities are each
//                                                                  thread's own, inherited by those started later
//   8. threads; each enables its ring
//
// What works afterwards: reading, writing, accepting, polling on what is open; threads; io_uring_enter and enabling a
// disabled ring; bpf() look-up, update and delete; SCHED_RR within RLIMIT_RTPRIO (set it while it is allowed, since
// threads do not inherit a priority with SCHED_RESET_ON_FORK); removing the files named in the options. Nothing else:
// no file is opened, no socket made, nothing executed. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_CONFINE_H
#define RELAY_CONFINE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct io_uring;

enum { CONFINE_PROBLEM_MAX = 256, CONFINE_SOCKETS_MAX = 4 };

struct confine_options {
	const char *socket[CONFINE_SOCKETS_MAX]; // paths of UNIX sockets that are unlinked in the end; NULL or "": none
};

// Bounding and ambient sets are emptied, as far as the process may. Never fails: without the right there is little to lose.
void confine_begin(void);
// No capability any more, and no way to get one: part of confine_apply, and for processes that need only this.
enum err confine_capabilities(char problem[static CONFINE_PROBLEM_MAX]) CHECK_RESULT;
// The ring was set up with IORING_SETUP_R_DISABLED: once it is enabled it is good for these operations (IORING_OP_…) alone,
// with or without chosen buffers. The filter of system calls does not see what goes through a ring. ERR_IO with errno.
enum err confine_ring(struct io_uring *ring, const uint8_t *operations, size_t count) CHECK_RESULT;
// ERR_IO with `problem`: do not go on. A kernel without Landlock is a warning in the log; seccomp stands without it.
enum err confine_apply(const struct confine_options *options, char problem[static CONFINE_PROBLEM_MAX]) CHECK_RESULT;

#endif
