// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/quantile.h"

#include "client/engine/media/limits.h"

void quantile_add(struct quantile *q, int64_t value_ns)
{
	int64_t bucket = value_ns < 0 ? 0 : value_ns * QUANTILE_PER_MS / (int64_t)MEDIA_MS;
	q->count[bucket < QUANTILE_BUCKETS ? bucket : QUANTILE_BUCKETS - 1]++;
	q->total++;
}

double quantile_ms(const struct quantile *q, double part)
{
	uint64_t rank = (uint64_t)(part * (double)q->total), below = 0;
	if (q->total == 0)
		return 0;
	for (int i = 0; i < QUANTILE_BUCKETS; i++) {
		below += q->count[i];
		if (below > rank)
			return (i + 0.5) / QUANTILE_PER_MS;
	}
	return (double)QUANTILE_BUCKETS / QUANTILE_PER_MS;
}
