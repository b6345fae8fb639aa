// From a packet to those who receive it, and all that may be said against that before its counter is taken.
// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#ifndef KERNEL_BPF_ROUTE_H
#define KERNEL_BPF_ROUTE_H

#include "kernel-bpf/fanout_admit.h"
#include "kernel-bpf/history.h"
#include "kernel-bpf/maps.h"
#include "kernel-bpf/parse.h"
#include "kernel-bpf/rewrite.h"

struct route {
	struct fanout_sender *sender;
	struct fanout_window *window;
	struct fanout_stream *stream;
	const struct fanout_extent *extent; // NULL: nobody receives
	uint32_t block, first;
};

FANOUT_INLINE uint32_t route_index(const struct parse *p)
{
	if (!p->is_from_relay)
		return fanout_index(&p->packet);
	const uint64_t *peer = (const void *)p->packet.peer;
	struct fanout_relay_key key = { .port_be = p->packet.peer_port_be };
	((uint64_t *)key.address)[0] = peer[0];
	((uint64_t *)key.address)[1] = peer[1];
	const struct fanout_relay *relay = bpf_map_lookup_elem(&relays, &key);
	return relay && fanout_index(&p->packet) < relay->count ? relay->base + fanout_index(&p->packet) : UINT32_MAX;
}

// The extent that the stream's block leads to now. False: there is none to lead to.
FANOUT_INLINE bool route_extent(struct route *route)
{
	route->block = *(volatile uint32_t *)&route->stream->block;
	if (route->block == 0)
		return false;
	const fanout_block *first = bpf_map_lookup_elem(&blocks, &route->block);
	if (!first)
		return false;
	route->first = (uint32_t)*(const volatile fanout_block *)first;
	route->extent = NULL;
	if (route->first == 0)
		return true;
	route->extent = bpf_map_lookup_elem(&receivers, &route->first);
	return route->extent;
}

// fanout_judge() for what the parser found, and the stream's extent. FANOUT_FORWARD, an up or a drop.
FANOUT_INLINE enum fanout_counter route_find(const struct parse *p, struct route *out)
{
	uint32_t index = route_index(p);
	out->sender = bpf_map_lookup_elem(&senders, &index);
	out->window = bpf_map_lookup_elem(&windows, &index);
	enum fanout_counter verdict = fanout_judge(&p->packet, out->sender, out->window);
	if (verdict != FANOUT_FORWARD)
		return verdict;
	if (!out->sender || !out->window)
		return FANOUT_handle_unknown;
	out->stream = &out->sender->stream[fanout_stream_id(&p->packet) & (FANOUT_STREAMS - 1)];
	return route_extent(out) ? FANOUT_FORWARD : FANOUT_up_stream;
}

// The rate's clock: a few milliseconds are near enough for it.
FANOUT_INLINE uint64_t route_now_ns(void) { return bpf_ktime_get_coarse_ns(); }

FANOUT_INLINE enum fanout_counter route_commit(const struct parse *p, const struct route *route)
{
	return fanout_commit(&p->packet, route->sender, route->window, history_slot(route->stream->history, &p->packet), route_now_ns());
}

// Statistics of the stream, which user space reads without being woken.
FANOUT_INLINE void route_count(const struct route *route, const struct fanout_packet *p, uint8_t ecn)
{
	struct fanout_stream *stream = route->stream;
	__sync_fetch_and_add(&stream->packets, 1);
	__sync_fetch_and_add(&stream->bytes, p->size);
	uint16_t sequence = fanout_sequence(p);
	if (fanout_is_newer(sequence, stream->newest))
		stream->newest = sequence;
	if (ecn == 3)
		__sync_fetch_and_add(&stream->congested, 1);
}

// Is the packet's destination one of the machine's own addresses? What is refused but meant for another machine, which
// this one routes to, is none of our business.
FANOUT_INLINE bool route_is_for_us(const struct parse *p)
{
	return bpf_map_lookup_elem(&addresses, p->destination);
}

#endif
