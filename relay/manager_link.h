// The relay's end of its manager process: has it started (again) by the spawner, obeys its orders, reports.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_MANAGER_LINK_H
#define RELAY_MANAGER_LINK_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct relay;
struct manager_link;

#define MANAGER_LINK_REPORT_NS 10000000000u
#define MANAGER_LINK_CHANGE_NS 1000000000u // at most one report on change in this time

struct manager_link_state {
	bool is_running; // there is a manager process
	bool is_connected, is_synced;
	uint64_t restarts;
};

// Takes the socket of manager_spawner_start, also on failure. The manager is started at the first tick.
enum err manager_link_open(struct relay *relay, int spawner, struct manager_link **out) CHECK_RESULT;
// Returns when both processes are gone, or after a second.
void manager_link_close(struct manager_link *link);
void manager_link_state(const struct manager_link *link, struct manager_link_state *out);

bool manager_link_owns(const struct manager_link *link, int descriptor);
void manager_link_receive(struct manager_link *link);
void manager_link_tick(struct manager_link *link, uint64_t now_ns);

#endif
