// What a network device can do for the fast path: asked of the kernel, nothing is changed.
// SPDX-License-Identifier: Apache-2.0
#ifndef KERNEL_BPF_LOADER_DEVICE_H
#define KERNEL_BPF_LOADER_DEVICE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOADER_DEVICES_MAX = 64 };

struct loader_device {
	char name[16];
	char driver[32];
	uint32_t ifindex, parent; // parent: ifindex of the device below, if this is a VLAN; else 0
	uint32_t mtu;
	uint32_t ring;        // transmit ring in packets, 0: not known
	bool is_ethernet;     // its packets begin with an Ethernet header, as the programs expect; `lo` too
	bool is_virtual;      // no hardware behind it: native XDP, if there is any, costs a copy for each packet
	bool has_native_xdp;  // and redirects
	bool has_xmit;        // takes redirected packets; some drivers only once they have a program
	bool merges_for_forwarding; // rx-gro-list or rx-udp-gro-forwarding is on
	bool is_for_xdp_only; // below a VLAN, without an address of its own
};

// `list`: "auto" for every device that is up and has a global address, and lo; else names with commas. Devices below VLANs
// are added if `with_parents`. A name that is no device has ifindex 0. ERR_LIMIT: too many.
enum err loader_device_list(const char *list, bool with_parents, struct loader_device out[static LOADER_DEVICES_MAX], size_t *count) CHECK_RESULT;
// The same of one device anew: transmitting may have become possible.
void loader_device_ask_xdp(struct loader_device *device);

#endif
