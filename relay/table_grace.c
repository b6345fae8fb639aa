// SPDX-License-Identifier: Apache-2.0
#include "relay/table_grace.h"

#include "base/log.h"
#include "relay/bpf_map.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define OFFLINE UINT64_MAX

enum { RETRY_NS = 100000000 };

// ---------------------------------------------------------------- the kernel's programs

// Until the next round is wanted, at most so long.
static void pause_thread(struct table_grace *grace)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += RETRY_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	(void)sem_clockwait(&grace->wanted, CLOCK_MONOTONIC, &until);
}

// Without the kernel's word nothing is used again; the table then runs full, and says so to its callers.
// False: the thread is to end.
static bool wait_for_programs(struct table_grace *grace)
{
	uint32_t zero = 0, inner = (uint32_t)grace->inner;
	for (bool is_told = false; bpf_map_update(grace->map, &zero, &inner); is_told = true) {
		if (!is_told)
			log_line(LOG_ERROR, "forwarding table: the kernel grants no grace period: %s", strerror(errno));
		if (atomic_load(&grace->is_stopping))
			return false;
		pause_thread(grace);
	}
	return true;
}

static void *run_thread(void *argument)
{
	struct table_grace *grace = argument;
	while (!atomic_load(&grace->is_stopping)) {
		if (sem_wait(&grace->wanted) != 0)
			continue;
		uint64_t round = atomic_load(&grace->round);
		if (round == atomic_load(&grace->kernel_round))
			continue;
		if (wait_for_programs(grace))
			atomic_store(&grace->kernel_round, round);
	}
	return NULL;
}

// Signals are the control thread's. Without memory for the thread it is tried again; until then nothing is used again.
static void start_thread(struct table_grace *grace)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	grace->has_thread = pthread_create(&grace->thread, NULL, run_thread, grace) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

enum err table_grace_init(struct table_grace *grace, const struct table_memory *memory)
{
	atomic_init(&grace->round, 1);
	atomic_init(&grace->kernel_round, 1);
	atomic_init(&grace->readers, 0);
	atomic_init(&grace->is_stopping, false);
	grace->has_thread = false;
	grace->has_programs = memory->has_programs;
	if (!grace->has_programs)
		return ERR_OK;
	grace->map = memory->map[LOADER_MAP_GRACE];
	grace->inner = memory->map[LOADER_MAP_GRACE_INNER];
	return sem_init(&grace->wanted, 0, 0) == 0 ? ERR_OK : ERR_NOMEM;
}

void table_grace_fini(struct table_grace *grace)
{
	if (!grace->has_programs)
		return;
	atomic_store(&grace->is_stopping, true);
	sem_post(&grace->wanted);
	if (grace->has_thread)
		pthread_join(grace->thread, NULL);
	sem_destroy(&grace->wanted);
}

void table_grace_begin(struct table_grace *grace)
{
	// What was published before this must be seen by every reader that we are going to find offline or up to date.
	atomic_thread_fence(memory_order_seq_cst);
	atomic_fetch_add(&grace->round, 1);
	if (!grace->has_programs)
		return;
	if (!grace->has_thread)
		start_thread(grace);
	sem_post(&grace->wanted);
}

bool table_grace_is_over(struct table_grace *grace)
{
	uint64_t round = atomic_load_explicit(&grace->round, memory_order_relaxed);
	if (grace->has_programs && atomic_load(&grace->kernel_round) < round) {
		if (!grace->has_thread)
			start_thread(grace);
		return false;
	}
	uint32_t readers = atomic_load(&grace->readers);
	for (uint32_t i = 0; i < readers; i++) {
		if (atomic_load_explicit(&grace->reader[i].seen, memory_order_acquire) < round)
			return false;
	}
	return true;
}

// ---------------------------------------------------------------- readers

void table_reader_quiet(struct table_reader *reader)
{
	uint64_t round = atomic_load_explicit(&reader->grace->round, memory_order_acquire);
	if (atomic_load_explicit(&reader->seen, memory_order_relaxed) != round)
		atomic_store_explicit(&reader->seen, round, memory_order_release);
}

void table_reader_offline(struct table_reader *reader)
{
	atomic_store_explicit(&reader->seen, OFFLINE, memory_order_release);
}

void table_reader_online(struct table_reader *reader)
{
	atomic_store_explicit(&reader->seen, atomic_load_explicit(&reader->grace->round, memory_order_acquire), memory_order_relaxed);
	// Nothing of the table may be read before the writer can see this.
	atomic_thread_fence(memory_order_seq_cst);
}
