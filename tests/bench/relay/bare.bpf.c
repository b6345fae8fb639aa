// What fan-out costs at least: receivers as constants in one array, no table, no policy, no counters. Everything else is
// as in the product: T clones and redirects, X broadcasts through a devmap and writes headers in an egress program;
// checksums are kept right. Dual BSD/GPL, SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#include "tests/bench/relay/wire.h"

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct wire_receiver receivers[WIRE_BARE_MAX];
uint32_t count, ifindex, source_be;

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(uint32_t));
	__uint(value_size, sizeof(struct bpf_devmap_val));
} devices SEC(".maps");

struct state {
	uint32_t id, seen, copies;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct state);
} states SEC(".maps");

static __always_inline uint16_t fold(uint64_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static __always_inline bool is_ours(const uint8_t *data, const uint8_t *end)
{
	const struct iphdr *ip = (const struct iphdr *)(data + 14);
	const struct udphdr *udp = (const struct udphdr *)(data + 34);
	return data + WIRE_HEADERS_BYTES <= end && ((const struct ethhdr *)data)->h_proto == bpf_htons(ETH_P_IP) && ip->ihl == 5 &&
	       ip->protocol == IPPROTO_UDP && udp->dest == bpf_htons(WIRE_RELAY_PORT);
}

// What the UDP checksum sums up, without addresses and ports.
static __always_inline uint32_t payload_sum(const uint8_t *data)
{
	const struct iphdr *ip = (const struct iphdr *)(data + 14);
	const struct udphdr *udp = (const struct udphdr *)(data + 34);
	return (uint16_t)~udp->check + (uint16_t)~fold((uint64_t)ip->saddr + ip->daddr + udp->source + udp->dest);
}

static __always_inline void rewrite(uint8_t *data, const struct wire_receiver *to, uint32_t sum)
{
	struct iphdr *ip = (struct iphdr *)(data + 14);
	struct udphdr *udp = (struct udphdr *)(data + 34);
	__builtin_memcpy(data, to->ethernet, sizeof(to->ethernet));
	uint64_t ip_sum = (uint64_t)bpf_htons(0x4500) + ip->tot_len + bpf_htons(0x4000) + bpf_htons(64 << 8 | IPPROTO_UDP) + source_be + to->address_be;
	*(uint16_t *)(data + 14) = bpf_htons(0x4500);
	*(uint32_t *)(data + 18) = bpf_htonl(0x4000);
	*(uint16_t *)(data + 22) = bpf_htons(64 << 8 | IPPROTO_UDP);
	ip->check = (uint16_t)~fold(ip_sum);
	ip->saddr = source_be;
	ip->daddr = to->address_be;
	udp->source = bpf_htons(WIRE_RELAY_PORT);
	udp->dest = to->port_be;
	udp->check = (uint16_t)~fold((uint64_t)sum + to->sum);
}

// ---------------------------------------------------------------- T

struct loop {
	struct __sk_buff *skb;
	uint32_t sum;
};

static long copy(uint32_t i, void *context)
{
	struct loop *loop = context;
	uint8_t *data = (uint8_t *)(long)loop->skb->data, *end = (uint8_t *)(long)loop->skb->data_end;
	if (data + WIRE_HEADERS_BYTES > end || i >= WIRE_BARE_MAX)
		return 1;
	rewrite(data, &receivers[i], loop->sum);
	bpf_clone_redirect(loop->skb, ifindex, 0);
	return 0;
}

SEC("tcx/ingress")
int bare_tcx(struct __sk_buff *skb)
{
	if (bpf_skb_pull_data(skb, WIRE_HEADERS_BYTES))
		return TCX_NEXT;
	uint8_t *data = (uint8_t *)(long)skb->data, *end = (uint8_t *)(long)skb->data_end;
	if (!is_ours(data, end))
		return TCX_NEXT;
	struct loop loop = { .skb = skb, .sum = payload_sum(data) };
	uint32_t last = count - 1;
	bpf_loop(last, copy, &loop, 0);
	data = (uint8_t *)(long)skb->data;
	end = (uint8_t *)(long)skb->data_end;
	if (data + WIRE_HEADERS_BYTES > end || last >= WIRE_BARE_MAX)
		return TCX_DROP;
	rewrite(data, &receivers[last], loop.sum);
	return (int)bpf_redirect(ifindex, 0);
}

// ---------------------------------------------------------------- X

SEC("xdp")
int bare_xdp(struct xdp_md *ctx)
{
	uint8_t *data = (uint8_t *)(long)ctx->data, *end = (uint8_t *)(long)ctx->data_end;
	uint32_t zero = 0;
	struct state *state = bpf_map_lookup_elem(&states, &zero);
	if (!state || !is_ours(data, end))
		return XDP_PASS;
	*(uint32_t *)data = ++state->id; // the copies of a packet are counted by this
	return (int)bpf_redirect_map(&devices, 0, BPF_F_BROADCAST);
}

SEC("xdp/devmap")
int bare_egress(struct xdp_md *ctx)
{
	uint8_t *data = (uint8_t *)(long)ctx->data, *end = (uint8_t *)(long)ctx->data_end;
	uint32_t zero = 0;
	struct state *state = bpf_map_lookup_elem(&states, &zero);
	if (!state || data + WIRE_HEADERS_BYTES > end)
		return XDP_DROP;
	if (*(uint32_t *)data != state->seen) {
		state->seen = *(uint32_t *)data;
		state->copies = 0;
	}
	uint32_t i = state->copies++;
	if (i >= WIRE_BARE_MAX)
		return XDP_DROP;
	rewrite(data, &receivers[i], payload_sum(data));
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
