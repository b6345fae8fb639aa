// The two clocks of the engine, in nanoseconds. Only threads read them: everything that decides takes `now`
// as an argument, so that tests run in their own time. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_TIMEBASE_H
#define CLIENT_ENGINE_MEDIA_TIMEBASE_H

#include <stdint.h>

uint64_t timebase_now_ns(void);  // CLOCK_MONOTONIC: all scheduling
uint64_t timebase_wall_ns(void); // CLOCK_REALTIME: what is told to others and to people
void timebase_sleep_until_ns(uint64_t when_ns); // on the monotonic clock

// An arrival stamped with CLOCK_REALTIME on the monotonic clock. A stamp from the future or older than a
// second (the wall clock was set) counts as now.
uint64_t timebase_from_wall_ns(uint64_t arrival_wall_ns);

// Let this thread go before others of the process where the system permits it: sound does not wait.
void timebase_prefer_thread(void);

#endif
