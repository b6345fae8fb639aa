// Which packets of a stream are missing and worth asking for. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_NACK_H
#define CLIENT_ENGINE_MEDIA_NACK_H

#include "client/engine/media/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nack_policy {
	uint64_t allowance_ns; // how long a packet may merely be out of order
	uint64_t give_up_ns;   // after its absence was seen
	unsigned tries;
};

struct nack_entry {
	int64_t sequence;
	uint64_t seen_ns, asked_ns; // absence noticed; last asked
	unsigned tries;
};

struct nack {
	struct nack_policy policy;
	struct nack_entry entry[LIMIT_MISSING]; // rising sequence
	size_t count;
	int64_t highest; // sequence number that came, unwrapped
	bool is_started;
	uint64_t rtt_ns; // from asking to coming, smoothed
	uint64_t reorder_ns; // how late packets come merely out of order: the allowance is never less
};

enum nack_verdict {
	NACK_IN_ORDER,  // or the first
	NACK_REORDERED, // was missing, never asked for
	NACK_RECOVERED, // came after it was asked for
	NACK_REPEATED,  // not missing: a duplicate, or given up
	NACK_OVERRUN,   // more are missing than can be asked for: the list was emptied
};

void nack_init(struct nack *n, const struct nack_policy *policy);
enum nack_verdict nack_arrived(struct nack *n, int64_t sequence, uint64_t now_ns);
// A duplicate came: perhaps the copy of a packet that was asked for too soon.
void nack_repeated(struct nack *n);
// The numbers to ask for now, lowest 16 bits. Those given up are removed: `*given_up` is the highest one, -1 without.
size_t nack_due(struct nack *n, uint64_t now_ns, uint16_t *out, size_t capacity, int64_t *given_up);
// The way to the sender and back as another stream of the same sender has measured it.
void nack_set_rtt(struct nack *n, uint64_t rtt_ns);
// Nothing before `sequence` is needed any more.
void nack_forget(struct nack *n, int64_t sequence);

#endif
