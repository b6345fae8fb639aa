// SPDX-License-Identifier: Apache-2.0
//
//   datagram ─┬─ unmarked ── fanout_check ── counter ── rate ── repeated? ── history ─┬─► train ── copies ─► outbox
//             │                    └ up: the control thread's                         │              └ TLS: up_outside
//             └─ marked: the kernel did all of this ──────────────────────────────────┘
#include "relay/media.h"

#include <string.h>

enum { SHED_ALL = 256, BACKLOG_FREE = 16, SHED_PER_BACKLOG = 4 }; // from a sixteenth of the buffer on; all at 5/16
#define PRESSED_NS 8000000u
#define UP_NS (1000000000u / MEDIA_UPS_PER_S)
#define UP_BURST_NS 250000000u

static void add(struct media *media, enum fanout_counter counter, uint64_t n) { media->counters->counter[counter] += n; }

// ---------------------------------------------------------------- copies

static const struct fanout_extent *extent_at(const struct media *media, uint32_t first)
{
	return (const struct fanout_extent *)&media->table->receiver[first];
}

static void up_outside(struct media *media, const struct media_train *train)
{
	uint32_t mark = FANOUT_MARK(train->first, extent_at(media, train->first)->generation);
	for (size_t i = 0; i < train->count; i++) {
		const struct loop_datagram *d = train->packet[i];
		struct media_up up = { .reason = FANOUT_up_outside, .mark = mark, .is_tls = d->from.peer.sin6_family == 0,
				       .received_ns = d->received_ns, .from = d->from, .size = d->size, .bytes = d->bytes };
		media->on_up(media->context, &up);
	}
}

// One copy of the train to each record but the sender's own. Returns how many.
static size_t copy(struct media *media, const struct media_train *train, bool *has_outside)
{
	const struct fanout_extent *extent = extent_at(media, train->first);
	const struct fanout_receiver *record = &media->table->receiver[train->first + 1];
	const struct fanout_sender *sender = train->sender;
	struct outbox *open = NULL;
	size_t copies = 0;
	for (size_t i = train->is_rest ? extent->in_kernel : 0; i < extent->count; i++) {
		const struct fanout_receiver *r = &record[i];
		if (r->room != sender->room) {
			add(media, FANOUT_room_foreign, train->count);
			continue;
		}
		if (r->member == sender->index)
			continue;
		struct outbox *outbox = r->flags & FANOUT_RECEIVER_RELAY ? media->leg_outbox : media->outbox;
		if (r->family == FANOUT_OUTSIDE || !outbox) {
			*has_outside = true;
			continue;
		}
		if (outbox != open) {
			outbox_train(outbox, train->packet, train->count);
			open = outbox;
		}
		outbox_copy(outbox, r);
		copies++;
	}
	return copies;
}

static void emit(struct media *media, const struct media_train *train)
{
	bool has_outside = false;
	size_t copies = copy(media, train, &has_outside);
	add(media, FANOUT_media_forwarded, copies * train->count);
	add(media, FANOUT_bytes_forwarded, copies * train->bytes);
	if (train->count > 1) {
		add(media, FANOUT_trains, 1);
		add(media, FANOUT_train_packets, train->count);
	}
	for (size_t i = 0; copies > 0 && i < train->count; i++)
		media_note_forwarded(media, train->packet[i]->received_ns);
	if (has_outside)
		up_outside(media, train);
}

static void emit_all(struct media *media)
{
	for (size_t i = 0; i < media->trains; i++)
		emit(media, &media->train[i]);
	media->trains = 0;
}

static bool is_fitting(const struct media_train *train, const struct loop_datagram *d)
{
	return !train->is_closed && train->count < FANOUT_SEGMENTS_MAX && d->size <= train->segment &&
	       train->bytes + d->size <= OUTBOX_TRAIN_BYTES;
}

