// Receivers whose next hop the relay does not know at the moment: the kernel's routes and neighbours are asked.
// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#ifndef KERNEL_BPF_NEXT_HOP_H
#define KERNEL_BPF_NEXT_HOP_H

#include "kernel-bpf/parse.h"

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

enum { NEXT_HOP_AF_INET = 2, NEXT_HOP_AF_INET6 = 10 };

// Write the Ethernet addresses at `ethernet`. False: unknown, or it leaves by another device.
FANOUT_INLINE bool next_hop_find(void *context, const struct fanout_receiver *r, uint32_t ifindex, void *ethernet)
{
	struct bpf_fib_lookup fib = { .family = NEXT_HOP_AF_INET, .l4_protocol = IPPROTO_UDP, .sport = r->source_port_be,
				      .dport = r->destination_port_be, .ifindex = ifindex };
	if (r->family == FANOUT_IPV4) {
		fib.ipv4_src = *(const uint32_t *)r->source;
		fib.ipv4_dst = *(const uint32_t *)r->destination;
	} else {
		fib.family = NEXT_HOP_AF_INET6;
		__builtin_memcpy(fib.ipv6_src, r->source, sizeof(fib.ipv6_src));
		__builtin_memcpy(fib.ipv6_dst, r->destination, sizeof(fib.ipv6_dst));
	}
	if (bpf_fib_lookup(context, &fib, sizeof(fib), BPF_FIB_LOOKUP_OUTPUT) != BPF_FIB_LKUP_RET_SUCCESS || fib.ifindex != ifindex)
		return false;
	__builtin_memcpy(ethernet, fib.dmac, ETH_ALEN);
	__builtin_memcpy(ethernet + ETH_ALEN, fib.smac, ETH_ALEN);
	return true;
}

#endif
