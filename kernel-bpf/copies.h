// T's copies: headers are written over the packet in place, then the packet is cloned to the device. Since a clone shares
// the bytes, the kernel gives the original fresh ones before they are written again.
// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#ifndef KERNEL_BPF_COPIES_H
#define KERNEL_BPF_COPIES_H

#include "kernel-bpf/maps.h"
#include "kernel-bpf/next_hop.h"
#include "kernel-bpf/parse.h"
#include "kernel-bpf/rewrite.h"
#include "kernel-bpf/route.h"

#include <linux/pkt_cls.h>

// What the copies of a packet, or of a train of packets, have in common.
struct copies {
	struct __sk_buff *skb;
	const struct fanout_config *settings;
	struct fanout_counters *counts;
	const struct fanout_extent *extent;
	uint32_t first;     // the extent's header
	uint32_t room;      // the sender's: who is in another gets nothing, whatever the list says
	uint32_t sender;    // whose record is left out
	uint32_t base;      // of the UDP checksum
	uint32_t udp_bytes;
	uint32_t packets, bytes; // in a copy
	uint32_t made;
	uint8_t check, family; // enum check; as the packet is now
};

// Records [from, to) of an extent, counted from its header.
struct copies_range {
	uint32_t from, to;
};

enum { COPIES_HEADERS_MAX = ETH_HLEN + PARSE_IPV6_BYTES + PARSE_UDP_BYTES };

FANOUT_INLINE const struct fanout_receiver *copies_record(const struct copies *c, uint32_t at)
{
	uint32_t index = c->first + at;
	return bpf_map_lookup_elem(&receivers, &index);
}

// Write the headers for one receiver. The device to send by, 0: no copy for this one.
FANOUT_INLINE uint32_t copies_write(struct copies *c, const struct fanout_receiver *r)
{
	if (r->member == c->sender)
		return 0;
	if (r->room != c->room || r->family != c->family) {
		c->counts->counter[FANOUT_room_foreign] += c->packets;
		return 0;
	}
	uint32_t ifindex = c->settings->ifindex[r->device % FANOUT_DEVICES];
	void *data = (void *)(long)c->skb->data, *end = (void *)(long)c->skb->data_end;
	if (ifindex == 0 || data + COPIES_HEADERS_MAX > end) {
		c->counts->counter[FANOUT_redirect_failed] += c->packets;
		return 0;
	}
	void *ip = data + ETH_HLEN;
	if (r->family == FANOUT_IPV4) {
		rewrite_ethernet(data, r, bpf_htons(ETH_P_IP));
		rewrite_ipv4(ip, r, c->udp_bytes);
		rewrite_udp(ip + PARSE_IPV4_BYTES, r, c->udp_bytes, c->check, c->base);
	} else {
		rewrite_ethernet(data, r, bpf_htons(ETH_P_IPV6));
		rewrite_ipv6(ip, r, c->udp_bytes);
		rewrite_udp(ip + PARSE_IPV6_BYTES, r, c->udp_bytes, c->check, c->base);
	}
	if ((r->flags & FANOUT_RECEIVER_LOOKUP) && !next_hop_find(c->skb, r, ifindex, data)) {
		c->counts->counter[FANOUT_neighbour_unknown] += c->packets;
		return 0;
	}
	return ifindex;
}

struct copies_loop {
	struct copies *c;
	uint32_t from;
};

static long copies_clone(uint32_t i, void *context)
{
	struct copies_loop *loop = context;
	struct copies *c = loop->c;
	const struct fanout_receiver *r = copies_record(c, loop->from + i);
	if (!r)
		return 1;
	uint32_t ifindex = copies_write(c, r);
	if (ifindex == 0)
		return 0;
	if (bpf_clone_redirect(c->skb, ifindex, 0))
		c->counts->counter[FANOUT_redirect_failed] += c->packets;
	else
		c->made++;
	return 0;
}

FANOUT_INLINE void copies_clone_all(struct copies *c, struct copies_range range)
{
	struct copies_loop loop = { .c = c, .from = range.from };
	if (range.to > range.from)
		bpf_loop(range.to - range.from, copies_clone, &loop, 0);
}

