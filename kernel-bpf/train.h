// T: a train, many datagrams behind one header as a sender's or a card's offload makes it. Every datagram is verified
// before any counter is taken; then the train is multiplied whole, which costs hardly more than one packet. What is not
// of one sender and one block, or not good to the last datagram, goes up untouched: user space takes it apart.
// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#ifndef KERNEL_BPF_TRAIN_H
#define KERNEL_BPF_TRAIN_H

#include "kernel-bpf/single.h"

struct train {
	struct passage *t;
	uint32_t segments, segment_bytes; // the last may be shorter
	uint32_t total;                   // bytes of all
	uint32_t count;                   // counter of the last one verified
	uint32_t done;
	bool may_shed;
	struct fanout_packet *packet;     // cpu->segment
};

FANOUT_INLINE uint32_t train_at(const struct train *train, uint32_t i) { return i * train->segment_bytes; }

// Head and size of datagram i.
FANOUT_INLINE bool train_load(struct train *train, uint32_t i)
{
	uint32_t at = train_at(train, i), left = train->total - at;
	train->packet->size = (uint16_t)(left < train->segment_bytes ? left : train->segment_bytes);
	return train->packet->size >= FANOUT_HEAD_BYTES &&
	       bpf_skb_load_bytes(train->t->skb, train->t->parse->header_bytes + at, train->packet->head, FANOUT_HEAD_BYTES) == 0;
}

FANOUT_INLINE struct fanout_stream *train_stream(const struct train *train)
{
	return &train->t->route.sender->stream[fanout_stream_id(train->packet) & (FANOUT_STREAMS - 1)];
}

static long train_verify(uint32_t i, void *context)
{
	struct train *train = context;
	struct route *route = &train->t->route;
	struct fanout_packet *p = train->packet;
	if (!train_load(train, i) || fanout_check(p, route->sender) != FANOUT_FORWARD)
		return 1;
	uint32_t count = fanout_count(p);
	if (count <= train->count || !fanout_is_fresh(route->window, count))
		return 1;
	const struct fanout_stream *stream = train_stream(train);
	if (*(const volatile uint32_t *)&stream->block != route->block)
		return 1;
	const struct fanout_slot *slot = history_slot(stream->history, p);
	if (slot && fanout_is_repeated(p, slot))
		return 1;
	train->may_shed = train->may_shed && (stream->flags & FANOUT_STREAM_MAY_SHED);
	train->t->cpu->train_count[i % FANOUT_SEGMENTS_MAX] = count;
	train->count = count;
	train->done = i + 1;
	return 0;
}

static long train_take(uint32_t i, void *context)
{
	struct train *train = context;
	if (!fanout_take(train->t->route.window, train->t->cpu->train_count[i % FANOUT_SEGMENTS_MAX]))
		return 1;
	train->done = i + 1;
	return 0;
}

static long train_keep(uint32_t i, void *context)
{
	struct train *train = context;
	struct passage *t = train->t;
	if (!train_load(train, i))
		return 1;
	t->route.stream = train_stream(train);
	uint64_t history = t->route.stream->history;
	if (history && !history_put(t->skb, false, t->parse->header_bytes + train_at(train, i), history, train->packet))
		t->counts->counter[FANOUT_history_skipped]++;
	route_count(&t->route, train->packet, t->parse->ecn);
	return 0;
}

FANOUT_INLINE bool train_is_whole(struct train *train)
{
	train->done = 0;
	train->may_shed = true;
	train->count = 0;
	bpf_loop(train->segments, train_verify, train, 0);
	return train->done == train->segments;
}

// Take all counters. Somebody else took one in between: a replay that came by another queue, so nothing is forwarded.
FANOUT_INLINE enum fanout_counter train_commit(struct train *train)
{
	train->done = 0;
	bpf_loop(train->segments, train_take, train, 0);
	if (train->done != train->segments)
		return FANOUT_counter_replayed;
	return fanout_is_within_rate(train->t->route.sender, train->total, route_now_ns()) ? FANOUT_FORWARD : FANOUT_rate_limit;
}

FANOUT_INLINE int train_forward(struct passage *t)
{
	struct train train = { .t = t, .segment_bytes = t->skb->gso_size, .total = t->parse->packet.size, .packet = &t->cpu->segment };
	*train.packet = t->parse->packet; // all come from one address
	uint32_t segment_bytes = train.segment_bytes;
	if (segment_bytes < FANOUT_MEDIA_MIN_BYTES || segment_bytes > FANOUT_PACKET_BYTES || !skb_is_udp_train(t->skb) ||
	    !skb_is_partial(t->skb))
		return single_pass(t, FANOUT_up_train);
	train.segments = (train.total + segment_bytes - 1) / segment_bytes;
	if (train.segments == 0 || train.segments > FANOUT_SEGMENTS_MAX)
		return single_pass(t, FANOUT_up_train);
	t->parse->packet.size = (uint16_t)(train.total < segment_bytes ? train.total : segment_bytes);
	enum check check = CHECK_NONE;
	enum fanout_counter verdict = route_find(t->parse, &t->route);
	if (verdict == FANOUT_FORWARD)
		verdict = single_obstacle(t, t->parse->packet.size, &check);
	if (verdict != FANOUT_FORWARD)
		return single_pass(t, verdict >= FANOUT_UPS_FIRST ? verdict : FANOUT_up_train);
	if (!train_is_whole(&train))
		return single_pass(t, FANOUT_up_train);
	verdict = single_is_shed(t, train.may_shed) ? FANOUT_overload_shed : train_commit(&train);
	if (verdict != FANOUT_FORWARD)
		return single_refuse(t, verdict, train.segments);
	bpf_loop(train.segments, train_keep, &train, 0);
	t->counts->counter[FANOUT_media_received] += train.segments;
	t->counts->counter[FANOUT_trains]++;
	t->counts->counter[FANOUT_train_packets] += train.segments;
	return single_copy(t, check, train.segments, train.total);
}

#endif
