// SPDX-License-Identifier: Apache-2.0
#include "tests/net/impair_decide.h"

#include <math.h>

// Draws of one packet. All are made for each packet, whatever the link does, so that switching one impairment
// on leaves the decisions of the others as they were.
enum draw { DRAW_LOSS, DRAW_GE_STATE, DRAW_GE_LOSS, DRAW_DUPLICATE, DRAW_REORDER, DRAW_JITTER, DRAW_JITTER_2, DRAWS = 16 };

const char *impair_verdict_text(enum impair_verdict verdict)
{
	static const char *const text[IMPAIR_VERDICTS] = {
		[IMPAIR_PASS] = "pass",
		[IMPAIR_LOST] = "lost",
		[IMPAIR_BURST_LOST] = "burst_lost",
		[IMPAIR_QUEUE_FULL] = "queue_full",
		[IMPAIR_TOO_BIG] = "too_big",
		[IMPAIR_UDP_BLOCKED] = "udp_blocked",
		[IMPAIR_BLACKHOLED] = "blackholed",
		[IMPAIR_STALE_BINDING] = "stale_binding",
		[IMPAIR_UNTRANSLATED] = "untranslated",
		[IMPAIR_MALFORMED] = "malformed",
		[IMPAIR_UNWRITABLE] = "unwritable",
	};
	return verdict < IMPAIR_VERDICTS ? text[verdict] : "unknown";
}

// SplitMix64's finalizer (Steele, Lea and Flood).
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

// Uniform in [0, 1).
static double draw(const struct impair_decide *decide, enum draw which)
{
	return (double)(mix(decide->key + mix(decide->ordinal * DRAWS + which)) >> 11) * 0x1p-53;
}

void impair_decide_init(struct impair_decide *decide, const struct impair_link *link, uint64_t seed, enum impair_direction direction)
{
	*decide = (struct impair_decide){ .link = *link, .key = mix(mix(seed) + direction) };
}

// netem's order: the state changes first, the loss is that of the state it had.
static bool is_lost_in_burst(struct impair_decide *decide)
{
	const struct impair_link *link = &decide->link;
	bool was_bad = decide->is_bad;
	if (draw(decide, DRAW_GE_STATE) < (was_bad ? link->bad_to_good : link->good_to_bad))
		decide->is_bad = !was_bad;
	return draw(decide, DRAW_GE_LOSS) < (was_bad ? link->loss_in_bad : link->loss_in_good);
}

static uint64_t jittered_delay_ns(const struct impair_decide *decide)
{
	const struct impair_link *link = &decide->link;
	double u = draw(decide, DRAW_JITTER), v = draw(decide, DRAW_JITTER_2), deviation = 0;
	switch (link->distribution) {
	case IMPAIR_UNIFORM:
		deviation = 2 * u - 1;
		break;
	case IMPAIR_NORMAL: // Box-Muller
		deviation = sqrt(-2 * log(1 - u)) * cos(2 * M_PI * v);
		break;
	case IMPAIR_PARETO: // shape 3: mean 3/2, standard deviation sqrt(3)/2
		deviation = (pow(1 - u, -1.0 / 3) - 1.5) / (sqrt(3) / 2);
		break;
	}
	double delay_ns = (double)link->delay_ns + deviation * (double)link->jitter_ns;
	return delay_ns > 0 ? (uint64_t)delay_ns : 0;
}

// When the packet has left the bottleneck; false if the queue before it is full.
static bool queue(struct impair_decide *decide, size_t size, uint64_t now_ns, uint64_t *sent_ns)
{
	const struct impair_link *link = &decide->link;
	*sent_ns = now_ns;
	if (!link->rate_bps)
		return true;
	if (decide->busy_until_ns < now_ns)
		decide->busy_until_ns = now_ns;
	double waiting_bytes = (double)(decide->busy_until_ns - now_ns) * (double)link->rate_bps / 8e9;
	if (waiting_bytes > (double)link->queue_bytes)
		return false;
	decide->busy_until_ns += (uint64_t)((double)size * 8e9 / (double)link->rate_bps);
	*sent_ns = decide->busy_until_ns;
	return true;
}

static struct impair_decision decide_one(struct impair_decide *decide, size_t size, uint64_t now_ns)
{
	const struct impair_link *link = &decide->link;
	struct impair_decision out = { .verdict = IMPAIR_PASS };
	// The Markov chain moves with every packet, also with those that something else drops.
	bool in_burst = is_lost_in_burst(decide);
	if (link->mtu && size > link->mtu) {
		out.verdict = IMPAIR_TOO_BIG;
		return out;
	}
	if (draw(decide, DRAW_LOSS) < link->loss || in_burst) {
		out.verdict = in_burst ? IMPAIR_BURST_LOST : IMPAIR_LOST;
		return out;
	}
	uint64_t sent_ns;
	if (!queue(decide, size, now_ns, &sent_ns)) {
		out.verdict = IMPAIR_QUEUE_FULL;
		return out;
	}
	out.is_reordered = draw(decide, DRAW_REORDER) < link->reorder;
	out.is_duplicated = draw(decide, DRAW_DUPLICATE) < link->duplicate;
	uint64_t delay_ns = jittered_delay_ns(decide);
	out.due_ns = sent_ns + (out.is_reordered ? 0 : delay_ns);
	out.duplicate_due_ns = sent_ns + delay_ns;
	return out;
}

struct impair_decision impair_decide_next(struct impair_decide *decide, size_t size, uint64_t now_ns)
{
	struct impair_decision out = decide_one(decide, size, now_ns);
	decide->ordinal++;
	return out;
}
