// What a member tells the others about itself (docs/protocol.md section 4), before sealing.
// SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_E2EE_ANNOUNCEMENT_H
#define CLIENT_ENGINE_E2EE_ANNOUNCEMENT_H

#include "base/err.h"
#include "client/engine/e2ee/e2ee.h"

#include <stddef.h>
#include <stdint.h>

enum {
	ANNOUNCEMENT_VERSION = 1,
	ANNOUNCEMENT_NAME_MAX = 128,
	ANNOUNCEMENT_MAX_BYTES = 1 + E2EE_RUN_BYTES + 8 + 2 + ANNOUNCEMENT_NAME_MAX,
};

struct announcement {
	uint8_t run[E2EE_RUN_BYTES];
	uint64_t capture_epoch_ns;            // CLOCK_REALTIME at RTP timestamp 0
	char name[ANNOUNCEMENT_NAME_MAX + 1]; // printable UTF-8; empty if the sender's was not
};

// ERR_VERSION for another version, ERR_PARSE for anything malformed.
enum err announcement_parse(const uint8_t *bytes, size_t size, struct announcement *out) CHECK_RESULT;
void announcement_emit(const struct announcement *announcement, uint8_t out[static ANNOUNCEMENT_MAX_BYTES], size_t *size);

#endif
