// Proof that a client can be reached at an address, before anything but a challenge is sent there.
//
// A packet with a good tag from a foreign address earns one challenge, to that address and no larger than the
// packet. Its cookie is bound to handle, address and time, so nothing is remembered for those who never
// answer, and no racing copy from elsewhere can displace the true client's challenge. The answer moves the
// flow's address. Messages from foreign addresses are opened with SRTCP contexts of their own: a copy that
// arrives first does not use up the original. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_PATH_CHECK_H
#define RELAY_PATH_CHECK_H

#include "base/hop.h"
#include "relay/loop.h"

#include <stdbool.h>

struct relay;
struct flow;

enum { PATH_CHECK_ADDRESSES = 4, PATH_CHECK_BURST = 32 };
#define PATH_CHECK_PAUSE_NS 50000000u // between challenges to one address
#define PATH_CHECK_COOKIE_NS 5000000000u

struct path_check {
	struct hop probe; // opens what comes from foreign addresses
	struct {
		struct sockaddr_in6 address;
		uint64_t sent_ns;
	} recent[PATH_CHECK_ADDRESSES];
	unsigned next_recent;
	uint64_t second; // in which `sent` challenges were sent
	unsigned sent;
};

enum err path_check_init(struct path_check *check, uint32_t index, uint32_t handle, const struct hop_keys *keys) CHECK_RESULT;
void path_check_fini(struct path_check *check);

// A datagram with a good tag from an address that is not the flow's. Never forwards anything.
void path_check_foreign(struct relay *relay, struct flow *flow, const struct loop_address *from, uint8_t *bytes, size_t size);

#endif
