// One's complement sums over words as they lie in memory, so in network order on either kind of machine.
// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#ifndef KERNEL_BPF_CHECKSUM_H
#define KERNEL_BPF_CHECKSUM_H

#include "kernel-bpf/fanout.h"
#include "kernel-bpf/fanout_admit.h"

#include <linux/in.h>

#include <bpf/bpf_endian.h>

FANOUT_INLINE uint32_t checksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint32_t)sum;
}

// To subtract in one's complement is to add the complement.
FANOUT_INLINE uint32_t checksum_minus(uint32_t folded) { return folded ^ 0xffff; }

// The part of UDP's pseudo-header that is not addresses; the same for IPv4 and IPv6.
FANOUT_INLINE uint32_t checksum_pseudo(uint16_t udp_bytes) { return bpf_htons(IPPROTO_UDP) + bpf_htons(udp_bytes); }

#endif
