// SPDX-License-Identifier: Apache-2.0
#include "relay/relay_stats.h"

#define ROW(name, text) { #name, text },
static const struct {
	const char *name, *text;
} rows[] = { RELAY_STATS_DROPS(ROW) RELAY_STATS_COUNTS(ROW) };
static const struct {
	const char *name, *text;
} fanout_rows[] = { FANOUT_DROPS(ROW) FANOUT_UPS(ROW) FANOUT_COUNTS(ROW) };
#undef ROW
_Static_assert(sizeof(fanout_rows) / sizeof(fanout_rows[0]) == FANOUT_COUNTERS, "a row for each counter");
_Static_assert(sizeof(rows) / sizeof(rows[0]) == STATS_COUNTERS, "a row for each counter");

const char *relay_stats_name(enum relay_stats_counter counter) { return rows[counter].name; }
const char *relay_stats_text(enum relay_stats_counter counter) { return rows[counter].text; }
const char *relay_stats_fanout_name(enum fanout_counter counter) { return fanout_rows[counter].name; }
const char *relay_stats_fanout_text(enum fanout_counter counter) { return fanout_rows[counter].text; }

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

void relay_stats_sum(struct relay_stats *stats, const struct relay_stats *other)
{
	for (size_t i = 0; i < STATS_COUNTERS; i++)
		stats->counter[i] += __atomic_load_n(&other->counter[i], __ATOMIC_RELAXED);
	for (size_t i = 0; i < RELAY_STATS_BUCKETS; i++) {
		uint64_t count = __atomic_load_n(&other->latency[i], __ATOMIC_RELAXED);
		stats->latency[i] += count;
		stats->latency_count += count; // of what was added, so that percentiles fit
	}
	uint64_t max_ns = __atomic_load_n(&other->latency_max_ns, __ATOMIC_RELAXED);
	if (max_ns > stats->latency_max_ns)
		stats->latency_max_ns = max_ns;
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
