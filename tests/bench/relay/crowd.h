// The crowd as its commands see it. SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_BENCH_RELAY_CROWD_H
#define TESTS_BENCH_RELAY_CROWD_H

#include "tests/bench/relay/crowd_member.h"

struct crowd {
	struct crowd_member *member;
	size_t count;
	bool is_lean; // too many for two descriptors each: UDP sockets are closed once the address is proven
	int poll; // epoll descriptor: index * 2, + 1 for UDP
};

// Read what is there for anybody, and keep all alive; for `ms` at most.
void crowd_serve(struct crowd *crowd, int ms);
// How long it takes from a subscription's message until the first packet: `count` times for the last member of the first
// room, with the first one's pictures. Prints JSON. SSRC of that stream is sent all the time by somebody else.
void subscribe_run(struct crowd *crowd, unsigned count);

#endif
