// What is said when a server shows a key that is not pinned. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_PINS_H
#define CLIENT_ENGINE_PINS_H

#include "base/token.h"

// One line that names the server, the key it showed and the keys that were expected.
void pins_mismatch(const char *server, const struct token_pins *expected, const uint8_t seen[static TOKEN_PIN_BYTES],
		   char *out, size_t size);

#endif
