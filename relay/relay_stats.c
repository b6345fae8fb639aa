// SPDX-License-Identifier: Apache-2.0
#include "relay/relay_stats.h"

#define ROW(name, text) { #name, text },
static const struct {
	const char *name, *text;
} rows[] = { RELAY_STATS_DROPS(ROW) RELAY_STATS_COUNTS(ROW) };
#undef ROW
_Static_assert(sizeof(rows) / sizeof(rows[0]) == STATS_COUNTERS, "a row for each counter");

const char *relay_stats_name(enum relay_stats_counter counter) { return rows[counter].name; }
const char *relay_stats_text(enum relay_stats_counter counter) { return rows[counter].text; }

enum { STEPS = 1 << RELAY_STATS_STEP_BITS };

static unsigned bucket_of(uint64_t ns)
{
	if (ns < STEPS)
		return (unsigned)ns;
	unsigned octave = 63 - (unsigned)__builtin_clzll(ns);
	unsigned step = (unsigned)(ns >> (octave - RELAY_STATS_STEP_BITS)) & (STEPS - 1);
	unsigned bucket = ((octave - RELAY_STATS_STEP_BITS + 1) << RELAY_STATS_STEP_BITS) + step;
	return bucket < RELAY_STATS_BUCKETS ? bucket : RELAY_STATS_BUCKETS - 1;
}

static uint64_t bucket_end(unsigned bucket)
{
	if (bucket < STEPS)
		return bucket;
	unsigned shift = (bucket >> RELAY_STATS_STEP_BITS) - 1;
	return ((uint64_t)(STEPS + (bucket & (STEPS - 1)) + 1) << shift) - 1;
}

void relay_stats_latency(struct relay_stats *stats, uint64_t ns, uint64_t count)
{
	stats->latency[bucket_of(ns)] += count;
	stats->latency_count += count;
	if (ns > stats->latency_max_ns)
		stats->latency_max_ns = ns;
}

uint64_t relay_stats_percentile_ns(const struct relay_stats *stats, unsigned per_mille)
{
	uint64_t seen = 0, wanted = (stats->latency_count * per_mille + 999) / 1000;
	for (unsigned bucket = 0; bucket < RELAY_STATS_BUCKETS && wanted > 0; bucket++) {
		seen += stats->latency[bucket];
		if (seen >= wanted)
			return bucket_end(bucket) < stats->latency_max_ns ? bucket_end(bucket) : stats->latency_max_ns;
	}
	return 0;
}
