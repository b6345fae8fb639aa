// Admission of one datagram, the same code in the kernel's programs and in user space: address, tag, shape, stream,
// then counter, then rate. Reads the table, and changes of it only window and allowance.
// SPDX-License-Identifier: Apache-2.0
#ifndef KERNEL_BPF_FANOUT_ADMIT_H
#define KERNEL_BPF_FANOUT_ADMIT_H

#include "base/siphash.h"
#include "kernel-bpf/fanout.h"

#include <stdbool.h>

#define FANOUT_INLINE static inline __attribute__((always_inline))
#define FANOUT_RATE_BURST_NS 250000000ull

enum { FANOUT_TYPE_MEDIA = 0, FANOUT_TYPE_HOP = 1, FANOUT_MEDIA_MIN_BYTES = 60, FANOUT_HOP_MIN_BYTES = 44 };

// What admission sees of a datagram.
struct fanout_packet {
	uint64_t head[FANOUT_HEAD_BYTES / 8]; // its first bytes as they are; zeros behind a shorter one
	uint8_t peer[16];                     // where it comes from: IPv6 or IPv4 mapped; zeros: in a frame
	uint16_t peer_port_be;                // 0: in a frame
	uint16_t size;                        // of the UDP payload
	bool is_tls;                          // in a frame, whose connection the caller has checked
};

FANOUT_INLINE uint32_t fanout_be32(uint64_t word, unsigned shift) { return __builtin_bswap32((uint32_t)(word >> shift)); }

FANOUT_INLINE uint32_t fanout_handle(const struct fanout_packet *p) { return fanout_be32(p->head[0], 0); }
FANOUT_INLINE uint32_t fanout_count(const struct fanout_packet *p) { return fanout_be32(p->head[0], 32); }
FANOUT_INLINE uint32_t fanout_type(const struct fanout_packet *p) { return fanout_handle(p) >> 30; }
// Entry of the table; of the table of a relay the base is added.
FANOUT_INLINE uint32_t fanout_index(const struct fanout_packet *p) { return fanout_handle(p) & 0xfffff; }
FANOUT_INLINE uint16_t fanout_sequence(const struct fanout_packet *p) { return __builtin_bswap16((uint16_t)(p->head[2] >> 16)); }
FANOUT_INLINE uint32_t fanout_timestamp(const struct fanout_packet *p) { return fanout_be32(p->head[2], 32); }
FANOUT_INLINE uint32_t fanout_ssrc(const struct fanout_packet *p) { return fanout_be32(p->head[3], 0); }
// Which of the sender's streams; below FANOUT_STREAMS after fanout_check.
FANOUT_INLINE uint32_t fanout_stream_id(const struct fanout_packet *p) { return fanout_ssrc(p) & 0xff; }

// Long enough for its type, short enough, of a known type.
FANOUT_INLINE bool fanout_is_whole(const struct fanout_packet *p)
{
	if (p->size > FANOUT_PACKET_BYTES)
		return false;
	switch (fanout_type(p)) {
	case FANOUT_TYPE_MEDIA:
		return p->size >= FANOUT_MEDIA_MIN_BYTES;
	case FANOUT_TYPE_HOP:
		return p->size >= FANOUT_HOP_MIN_BYTES;
	default:
		return false;
	}
}

// As packet_tag() of base/packet.h: handle, counter, length, zero, and the header bytes that the relay reads.
FANOUT_INLINE uint64_t fanout_tag(const struct fanout_packet *p, const uint64_t key[2])
{
	struct siphash s = siphash_begin(key[0], key[1]);
	siphash_word(&s, p->head[0]);
	siphash_word(&s, __builtin_bswap32(p->size));
	siphash_word(&s, p->head[2]);
	if (fanout_type(p) == FANOUT_TYPE_HOP)
		return siphash_end(&s, 24ull << 56);
	siphash_word(&s, p->head[3]);
	siphash_word(&s, p->head[4]);
	return siphash_end(&s, 40ull << 56);
}

