// Which engine multiplies what: X (native XDP), T (tcx), or U (user space); from what the devices can do, what the
// configuration or tcsctl wants, and where the receivers are. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_ENGINE_H
#define RELAY_ENGINE_H

#include "kernel-bpf/fanout.h"
#include "relay/fast_path.h"
#include "relay/neighbour.h"

#include <stdbool.h>
#include <stddef.h>

struct relay;

// Auto takes the best that can do it. The others are the best that is allowed: what X cannot do T does, and user space
// the rest.
enum engine_wish { ENGINE_AUTO, ENGINE_XDP, ENGINE_TCX, ENGINE_USER, ENGINE_WISHES };
#define ENGINE_WISH_CHOICES "auto|xdp|tcx|user" // as an option's row wants them

enum {
	ENGINE_ADDRESSES_MAX = 64,
	ENGINE_RING_SHARE = 8, // a room may fill an eighth of a device's ring with one packet
	ENGINE_MTU_MIN = FANOUT_PACKET_BYTES + 48, // IPv6 and UDP headers; what leaves by less is for sockets, which fragment
};

enum engine_device { ENGINE_DEVICE_SERVES, ENGINE_DEVICE_GONE, ENGINE_DEVICE_DOWN, ENGINE_DEVICE_NARROW };

struct engine_choice {
	unsigned wish; // enum engine_wish
	struct in6_addr address[ENGINE_ADDRESSES_MAX]; // own ones that are in the programs' map
	size_t address_count;
	unsigned char device[FANOUT_DEVICES]; // by slot, enum engine_device
};

// Once there is a loop, and before the relay gives up its rights: opens the netlink sockets if there are programs, and
// tells these the machine's addresses. Without netlink user space serves everything.
enum err engine_start(struct relay *relay) CHECK_RESULT;
void engine_stop(struct relay *relay);

const char *engine_wish_name(enum engine_wish wish);
const char *engine_name(enum fanout_engine engine); // "user", "tcx", "xdp"

// The best engine that the wish allows on this device, and why.
enum fanout_engine engine_of_device(const struct relay *relay, const struct fast_path_device *device, const char **reason);

// Where a receiver is, as the engines see it: device slots, 0 for none.
struct engine_place {
	uint8_t tcx, xdp;
	uint16_t vlan_be; // that X puts in
};
struct engine_place engine_place(const struct relay *relay, const struct neighbour_hop *hop);
// Choose for the receivers of one block: fills in `device` and `vlan_be` of each record from its place, and returns
// fanout_extent.flags.
uint16_t engine_choose(const struct relay *relay, struct fanout_receiver *records, const struct engine_place *places, size_t count);

// At run time: every block is published anew for what is wished now. Nothing is lost or doubled meanwhile.
void engine_set(struct relay *relay, enum engine_wish wish);

#endif
