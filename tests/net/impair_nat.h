// The named cases of the router: what happens to all packets for some time, and a NAT that forgets its bindings.
//
//   udp-blocked[=FROM[-TO]]           no UDP passes
//   blackhole[=FROM[-TO]]             nothing passes
//   rebind-port=AT[,udp]              from AT on the inside host's flows come from other ports
//   rebind-addr=AT,ADDRESS[,udp]      ... from another address and other ports
//
// Rebinding takes all TCP and UDP, or UDP alone: NATs forget idle UDP much sooner than TCP. Old bindings are gone:
// what the server sends there is dropped. Several rebindings follow one another. SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_NET_IMPAIR_NAT_H
#define TESTS_NET_IMPAIR_NAT_H

#include "base/err.h"
#include "tests/net/impair_decide.h"
#include "tests/net/impair_flow.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum impair_case_kind { IMPAIR_CASE_UDP_BLOCKED, IMPAIR_CASE_BLACKHOLE, IMPAIR_CASE_REBIND_PORT, IMPAIR_CASE_REBIND_ADDR };

struct impair_case {
	enum impair_case_kind kind;
	uint64_t from_ns, to_ns; // since the start
	bool is_udp_only;
	uint8_t version;         // of the address: 4 or 6
	uint8_t address[IMPAIR_ADDRESS_BYTES];
};

enum { IMPAIR_CASES_MAX = 16, IMPAIR_BINDINGS_MAX = 256, IMPAIR_PORT_FIRST = 40000 };

struct impair_binding {
	uint8_t version, protocol;
	struct impair_endpoint inside, outside;
};

struct impair_nat {
	size_t case_count;
	struct impair_case cases[IMPAIR_CASES_MAX];
	const struct impair_case *rebinding; // in force: the last one whose time has come
	size_t binding_count, binding_oldest;
	struct impair_binding bindings[IMPAIR_BINDINGS_MAX];
	uint64_t bindings_made;              // gives the next port
};

// On ERR_USAGE `problem` names what is wrong.
enum err impair_nat_add_case(struct impair_nat *nat, const char *text, char problem[static 128]) CHECK_RESULT;

// Let the cases act on a packet `elapsed_ns` after the start: PASS, with the packet and `flow` rewritten where a
// binding applies, or why it is dropped.
enum impair_verdict impair_nat_apply(struct impair_nat *nat, enum impair_direction direction, uint8_t *packet,
				     struct impair_flow *flow, uint64_t elapsed_ns);

#endif