FANOUT_INLINE bool fanout_is_tag_good(const struct fanout_packet *p, const uint64_t key[2])
{
	return fanout_tag(p, key) == __builtin_bswap64(p->head[1]);
}

FANOUT_INLINE bool fanout_is_at_home(const struct fanout_packet *p, const struct fanout_sender *sender)
{
	const uint64_t *a = (const uint64_t *)p->peer, *b = (const uint64_t *)sender->peer;
	return p->is_tls == !!(sender->flags & FANOUT_SENDER_IS_TLS) && (sender->flags & FANOUT_SENDER_HAS_ADDRESS) &&
	       p->peer_port_be == sender->peer_port_be && a[0] == b[0] && a[1] == b[1];
}

// The RTP header's shape as packet_rtp_parse() wants it: version 2, extension, no padding, no CSRC; 0xBEDE, two words,
// ids 1 (three bytes) and 2 (one byte), two zero bytes.
FANOUT_INLINE bool fanout_is_rtp(const struct fanout_packet *p)
{
	return (uint8_t)p->head[2] == 0x90 && (uint32_t)(p->head[3] >> 32) == __builtin_bswap32(0xbede0002) &&
	       (p->head[4] & 0xffff00ff000000ffull) == 0x0000002000000012ull;
}

// All that can be said without taking the counter: FANOUT_FORWARD, an up or a drop. `sender` is what the handle's index
// leads to, NULL: nothing.
FANOUT_INLINE enum fanout_counter fanout_check(const struct fanout_packet *p, const struct fanout_sender *sender)
{
	if (!fanout_is_whole(p))
		return FANOUT_packet_malformed;
	if (!sender || sender->handle == 0 || sender->handle != (fanout_handle(p) & 0x3fffffff))
		return FANOUT_handle_unknown;
	if (p->is_tls != !!(sender->flags & FANOUT_SENDER_IS_TLS))
		return FANOUT_address_foreign;
	bool is_home = fanout_is_at_home(p, sender);
	if (!fanout_is_tag_good(p, sender->tag_key))
		return is_home ? FANOUT_tag_wrong : FANOUT_address_foreign;
	if (!is_home)
		return FANOUT_up_foreign;
	if (fanout_type(p) == FANOUT_TYPE_HOP)
		return FANOUT_up_hop;
	if (!fanout_is_rtp(p))
		return FANOUT_rtp_malformed;
	if (fanout_ssrc(p) >> 8 != sender->index)
		return FANOUT_ssrc_foreign;
	if (!(sender->flags & FANOUT_SENDER_MAY_SEND))
		return FANOUT_send_not_allowed;
	if (fanout_stream_id(p) >= FANOUT_STREAMS)
		return FANOUT_stream_limit;
	return FANOUT_FORWARD;
}

// May this counter still be taken? What a train and a packet from an unproven address ask.
FANOUT_INLINE bool fanout_is_fresh(const struct fanout_window *window, uint32_t count)
{
	return count > *(const volatile uint32_t *)&window->slot[count % FANOUT_WINDOW_SLOTS];
}

// fanout_check, and whether what user space would decide on can be news: what somebody has recorded and sends again needs
// nobody's decision. `window` is the sender's, NULL: it has none (TLS).
FANOUT_INLINE enum fanout_counter fanout_judge(const struct fanout_packet *p, const struct fanout_sender *sender,
					       const struct fanout_window *window)
{
	enum fanout_counter verdict = fanout_check(p, sender);
	if (verdict != FANOUT_up_foreign && verdict != FANOUT_up_hop)
		return verdict;
	bool is_news = window ? fanout_is_fresh(window, fanout_count(p)) : verdict == FANOUT_up_hop;
	return is_news ? verdict : FANOUT_counter_replayed;
}

// Take it; false if it was seen before, or is older than what holds its slot. Somebody who raises the slot at the same
// time wins, or we do in the second round; a slot only ever rises, so few rounds are enough for any number of queues.
FANOUT_INLINE bool fanout_take(struct fanout_window *window, uint32_t count)
{
	uint32_t *slot = &window->slot[count % FANOUT_WINDOW_SLOTS];
	uint32_t seen = *(volatile uint32_t *)slot;
	for (int i = 0; i < 4; i++) {
		if (count <= seen)
			return false;
		uint32_t found = __sync_val_compare_and_swap(slot, seen, count);
		if (found == seen)
			return true;
		seen = found;
	}
	return false;
}

