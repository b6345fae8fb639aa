// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/nack.h"

#include <string.h>

#define RTT_START_NS (60 * MEDIA_MS)
#define REPEAT_MIN_NS (20 * MEDIA_MS)

void nack_init(struct nack *n, const struct nack_policy *policy)
{
	*n = (struct nack){ .policy = *policy, .rtt_ns = RTT_START_NS };
}

static void remove_entry(struct nack *n, size_t at)
{
	memmove(&n->entry[at], &n->entry[at + 1], (n->count - at - 1) * sizeof n->entry[0]);
	n->count--;
}

static enum nack_verdict arrived_behind(struct nack *n, int64_t sequence, uint64_t now_ns)
{
	for (size_t i = 0; i < n->count; i++) {
		struct nack_entry *e = &n->entry[i];
		if (e->sequence != sequence)
			continue;
		bool was_asked = e->tries > 0;
		// After several tries nobody knows which one was answered.
		if (e->tries == 1) {
			int64_t error = (int64_t)(now_ns - e->asked_ns) - (int64_t)n->rtt_ns;
			n->rtt_ns = (uint64_t)((int64_t)n->rtt_ns + error / 8);
		}
		remove_entry(n, i);
		return was_asked ? NACK_RECOVERED : NACK_REORDERED;
	}
	return NACK_REPEATED;
}

enum nack_verdict nack_arrived(struct nack *n, int64_t sequence, uint64_t now_ns)
{
	if (!n->is_started) {
		n->is_started = true;
		n->highest = sequence;
		return NACK_IN_ORDER;
	}
	if (sequence <= n->highest)
		return sequence == n->highest ? NACK_REPEATED : arrived_behind(n, sequence, now_ns);
	int64_t absent = sequence - n->highest - 1;
	if (absent > (int64_t)(LIMIT_MISSING - n->count)) {
		n->count = 0;
		n->highest = sequence;
		return NACK_OVERRUN;
	}
	for (int64_t s = n->highest + 1; s < sequence; s++)
		n->entry[n->count++] = (struct nack_entry){ .sequence = s, .seen_ns = now_ns };
	n->highest = sequence;
	return NACK_IN_ORDER;
}

static bool is_due(const struct nack *n, const struct nack_entry *e, uint64_t now_ns)
{
	if (e->tries == 0)
		return now_ns - e->seen_ns >= n->policy.allowance_ns;
	uint64_t repeat = n->rtt_ns + n->rtt_ns / 4;
	return e->tries < n->policy.tries && now_ns - e->asked_ns >= (repeat > REPEAT_MIN_NS ? repeat : REPEAT_MIN_NS);
}

size_t nack_due(struct nack *n, uint64_t now_ns, uint16_t *out, size_t capacity, int64_t *given_up)
{
	size_t due = 0;
	*given_up = -1;
	for (size_t i = 0; i < n->count;) {
		struct nack_entry *e = &n->entry[i];
		if (now_ns - e->seen_ns >= n->policy.give_up_ns) {
			*given_up = e->sequence;
			remove_entry(n, i);
			continue;
		}
		if (due < capacity && is_due(n, e, now_ns)) {
			e->tries++;
			e->asked_ns = now_ns;
			out[due++] = (uint16_t)e->sequence;
		}
		i++;
	}
	return due;
}

void nack_forget(struct nack *n, int64_t sequence)
{
	size_t gone = 0;
	while (gone < n->count && n->entry[gone].sequence < sequence)
		gone++;
	memmove(&n->entry[0], &n->entry[gone], (n->count - gone) * sizeof n->entry[0]);
	n->count -= gone;
}
