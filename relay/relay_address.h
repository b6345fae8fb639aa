// Addresses of peers: comparison, text, and which ones the relay is willing to send to.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_RELAY_ADDRESS_H
#define RELAY_RELAY_ADDRESS_H

#include "base/err.h"
#include "relay/loop.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

enum { RELAY_ADDRESS_TEXT_MAX = 64 };

// Literal IPv4 (mapped) or IPv6.
enum err relay_address_parse(const char *text, uint16_t port, struct sockaddr_in6 *out) CHECK_RESULT;
// "192.0.2.1:443", "[2001:db8::1]:443"
void relay_address_emit(const struct sockaddr_in6 *address, char out[static RELAY_ADDRESS_TEXT_MAX]);

// Same address and port.
static inline bool relay_address_is_equal(const struct sockaddr_in6 *a, const struct sockaddr_in6 *b)
{
	return a->sin6_port == b->sin6_port && IN6_ARE_ADDR_EQUAL(&a->sin6_addr, &b->sin6_addr);
}

// The same IPv4 address, or the same IPv6 /64, which one client may well have for itself.
bool relay_address_is_same_network(const struct sockaddr_in6 *a, const struct sockaddr_in6 *b);

// False for what no client can have and what would turn the relay against its own network: unspecified,
// 0.0.0.0/8, link-local, multicast, broadcast, IPv4-compatible, NAT64, site-local, port 0.
bool relay_address_is_usable(const struct sockaddr_in6 *address);

#endif
