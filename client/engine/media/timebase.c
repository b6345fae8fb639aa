// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/timebase.h"

#include "client/engine/media/limits.h"

#include <errno.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { AUDIO_NICE = -11 };

static uint64_t read_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * MEDIA_SECOND + (uint64_t)t.tv_nsec;
}

uint64_t timebase_now_ns(void)
{
	return read_ns(CLOCK_MONOTONIC);
}

uint64_t timebase_wall_ns(void)
{
	return read_ns(CLOCK_REALTIME);
}

void timebase_sleep_until_ns(uint64_t when_ns)
{
	struct timespec t = { .tv_sec = (time_t)(when_ns / MEDIA_SECOND), .tv_nsec = (long)(when_ns % MEDIA_SECOND) };
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

uint64_t timebase_from_wall_ns(uint64_t arrival_wall_ns)
{
	uint64_t wall = timebase_wall_ns();
	uint64_t now = timebase_now_ns();
	uint64_t age = wall > arrival_wall_ns ? wall - arrival_wall_ns : 0;
	return age < MEDIA_SECOND && age < now ? now - age : now;
}

void timebase_prefer_thread(void)
{
	// Without the privilege (or a limit that allows it) everything works, only less evenly under load.
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), AUDIO_NICE);
}