// IPv4 to IPv6 or back. False: the kernel had no memory for it, or refuses it for this packet.
FANOUT_INLINE bool copies_turn(struct copies *c)
{
	bool is_ipv4 = c->family == FANOUT_IPV4;
	if (bpf_skb_change_proto(c->skb, is_ipv4 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP), 0))
		return false;
	c->family = is_ipv4 ? FANOUT_IPV6 : FANOUT_IPV4;
	return true;
}

// Take the last record that is not the sender's own out of a range; 0: there is none.
FANOUT_INLINE uint32_t copies_take_last(const struct copies *c, struct copies_range *range)
{
#pragma unroll
	for (int i = 0; i < 2; i++) {
		if (range->to <= range->from)
			return 0;
		const struct fanout_receiver *r = copies_record(c, --range->to);
		if (r && r->member != c->sender)
			return range->to;
	}
	return 0;
}

FANOUT_INLINE void copies_count(struct copies *c)
{
	c->counts->counter[FANOUT_media_forwarded] += (uint64_t)c->made * c->packets;
	c->counts->counter[FANOUT_bytes_forwarded] += (uint64_t)c->made * c->bytes;
}

// Those in the kernel, first the ones of the family that the packet has.
FANOUT_INLINE void copies_ranges(const struct copies *c, struct copies_range *same, struct copies_range *other)
{
	struct copies_range ipv4 = { 1, 1 + (uint32_t)c->extent->ipv4 };
	struct copies_range ipv6 = { ipv4.to, 1 + (uint32_t)c->extent->in_kernel };
	bool is_ipv4 = c->family == FANOUT_IPV4;
	*same = is_ipv4 ? ipv4 : ipv6;
	*other = is_ipv4 ? ipv6 : ipv4;
}

// Everybody is in the kernel: the last copy is the packet itself.
FANOUT_INLINE int copies_send_all(struct copies *c)
{
	struct copies_range same, other;
	copies_ranges(c, &same, &other);
	uint32_t last = copies_take_last(c, &other);
	bool is_turned = last != 0;
	if (!is_turned)
		last = copies_take_last(c, &same);
	copies_clone_all(c, same);
	if (is_turned) {
		if (!copies_turn(c)) {
			c->counts->counter[FANOUT_redirect_failed] += (uint64_t)c->packets * (other.to - other.from + 1);
			copies_count(c);
			return TCX_DROP;
		}
		copies_clone_all(c, other);
	}
	const struct fanout_receiver *r = last ? copies_record(c, last) : NULL;
	uint32_t ifindex = r ? copies_write(c, r) : 0;
	c->made += ifindex != 0;
	copies_count(c);
	return ifindex ? bpf_redirect(ifindex, 0) : TCX_DROP;
}

// Some are outside of the kernel: the packet goes up to them as it came.
FANOUT_INLINE int copies_send_and_pass(struct copies *c)
{
	struct copies_range same, other;
	copies_ranges(c, &same, &other);
	uint8_t family = c->family, headers[COPIES_HEADERS_MAX];
	uint32_t header_bytes = family == FANOUT_IPV4 ? ETH_HLEN + PARSE_IPV4_BYTES + PARSE_UDP_BYTES : COPIES_HEADERS_MAX;
	uint64_t received = c->skb->tstamp;
	c->skb->tstamp = 0;
	if (bpf_skb_load_bytes(c->skb, 0, headers, header_bytes))
		return TCX_DROP;
	copies_clone_all(c, same);
	if (other.to > other.from) {
		if (copies_turn(c))
			copies_clone_all(c, other);
		else
			c->counts->counter[FANOUT_redirect_failed] += (uint64_t)c->packets * (other.to - other.from);
	}
	copies_count(c);
	if ((c->family != family && !copies_turn(c)) || bpf_skb_store_bytes(c->skb, 0, headers, header_bytes, 0)) {
		c->counts->counter[FANOUT_redirect_failed] += (uint64_t)c->packets * (c->extent->count - c->extent->in_kernel);
		return TCX_DROP;
	}
	c->skb->tstamp = received;
	c->skb->mark = FANOUT_MARK(c->first, c->extent->generation);
	c->counts->counter[FANOUT_up_outside]++;
	return TCX_NEXT;
}

FANOUT_INLINE int copies_send(struct copies *c)
{
	c->skb->mark = 0; // copies carry no mark of whoever sent the packet
	if (c->extent->count > c->extent->in_kernel)
		return copies_send_and_pass(c);
	c->skb->tstamp = 0; // the time of receipt would be taken for the time to send at
	return copies_send_all(c);
}

#endif
