// Control messages: what parses is emitted as the same bytes. SPDX-License-Identifier: Apache-2.0
#include "base/control.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t again[CONTROL_FRAME_MAX];
	struct control_message message;
	size_t again_size;
	if (size > CONTROL_FRAME_MAX || control_parse(data, size, &message))
		return 0;
	if (control_emit(&message, again, sizeof(again), &again_size) || again_size != size || memcmp(again, data, size) != 0)
		abort();
	return 0;
}
