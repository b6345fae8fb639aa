// SPDX-License-Identifier: Apache-2.0
#include "client/engine/pins.h"

#include <stdio.h>
#include <string.h>

void pins_mismatch(const char *server, const struct token_pins *expected, const uint8_t seen[static TOKEN_PIN_BYTES],
		   char *out, size_t size)
{
	char text[TEXT_BASE64_SIZE(TOKEN_PIN_BYTES)];
	text_base64_emit(seen, TOKEN_PIN_BYTES, text);
	snprintf(out, size, "%.100s shows the key %s, but pinned is ", server, text);
	for (size_t i = 0; i < expected->count; i++) {
		size_t used = strlen(out);
		text_base64_emit(expected->pin[i], TOKEN_PIN_BYTES, text);
		snprintf(out + used, size - used, "%s%s", i ? " or " : "", text);
	}
}
