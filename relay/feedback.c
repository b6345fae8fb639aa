// SPDX-License-Identifier: Apache-2.0
#include "relay/feedback.h"

#include "relay/relay.h"
#include "relay/tcs_session.h"

#include <stdlib.h>
#include <string.h>

// One packet that a receiver misses.
struct wanted {
	uint8_t stream;
	uint16_t sequence;
};

static void drop(struct relay *relay, enum relay_stats_counter reason) { relay_stats_add(&relay->stats, reason, 1); }

void feedback_send(struct relay *relay, const struct member *member, enum hop_path path, const struct hop_message *message)
{
	struct flow *flow = member->flow[path];
	flow->told_ns = relay_now_ns(relay);
	uint8_t *bytes = outbox_own(relay->outbox);
	size_t size = 0;
	if (hop_emit(&flow->hop, message, bytes, &size))
		return;
	if (path == HOP_PATH_TLS)
		(void)tcs_session_send_packet(member->session, bytes, size); // counted there
	else if (flow->has_address)
		outbox_add(relay->outbox, &flow->address, bytes, size);
}

// The member of `receiver`'s meeting that sends `ssrc`, and the stream, if it has sent any of it.
static struct member *find_sender(const struct member *receiver, uint32_t ssrc, struct room_stream **stream)
{
	struct member *sender = room_find_index(receiver->room, packet_ssrc_index(ssrc));
	*stream = sender && sender != receiver ? room_stream_find(sender, packet_ssrc_stream(ssrc)) : NULL;
	return *stream ? sender : NULL;
}

// One of what is allowed every `each_ns`, up to `burst_ns` of it at once.
static bool take(uint64_t *used_ns, uint64_t each_ns, uint64_t burst_ns, uint64_t now_ns)
{
	if (*used_ns < now_ns)
		*used_ns = now_ns;
	if (*used_ns + each_ns > now_ns + burst_ns)
		return false;
	*used_ns += each_ns;
	return true;
}

// Key frames cost everyone's quality: one member that asks all the time must not make a slide show of it.
static bool may_ask_key_frame(struct room_stream *stream, uint64_t now_ns)
{
	if (stream->pli_ns && now_ns - stream->pli_ns < FEEDBACK_PLI_PAUSE_NS)
		return false;
	return take(&stream->pli_used_ns, FEEDBACK_PLI_NS, FEEDBACK_PLI_BURST_NS, now_ns);
}

static void on_pli(struct relay *relay, struct member *receiver, const struct hop_message *message)
{
	struct room_stream *stream;
	struct member *sender = find_sender(receiver, message->ssrc, &stream);
	uint64_t now_ns = relay_now_ns(relay);
	if (!sender) {
		drop(relay, STATS_feedback_unknown);
	} else if (!may_ask_key_frame(stream, now_ns)) {
		drop(relay, STATS_pli_coalesced);
	} else {
		stream->pli_ns = now_ns;
		feedback_send(relay, sender, sender->path, &(struct hop_message){ .kind = HOP_PLI, .ssrc = message->ssrc });
	}
}

// One packet of the receiver's allowance.
static bool may_retransmit(struct member *receiver, uint64_t now_ns)
{
	return take(&receiver->retransmit_ns, FEEDBACK_RETRANSMIT_NS, FEEDBACK_RETRANSMIT_BURST_NS, now_ns);
}

// Several receivers miss the same packet at the same time: the sender is asked once. Nobody can have it, so what
// comes goes to all.
static bool may_ask(struct room_stream *stream, uint16_t sequence, uint64_t now_ns)
{
	size_t at = sequence % ROOM_ASKED;
	if (!stream->asked)
		stream->asked = calloc(ROOM_ASKED, sizeof(*stream->asked));
	if (!stream->asked)
		return false;
	if (stream->asked[at].at_ns && stream->asked[at].sequence == sequence &&
	    now_ns - stream->asked[at].at_ns < FEEDBACK_NACK_PAUSE_NS)
		return false;
	stream->asked[at].sequence = sequence;
	stream->asked[at].at_ns = now_ns;
	return true;
}

