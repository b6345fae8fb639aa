// Packets of an unusual form, for T: which of them are for us, and what to count them as. They go to user space, where
// the kernel's own stack has parsed or reassembled them. SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#ifndef KERNEL_BPF_ODD_H
#define KERNEL_BPF_ODD_H

#include "kernel-bpf/parse.h"

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

enum { ODD_EXTENSIONS_MAX = 4, ODD_OFFSET_IPV4 = 0x1fff, ODD_OFFSET_IPV6 = 0xfff8 };

FANOUT_INLINE bool odd_is_our_port(struct __sk_buff *skb, const struct frame *frame, uint32_t udp_at)
{
	uint16_t port_be;
	if (bpf_skb_load_bytes(skb, udp_at + 2, &port_be, sizeof(port_be)))
		return false;
	return port_be == frame->port_be || (frame->relay_port_be && port_be == frame->relay_port_be);
}

FANOUT_INLINE enum fanout_counter odd_ipv4(struct __sk_buff *skb, const struct frame *frame)
{
	struct iphdr ip;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || (ip.frag_off & bpf_htons(ODD_OFFSET_IPV4)) ||
	    !odd_is_our_port(skb, frame, ETH_HLEN + ip.ihl * 4))
		return FANOUT_FORWARD;
	return ip.frag_off & bpf_htons(IP_MORE_OR_OFFSET) ? FANOUT_up_fragment : FANOUT_up_options;
}

FANOUT_INLINE enum fanout_counter odd_ipv6(struct __sk_buff *skb, const struct frame *frame)
{
	struct ipv6hdr ip;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return FANOUT_FORWARD;
	enum fanout_counter reason = FANOUT_up_options;
	uint32_t at = ETH_HLEN + PARSE_IPV6_BYTES;
	uint8_t type = ip.nexthdr;
	for (int i = 0; i < ODD_EXTENSIONS_MAX && type != IPPROTO_UDP; i++) {
		uint8_t extension[4]; // next header, length or reserved, of a fragment the offset
		if (bpf_skb_load_bytes(skb, at, extension, sizeof(extension)))
			return FANOUT_FORWARD;
		if (type == IPPROTO_FRAGMENT) {
			if (((uint32_t)extension[2] << 8 | extension[3]) & ODD_OFFSET_IPV6)
				return FANOUT_FORWARD;
			reason = FANOUT_up_fragment;
			at += 8;
		} else if (type == IPPROTO_HOPOPTS || type == IPPROTO_ROUTING || type == IPPROTO_DSTOPTS) {
			at += ((uint32_t)extension[1] + 1) * 8;
		} else {
			return FANOUT_FORWARD;
		}
		type = extension[0];
	}
	return type == IPPROTO_UDP && odd_is_our_port(skb, frame, at) ? reason : FANOUT_FORWARD;
}

// FANOUT_FORWARD: not for us, as far as can be seen (a later fragment has no port in it).
FANOUT_INLINE enum fanout_counter odd_reason(struct __sk_buff *skb, const struct frame *frame)
{
	return skb->protocol == bpf_htons(ETH_P_IP) ? odd_ipv4(skb, frame) : odd_ipv6(skb, frame);
}

#endif
