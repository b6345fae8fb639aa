// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/tally.h"

static const char *const names[TALLY_REASONS] = {
#define TALLY_NAME(name, text) [TALLY_##name] = text,
	TALLY_LIST(TALLY_NAME)
#undef TALLY_NAME
};

const char *tally_name(enum tally_reason reason)
{
	return names[reason];
}
