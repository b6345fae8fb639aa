// SPDX-License-Identifier: Apache-2.0
#include "client/engine/session_counters.h"

const char *session_counters_name(enum counter counter)
{
	static const char *const names[COUNTER_COUNT] = {
#define COUNTER_NAME(name) [COUNTER_##name] = #name,
		COUNTERS(COUNTER_NAME)
#undef COUNTER_NAME
	};
	return (unsigned)counter < COUNTER_COUNT ? names[counter] : "unknown";
}
