// What a CPU does with its time: latency samples, and shedding when there is too much to do.
//
// Shedding: the kernel takes packets from a receive queue in polls of up to 64. A full poll means that more may be
// waiting, and several in sequence that the queue grows. From then on video is dropped, which costs next to nothing,
// until a poll finds the queue empty; sound goes on all the time. So the queue hardly grows beyond shed_after polls,
// whatever a packet costs, and what is not shed is served at full speed. SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#ifndef KERNEL_BPF_PACE_H
#define KERNEL_BPF_PACE_H

#include "kernel-bpf/maps.h"
#include "kernel-bpf/parse.h"

enum {
	PACE_SAMPLE_MASK = 63,
	PACE_MTU_REFRESH_NS = 10000000,
	PACE_FORGET_NS = 100000000, // a queue that was full and has gone to another CPU
};

FANOUT_INLINE struct cpu *pace_cpu(void)
{
	uint32_t zero = 0;
	return bpf_map_lookup_elem(&cpus, &zero);
}

// Count a verdict.
FANOUT_INLINE void pace_count(struct fanout_counters *counts, enum fanout_counter reason, uint32_t packets)
{
	uint32_t at = reason;
	barrier_var(at); // the verifier is to see this check, whatever the compiler knows
	if (at < FANOUT_COUNTERS)
		counts->counter[at] += packets;
}

// After a poll that took `work` packets of `budget` from a queue. Polls without packets for us say nothing.
FANOUT_INLINE void pace_polled(struct cpu *cpu, uint64_t queue, int work, int budget, uint64_t now_ns)
{
	if (budget <= 0 || cpu->packets == cpu->polled)
		return;
	cpu->polled = cpu->packets;
	if (queue != cpu->full_queue && cpu->full_polls && now_ns - cpu->full_ns < PACE_FORGET_NS)
		return; // one at a time: the first that was full
	cpu->full_polls = work < budget ? 0 : queue == cpu->full_queue ? cpu->full_polls + 1 : 1;
	cpu->full_queue = queue;
	cpu->full_ns = now_ns;
}

FANOUT_INLINE bool pace_is_overloaded(const struct cpu *cpu, const struct fanout_config *settings)
{
	return settings->shed_after && cpu->full_polls >= settings->shed_after &&
	       bpf_ktime_get_ns() - cpu->full_ns < PACE_FORGET_NS;
}

// At the start of a packet. Time now if it is a sample, else 0.
FANOUT_INLINE uint64_t pace_begin(struct cpu *cpu)
{
	return ++cpu->packets & PACE_SAMPLE_MASK ? 0 : bpf_ktime_get_ns();
}

// Bucket b counts what took less than 2^b * 64 ns.
FANOUT_INLINE uint32_t pace_bucket(uint64_t ns)
{
	uint64_t units = ns >> 6;
	uint32_t bucket = 0;
	for (int step = 16; step; step >>= 1) {
		if (units >> step) {
			units >>= step;
			bucket += step;
		}
	}
	bucket += units ? 1 : 0;
	return bucket < FANOUT_LATENCY_BUCKETS ? bucket : FANOUT_LATENCY_BUCKETS - 1;
}

// After a packet's copies were handed over. T's copies have left by then; X's leave soon after.
FANOUT_INLINE void pace_end(struct fanout_counters *counts, uint64_t begun_ns)
{
	if (begun_ns)
		counts->latency[pace_bucket(bpf_ktime_get_ns() - begun_ns)]++;
}

// The lowest MTU of all devices that have a program. Read again every now and then, since it hardly ever changes.
FANOUT_INLINE uint32_t pace_mtu_lowest(struct cpu *cpu, const struct fanout_config *settings, uint64_t coarse_ns)
{
	if (cpu->mtu_lowest && coarse_ns - cpu->mtu_read_ns < PACE_MTU_REFRESH_NS)
		return cpu->mtu_lowest;
	uint32_t lowest = UINT16_MAX;
	for (int i = 1; i < FANOUT_DEVICES; i++) {
		uint32_t mtu = settings->mtu[i];
		if (mtu && mtu < lowest)
			lowest = mtu;
	}
	cpu->mtu_lowest = lowest;
	cpu->mtu_read_ns = coarse_ns;
	return lowest;
}

#endif
