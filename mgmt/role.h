// The processes that make up tmms, and what a role may count on when its function is called.
// SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_ROLE_H
#define MGMT_ROLE_H

#include "base/err.h"
#include "mgmt/config.h"
#include "mgmt/confine.h"
#include "mgmt/counters.h"

#include <stdbool.h>
#include <sys/types.h>

// In the order in which they start; they stop in the reverse one.
enum role { ROLE_STORE, ROLE_AUTH, ROLE_HTTP, ROLE_FRONT, ROLE_COUNT };

struct role_context {
	enum role role;
	const struct config *config;
	struct counters *counters;
	int control;           // to the supervisor
	int peer[ROLE_COUNT];  // channels to other roles, -1: none now
	pid_t pid[ROLE_COUNT]; // 0: not known
	pid_t supervisor;
	uint64_t started_ms;   // monotonic, of the supervisor
};

const char *role_name(enum role role);
// True if there is a channel between the two.
bool role_is_peer(enum role a, enum role b);

// Run the role of this process; returns its exit status.
int role_run(struct role_context *context);

// Create a directory of the service if it is missing, owned by the configured user; said in the log if not possible.
enum err role_directory(const struct role_context *context, const char *path, mode_t mode) CHECK_RESULT;
// Drop to the configured user, no new privileges, no core dumps, no new sockets, no files but these, all
// descriptors that the limit allows. To be called after what needs privileges and before the first request.
enum err role_confine(const struct role_context *context, const struct confine_path *paths, size_t count) CHECK_RESULT;
// Tell the supervisor that requests can come.
enum err role_ready(const struct role_context *context) CHECK_RESULT;
// Read one note of the supervisor: a new channel to `changed` stands in context->peer, the old one is closed.
// ERR_AGAIN: none; ERR_CLOSED: the role shall end.
enum err role_note(struct role_context *context, enum role *changed) CHECK_RESULT;

// Numeric ids of the configured user, without one those of this process; of a group, (gid_t)-1 for "".
enum err role_user(const struct config *config, uid_t *uid, gid_t *gid) CHECK_RESULT;
enum err role_group(const char *name, gid_t *gid) CHECK_RESULT;

// The supervisor's side of role_note and role_ready.
enum err role_send_channel(int control, enum role peer, pid_t pid, int fd) CHECK_RESULT;
enum err role_receive_ready(int control) CHECK_RESULT;

#endif
