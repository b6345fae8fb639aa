// What the files of the front role share. SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_FRONT_H
#define MGMT_FRONT_H

#include "base/err.h"
#include "base/tls_conn.h"
#include "mgmt/peer.h"
#include "mgmt/role.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Something in the epoll set. Freed things must not be touched by events of the same round: front_later_free().
struct front_watch {
	void (*on_event)(struct front_watch *watch, uint32_t events);
	int fd;
	uint32_t registered; // 0: not in the set
};

// A TLS context and how many use it, since certificates are renewed while connections live.
struct front_tls {
	struct tls_context *context;
	size_t users;
};

struct front_conn;
struct front_listener;

struct front {
	struct role_context *context;
	int epoll;
	int spare; // given up for a moment when descriptors run out
	struct front_tls *tls;
	int64_t certificate_changed; // time of the file that `tls` was made from, ns
	char pki[CONFIG_PATH_MAX];
	struct front_conn *conns, *dead;
	size_t conn_count;
	struct front_listener *listeners;
	struct front_watch control;
	bool is_over;
	uid_t uid;
	gid_t group, mux_group;
};

// `events` of epoll; 0 takes it out of the set.
void front_watch_set(struct front *front, struct front_watch *watch, uint32_t events);

// front_tls.c
enum err front_tls_load(struct front *front) CHECK_RESULT; // also when nothing changed: then it does nothing
void front_tls_release(struct front_tls *tls);

// front_listen.c: opens what the configuration names, before privileges are dropped; then accepts.
enum err front_listen_open(struct front *front) CHECK_RESULT;
enum err front_listen_start(struct front *front) CHECK_RESULT;
void front_listen_close(struct front *front);

// front_conn.c
void front_conn_new(struct front *front, int fd); // takes the descriptor
void front_conn_sweep(struct front *front, uint64_t now_ms); // timeouts, freed memory
void front_conn_close_all(struct front *front);

// front_trust.c
// Is the process at the other end of a UNIX socket root, our own user, or in `group` ((gid_t)-1: none)?
bool front_trust_peer(const struct front *front, int fd, gid_t group);

#endif
