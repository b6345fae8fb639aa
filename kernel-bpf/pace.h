// What a CPU does with its time: latency samples, and shedding when there is no pause any more.
//
// Shedding: signs of work are noted (a packet's start and end, with X every sixteenth copy). If none came for longer
// than the work in between can take, there was a pause, so no packets are waiting. When there was no pause for
// shed_after_us, video is dropped, which costs next to nothing, until the queue is empty and a pause shows; sound goes
// on all the time. So the queue never grows by more than shed_after_us of work, and what is not shed is served at full
// speed. SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#ifndef KERNEL_BPF_PACE_H
#define KERNEL_BPF_PACE_H

#include "kernel-bpf/maps.h"
#include "kernel-bpf/parse.h"

enum {
	PACE_SAMPLE_MASK = 63,
	PACE_DROPPED_NS = 1000, // from a dropped packet to the next one that is waiting already
	PACE_TCX_NS = 2000,     // from the end of T's copies to the next one
	PACE_XDP_NS = 4000,     // between X's signs of work
	PACE_XDP_COPIES = 16,   // a sign of work every so many copies
	PACE_MTU_REFRESH_NS = 10000000,
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

// Sign of work now; the next one may come after slack_ns without there having been a pause.
FANOUT_INLINE void pace_work(struct cpu *cpu, uint64_t now_ns, uint32_t slack_ns)
{
	if (now_ns - cpu->active_ns > cpu->slack_ns)
		cpu->busy_since_ns = now_ns;
	cpu->active_ns = now_ns;
	cpu->slack_ns = slack_ns;
}

FANOUT_INLINE bool pace_is_overloaded(const struct cpu *cpu, const struct fanout_config *settings)
{
	return cpu->active_ns - cpu->busy_since_ns > settings->shed_after_us * 1000ull;
}

// At the start of a packet. Time now if anybody wants to know it, else 0.
FANOUT_INLINE uint64_t pace_begin(struct cpu *cpu, const struct fanout_config *settings)
{
	bool is_sampled = (++cpu->packets & PACE_SAMPLE_MASK) == 0;
	if (!is_sampled && settings->shed_after_us == 0)
		return 0;
	uint64_t now_ns = bpf_ktime_get_ns();
	if (settings->shed_after_us)
		pace_work(cpu, now_ns, PACE_DROPPED_NS);
	return now_ns;
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
FANOUT_INLINE void pace_end(struct cpu *cpu, const struct fanout_config *settings, struct fanout_counters *counts, uint64_t begun_ns,
			    bool is_xdp)
{
	bool is_sampled = (cpu->packets & PACE_SAMPLE_MASK) == 0;
	if (is_xdp)
		cpu->slack_ns = PACE_XDP_NS;
	if (begun_ns == 0 || (is_xdp && !is_sampled))
		return;
	uint64_t now_ns = bpf_ktime_get_ns();
	if (!is_xdp && settings->shed_after_us)
		pace_work(cpu, now_ns, PACE_TCX_NS);
	if (is_sampled)
		counts->latency[pace_bucket(now_ns - begun_ns)]++;
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
