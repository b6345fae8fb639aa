// Starts the manager process for a relay that can neither fork nor execute any more. A process of its own, forked from the
// relay before it has keys and threads; it knows one request (start the manager anew) and ends, with the manager, when the
// relay does.
//
// Relay to spawner, one datagram: the name of the loop (for the manager's reports); the manager is started, one that still
// lives is ended before. Spawner to relay: struct manager_spawner_news, with the relay's end of the manager's socket as
// SCM_RIGHTS if it was started. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_MANAGER_SPAWNER_H
#define RELAY_MANAGER_SPAWNER_H

#include "base/err.h"

#include <stdint.h>

enum { MANAGER_SPAWNER_SOCKET = 3, MANAGER_SPAWNER_JOURNAL = 4 }; // descriptors in the manager process
enum { MANAGER_SPAWNER_LOOP_MAX = 32 };

enum manager_spawner_event {
	MANAGER_SPAWNER_STARTED = 1, // a descriptor comes along
	MANAGER_SPAWNER_ENDED = 2,   // `detail` as from waitpid
	MANAGER_SPAWNER_FAILED = 3,  // `detail`: errno
};
struct manager_spawner_news {
	uint32_t event;
	int32_t detail;
};

struct manager_spawner_options {
	const char *program;         // "/proc/self/exe"
	const char *state_directory;
	unsigned log_level;          // argument of the manager
	int journal;                 // given to each manager
};

// `out`: the socket to it, for the two calls below, which never wait; closing it ends the spawner. Call it with one thread, as the manager's user.
enum err manager_spawner_start(const struct manager_spawner_options *options, int *out) CHECK_RESULT;

// For the relay's end. ERR_AGAIN: nothing there; ERR_CLOSED: the spawner is gone. `descriptor`: the caller's, or -1.
enum err manager_spawner_request(int spawner, const char *loop) CHECK_RESULT;
enum err manager_spawner_receive(int spawner, struct manager_spawner_news *out, int *descriptor) CHECK_RESULT;

#endif
