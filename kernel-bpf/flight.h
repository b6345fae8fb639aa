// X: a packet is admitted once and sent to the device as many times as it has receivers there; the program on the way out
// is run for each of these copies and gives it its headers. In between the packet is a flight (maps.h), whose number it
// carries in place of its Ethernet addresses. SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#ifndef KERNEL_BPF_FLIGHT_H
#define KERNEL_BPF_FLIGHT_H

#include "kernel-bpf/history.h"
#include "kernel-bpf/maps.h"
#include "kernel-bpf/next_hop.h"
#include "kernel-bpf/pace.h"
#include "kernel-bpf/rewrite.h"
#include "kernel-bpf/route.h"

// A packet on its way through X's first program.
struct arrival {
	struct xdp_md *xdp;
	const struct fanout_config *settings;
	struct fanout_counters *counts;
	struct cpu *cpu;
	struct parse *parse; // cpu->parse
	struct route route;
	void *copies;    // devmap of as many entries as there are copies
	uint32_t number; // of copies
	uint32_t skip;   // record of the sender's own, 0: not known
};

enum { FLIGHT_HEADERS_MAX = ETH_HLEN + PARSE_TAG_BYTES + PARSE_IPV6_BYTES + PARSE_UDP_BYTES };

FANOUT_INLINE int flight_refuse(struct arrival *a, enum fanout_counter reason)
{
	if (!route_is_for_us(a->parse))
		return XDP_PASS;
	pace_count(a->counts, reason, 1);
	return XDP_DROP;
}

// X has no way to tell whether the sender's kernel has left the checksum to a card that is not there (a veth pair): such
// a field holds the sum of the pseudo-header, which a true checksum is by chance once in 65,536. T can tell.
FANOUT_INLINE bool flight_is_partial(const struct parse *p, uint32_t udp_bytes)
{
	return p->check_be == checksum_fold(p->old_sum + checksum_minus(p->old_ports) + checksum_pseudo((uint16_t)udp_bytes));
}

// The sender's own record, if the stream's hint is right; if not, the program on the way out finds it.
FANOUT_INLINE uint32_t flight_own_record(const struct route *route)
{
	uint32_t position = route->stream->position;
	if (position >= route->extent->in_kernel)
		return 0;
	uint32_t index = route->first + 1 + position;
	const struct fanout_receiver *r = bpf_map_lookup_elem(&receivers, &index);
	return r && r->member == route->sender->index ? index : 0;
}

// Is it X that multiplies this packet? Fills number, skip and copies.
FANOUT_INLINE bool flight_can(struct arrival *a)
{
	const struct fanout_extent *extent = a->route.extent;
	const struct parse *p = a->parse;
	a->number = 0;
	if (!extent)
		return true;
	uint32_t udp_bytes = p->packet.size + PARSE_UDP_BYTES, device = extent->device % FANOUT_DEVICES;
	uint32_t ip_bytes = udp_bytes + (extent->ipv4 == extent->in_kernel ? PARSE_IPV4_BYTES : PARSE_IPV6_BYTES);
	uint32_t mtu = a->settings->mtu[device];
	if (!(extent->flags & FANOUT_EXTENT_XDP) || device == 0 || extent->count != extent->in_kernel || (mtu && ip_bytes > mtu))
		return false;
	bool is_unchecked = p->check_be == 0 && (p->family == FANOUT_IPV6 || extent->ipv4 != extent->in_kernel);
	if (is_unchecked || flight_is_partial(p, udp_bytes))
		return false;
	a->skip = flight_own_record(&a->route);
	a->number = extent->in_kernel - (a->skip != 0);
	if (a->number == 0)
		return true;
	if (a->number > FANOUT_XDP_MAX)
		return false;
	uint32_t key = device * (FANOUT_XDP_MAX + 1) + a->number;
	a->copies = bpf_map_lookup_elem(&sizes, &key);
	return a->copies;
}

// Leave for the other program what the copies have in common.
FANOUT_INLINE uint32_t flight_begin(struct arrival *a)
{
	const struct parse *p = a->parse;
	uint32_t id = a->cpu->next_flight++;
	struct flight *flight = &a->cpu->flight[id % FLIGHTS];
	flight->id = id;
	flight->next = a->route.first + 1;
	flight->end = flight->next + a->route.extent->in_kernel;
	flight->skip = a->skip;
	flight->room = a->route.sender->room;
	flight->sender = a->route.sender->index;
	flight->base = rewrite_base(p);
	flight->udp_bytes = p->packet.size + PARSE_UDP_BYTES;
	flight->header_bytes = (uint8_t)p->header_bytes;
	flight->check = p->check_be ? CHECK_WHOLE : CHECK_NONE;
	return id;
}

