// How late packets come: the delay that a jitter buffer should keep so that nearly all are there in time.
// After NetEQ's delay manager: a histogram, which forgets, of how much later than the fastest one of the last
// seconds each packet came. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_DELAY_H
#define CLIENT_ENGINE_MEDIA_DELAY_H

#include <stdbool.h>
#include <stdint.h>

enum { DELAY_BUCKETS = 120, DELAY_BUCKET_MS = 5, DELAY_WINDOW_SECONDS = 10 };

struct delay {
	double part;              // of the packets that shall be in time, 0..1
	int64_t least_ns;         // smallest target
	double share[DELAY_BUCKETS];
	double sum;
	// Smallest transit (arrival minus media time) of each of the last seconds.
	int64_t transit[DELAY_WINDOW_SECONDS];
	uint64_t second[DELAY_WINDOW_SECONDS]; // which second it is of, plus one
	uint64_t fell_ns; // arrival at which the base became much smaller, or known at all
	uint64_t updates;
};

// Until packets have told better they count as up to `start_ns` late.
void delay_init(struct delay *d, double part, int64_t least_ns, int64_t start_ns);
// `media_ns`: the packet's time on the sender's capture clock.
void delay_update(struct delay *d, uint64_t arrival_ns, int64_t media_ns);
// Arrival minus media time of the fastest packet in the window; only after an update.
int64_t delay_base_ns(const struct delay *d);
// False: no packet came yet, or they still come faster and faster: those that waited somewhere, one after the other.
bool delay_is_settled(const struct delay *d, uint64_t now_ns);
// To be added to the base: part `part` of the packets then is in time.
int64_t delay_target_ns(const struct delay *d);
// The same for another part, without the smallest target.
int64_t delay_part_ns(const struct delay *d, double part);

#endif
