// Histories: how many slots a stream has, and what user space takes from them. SPDX-License-Identifier: Apache-2.0
#include "relay/table_private.h"

#include <stdlib.h>
#include <string.h>

enum {
	AUDIO_LOG2 = 6, VIDEO_LOG2 = 7, // at first: more than a second of sound, and of little video
	LOOK_NS = 50000000, SECOND_NS = 1000000000,
	CALM_LOOKS = 20, // before slots are given back
	TRIES = 3,
};

static const uint32_t slot_bytes[TABLE_CLASSES] = { FANOUT_SMALL_SLOT, FANOUT_LARGE_SLOT };

static struct fanout_slot *slot_at(const struct table_memory *memory, bool is_large, uint32_t slot)
{
	uint8_t *pool = is_large ? memory->history_large : memory->history_small;
	return (struct fanout_slot *)(pool + (size_t)slot * slot_bytes[is_large]);
}

static struct fanout_slot *slot_of(const struct table_memory *memory, uint64_t history, uint16_t sequence)
{
	uint32_t mask = (1u << FANOUT_HISTORY_LOG2(history)) - 1;
	return slot_at(memory, FANOUT_HISTORY_IS_LARGE(history), FANOUT_HISTORY_FIRST(history) + (sequence & mask));
}

static uint32_t region_bytes(bool is_large, unsigned log2) { return slot_bytes[is_large] << log2; }
static uint32_t history_bytes(uint64_t history)
{
	return history ? region_bytes(FANOUT_HISTORY_IS_LARGE(history), FANOUT_HISTORY_LOG2(history)) : 0;
}

// ---------------------------------------------------------------- slots

struct kept {
	uint32_t ssrc, timestamp;
	uint16_t sequence, size;
	uint8_t *bytes;
};

// What a slot holds, if it holds still meanwhile.
static bool read_slot(struct fanout_slot *slot, bool is_large, struct kept *out)
{
	for (int i = 0; i < TRIES; i++) {
		uint32_t lock = __atomic_load_n(&slot->lock, __ATOMIC_ACQUIRE);
		if (lock & 1)
			continue;
		out->ssrc = slot->ssrc;
		out->timestamp = slot->timestamp;
		out->sequence = slot->sequence;
		out->size = slot->size;
		if (out->ssrc == 0)
			return false;
		bool is_whole = out->size <= (is_large ? FANOUT_LARGE_BYTES : FANOUT_SMALL_BYTES);
		if (is_whole)
			memcpy(out->bytes, slot->bytes, out->size);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&slot->lock, __ATOMIC_RELAXED) == lock)
			return is_whole;
	}
	return false;
}

