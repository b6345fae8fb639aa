// Where a receiver is: device, own address, VLAN and next hop's MAC address, from the kernel's routes and neighbours by
// netlink (no privilege needed), kept up to date by its events. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_NEIGHBOUR_H
#define RELAY_NEIGHBOUR_H

#include "base/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct neighbours;

struct neighbour_hop {
	uint32_t ifindex;       // where it leaves; of the VLAN device, if it is one
	uint8_t own_mac[6], mac[6];
	struct in6_addr source; // preferred own address, IPv4 mapped
	uint16_t mtu;
	uint16_t vlan;          // tag control information when `parent` is used instead of `ifindex`
	uint32_t parent;        // device below the VLAN device, 0: none
	bool is_known;          // the MAC address is; else send from a socket, which makes the kernel find it
};

// `on_change` is called (from neighbours_receive and _tick) after anything changed that a hop told before may depend on: at
// once, or, when much changes (routes that flap), a tenth of a second after the last time.
enum err neighbours_open(void (*on_change)(void *context), void *context, struct neighbours **out) CHECK_RESULT;
void neighbours_close(struct neighbours *neighbours);
int neighbours_descriptor(const struct neighbours *neighbours); // to be watched
void neighbours_receive(struct neighbours *neighbours, uint64_t now_ns);
void neighbours_tick(struct neighbours *neighbours, uint64_t now_ns);

// Next hop towards an address (IPv4 mapped); asked of the kernel once, then remembered. ERR_NOT_FOUND: no route.
enum err neighbours_find(struct neighbours *neighbours, const struct in6_addr *to, struct neighbour_hop *out) CHECK_RESULT;
struct neighbour_device {
	uint16_t mtu;
	bool is_up;
};
bool neighbours_device(const struct neighbours *neighbours, uint32_t ifindex, struct neighbour_device *out); // false: gone
// The machine's own addresses, one by one; false after the last.
bool neighbours_own_address(const struct neighbours *neighbours, size_t index, struct in6_addr *out);

#endif
