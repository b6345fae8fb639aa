// Generator and sink of the relay's benchmark. The generator runs as live frames of BPF_PROG_TEST_RUN and makes media
// packets that the relay takes for those of its clients, tags included; the sink counts copies where receivers are and
// drops them. They share `totals`, so that the generator can wait for copies (closed loop).
// Dual BSD/GPL, SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#include "kernel-bpf/fanout_admit.h"
#include "tests/bench/relay/wire.h"

#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define STALL_NS 10000000ull
#define LAG_NS 100000ull // what a generator that was held up may send at once later

struct wire_config config;
struct wire_totals totals;
struct wire_sender senders[WIRE_SENDERS_MAX];
uint64_t latency[WIRE_LATENCY_BUCKETS];

static uint64_t ordinal, left, next_ns, emitted_ns, awaited, good, audio, stalls, late;

static __always_inline uint64_t sum64(uint64_t word) { return (word & 0xffffffff) + (word >> 32); }

static __always_inline uint16_t fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

// May a packet be sent now? At the start of a burst that is asked of the clock and of the sink.
static __always_inline bool is_due(uint64_t now)
{
	if (left > 0) {
		left--;
		return true;
	}
	if (now < config.start_ns || now >= config.stop_ns)
		return false;
	if (next_ns == 0)
		next_ns = config.start_ns;
	if (now < next_ns)
		return false;
	uint64_t arrived = *(volatile uint64_t *)&totals.arrived;
	if (config.copies > 0 && arrived < awaited) {
		if (now - emitted_ns < STALL_NS)
			return false;
		stalls++;
		awaited = arrived;
	}
	next_ns += config.period_ns;
	if (next_ns + LAG_NS < now) {
		late += config.period_ns > 0;
		next_ns = now;
	}
	emitted_ns = now;
	awaited += config.burst * config.copies;
	left = config.burst - 1;
	return true;
}

struct choice {
	enum wire_forgery forgery;
	uint32_t stream;
	uint16_t port;
};

static __always_inline struct choice choose(uint64_t i, const struct wire_sender *sender)
{
	struct choice choice = { .forgery = config.forgery, .stream = config.stream, .port = sender->port };
	if (config.good_every > 0 && i % config.good_every == 0)
		choice.forgery = WIRE_GOOD;
	if (config.audio_every > 0 && i % config.audio_every == 0)
		choice.stream = 0;
	if (choice.forgery == WIRE_BAD_ADDRESS)
		choice.port = (uint16_t)(30000 + (i & 0xfff));
	return choice;
}

// The 40 bytes that the relay reads.
static __always_inline void make_head(struct fanout_packet *p, struct wire_sender *sender, const struct choice *choice)
{
	uint32_t stream = choice->stream & (WIRE_STREAMS - 1), counter = sender->counter, ssrc = sender->index << 8 | stream;
	if (choice->forgery == WIRE_BAD_COUNTER)
		counter = counter > 64 ? counter - 1 - (uint32_t)(bpf_get_prandom_u32() & 63) : 0; // all seen before
	else if (choice->forgery == WIRE_GOOD)
		sender->counter++;
	else
		counter += 1 + (bpf_get_prandom_u32() & 511);
	if (choice->forgery == WIRE_BAD_STREAM)
		ssrc = (sender->index + 1 + (bpf_get_prandom_u32() & 255)) << 8 | stream;
	else if (choice->forgery == WIRE_BAD_ROOM)
		ssrc = config.other_index << 8 | stream;
	uint16_t sequence = sender->sequence[stream];
	if (choice->forgery == WIRE_GOOD)
		sender->sequence[stream]++;
	p->size = (uint16_t)(config.frame_bytes - WIRE_HEADERS_BYTES);
	p->head[0] = bpf_htonl(sender->handle) | (uint64_t)bpf_htonl(counter) << 32;
	p->head[2] = config.head[2] | (uint64_t)bpf_htons(sequence) << 16 | (uint64_t)bpf_htonl(sender->timestamp) << 32;
	p->head[3] = config.head[3] | bpf_htonl(ssrc);
	p->head[4] = config.head[4];
	sender->timestamp += 90;
	uint64_t tag = fanout_tag(p, sender->key);
	if (choice->forgery == WIRE_BAD_TAG)
		tag ^= (uint64_t)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32() | 1;
	p->head[1] = __builtin_bswap64(tag);
}

// Sequence number and timestamp of an RTP header, which is the datagram's or behind the four bytes of ChannelData.
static __always_inline void make_plain(struct fanout_packet *p, struct wire_sender *sender)
{
	uint64_t sequence = bpf_htons(sender->sequence[0]++), timestamp = bpf_htonl(sender->timestamp);
	sender->timestamp += 90;
	for (int w = 0; w < WIRE_HEAD_BYTES / 8; w++)
		p->head[w] = config.head[w];
	if (config.plain == WIRE_RTP) {
		p->head[0] |= sequence << 16 | timestamp << 32;
	} else {
		p->head[0] |= sequence << 48;
		p->head[1] |= timestamp;
	}
}

static __always_inline void count(const struct choice *choice)
{
	if (choice->forgery == WIRE_GOOD) {
		good++;
		audio += choice->stream == 0;
	}
	totals.sent = ordinal;
	totals.good = good;
	totals.audio = audio;
	totals.stalls = stalls;
	totals.late = late;
}

