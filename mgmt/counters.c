// SPDX-License-Identifier: Apache-2.0
#include "mgmt/counters.h"

#include <stddef.h>
#include <sys/mman.h>

const char *counters_name(enum counter counter)
{
	static const char *const names[COUNTER_COUNT] = {
#define COUNTERS_NAME(constant, name) [constant] = name,
		COUNTERS_LIST(COUNTERS_NAME)
#undef COUNTERS_NAME
	};
	return names[counter];
}

struct counters *counters_new(void)
{
	void *page = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return page == MAP_FAILED ? NULL : page;
}
