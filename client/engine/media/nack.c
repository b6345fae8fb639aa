// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/nack.h"

#include <string.h>

#define RTT_START_NS (60 * MEDIA_MS)
#define REPEAT_MIN_NS (20 * MEDIA_MS)
#define REORDER_MAX_NS (100 * MEDIA_MS)
#define REORDER_STEP_NS (2 * MEDIA_MS) // asked too soon: both the late packet and its copy came
enum { REORDER_FADE = 1024 };          // in as many packets the allowance falls to a third

void nack_init(struct nack *n, const struct nack_policy *policy)
{
	*n = (struct nack){ .policy = *policy, .rtt_ns = RTT_START_NS };
}

static void remove_entry(struct nack *n, size_t at)
{
	memmove(&n->entry[at], &n->entry[at + 1], (n->count - at - 1) * sizeof n->entry[0]);
	n->count--;
}

static void note_reordering(struct nack *n, uint64_t late_ns)
{
	if (late_ns > n->reorder_ns)
		n->reorder_ns = late_ns < REORDER_MAX_NS ? late_ns : REORDER_MAX_NS;
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
		if (!was_asked)
			note_reordering(n, now_ns - e->seen_ns);
		remove_entry(n, i);
		return was_asked ? NACK_RECOVERED : NACK_REORDERED;
	}
	return NACK_REPEATED;
}

void nack_repeated(struct nack *n)
{
	note_reordering(n,
			(n->reorder_ns > n->policy.allowance_ns ? n->reorder_ns : n->policy.allowance_ns) + REORDER_STEP_NS);
}

void nack_set_rtt(struct nack *n, uint64_t rtt_ns)
{
	n->rtt_ns = rtt_ns;
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
	n->reorder_ns -= n->reorder_ns / REORDER_FADE;
	return NACK_IN_ORDER;
}

static bool is_due(const struct nack *n, const struct nack_entry *e, uint64_t now_ns)
{
	if (e->tries == 0)
		return now_ns - e->seen_ns >= (n->reorder_ns > n->policy.allowance_ns ? n->reorder_ns : n->policy.allowance_ns);
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