// Behind the last one of the same sender for the same receivers, so that no stream changes its order.
static void append(struct media *media, const struct fanout_sender *sender, uint32_t first, bool is_rest, const struct loop_datagram *d)
{
	struct media_train *train = NULL;
	for (size_t i = media->trains; i-- > 0 && !train;) {
		struct media_train *t = &media->train[i];
		if (t->sender == sender && t->first == first && t->is_rest == is_rest)
			train = t;
	}
	if (!train || !is_fitting(train, d)) {
		if (media->trains == MEDIA_TRAINS)
			emit_all(media);
		train = &media->train[media->trains++];
		train->sender = sender;
		train->first = first;
		train->is_rest = is_rest;
		train->is_closed = false;
		train->count = train->bytes = 0;
		train->segment = d->size;
	}
	train->packet[train->count++] = d;
	train->bytes += d->size;
	train->is_closed = d->size < train->segment;
}

// ---------------------------------------------------------------- history

static struct fanout_slot *slot_of(const struct media *media, const struct fanout_packet *p, uint64_t history)
{
	if (history == 0)
		return NULL;
	size_t slot = fanout_slot_index(history, fanout_sequence(p));
	return (struct fanout_slot *)(FANOUT_HISTORY_IS_LARGE(history) ? media->table->history_large + slot * FANOUT_LARGE_SLOT :
									 media->table->history_small + slot * FANOUT_SMALL_SLOT);
}

static void keep(struct media *media, const struct fanout_packet *p, struct fanout_slot *slot, uint64_t history, const uint8_t *bytes)
{
	uint32_t capacity = FANOUT_HISTORY_IS_LARGE(history) ? FANOUT_LARGE_BYTES : FANOUT_SMALL_BYTES;
	if (!slot || p->size > capacity || !fanout_slot_lock(slot, p)) {
		add(media, FANOUT_history_skipped, 1);
		return;
	}
	memcpy(slot->bytes, bytes, p->size);
	fanout_slot_unlock(slot);
}

// ---------------------------------------------------------------- admission

static void read_packet(const struct loop_datagram *d, bool is_tls, struct fanout_packet *out)
{
	memset(out, 0, sizeof(*out));
	memcpy(out->head, d->bytes, d->size < sizeof(out->head) ? d->size : sizeof(out->head));
	memcpy(out->peer, &d->from.peer.sin6_addr, sizeof(out->peer));
	out->peer_port_be = d->from.peer.sin6_port;
	out->size = d->size > UINT16_MAX ? UINT16_MAX : (uint16_t)d->size;
	out->is_tls = is_tls;
}

static struct fanout_sender *sender_of(const struct media *media, const struct fanout_packet *p, const struct loop_datagram *d)
{
	uint32_t entry = fanout_index(p);
	if (d->is_leg) {
		if (!media->legs || !relay_legs_find(media->legs, &d->from.peer, fanout_index(p), &entry))
			return NULL;
		return entry < media->table->sizes.senders ? &media->table->sender[entry] : NULL;
	}
	const struct table_sizes *sizes = &media->table->sizes;
	bool is_client = entry < sizes->clients || (entry >= table_windows(sizes) && entry < sizes->senders);
	return is_client ? &media->table->sender[entry] : NULL;
}

// To the control thread. Other relays have nothing there but media for streams that are known.
static bool hand_up(struct media *media, enum fanout_counter reason, bool is_tls, const struct loop_datagram *d)
{
	if (d->is_leg) {
		add(media, FANOUT_handle_unknown, 1);
		return false;
	}
	if (media->is_writer)
		emit_all(media); // what they hold of the table may be gone afterwards
	struct media_up up = { .reason = reason, .is_tls = is_tls, .received_ns = d->received_ns, .from = d->from,
			       .size = d->size, .bytes = d->bytes };
	media->on_up(media->context, &up);
	return false;
}