SEC("xdp")
int generator(struct xdp_md *ctx)
{
	uint8_t *data = (uint8_t *)(long)ctx->data, *end = (uint8_t *)(long)ctx->data_end;
	uint64_t now = bpf_ktime_get_ns();
	if (data + WIRE_HEADERS_BYTES + WIRE_HEAD_BYTES + WIRE_STAMP_BYTES > end || !is_due(now))
		return XDP_DROP;
	uint64_t i = ordinal++;
	uint32_t at = config.senders > 0 ? (uint32_t)(i % config.senders) : 0;
	if (at >= WIRE_SENDERS_MAX)
		return XDP_DROP;
	struct wire_sender *sender = &senders[at];
	struct choice choice = choose(i, sender);
	struct fanout_packet packet;
	if (config.plain)
		make_plain(&packet, sender);
	else
		make_head(&packet, sender, &choice);

	__builtin_memcpy(data, config.headers, WIRE_HEADERS_BYTES);
	struct iphdr *ip = (struct iphdr *)(data + 14);
	struct udphdr *udp = (struct udphdr *)(data + 34);
	uint64_t *body = (uint64_t *)(data + WIRE_HEADERS_BYTES);
	udp->source = bpf_htons(choice.port);
	if (config.forward > 0) {
		ip->daddr = bpf_htonl(WIRE_RECEIVER_ADDRESS + (uint32_t)(i % config.forward));
		udp->dest = bpf_htons((uint16_t)(WIRE_RECEIVER_PORT + i % config.forward));
	}
	ip->check = fold(config.ip_sum + ip->daddr);
	uint64_t sum = config.base_sum + ip->daddr + udp->source + udp->dest;
	for (int w = 0; w < WIRE_HEAD_BYTES / 8; w++) {
		body[w] = packet.head[w];
		sum += sum64(packet.head[w]);
	}
	body[5] = now;
	body[6] = i;
	udp->check = fold(sum + sum64(now) + sum64(i));
	if (udp->check == 0)
		udp->check = 0xffff;
	count(&choice);
	return (int)bpf_redirect(config.ifindex, 0);
}

// ---------------------------------------------------------------- sink

static __always_inline uint32_t stream_of(uint32_t ssrc_be) { return bpf_ntohl(ssrc_be) & (WIRE_STREAMS - 1); }

static __always_inline void arrived(const uint64_t *body, uint64_t segments, uint64_t bytes)
{
	__sync_fetch_and_add(&totals.frames, 1);
	__sync_fetch_and_add(&totals.bytes, bytes);
	if (config.is_latency_wanted) {
		uint64_t bucket = (bpf_ktime_get_ns() - body[5]) >> 9;
		if (bucket >= WIRE_LATENCY_BUCKETS)
			bucket = WIRE_LATENCY_BUCKETS - 1;
		__sync_fetch_and_add(&latency[bucket & (WIRE_LATENCY_BUCKETS - 1)], 1);
	}
	__sync_fetch_and_add(&totals.arrived, segments);
}

// Segments of a train may be of several streams.
static __always_inline void arrived_streams(struct __sk_buff *skb)
{
	uint32_t ssrc_be;
	for (uint32_t i = 0; i < WIRE_TRAIN_MAX && (i == 0 || i < skb->gso_segs); i++) {
		if (bpf_skb_load_bytes(skb, WIRE_HEADERS_BYTES + WIRE_SSRC_AT + i * skb->gso_size, &ssrc_be, sizeof(ssrc_be)))
			return;
		__sync_fetch_and_add(&totals.arrived_of[stream_of(ssrc_be)], 1);
	}
}

// The UDP payload, if these are the first bytes of a frame with media for one of the receivers.
static __always_inline const uint64_t *media_of(const uint8_t *data, const uint8_t *end)
{
	const struct iphdr *ip = (const struct iphdr *)(data + 14);
	const struct udphdr *udp = (const struct udphdr *)(data + 34);
	if (data + WIRE_HEADERS_BYTES + WIRE_HEAD_BYTES + WIRE_STAMP_BYTES > end ||
	    ((const struct ethhdr *)data)->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_UDP)
		return NULL;
	uint16_t port = bpf_ntohs(udp->dest);
	if (port < WIRE_RECEIVER_PORT || port >= WIRE_RECEIVER_PORT + WIRE_RECEIVERS_MAX)
		return NULL;
	const uint64_t *body = (const uint64_t *)(data + WIRE_HEADERS_BYTES);
	return config.plain || (uint8_t)body[0] >> 6 == FANOUT_TYPE_MEDIA ? body : NULL;
}

static __always_inline bool take(struct __sk_buff *skb)
{
	if (skb->protocol != bpf_htons(ETH_P_IP) || bpf_skb_pull_data(skb, WIRE_HEADERS_BYTES + WIRE_HEAD_BYTES + WIRE_STAMP_BYTES))
		return false;
	const uint64_t *body = media_of((const uint8_t *)(long)skb->data, (const uint8_t *)(long)skb->data_end);
	if (!body)
		return false;
	arrived(body, skb->gso_segs > 1 ? skb->gso_segs : 1, skb->len);
	if (config.audio_every > 0)
		arrived_streams(skb);
	return true;
}

SEC("tcx/ingress")
int sink(struct __sk_buff *skb) { return take(skb) ? TCX_DROP : TCX_NEXT; }

// Where copies leave the relay, in its own time. Not tcx, which can only drop them: the relay would take that for a failure.
SEC("tc")
int sink_egress(struct __sk_buff *skb) { return take(skb) ? TC_ACT_STOLEN : TC_ACT_UNSPEC; }

// The same where copies come faster than frames can be made into socket buffers.
SEC("xdp")
int sink_xdp(struct xdp_md *ctx)
{
	const uint64_t *body = media_of((const uint8_t *)(long)ctx->data, (const uint8_t *)(long)ctx->data_end);
	if (!body)
		return XDP_PASS;
	arrived(body, 1, ctx->data_end - ctx->data);
	if (config.audio_every > 0)
		__sync_fetch_and_add(&totals.arrived_of[stream_of((uint32_t)body[3])], 1);
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