// To where it receives media.
static void retransmit(struct relay *relay, const struct member *receiver, const uint8_t *bytes, size_t size)
{
	const struct flow *udp = receiver->flow[HOP_PATH_UDP];
	bool is_sent = true;
	if (receiver->path == HOP_PATH_UDP && udp->has_address)
		outbox_add(relay->outbox, &udp->address, bytes, size);
	else
		is_sent = tcs_session_send_packet(receiver->session, bytes, size);
	if (is_sent)
		relay_stats_add(&relay->stats, STATS_media_retransmitted, 1);
}

// What was sent on either path is kept under that path's handle.
static bool find_kept(const struct relay *relay, const struct member *sender, const struct wanted *wanted,
		      uint8_t bytes[static PACKET_MAX_BYTES], size_t *size)
{
	for (size_t path = 0; path < HOP_PATHS; path++) {
		if (table_history_get(relay->table, sender->flow[path]->handle, wanted->stream, wanted->sequence, bytes, size))
			return true;
	}
	return false;
}

static bool never_came(const struct relay *relay, const struct member *sender, const struct wanted *wanted)
{
	for (size_t path = 0; path < HOP_PATHS; path++) {
		if (table_history_lacks(relay->table, sender->flow[path]->handle, wanted->stream, wanted->sequence))
			return true;
	}
	return false;
}

static void on_nack(struct relay *relay, struct member *receiver, const struct hop_message *message)
{
	struct room_stream *stream;
	struct member *sender = find_sender(receiver, message->ssrc, &stream);
	if (!sender) {
		drop(relay, STATS_feedback_unknown);
		return;
	}
	uint64_t now_ns = relay_now_ns(relay);
	struct hop_message ask = { .kind = HOP_NACK, .ssrc = message->ssrc };
	for (size_t i = 0; i < message->sequence_count; i++) {
		struct wanted wanted = { .stream = stream->stream, .sequence = message->sequences[i] };
		uint8_t *bytes = outbox_own(relay->outbox);
		size_t size = 0;
		bool is_kept = find_kept(relay, sender, &wanted, bytes, &size);
		if (!is_kept && !never_came(relay, sender, &wanted))
			drop(relay, STATS_nack_outside);
		else if (!is_kept && may_ask(stream, wanted.sequence, now_ns))
			ask.sequences[ask.sequence_count++] = wanted.sequence;
		else if (!is_kept)
			drop(relay, STATS_nack_coalesced);
		else if (!may_retransmit(receiver, now_ns))
			drop(relay, STATS_nack_rate);
		else
			retransmit(relay, receiver, bytes, size);
	}
	if (ask.sequence_count > 0)
		feedback_send(relay, sender, sender->path, &ask);
}

void feedback_receive(struct relay *relay, struct flow *flow, uint8_t *bytes, size_t size)
{
	struct hop_message message;
	enum err err = hop_parse(&flow->hop, bytes, size, &message);
	if (err) {
		drop(relay, err == ERR_REPLAY ? STATS_hop_replayed : STATS_hop_wrong);
		return;
	}
	switch (message.kind) {
	case HOP_KEEPALIVE:
		feedback_send(relay, flow->member, flow->path, &message);
		break;
	case HOP_PLI:
		on_pli(relay, flow->member, &message);
		break;
	case HOP_NACK:
		on_nack(relay, flow->member, &message);
		break;
	default:
		drop(relay, STATS_hop_unexpected);
		break;
	}
}

void feedback_tick(struct relay *relay, const struct member *member, uint64_t now_ns)
{
	const struct flow *udp = member->flow[HOP_PATH_UDP];
	if (udp->has_address && now_ns - udp->told_ns >= FEEDBACK_KEEPALIVE_NS)
		feedback_send(relay, member, HOP_PATH_UDP, &(struct hop_message){ .kind = HOP_KEEPALIVE });
}
