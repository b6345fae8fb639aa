// IPv4 and IPv6 packets as the router sees them: who talks to whom, and the rewriting of addresses and ports
// with the checksums that cover them (RFC 1624). SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_NET_IMPAIR_FLOW_H
#define TESTS_NET_IMPAIR_FLOW_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { IMPAIR_ADDRESS_BYTES = 16, IMPAIR_FLOW_TEXT = 128 };

struct impair_endpoint {
	uint8_t address[IMPAIR_ADDRESS_BYTES]; // IPv4 in the first four
	uint16_t port;                         // 0 if the protocol has none
};

struct impair_flow {
	uint8_t version;  // 4 or 6
	uint8_t protocol; // IPPROTO_*
	bool is_fragment;
	bool has_ports;   // TCP or UDP, first fragment or whole
	struct impair_endpoint source, destination;
	size_t transport; // offset of the transport header
};

// ERR_PARSE if it is no IP packet.
enum err impair_flow_parse(const uint8_t *packet, size_t size, struct impair_flow *out) CHECK_RESULT;
// Write other endpoints into a packet with ports; `flow` is changed too.
void impair_flow_set_source(uint8_t *packet, struct impair_flow *flow, const struct impair_endpoint *to);
void impair_flow_set_destination(uint8_t *packet, struct impair_flow *flow, const struct impair_endpoint *to);

bool impair_endpoint_equal(const struct impair_endpoint *a, const struct impair_endpoint *b);
// "udp 10.0.0.1:5000>10.0.0.2:443", "icmp6 [fd00::1]>[fd00::2]"
void impair_flow_text(const struct impair_flow *flow, char out[static IMPAIR_FLOW_TEXT]);

#endif