// Within the sender's rate? Counters were taken before, so replayed packets use nothing up. Two queues at the same time
// may let one packet too many pass.
FANOUT_INLINE bool fanout_is_within_rate(struct fanout_sender *sender, uint32_t bytes, uint64_t now_ns)
{
	uint64_t cost = (uint64_t)sender->ns_per_kib * bytes >> 10;
	uint64_t used = *(volatile uint64_t *)&sender->rate_used_ns;
	if (used < now_ns)
		used = now_ns;
	if (used + cost > now_ns + FANOUT_RATE_BURST_NS)
		return false;
	*(volatile uint64_t *)&sender->rate_used_ns = used + cost;
	return true;
}

// A packet that a sender was asked for by mistake, or sent twice: everyone has it already.
FANOUT_INLINE bool fanout_is_repeated(const struct fanout_packet *p, const struct fanout_slot *slot)
{
	return slot->ssrc == fanout_ssrc(p) && slot->sequence == fanout_sequence(p) && slot->timestamp == fanout_timestamp(p) &&
	       slot->size == p->size;
}

// What is left once the counter was taken: rate, and whether everyone has it already.
FANOUT_INLINE enum fanout_counter fanout_commit_taken(const struct fanout_packet *p, struct fanout_sender *sender,
						      const struct fanout_slot *slot, uint64_t now_ns)
{
	if (!fanout_is_within_rate(sender, p->size, now_ns))
		return FANOUT_rate_limit;
	if (slot && fanout_is_repeated(p, slot))
		return FANOUT_media_repeated;
	return FANOUT_FORWARD;
}

// What is left after fanout_check and whatever else may send a packet up: counter, rate, and whether everyone has it
// already. FANOUT_FORWARD or a drop. `slot`: where the history would keep the packet; NULL: no history.
FANOUT_INLINE enum fanout_counter fanout_commit(const struct fanout_packet *p, struct fanout_sender *sender,
						struct fanout_window *window, const struct fanout_slot *slot, uint64_t now_ns)
{
	if (!fanout_take(window, fanout_count(p)))
		return FANOUT_counter_replayed;
	return fanout_commit_taken(p, sender, slot, now_ns);
}

// Index of the slot for a sequence number, in the class's map.
FANOUT_INLINE uint32_t fanout_slot_index(uint64_t history, uint16_t sequence)
{
	return FANOUT_HISTORY_FIRST(history) + (sequence & ((1u << (FANOUT_HISTORY_LOG2(history) & 15)) - 1));
}

// Begin to write a slot; false: somebody else does. Then size bytes of the datagram, then fanout_slot_unlock. Both are
// full barriers.
FANOUT_INLINE bool fanout_slot_lock(struct fanout_slot *slot, const struct fanout_packet *p)
{
	uint32_t lock = *(volatile uint32_t *)&slot->lock;
	if ((lock & 1) || __sync_val_compare_and_swap(&slot->lock, lock, lock + 1) != lock)
		return false;
	slot->ssrc = fanout_ssrc(p);
	slot->timestamp = fanout_timestamp(p);
	slot->sequence = fanout_sequence(p);
	slot->size = p->size;
	return true;
}

FANOUT_INLINE void fanout_slot_unlock(struct fanout_slot *slot)
{
	uint32_t lock = *(volatile uint32_t *)&slot->lock;
	__sync_val_compare_and_swap(&slot->lock, lock, lock + 1);
}

// Is `sequence` ahead of the newest? A step back by more than any history is a sender that starts anew.
FANOUT_INLINE bool fanout_is_newer(uint16_t sequence, uint16_t newest)
{
	int16_t ahead = (int16_t)(sequence - newest);
	return ahead > 0 || ahead < -1024;
}

#endif
