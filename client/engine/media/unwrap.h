// RTP sequence numbers and timestamps as counters that do not wrap. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_UNWRAP_H
#define CLIENT_ENGINE_MEDIA_UNWRAP_H

#include <stdbool.h>
#include <stdint.h>

// Starts at the first value plus one turn, so that what comes before the first stays positive.
struct unwrap {
	int64_t last;
	bool is_started;
};

// The value as seen from the last one, without moving.
static inline int64_t unwrap_u16_peek(const struct unwrap *u, uint16_t value)
{
	if (!u->is_started)
		return (int64_t)value + 65536;
	return u->last + (int16_t)(uint16_t)(value - (uint16_t)u->last);
}

static inline int64_t unwrap_u32_peek(const struct unwrap *u, uint32_t value)
{
	if (!u->is_started)
		return (int64_t)value;
	return u->last + (int32_t)(value - (uint32_t)u->last);
}

static inline void unwrap_move(struct unwrap *u, int64_t value)
{
	u->last = value;
	u->is_started = true;
}

#endif
