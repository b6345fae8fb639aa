// Packets kept for retransmission: slots of two sizes (kernel-bpf/fanout.h), shared with user space by their locks.
// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#ifndef KERNEL_BPF_HISTORY_H
#define KERNEL_BPF_HISTORY_H

#include "kernel-bpf/fanout_admit.h"
#include "kernel-bpf/maps.h"

// Where the packet belongs; NULL: the stream has no history, or one of slots that are too small for it.
FANOUT_INLINE struct fanout_slot *history_slot(uint64_t history, const struct fanout_packet *p)
{
	uint32_t index = fanout_slot_index(history, fanout_sequence(p));
	if (history == 0)
		return NULL;
	if (FANOUT_HISTORY_IS_LARGE(history))
		return bpf_map_lookup_elem(&history_large, &index);
	return p->size <= FANOUT_SMALL_BYTES ? bpf_map_lookup_elem(&history_small, &index) : NULL;
}

FANOUT_INLINE bool history_load(void *packet, bool is_xdp, uint32_t at, void *to, uint32_t size)
{
	return (is_xdp ? bpf_xdp_load_bytes(packet, at, to, size) : bpf_skb_load_bytes(packet, at, to, size)) == 0;
}

// `packet`: the context of the program; the payload begins at `at`. `slot_bytes`: what the slot takes. False: left out.
FANOUT_INLINE bool history_fill(void *packet, bool is_xdp, uint32_t at, struct fanout_slot *slot, const struct fanout_packet *p,
				uint32_t slot_bytes)
{
	uint32_t size = p->size;
	barrier_var(size); // or the compiler takes the check below for one made before, where the verifier does not see it
	if (!slot || size < FANOUT_MEDIA_MIN_BYTES)
		return false;
	barrier_var(size); // or it makes one check of two, by an addition through which Linux 6.12 does not follow
	if (size > slot_bytes || !fanout_slot_lock(slot, p))
		return false;
	bool is_kept = history_load(packet, is_xdp, at, slot->bytes, size);
	if (!is_kept)
		slot->ssrc = 0;
	fanout_slot_unlock(slot);
	return is_kept;
}

FANOUT_INLINE bool history_put(void *packet, bool is_xdp, uint32_t at, uint64_t history, const struct fanout_packet *p)
{
	uint32_t index = fanout_slot_index(history, fanout_sequence(p));
	if (FANOUT_HISTORY_IS_LARGE(history))
		return history_fill(packet, is_xdp, at, bpf_map_lookup_elem(&history_large, &index), p, FANOUT_LARGE_BYTES);
	return history_fill(packet, is_xdp, at, bpf_map_lookup_elem(&history_small, &index), p, FANOUT_SMALL_BYTES);
}

#endif