FANOUT_INLINE int flight_send(struct arrival *a)
{
	if (a->number == 0)
		return XDP_DROP; // nobody receives
	void *data = (void *)(long)a->xdp->data;
	if (data + ETH_HLEN > (void *)(long)a->xdp->data_end)
		return XDP_DROP;
	*(uint32_t *)data = flight_begin(a);
	// Copies that the other program does not send are taken off again there.
	a->counts->counter[FANOUT_media_forwarded] += a->number;
	a->counts->counter[FANOUT_bytes_forwarded] += (uint64_t)a->number * a->parse->packet.size;
	return bpf_redirect_map(a->copies, 0, BPF_F_BROADCAST);
}

// Passed packets come to T's program on the same device next: it says why they go up, if they do.
FANOUT_INLINE int flight_forward(struct arrival *a)
{
	struct fanout_packet *packet = &a->parse->packet;
	enum fanout_counter verdict = route_find(a->parse, &a->route);
	if (verdict == FANOUT_FORWARD && !flight_can(a)) {
		a->counts->counter[FANOUT_up_xdp]++;
		return XDP_PASS;
	}
	if (verdict == FANOUT_FORWARD && (a->route.stream->flags & FANOUT_STREAM_MAY_SHED) &&
	    pace_is_overloaded(a->cpu, a->settings))
		verdict = FANOUT_overload_shed;
	if (verdict == FANOUT_FORWARD)
		verdict = route_commit(a->parse, &a->route);
	if (verdict != FANOUT_FORWARD)
		return verdict >= FANOUT_UPS_FIRST ? XDP_PASS : flight_refuse(a, verdict);
	uint64_t history = a->route.stream->history;
	if (history && !history_put(a->xdp, true, a->parse->header_bytes, history, packet))
		a->counts->counter[FANOUT_history_skipped]++;
	route_count(&a->route, packet, a->parse->ecn);
	a->counts->counter[FANOUT_media_received]++;
	return flight_send(a);
}

// ---------------------------------------------------------------- on the way out

// A copy that is not made. The sender's own has no reason to be counted.
FANOUT_INLINE int flight_lose(const struct flight *flight, enum fanout_counter reason)
{
	uint32_t zero = 0;
	struct fanout_counters *counts = bpf_map_lookup_elem(&counters, &zero);
	if (!counts)
		return XDP_DROP;
	pace_count(counts, reason, 1); // FANOUT_FORWARD is no counter
	counts->counter[FANOUT_media_forwarded]--;
	counts->counter[FANOUT_bytes_forwarded] -= flight->udp_bytes - PARSE_UDP_BYTES;
	return XDP_DROP;
}

FANOUT_INLINE void flight_write(void *at, const struct fanout_receiver *r, const struct flight *flight)
{
	bool is_ipv4 = r->family == FANOUT_IPV4;
	uint16_t type_be = is_ipv4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	if (r->vlan_be) {
		rewrite_tagged_ethernet(at, r, type_be);
		at += PARSE_TAG_BYTES;
	} else {
		rewrite_ethernet(at, r, type_be);
	}
	at += ETH_HLEN;
	if (is_ipv4) {
		rewrite_ipv4(at, r, flight->udp_bytes);
		at += PARSE_IPV4_BYTES;
	} else {
		rewrite_ipv6(at, r, flight->udp_bytes);
		at += PARSE_IPV6_BYTES;
	}
	rewrite_udp(at, r, flight->udp_bytes, flight->check, flight->base);
}

// Whose copy this is: the records are gone through in order, but for the sender's own.
FANOUT_INLINE uint32_t flight_next(struct flight *flight)
{
	uint32_t index = flight->next;
	index += index == flight->skip;
	flight->next = index + 1;
	return index;
}

FANOUT_INLINE int flight_leave(struct xdp_md *xdp, struct flight *flight)
{
	uint32_t index = flight_next(flight);
	if (index >= flight->end)
		return flight_lose(flight, FANOUT_redirect_failed);
	const struct fanout_receiver *r = bpf_map_lookup_elem(&receivers, &index);
	if (!r || r->room != flight->room)
		return flight_lose(flight, FANOUT_room_foreign);
	if (r->member == flight->sender)
		return flight_lose(flight, FANOUT_FORWARD);
	int before = flight->header_bytes;
	int after = ETH_HLEN + (r->vlan_be ? PARSE_TAG_BYTES : 0) + PARSE_UDP_BYTES +
		    (r->family == FANOUT_IPV4 ? PARSE_IPV4_BYTES : PARSE_IPV6_BYTES);
	if (before != after && bpf_xdp_adjust_head(xdp, before - after))
		return flight_lose(flight, FANOUT_redirect_failed);
	void *data = (void *)(long)xdp->data;
	if (data + FLIGHT_HEADERS_MAX > (void *)(long)xdp->data_end)
		return flight_lose(flight, FANOUT_redirect_failed);
	flight_write(data, r, flight);
	if ((r->flags & FANOUT_RECEIVER_LOOKUP) && !next_hop_find(xdp, r, xdp->egress_ifindex, data))
		return flight_lose(flight, FANOUT_neighbour_unknown);
	return XDP_PASS;
}

#endif
