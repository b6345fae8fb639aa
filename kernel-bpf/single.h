// T: one datagram. SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#ifndef KERNEL_BPF_SINGLE_H
#define KERNEL_BPF_SINGLE_H

#include "kernel-bpf/copies.h"
#include "kernel-bpf/history.h"
#include "kernel-bpf/odd.h"
#include "kernel-bpf/pace.h"
#include "kernel-bpf/route.h"
#include "kernel-bpf/skb.h"

// A packet on its way through T's program.
struct passage {
	struct __sk_buff *skb;
	const struct fanout_config *settings;
	struct fanout_counters *counts;
	struct cpu *cpu;
	struct parse *parse; // cpu->parse
	struct route route;
};

// To user space, which decides; or on its way to another machine, to whose trains and fragments nothing is done. A mark of
// ours would say that all is done but for some receivers; those of others are not touched.
FANOUT_INLINE int single_pass(struct passage *t, enum fanout_counter reason)
{
	if (FANOUT_MARK_IS(t->skb->mark))
		t->skb->mark = 0;
	if (route_is_for_us(t->parse))
		pace_count(t->counts, reason, 1);
	return TCX_NEXT;
}

FANOUT_INLINE int single_refuse(struct passage *t, enum fanout_counter reason, uint32_t packets)
{
	if (!route_is_for_us(t->parse))
		return TCX_NEXT;
	pace_count(t->counts, reason, packets);
	return TCX_DROP;
}

struct single_mtu {
	const struct fanout_config *settings;
	uint32_t first, ip_payload_bytes;
	bool is_too_large;
};

static long single_mtu_check(uint32_t i, void *context)
{
	struct single_mtu *check = context;
	uint32_t index = check->first + 1 + i;
	const struct fanout_receiver *r = bpf_map_lookup_elem(&receivers, &index);
	if (!r)
		return 1;
	uint32_t mtu = check->settings->mtu[r->device % FANOUT_DEVICES];
	uint32_t bytes = check->ip_payload_bytes + (r->family == FANOUT_IPV4 ? PARSE_IPV4_BYTES : PARSE_IPV6_BYTES);
	check->is_too_large = mtu && bytes > mtu;
	return check->is_too_large;
}

// Does a datagram of this size fit the devices of all receivers? Asked of each only where a device is unusually narrow.
FANOUT_INLINE bool single_fits(struct passage *t, uint32_t size)
{
	uint32_t bytes = size + PARSE_UDP_BYTES;
	if (bytes + PARSE_IPV6_BYTES <= pace_mtu_lowest(t->cpu, t->settings, route_now_ns()))
		return true;
	struct single_mtu check = { .settings = t->settings, .first = t->route.first, .ip_payload_bytes = bytes };
	bpf_loop(t->route.extent->in_kernel, single_mtu_check, &check, 0);
	return !check.is_too_large;
}

// How to understand the checksum field. IPv6 receivers need one, and IPv6 senders have one.
FANOUT_INLINE bool single_check(const struct passage *t, enum check *out)
{
	if (skb_is_partial(t->skb)) {
		*out = CHECK_PARTIAL;
		return true;
	}
	*out = t->parse->check_be ? CHECK_WHOLE : CHECK_NONE;
	const struct fanout_extent *extent = t->route.extent;
	return t->parse->check_be || (t->parse->family == FANOUT_IPV4 && extent->in_kernel == extent->ipv4);
}

// A copy that leaves by `lo` comes back in, where IPv4 looks for a route from this machine to itself and finds a forgery.
// What came from `lo` has its route with it, but for what is turned into IPv4.
FANOUT_INLINE bool single_can_loop_back(const struct passage *t)
{
	return !(t->route.extent->flags & FANOUT_EXTENT_LOOPBACK) ||
	       (t->skb->ingress_ifindex == FANOUT_LOOPBACK_IFINDEX && t->parse->family == FANOUT_IPV4);
}

// What keeps T from multiplying the packet, before its counter is taken.
FANOUT_INLINE enum fanout_counter single_obstacle(struct passage *t, uint32_t size, enum check *check)
{
	const struct fanout_extent *extent = t->route.extent;
	*check = CHECK_NONE;
	if (!extent)
		return FANOUT_FORWARD;
	if (!(extent->flags & FANOUT_EXTENT_TCX) || !single_can_loop_back(t))
		return FANOUT_up_user;
	if (!single_check(t, check))
		return FANOUT_up_checksum;
	return single_fits(t, size) ? FANOUT_FORWARD : FANOUT_up_mtu;
}

FANOUT_INLINE bool single_is_shed(const struct passage *t, bool may_shed)
{
	return may_shed && pace_is_overloaded(t->cpu, t->settings);
}

FANOUT_INLINE int single_copy(struct passage *t, enum check check, uint32_t packets, uint32_t bytes)
{
	if (!t->route.extent)
		return TCX_DROP; // nobody receives
	struct copies c = {
		.skb = t->skb,
		.settings = t->settings,
		.counts = t->counts,
		.extent = t->route.extent,
		.first = t->route.first,
		.room = t->route.sender->room,
		.sender = t->route.sender->index,
		.base = rewrite_base(t->parse),
		.udp_bytes = bytes + PARSE_UDP_BYTES,
		.packets = packets,
		.bytes = bytes,
		.check = check,
		.family = t->parse->family,
	};
	return copies_send(&c);
}

FANOUT_INLINE int single_forward(struct passage *t)
{
	struct fanout_packet *packet = &t->parse->packet;
	enum check check = CHECK_NONE;
	enum fanout_counter verdict = route_find(t->parse, &t->route);
	if (verdict == FANOUT_FORWARD)
		verdict = single_obstacle(t, packet->size, &check);
	if (verdict == FANOUT_FORWARD && single_is_shed(t, t->route.stream->flags & FANOUT_STREAM_MAY_SHED))
		verdict = FANOUT_overload_shed;
	if (verdict == FANOUT_FORWARD)
		verdict = route_commit(t->parse, &t->route);
	if (verdict != FANOUT_FORWARD)
		return verdict >= FANOUT_UPS_FIRST ? single_pass(t, verdict) : single_refuse(t, verdict, 1);
	uint64_t history = t->route.stream->history;
	if (history && !history_put(t->skb, false, t->parse->header_bytes, history, packet))
		t->counts->counter[FANOUT_history_skipped]++;
	route_count(&t->route, packet, t->parse->ecn);
	t->counts->counter[FANOUT_media_received]++;
	return single_copy(t, check, 1, packet->size);
}

#endif
