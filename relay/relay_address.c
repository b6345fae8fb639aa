// SPDX-License-Identifier: Apache-2.0
#include "relay/relay_address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { NETWORK_BYTES = 8 };
static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

enum err relay_address_parse(const char *text, uint16_t port, struct sockaddr_in6 *out)
{
	*out = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port) };
	if (inet_pton(AF_INET6, text, &out->sin6_addr) == 1)
		return ERR_OK;
	memcpy(out->sin6_addr.s6_addr, mapped_prefix, sizeof(mapped_prefix));
	return inet_pton(AF_INET, text, out->sin6_addr.s6_addr + sizeof(mapped_prefix)) == 1 ? ERR_OK : ERR_PARSE;
}

void relay_address_emit(const struct sockaddr_in6 *address, char out[static RELAY_ADDRESS_TEXT_MAX])
{
	char text[INET6_ADDRSTRLEN] = "?";
	unsigned port = ntohs(address->sin6_port);
	if (IN6_IS_ADDR_V4MAPPED(&address->sin6_addr)) {
		inet_ntop(AF_INET, address->sin6_addr.s6_addr + sizeof(mapped_prefix), text, sizeof(text));
		snprintf(out, RELAY_ADDRESS_TEXT_MAX, "%s:%u", text, port);
		return;
	}
	inet_ntop(AF_INET6, &address->sin6_addr, text, sizeof(text));
	snprintf(out, RELAY_ADDRESS_TEXT_MAX, "[%s]:%u", text, port);
}

bool relay_address_is_same_network(const struct sockaddr_in6 *a, const struct sockaddr_in6 *b)
{
	size_t bytes = IN6_IS_ADDR_V4MAPPED(&a->sin6_addr) ? sizeof(a->sin6_addr) : NETWORK_BYTES;
	return memcmp(&a->sin6_addr, &b->sin6_addr, bytes) == 0;
}

static bool is_usable_v4(const uint8_t a[4])
{
	bool is_link_local = a[0] == 169 && a[1] == 254;
	return a[0] != 0 && a[0] < 224 && !is_link_local; // 224/4 multicast, 240/4 reserved with broadcast
}

static bool is_usable_v6(const struct in6_addr *a)
{
	static const uint8_t nat64[4] = { 0, 0x64, 0xff, 0x9b }; // RFC 6052's prefix and RFC 8215's local ones
	static const uint8_t zero[12] = { 0 };
	bool is_compatible = memcmp(a->s6_addr, zero, sizeof(zero)) == 0 && !IN6_IS_ADDR_LOOPBACK(a);
	return !is_compatible && !IN6_IS_ADDR_MULTICAST(a) && !IN6_IS_ADDR_LINKLOCAL(a) && !IN6_IS_ADDR_SITELOCAL(a) &&
	       memcmp(a->s6_addr, nat64, sizeof(nat64)) != 0;
}

bool relay_address_is_usable(const struct sockaddr_in6 *address)
{
	if (address->sin6_family != AF_INET6 || address->sin6_port == 0)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&address->sin6_addr))
		return is_usable_v4(address->sin6_addr.s6_addr + sizeof(mapped_prefix));
	return is_usable_v6(&address->sin6_addr);
}
