// The relay's programs in the kernel, for the table of kernel-bpf/fanout.h.
//
//   X: fanout_xdp ─ admission, history ─► devmap of n entries ─► fanout_egress, once a copy: its headers
//      │ what is not X's
//      ▼
//   T: fanout_tcx ─ admission, history ─► headers of one copy, clone, …, the last copy is the packet itself
//      │ what is not for us, or unusual, or for user space (counted)
//      ▼
//   the kernel's stack, the relay's sockets
//
// fanout_poll sees how long the receive queues are, so that X and T know when there is too much to do.
//
// X only counts what it drops, what it forwards, and what it leaves to T, which is attached wherever X is.
// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#include "kernel-bpf/flight.h"
#include "kernel-bpf/maps.h"
#include "kernel-bpf/pace.h"
#include "kernel-bpf/single.h"
#include "kernel-bpf/train.h"

#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

static const uint32_t zero = 0;

SEC("xdp")
int fanout_xdp(struct xdp_md *xdp)
{
	struct arrival a = { .xdp = xdp, .settings = bpf_map_lookup_elem(&config, &zero), .cpu = pace_cpu() };
	if (!a.settings || !a.cpu || !a.settings->is_enabled)
		return XDP_PASS;
	struct frame frame = { .at = (void *)(long)xdp->data, .end = (void *)(long)xdp->data_end, .bytes = xdp->data_end - xdp->data,
			       .port_be = a.settings->port_be, .relay_port_be = a.settings->relay_port_be };
	a.parse = &a.cpu->parse;
	a.counts = bpf_map_lookup_elem(&counters, &zero);
	if (!a.counts || parse_frame(a.parse, &frame, true) != PARSED_WHOLE)
		return XDP_PASS;
	uint64_t begun_ns = pace_begin(a.cpu);
	int verdict = flight_forward(&a);
	if (verdict == XDP_REDIRECT)
		pace_end(a.counts, begun_ns);
	return verdict;
}

SEC("xdp/devmap")
int fanout_egress(struct xdp_md *xdp)
{
	void *data = (void *)(long)xdp->data;
	struct cpu *cpu = pace_cpu();
	if (!cpu || data + ETH_HLEN > (void *)(long)xdp->data_end)
		return XDP_DROP;
	uint32_t id = *(const uint32_t *)data;
	struct flight *flight = &cpu->flight[id % FLIGHTS];
	return flight->id == id ? flight_leave(xdp, flight) : flight_lose(flight, FANOUT_redirect_failed);
}

// The head of the packet is made readable in place if it is not yet.
FANOUT_INLINE enum parsed parse_skb(struct __sk_buff *skb, struct parse *p, struct frame *frame)
{
	enum parsed parsed = PARSED_FOREIGN;
	for (int round = 0; round < 2; round++) {
		frame->at = (void *)(long)skb->data;
		frame->end = (void *)(long)skb->data_end;
		parsed = parse_frame(p, frame, false);
		if (parsed != PARSED_HIDDEN)
			return parsed;
		if (bpf_skb_pull_data(skb, skb->len < PARSE_BYTES ? skb->len : PARSE_BYTES))
			return PARSED_FOREIGN;
	}
	return PARSED_FOREIGN;
}

SEC("tcx/ingress")
int fanout_tcx(struct __sk_buff *skb)
{
	struct passage t = { .skb = skb, .settings = bpf_map_lookup_elem(&config, &zero), .cpu = pace_cpu() };
	// A tagged packet on the parent device comes once more, untagged, on the VLAN's own.
	if (!t.settings || !t.cpu || !t.settings->is_enabled || skb->vlan_present)
		return TCX_NEXT;
	struct frame frame = { .bytes = skb->len, .port_be = t.settings->port_be, .relay_port_be = t.settings->relay_port_be };
	t.parse = &t.cpu->parse;
	enum parsed parsed = parse_skb(skb, t.parse, &frame);
	if (parsed == PARSED_FOREIGN)
		return TCX_NEXT;
	t.counts = bpf_map_lookup_elem(&counters, &zero);
	if (!t.counts)
		return TCX_NEXT;
	if (parsed != PARSED_WHOLE) {
		enum fanout_counter reason = parsed == PARSED_ODD ? odd_reason(skb, &frame) : FANOUT_up_length;
		return reason == FANOUT_FORWARD ? TCX_NEXT : single_pass(&t, reason);
	}
	uint64_t begun_ns = pace_begin(t.cpu);
	int verdict = skb->gso_size ? train_forward(&t) : single_forward(&t);
	if (verdict == TCX_REDIRECT || FANOUT_MARK_IS(t.skb->mark))
		pace_end(t.counts, begun_ns);
	return verdict;
}

// After each poll of a receive queue: the queue, how many packets it gave, how many it might have given.
SEC("raw_tp/napi_poll")
int fanout_poll(struct bpf_raw_tracepoint_args *poll)
{
	struct cpu *cpu = pace_cpu();
	if (cpu)
		pace_polled(cpu, poll->args[0], (int)poll->args[1], (int)poll->args[2], bpf_ktime_get_ns());
	return 0;
}

char programs_license[] SEC("license") = "Dual BSD/GPL";
