// Who is at the other end of a TCP connection, for limits and for the log. SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_PEER_H
#define MGMT_PEER_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

struct peer_net { // one IPv4 address, or one IPv6 /64: what limits count
	uint8_t bytes[8];
};

struct peer_net peer_net(const struct sockaddr_storage *address);
void peer_text(const struct sockaddr_storage *address, char *out, size_t size);

#endif
