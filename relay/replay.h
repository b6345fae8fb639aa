// Replay window of one handle: 1,024 slots; a counter is accepted if a compare-and-swap raises the slot
// counter mod 1024. So no lock is needed, and the kernel's fast path can use the same slots.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_REPLAY_H
#define RELAY_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

enum { REPLAY_SLOTS = 1024 };

// All zeros at first; counter 0 is never accepted.
struct replay {
	uint32_t slot[REPLAY_SLOTS];
};

// Check only: what a packet from an unproven address may do.
bool replay_is_fresh(const struct replay *replay, uint32_t counter);
// Check and take; false if it was seen before or is older than what holds its slot.
bool replay_accept(struct replay *replay, uint32_t counter);

#endif
