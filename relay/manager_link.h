// The relay's end of its manager process: starts it (again), obeys its orders, reports.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_MANAGER_LINK_H
#define RELAY_MANAGER_LINK_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct relay;
struct manager_link;

enum { MANAGER_LINK_SOCKET = 3, MANAGER_LINK_JOURNAL = 4 }; // descriptors in the manager process
#define MANAGER_LINK_REPORT_NS 10000000000u
#define MANAGER_LINK_CHANGE_NS 1000000000u // at most one report on change in this time

struct manager_link_state {
	bool is_connected, is_synced;
	uint64_t restarts;
};

// Starts `program` as manager at the first tick.
enum err manager_link_open(struct relay *relay, const char *program, struct manager_link **out) CHECK_RESULT;
void manager_link_close(struct manager_link *link);
void manager_link_state(const struct manager_link *link, struct manager_link_state *out);

bool manager_link_owns(const struct manager_link *link, int descriptor);
void manager_link_receive(struct manager_link *link);
void manager_link_reap(struct manager_link *link); // a child has ended
void manager_link_tick(struct manager_link *link, uint64_t now_ns);

#endif
