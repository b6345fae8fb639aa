// The headers of one copy, written over those of the packet that came. All of the payload stays as it is.
// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#ifndef KERNEL_BPF_REWRITE_H
#define KERNEL_BPF_REWRITE_H

#include "kernel-bpf/parse.h"

enum check { // what is in the UDP checksum field
	CHECK_NONE,    // nothing: IPv4 without checksum
	CHECK_WHOLE,   // a checksum: addresses and ports are exchanged in it
	CHECK_PARTIAL, // the sum of the pseudo-header; the rest is added when the packet leaves (CHECKSUM_PARTIAL)
};

enum { REWRITE_HOPS = 64, REWRITE_DONT_FRAGMENT = 0x4000 };

// The old checksum without the old addresses and ports: `base` of all copies.
FANOUT_INLINE uint32_t rewrite_base(const struct parse *p)
{
	return checksum_minus(p->check_be) + checksum_minus(p->old_sum);
}

FANOUT_INLINE void rewrite_ethernet(void *at, const struct fanout_receiver *r, uint16_t type_be)
{
	const uint32_t *from = (const void *)r->next_hop;
	uint32_t *to = at;
	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
	*(uint16_t *)(at + 2 * ETH_ALEN) = type_be;
}

FANOUT_INLINE void rewrite_tagged_ethernet(void *at, const struct fanout_receiver *r, uint16_t type_be)
{
	rewrite_ethernet(at, r, bpf_htons(ETH_P_8021Q));
	*(uint16_t *)(at + ETH_HLEN) = r->vlan_be;
	*(uint16_t *)(at + ETH_HLEN + 2) = type_be;
}

FANOUT_INLINE void rewrite_ipv4(void *at, const struct fanout_receiver *r, uint32_t udp_bytes)
{
	uint32_t *to = at;
	uint32_t source = *(const uint32_t *)r->source, destination = *(const uint32_t *)r->destination;
	uint32_t first = bpf_htonl(0x45000000u | (uint32_t)r->traffic_class << 16 | (udp_bytes + PARSE_IPV4_BYTES));
	uint32_t second = bpf_htonl(REWRITE_DONT_FRAGMENT);
	uint32_t third = bpf_htonl((uint32_t)REWRITE_HOPS << 24 | IPPROTO_UDP << 16);
	uint32_t check = checksum_fold((uint64_t)first + second + third + source + destination) ^ 0xffff;
	to[0] = first;
	to[1] = second;
	to[2] = third;
	((struct iphdr *)at)->check = (uint16_t)check;
	to[3] = source;
	to[4] = destination;
}

FANOUT_INLINE void rewrite_ipv6(void *at, const struct fanout_receiver *r, uint32_t udp_bytes)
{
	uint32_t *to = at;
	to[0] = bpf_htonl(0x60000000u | (uint32_t)r->traffic_class << 20);
	to[1] = bpf_htonl(udp_bytes << 16 | IPPROTO_UDP << 8 | REWRITE_HOPS);
	uint64_t *addresses = at + 8;
	const uint64_t *from = (const void *)r->source; // the destination follows
	addresses[0] = from[0];
	addresses[1] = from[1];
	addresses[2] = from[2];
	addresses[3] = from[3];
}

FANOUT_INLINE uint16_t rewrite_check(const struct fanout_receiver *r, uint32_t udp_bytes, enum check check, uint32_t base)
{
	if (check == CHECK_NONE)
		return 0;
	if (check == CHECK_PARTIAL) {
		uint32_t without_ports = checksum_minus(r->source_port_be) + checksum_minus(r->destination_port_be);
		return (uint16_t)checksum_fold(r->sum + without_ports + checksum_pseudo((uint16_t)udp_bytes));
	}
	uint32_t sum = checksum_fold(base + r->sum) ^ 0xffff;
	return (uint16_t)(sum ? sum : 0xffff);
}

FANOUT_INLINE void rewrite_udp(void *at, const struct fanout_receiver *r, uint32_t udp_bytes, enum check check, uint32_t base)
{
	struct udphdr *udp = at;
	*(uint32_t *)at = *(const uint32_t *)&r->source_port_be; // both
	udp->len = bpf_htons((uint16_t)udp_bytes);
	udp->check = rewrite_check(r, udp_bytes, check, base);
}

#endif
