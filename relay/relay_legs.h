// Which part of the table belongs to which other relay: the twin, for engine U, of the map "relays". Written by the
// control thread, read by all. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_RELAY_LEGS_H
#define RELAY_RELAY_LEGS_H

#include "base/err.h"
#include "kernel-bpf/fanout.h"

#include <netinet/in.h>
#include <stdbool.h>

enum { RELAY_LEGS_MAX = 64 };

struct relay_legs {
	// An entry is never taken out while readers run: its count becomes 0, and the place is used again by the same peer.
	struct {
		struct fanout_relay_key key;
		struct fanout_relay part;
	} leg[RELAY_LEGS_MAX];
	uint32_t count;
};

// Set a peer's part of the table; count 0: none any more. ERR_FULL.
enum err relay_legs_set(struct relay_legs *legs, const struct sockaddr_in6 *peer, const struct fanout_relay *part) CHECK_RESULT;
// Entry of the table for the index in a handle of this peer's; false: nobody's.
bool relay_legs_find(const struct relay_legs *legs, const struct sockaddr_in6 *peer, uint32_t index, uint32_t *entry);

#endif
