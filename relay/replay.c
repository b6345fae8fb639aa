// SPDX-License-Identifier: Apache-2.0
#include "relay/replay.h"

bool replay_is_fresh(const struct replay *replay, uint32_t counter)
{
	return counter > __atomic_load_n(&replay->slot[counter % REPLAY_SLOTS], __ATOMIC_RELAXED);
}

bool replay_accept(struct replay *replay, uint32_t counter)
{
	uint32_t *slot = &replay->slot[counter % REPLAY_SLOTS];
	uint32_t seen = __atomic_load_n(slot, __ATOMIC_RELAXED);
	do {
		if (counter <= seen)
			return false;
	} while (!__atomic_compare_exchange_n(slot, &seen, counter, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return true;
}
