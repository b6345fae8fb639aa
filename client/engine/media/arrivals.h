// The packets of one stream as they arrive: duplicates, absurd numbers, what to ask for, counts.
// SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_ARRIVALS_H
#define CLIENT_ENGINE_MEDIA_ARRIVALS_H

#include "client/engine/media/nack.h"
#include "client/engine/media/tally.h"
#include "client/engine/media/unwrap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ARRIVALS_WINDOW = 2048, ARRIVALS_JUMP = 1000, ARRIVALS_BELIEVE = 3 };

struct arrivals {
	struct tally *tally; // borrowed
	struct nack nack;
	struct unwrap sequence;
	int64_t first, highest;        // of the run of numbers; a believed jump starts a new one
	uint64_t run_packets;
	int64_t seen[ARRIVALS_WINDOW]; // number, by number mod window
	uint16_t jump_next;            // number that would confirm a jump
	unsigned jump_count;

	uint64_t packets, bytes, recovered, lost_before; // over all runs; lost_before: in runs that are over
	uint64_t first_ns, last_ns;
};

enum arrivals_verdict { ARRIVALS_DROP, ARRIVALS_USE, ARRIVALS_RESTART }; // RESTART: use, and forget all before

struct arrivals_packet {
	int64_t number; // unwrapped sequence number
	enum nack_verdict order;
};

void arrivals_init(struct arrivals *a, const struct nack_policy *policy, struct tally *tally);
enum arrivals_verdict arrivals_accept(struct arrivals *a, uint16_t sequence, size_t size, uint64_t now_ns,
		struct arrivals_packet *out);
// Never came, without those that are still asked for.
uint64_t arrivals_lost(const struct arrivals *a);
double arrivals_bitrate(const struct arrivals *a);

#endif
