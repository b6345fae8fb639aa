// Devices and own addresses, as netlink tells them. For neighbour.c. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_NEIGHBOUR_LINK_H
#define RELAY_NEIGHBOUR_LINK_H

#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NEIGHBOUR_LINKS_MAX = 1024, NEIGHBOUR_ADDRESSES_MAX = 1024 };

struct neighbour_link {
	uint32_t ifindex;
	uint32_t parent; // of a VLAN device, 0: none or not here
	uint16_t type;   // ARPHRD_ETHER …
	uint16_t mtu, vlan;
	uint8_t mac[6];
	bool is_up;
};

struct neighbour_address {
	uint32_t ifindex;
	struct in6_addr address; // IPv4 mapped
};

struct neighbour_links {
	struct neighbour_link *link; // by first sight
	size_t link_count, link_capacity;
	struct neighbour_address *address;
	size_t address_count, address_capacity;
};

void neighbour_links_clear(struct neighbour_links *links);
void neighbour_links_fini(struct neighbour_links *links);
const struct neighbour_link *neighbour_links_find(const struct neighbour_links *links, uint32_t ifindex);
// RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_DELADDR; true if it says something new.
bool neighbour_links_learn(struct neighbour_links *links, const struct nlmsghdr *message);

#endif
