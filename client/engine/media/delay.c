// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/delay.h"

#include "client/engine/media/limits.h"

#include <string.h>

// A new packet weighs 1; what is older fades by this much with each: half is forgotten after some 350 packets.
static const double forget = 0.998;
// The start value weighs as much as this many packets: one stall of a machine that is busy joining moves nothing.
static const double start_weight = 60;
// The next packet may be a little later than those seen.
#define MARGIN_NS (5 * (int64_t)MEDIA_MS)
#define SETTLE_NS (20 * MEDIA_MS)

static int bucket_of(int64_t late_ns)
{
	int64_t bucket = late_ns / (DELAY_BUCKET_MS * (int64_t)MEDIA_MS);
	return bucket < 0 ? 0 : bucket >= DELAY_BUCKETS ? DELAY_BUCKETS - 1 : (int)bucket;
}

void delay_init(struct delay *d, double part, int64_t least_ns, int64_t start_ns)
{
	*d = (struct delay){ .part = part, .least_ns = least_ns };
	d->share[bucket_of(start_ns - 1)] = start_weight;
	d->sum = start_weight;
}

int64_t delay_base_ns(const struct delay *d)
{
	int64_t base = INT64_MAX;
	for (int i = 0; i < DELAY_WINDOW_SECONDS; i++)
		if (d->second[i] && d->transit[i] < base)
			base = d->transit[i];
	return base;
}

static void update_base(struct delay *d, uint64_t arrival_ns, int64_t transit)
{
	uint64_t second = arrival_ns / MEDIA_SECOND + 1;
	int slot = (int)(second % DELAY_WINDOW_SECONDS);
	for (int i = 0; i < DELAY_WINDOW_SECONDS; i++)
		if (d->second[i] && d->second[i] + DELAY_WINDOW_SECONDS <= second)
			d->second[i] = 0;
	if (d->second[slot] != second || transit < d->transit[slot])
		d->transit[slot] = transit;
	d->second[slot] = second;
}

void delay_update(struct delay *d, uint64_t arrival_ns, int64_t media_ns)
{
	int64_t transit = (int64_t)arrival_ns - media_ns;
	if (transit < delay_base_ns(d) - DELAY_BUCKET_MS * (int64_t)MEDIA_MS)
		d->fell_ns = arrival_ns;
	update_base(d, arrival_ns, transit);
	for (int i = 0; i < DELAY_BUCKETS; i++)
		d->share[i] *= forget;
	d->share[bucket_of(transit - delay_base_ns(d))] += 1;
	d->sum = d->sum * forget + 1;
	d->updates++;
}

bool delay_is_settled(const struct delay *d, uint64_t now_ns)
{
	return d->updates > 0 && now_ns >= d->fell_ns + SETTLE_NS;
}

int64_t delay_part_ns(const struct delay *d, double part)
{
	double wanted = part * d->sum, below = 0;
	int bucket = 0;
	for (; bucket < DELAY_BUCKETS - 1; bucket++) {
		below += d->share[bucket];
		if (below >= wanted)
			break;
	}
	return (bucket + 1) * DELAY_BUCKET_MS * (int64_t)MEDIA_MS + MARGIN_NS;
}

int64_t delay_target_ns(const struct delay *d)
{
	int64_t target = delay_part_ns(d, d->part);
	return target > d->least_ns ? target : d->least_ns;
}