// A sender that has more for the control thread than anybody needs, or repeats what it had for it. Tags are good by now.
static bool is_too_much(struct media *media, const struct fanout_packet *p, const struct fanout_sender *sender)
{
	size_t index = (size_t)(sender - media->table->sender);
	if (index >= table_windows(&media->table->sizes))
		return false; // TLS holds it back
	if (!fanout_is_fresh(&media->table->window[index], fanout_count(p))) {
		add(media, FANOUT_counter_replayed, 1);
		return true;
	}
	if (!media->allowance)
		return false;
	struct media_allowance *allowance = &media->allowance[index];
	uint64_t *used_ns = fanout_type(p) == FANOUT_TYPE_HOP ? &allowance->hop_ns : &allowance->media_ns;
	if (*used_ns < media->now_ns)
		*used_ns = media->now_ns;
	if (*used_ns + UP_NS > media->now_ns + UP_BURST_NS) {
		relay_stats_add(media->stats, STATS_up_rate, 1);
		return true;
	}
	*used_ns += UP_NS;
	return false;
}

static bool drop(struct media *media, enum fanout_counter reason)
{
	add(media, reason, 1);
	return false;
}

static bool is_shed(struct media *media, const struct fanout_stream *stream)
{
	if (media->shed == 0 || !(stream->flags & FANOUT_STREAM_MAY_SHED))
		return false;
	media->shed_sum += media->shed;
	if (media->shed_sum < SHED_ALL)
		return false;
	media->shed_sum -= SHED_ALL;
	return true;
}

// Counter, rate, history and the stream's figures, in this order. False: dropped and counted.
static bool take(struct media *media, const struct fanout_packet *p, struct fanout_sender *sender, const uint8_t *bytes)
{
	struct fanout_stream *stream = &sender->stream[fanout_stream_id(p)];
	uint64_t history = __atomic_load_n(&stream->history, __ATOMIC_ACQUIRE);
	struct fanout_slot *slot = slot_of(media, p, history);
	if (!table_take(media->table, (uint32_t)(sender - media->table->sender), fanout_count(p)))
		return drop(media, FANOUT_counter_replayed);
	enum fanout_counter verdict = fanout_commit_taken(p, sender, slot, media->now_ns);
	if (verdict != FANOUT_FORWARD)
		return drop(media, verdict);
	keep(media, p, slot, history, bytes);
	if (fanout_is_newer(fanout_sequence(p), stream->newest))
		__atomic_store_n(&stream->newest, fanout_sequence(p), __ATOMIC_RELAXED);
	__sync_fetch_and_add(&stream->packets, 1);
	__sync_fetch_and_add(&stream->bytes, p->size);
	add(media, FANOUT_media_received, 1);
	return true;
}

static const struct fanout_window *window_of(const struct media *media, const struct fanout_sender *sender)
{
	size_t index = sender ? (size_t)(sender - media->table->sender) : SIZE_MAX;
	return index < table_windows(&media->table->sizes) ? &media->table->window[index] : NULL;
}

static bool admit(struct media *media, const struct loop_datagram *d, bool is_tls, bool is_second)
{
	struct fanout_packet p;
	read_packet(d, is_tls, &p);
	struct fanout_sender *sender = sender_of(media, &p, d);
	enum fanout_counter verdict = fanout_judge(&p, sender, window_of(media, sender));
	if (verdict == FANOUT_up_hop || verdict == FANOUT_up_foreign)
		return !is_too_much(media, &p, sender) && hand_up(media, verdict, is_tls, d);
	if (verdict != FANOUT_FORWARD)
		return drop(media, verdict);
	const struct fanout_stream *stream = &sender->stream[fanout_stream_id(&p)];
	uint32_t block = __atomic_load_n(&stream->block, __ATOMIC_ACQUIRE);
	if (block == 0 && is_second)
		return drop(media, FANOUT_stream_limit);
	if (block == 0)
		return !is_too_much(media, &p, sender) && hand_up(media, FANOUT_up_stream, is_tls, d);
	if (is_shed(media, stream))
		return drop(media, FANOUT_overload_shed);
	if (!take(media, &p, sender, d->bytes))
		return false;
	uint32_t first = (uint32_t)__atomic_load_n(&media->table->block[block], __ATOMIC_ACQUIRE);
	if (first == 0)
		return false; // nobody else is there
	append(media, sender, first, false, d);
	return true;
}

