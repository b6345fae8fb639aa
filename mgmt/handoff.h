// What front tells http with each connection that it passes on. SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_HANDOFF_H
#define MGMT_HANDOFF_H

#include "base/err.h"
#include "base/token.h"

#include <stddef.h>
#include <stdint.h>

#define HANDOFF_CHANNEL_EXPORTER "EXPORTER-huisclos-channel-v1"
enum { HANDOFF_CHANNEL_BYTES = 32, HANDOFF_ADDRESS_MAX = 63, HANDOFF_BYTES_MAX = 256 };

enum handoff_kind {
	HANDOFF_NOBODY,      // TLS without a client certificate
	HANDOFF_CERTIFICATE, // device or relay: which, and whether it still may, store knows
	HANDOFF_ADMIN,       // the control socket
	HANDOFF_LAST = HANDOFF_ADMIN
};

struct handoff {
	uint8_t kind;
	uint8_t pin[TOKEN_PIN_BYTES];           // of the client certificate, else zero
	uint8_t channel[HANDOFF_CHANNEL_BYTES]; // exporter value of the TLS connection, else zero
	char address[HANDOFF_ADDRESS_MAX + 1];  // for the log
};

enum err handoff_emit(const struct handoff *handoff, uint8_t bytes[static HANDOFF_BYTES_MAX], size_t *size) CHECK_RESULT;
enum err handoff_parse(const uint8_t *bytes, size_t size, struct handoff *out) CHECK_RESULT;

#endif
