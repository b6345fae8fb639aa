// Has everyone let go? Rounds of grace: a round that began after something was replaced, and is over, says that neither
// the kernel's programs nor a media thread can still look at it. Never waits: a round ends while the writer does other
// things. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_TABLE_GRACE_H
#define RELAY_TABLE_GRACE_H

#include "relay/table.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

// `seen`: the round that this thread has noticed at a moment when it held nothing; OFFLINE: it holds nothing until it
// says so.
struct table_reader {
	_Alignas(64) _Atomic uint64_t seen;
	struct table_grace *grace;
};

struct table_grace {
	_Atomic uint64_t round; // the latest that has begun
	_Atomic uint32_t readers;
	struct table_reader reader[TABLE_READERS];

	// The thread that waits for the kernel: an update of an array of maps returns when all programs that ran have ended.
	// It is started when it is first needed, so that a relay with a table can still be confined as a process of one thread.
	bool has_programs, has_thread;
	int map, inner;
	pthread_t thread;
	sem_t wanted;
	_Atomic uint64_t kernel_round; // the latest that the kernel has let pass
	_Atomic bool is_stopping;
};

// ERR_NOMEM.
enum err table_grace_init(struct table_grace *grace, const struct table_memory *memory) CHECK_RESULT;
void table_grace_fini(struct table_grace *grace);
// Begin the next round. The one before must be over.
void table_grace_begin(struct table_grace *grace);
bool table_grace_is_over(struct table_grace *grace);

#endif
