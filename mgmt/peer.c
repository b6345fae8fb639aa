// SPDX-License-Identifier: Apache-2.0
#include "mgmt/peer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

struct peer_net peer_net(const struct sockaddr_storage *address)
{
	struct peer_net net = {0};
	if (address->ss_family == AF_INET) {
		net.bytes[0] = 4;
		memcpy(net.bytes + 4, &((const struct sockaddr_in *)address)->sin_addr, 4);
	} else if (address->ss_family == AF_INET6) {
		const struct in6_addr *six = &((const struct sockaddr_in6 *)address)->sin6_addr;
		if (IN6_IS_ADDR_V4MAPPED(six)) {
			net.bytes[0] = 4;
			memcpy(net.bytes + 4, six->s6_addr + 12, 4);
		} else {
			memcpy(net.bytes, six->s6_addr, 8);
		}
	}
	return net;
}

void peer_text(const struct sockaddr_storage *address, char *out, size_t size)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
	snprintf(out, size, "unknown");
	if (address->ss_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, out, (socklen_t)size);
	else if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
		inet_ntop(AF_INET, six->sin6_addr.s6_addr + 12, out, (socklen_t)size);
	else if (address->ss_family == AF_INET6)
		inet_ntop(AF_INET6, &six->sin6_addr, out, (socklen_t)size);
}
