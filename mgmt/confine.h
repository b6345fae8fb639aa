// What a process gives up for good: files by Landlock, new sockets by seccomp. It keeps what it holds open.
// SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_CONFINE_H
#define MGMT_CONFINE_H

#include "base/err.h"

#include <stddef.h>

enum confine_access {
	CONFINE_READ,   // a file, or all below a directory
	CONFINE_WRITE,  // a directory: read, write, make, remove below it
	CONFINE_REMOVE, // a directory: remove files in it
};

struct confine_path {
	const char *path;
	enum confine_access access;
};

// From now on no file but these can be opened. A kernel without Landlock: a warning in the log, and nothing is
// confined. Problems are said in the log.
enum err confine_files(const struct confine_path *paths, size_t count) CHECK_RESULT;
// From now on socket() and io_uring_setup() fail with EACCES; socketpair() and accept() do not.
enum err confine_sockets(void) CHECK_RESULT;

#endif
