// Connecting to the first of several addresses that answers (RFC 8305): a new attempt every 250 ms, or at
// once when one fails. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_TRANSPORT_DIAL_H
#define CLIENT_ENGINE_TRANSPORT_DIAL_H

#include "base/err.h"
#include "client/engine/transport/resolve.h"

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

enum { DIAL_ATTEMPT_DELAY_MS = 250 };

struct dial {
	struct resolve_answer addresses;
	size_t next;
	uint64_t next_attempt_ms;
	int sockets[RESOLVE_ADDRESSES_MAX]; // -1: not tried or failed
	int problem;                        // errno of the last failure
};

void dial_init(struct dial *dial, const struct resolve_answer *addresses);
void dial_fini(struct dial *dial);

// Descriptors to wait for; returns how many (at most RESOLVE_ADDRESSES_MAX).
size_t dial_poll(const struct dial *dial, struct pollfd *out);
// Milliseconds until the next attempt, -1: none is left.
int dial_timeout_ms(const struct dial *dial, uint64_t now_ms);
// ERR_AGAIN while it goes on; ERR_OK with a connected, non-blocking socket that is the caller's; ERR_IO when
// all failed, with errno in dial->problem.
enum err dial_step(struct dial *dial, uint64_t now_ms, int *out) CHECK_RESULT;

#endif
