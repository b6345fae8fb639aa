// The JSON files of a home. SPDX-License-Identifier: Apache-2.0
#include "client/engine/identity.h"
#include "client/engine/meetings.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct identity identity;
	struct meetings meetings;
	if (identity_parse((const char *)bytes, size, &identity) == ERR_OK &&
	    (identity.server_pins.count == 0 || identity.server_pins.count > TOKEN_PINS_MAX || identity.port == 0))
		abort();
	if (meetings_parse((const char *)bytes, size, &meetings) == ERR_OK) {
		(void)meetings_find(&meetings, &identity.user);
		meetings_fini(&meetings);
	}
	return 0;
}