// ---------------------------------------------------------------- multiplied by the kernel

// The extent of the mark if it still is what it was, else the one that took its place.
static uint32_t extent_of_mark(const struct media *media, const struct fanout_sender *sender, const struct fanout_stream *stream, uint32_t mark)
{
	uint32_t first = table_marked(media->table, mark, sender->room);
	if (first != 0)
		return first;
	uint32_t block = __atomic_load_n(&stream->block, __ATOMIC_ACQUIRE);
	return block != 0 ? (uint32_t)__atomic_load_n(&media->table->block[block], __ATOMIC_ACQUIRE) : 0;
}

static bool serve_rest(struct media *media, const struct loop_datagram *d)
{
	struct fanout_packet p;
	read_packet(d, false, &p);
	struct fanout_sender *sender = sender_of(media, &p, d);
	if (!fanout_is_whole(&p) || fanout_type(&p) != FANOUT_TYPE_MEDIA)
		return drop(media, FANOUT_packet_malformed);
	if (!sender || sender->handle != fanout_handle(&p)) // left meanwhile
		return drop(media, FANOUT_handle_unknown);
	if (fanout_stream_id(&p) >= FANOUT_STREAMS)
		return drop(media, FANOUT_stream_limit);
	uint32_t first = extent_of_mark(media, sender, &sender->stream[fanout_stream_id(&p)], d->mark);
	if (first == 0)
		return false;
	append(media, sender, first, true, d);
	return true;
}

// ---------------------------------------------------------------- entry points

size_t media_receive(struct media *media, struct loop_datagram *datagrams, size_t count)
{
	size_t forwarded = 0;
	media->now_ns = media->clock_ns(media->context);
	for (size_t i = 0; i < count; i++) {
		const struct loop_datagram *d = &datagrams[i];
		if (media->table->has_programs && FANOUT_MARK_IS(d->mark))
			forwarded += serve_rest(media, d);
		else
			forwarded += admit(media, d, false, false);
	}
	emit_all(media);
	return forwarded;
}

static size_t receive_one(struct media *media, const struct loop_datagram *d, bool is_tls, bool is_second)
{
	media->now_ns = media->clock_ns(media->context);
	size_t forwarded = admit(media, d, is_tls, is_second);
	emit_all(media);
	return forwarded;
}

size_t media_frame(struct media *media, uint8_t *bytes, size_t size, uint64_t received_ns)
{
	const struct loop_datagram frame = { .received_ns = received_ns, .bytes = bytes, .size = size };
	return receive_one(media, &frame, true, false);
}

size_t media_forward(struct media *media, struct media_up *up)
{
	const struct loop_datagram again = { .from = up->from, .received_ns = up->received_ns, .bytes = up->bytes, .size = up->size };
	return receive_one(media, &again, up->is_tls, true);
}

void media_note_load(struct media *media, bool is_full, unsigned backlog)
{
	uint64_t now_ns = media->clock_ns(media->context);
	if (!is_full) {
		media->pressed_ns = 0;
		media->shed = 0;
		return;
	}
	if (media->pressed_ns == 0)
		media->pressed_ns = now_ns;
	unsigned beyond = backlog > BACKLOG_FREE ? backlog - BACKLOG_FREE : 0;
	unsigned wanted = beyond * SHED_PER_BACKLOG < SHED_ALL ? beyond * SHED_PER_BACKLOG : SHED_ALL;
	media->shed = now_ns - media->pressed_ns >= PRESSED_NS ? wanted : 0;
}

void media_note_forwarded(struct media *media, uint64_t received_ns)
{
	if (received_ns != 0 && media->forwarded < MEDIA_FORWARDED_MAX)
		media->received_ns[media->forwarded++] = received_ns;
}

void media_sent(struct media *media, uint64_t sent_ns)
{
	for (size_t i = 0; i < media->forwarded; i++) {
		if (sent_ns >= media->received_ns[i]) // else the clock was set back meanwhile
			relay_stats_latency(media->stats, sent_ns - media->received_ns[i], 1);
	}
	media->forwarded = 0;
}
