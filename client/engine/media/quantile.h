// Percentiles of latencies: a histogram of milliseconds with constant memory. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_QUANTILE_H
#define CLIENT_ENGINE_MEDIA_QUANTILE_H

#include <stdint.h>

enum { QUANTILE_BUCKETS = 4000, QUANTILE_PER_MS = 2 }; // half milliseconds up to 2 s; longer ones count as 2 s

struct quantile {
	uint32_t count[QUANTILE_BUCKETS];
	uint64_t total;
};

void quantile_add(struct quantile *q, int64_t value_ns); // below 0 counts as 0
double quantile_ms(const struct quantile *q, double part); // part 0..1; 0 when empty

#endif