// Into a region that is published: whoever forwards may write there at the same time, and what it writes is newer.
static void put_kept(struct fanout_slot *slot, const struct kept *kept)
{
	uint32_t lock = __atomic_load_n(&slot->lock, __ATOMIC_RELAXED);
	if (lock & 1 || !__atomic_compare_exchange_n(&slot->lock, &lock, lock + 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	if (slot->ssrc == 0 || (int16_t)(kept->sequence - slot->sequence) > 0) {
		slot->ssrc = kept->ssrc;
		slot->timestamp = kept->timestamp;
		slot->sequence = kept->sequence;
		slot->size = kept->size;
		memcpy(slot->bytes, kept->bytes, kept->size);
	}
	__atomic_store_n(&slot->lock, lock + 2, __ATOMIC_RELEASE);
}

static void copy_kept(const struct table_memory *memory, uint64_t from, uint64_t to)
{
	uint8_t bytes[FANOUT_LARGE_BYTES];
	struct kept kept = { .bytes = bytes };
	bool is_large = FANOUT_HISTORY_IS_LARGE(from);
	uint32_t most = FANOUT_HISTORY_IS_LARGE(to) ? FANOUT_LARGE_BYTES : FANOUT_SMALL_BYTES;
	for (uint32_t i = 0; i < 1u << FANOUT_HISTORY_LOG2(from); i++) {
		if (read_slot(slot_at(memory, is_large, FANOUT_HISTORY_FIRST(from) + i), is_large, &kept) && kept.size <= most)
			put_kept(slot_of(memory, to, kept.sequence), &kept);
	}
}

// ---------------------------------------------------------------- regions

// An empty one instead of `before`; 0: neither the pool nor the sender's share has room.
static uint64_t take(struct table *table, const struct table_entry *entry, uint64_t before, bool is_large, unsigned log2)
{
	if (entry->history_bytes - history_bytes(before) + region_bytes(is_large, log2) > TABLE_SENDER_HISTORY_BYTES)
		return 0;
	uint32_t dirty, region = table_region_take(&table->regions[is_large], log2, &dirty);
	if (!region)
		return 0;
	uint32_t first = table_region_slot(region);
	for (uint32_t i = 0; i < dirty; i++)
		memset(slot_at(table->memory, is_large, first + i), 0, sizeof(struct fanout_slot));
	return FANOUT_HISTORY(first, log2, is_large);
}

// From now on the stream is kept there.
static void publish(struct table *table, struct fanout_sender *sender, uint8_t stream, uint64_t history)
{
	struct table_entry *entry = &table->entry[table_index(sender->handle)];
	struct fanout_stream *s = &sender->stream[stream];
	uint64_t before = s->history;
	__atomic_store_n(&s->history, history, __ATOMIC_RELEASE);
	entry->history_bytes += history_bytes(history) - history_bytes(before);
	table->history_bytes += history_bytes(history);
	table->history_bytes -= history_bytes(before);
	if (!before)
		return;
	copy_kept(table->memory, before, history);
	table_retire_region(table, FANOUT_HISTORY_IS_LARGE(before), table_region_of(FANOUT_HISTORY_FIRST(before)));
}

void table_history_begin(struct table *table, struct fanout_sender *sender, uint8_t stream)
{
	struct table_entry *entry = &table->entry[table_index(sender->handle)];
	if (!entry->rates)
		entry->rates = calloc(1, sizeof(*entry->rates));
	if (!entry->rates)
		return; // nothing is kept for those who come when there is no memory
	bool is_large = sender->stream[stream].flags & FANOUT_STREAM_MAY_SHED;
	uint64_t history = 0;
	for (unsigned log2 = is_large ? VIDEO_LOG2 : AUDIO_LOG2; !history && log2 >= TABLE_REGION_MIN_LOG2; log2--)
		history = take(table, entry, 0, is_large, log2);
	if (history)
		publish(table, sender, stream, history);
}

void table_history_end(struct table *table, struct fanout_sender *sender, uint32_t index, uint8_t stream)
{
	uint64_t history = sender->stream[stream].history;
	if (!history)
		return;
	__atomic_store_n(&sender->stream[stream].history, 0, __ATOMIC_RELEASE);
	table->entry[index].history_bytes -= history_bytes(history);
	table->history_bytes -= history_bytes(history);
	table_retire_region(table, FANOUT_HISTORY_IS_LARGE(history), table_region_of(FANOUT_HISTORY_FIRST(history)));
}

void table_history_end_all(struct table *table, struct fanout_sender *sender, uint32_t index)
{
	for (uint8_t i = 0; i < FANOUT_STREAMS; i++)
		table_history_end(table, sender, index, i);
	free(table->entry[index].rates);
	table->entry[index].rates = NULL;
}

// ---------------------------------------------------------------- size by rate

static unsigned log2_for(uint32_t packets_per_1000s)
{
	unsigned log2 = TABLE_REGION_MIN_LOG2;
	while (log2 < TABLE_REGION_MAX_LOG2 && (1000u << log2) < packets_per_1000s)
		log2++;
	return log2;
}

// Rate of about the last second. Returns the mean size of the packets since the last look, 0: none came.
static uint32_t measure(struct table_rate *rate, const struct fanout_stream *s, uint64_t elapsed_ns)
{
	uint32_t packets = (uint32_t)__atomic_load_n(&s->packets, __ATOMIC_RELAXED) - rate->packets;
	uint32_t bytes = (uint32_t)__atomic_load_n(&s->bytes, __ATOMIC_RELAXED) - rate->bytes;
	rate->packets += packets;
	rate->bytes += bytes;
	uint64_t now = packets * 1000ull * SECOND_NS / elapsed_ns;
	uint64_t weight = elapsed_ns < SECOND_NS ? elapsed_ns : SECOND_NS;
	uint64_t mean = (now * weight + rate->packets_per_1000s * (SECOND_NS - weight)) / SECOND_NS;
	rate->packets_per_1000s = mean < UINT32_MAX ? (uint32_t)mean : UINT32_MAX;
	return packets ? bytes / packets : 0;
}

// Growth is at once, for what does not fit is lost; less only after a while, by half.
static void fit(struct table *table, struct fanout_sender *sender, uint8_t stream, uint32_t mean_bytes)
{
	struct table_entry *entry = &table->entry[table_index(sender->handle)];
	struct table_rate *rate = &entry->rates->stream[stream];
	uint64_t history = sender->stream[stream].history;
	unsigned log2 = FANOUT_HISTORY_LOG2(history), wanted = log2_for(rate->packets_per_1000s);
	bool is_large = FANOUT_HISTORY_IS_LARGE(history) || mean_bytes > FANOUT_SMALL_BYTES;
	bool is_calm = wanted + 2 <= log2;
	rate->calm = is_calm ? rate->calm + 1 : 0;
	if (rate->calm >= CALM_LOOKS) {
		rate->calm = 0;
		wanted = log2 - 1;
	} else if (wanted < log2) {
		wanted = log2;
	}
	if (wanted == log2 && is_large == FANOUT_HISTORY_IS_LARGE(history))
		return;
	// Without room for that: what there is, if it is better than now.
	unsigned least = is_large == FANOUT_HISTORY_IS_LARGE(history) ? log2 + 1 : TABLE_REGION_MIN_LOG2;
	uint64_t moved = take(table, entry, history, is_large, wanted);
	while (!moved && wanted > least)
		moved = take(table, entry, history, is_large, --wanted);
	if (moved)
		publish(table, sender, stream, moved);
}

void table_history_tick(struct table *table, uint32_t handle, uint64_t now_ns)
{
	table_reclaim(table);
	struct fanout_sender *sender = table_sender_find(table, handle);
	if (!sender)
		return;
	struct table_entry *entry = &table->entry[table_index(handle)];
	if (!entry->rates || now_ns - entry->rates->looked_ns < LOOK_NS)
		return;
	bool is_first = entry->rates->looked_ns == 0;
	uint64_t elapsed_ns = is_first ? SECOND_NS : now_ns - entry->rates->looked_ns;
	entry->rates->looked_ns = now_ns;
	for (uint8_t i = 0; i < FANOUT_STREAMS; i++) {
		struct fanout_stream *s = &sender->stream[i];
		if (!s->block && !s->history)
			continue;
		uint32_t mean_bytes = measure(&entry->rates->stream[i], s, elapsed_ns);
		if (s->history)
			fit(table, sender, i, mean_bytes);
		else
			table_history_begin(table, sender, i);
	}
}

size_t table_history_bytes(const struct table *table) { return table->history_bytes; }

// ---------------------------------------------------------------- what was lost

static bool get(const struct table *table, const struct fanout_sender *sender, uint8_t stream, uint16_t sequence, struct kept *out)
{
	uint64_t history = sender->stream[stream].history;
	if (!history)
		return false;
	bool is_found = read_slot(slot_of(table->memory, history, sequence), FANOUT_HISTORY_IS_LARGE(history), out);
	return is_found && out->sequence == sequence && out->ssrc == packet_ssrc(sender->index, stream);
}

bool table_history_get(const struct table *table, uint32_t handle, uint8_t stream, uint16_t sequence,
		       uint8_t bytes[static FANOUT_PACKET_BYTES], size_t *size)
{
	const struct fanout_sender *sender = table_sender_find(table, handle);
	struct kept kept = { .bytes = bytes };
	if (!sender || stream >= FANOUT_STREAMS || !get(table, sender, stream, sequence, &kept))
		return false;
	*size = kept.size;
	return true;
}

bool table_history_lacks(const struct table *table, uint32_t handle, uint8_t stream, uint16_t sequence)
{
	const struct fanout_sender *sender = table_sender_find(table, handle);
	if (!sender || stream >= FANOUT_STREAMS)
		return false;
	const struct fanout_stream *s = &sender->stream[stream];
	if (!s->history || __atomic_load_n(&s->packets, __ATOMIC_RELAXED) == 0)
		return false;
	uint16_t age = (uint16_t)(__atomic_load_n(&s->newest, __ATOMIC_RELAXED) - sequence);
	uint8_t bytes[FANOUT_PACKET_BYTES];
	struct kept kept = { .bytes = bytes };
	return age > 0 && age < 1u << FANOUT_HISTORY_LOG2(s->history) && !get(table, sender, stream, sequence, &kept);
}
