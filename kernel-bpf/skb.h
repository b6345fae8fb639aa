// What the programs must know of a packet that the kernel does not show them by itself: how its checksum is to be
// understood, and what kind of train it is. Offsets are those of the running kernel (CO-RE).
// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#ifndef KERNEL_BPF_SKB_H
#define KERNEL_BPF_SKB_H

#include "kernel-bpf/fanout_admit.h"

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

struct sk_buff {
	unsigned char *head;
	unsigned int end;
	uint8_t ip_summed : 2;
} __attribute__((preserve_access_index));

struct skb_shared_info {
	unsigned int gso_type;
} __attribute__((preserve_access_index));

extern void *bpf_cast_to_kern_ctx(void *context) __ksym;
extern void *bpf_rdonly_cast(const void *object, uint32_t type) __ksym;

enum { SKB_CHECKSUM_PARTIAL = 3, SKB_GSO_DODGY = 1 << 1, SKB_GSO_UDP_L4 = 1 << 17 };

FANOUT_INLINE bool skb_is_partial(struct __sk_buff *skb)
{
	struct sk_buff *kernel = bpf_cast_to_kern_ctx(skb);
	return BPF_CORE_READ_BITFIELD(kernel, ip_summed) == SKB_CHECKSUM_PARTIAL;
}

// UDP datagrams of equal size behind one header, and nothing else (no tunnel, no list of whole packets).
FANOUT_INLINE bool skb_is_udp_train(struct __sk_buff *skb)
{
	struct sk_buff *kernel = bpf_cast_to_kern_ctx(skb);
	struct skb_shared_info *shared =
		bpf_rdonly_cast(kernel->head + kernel->end, bpf_core_type_id_kernel(struct skb_shared_info));
	return (shared->gso_type & ~SKB_GSO_DODGY) == SKB_GSO_UDP_L4;
}

#endif
