// SPDX-License-Identifier: Apache-2.0
#include "relay/upward.h"

#include "relay/feedback.h"
#include "relay/path_check.h"
#include "relay/receivers.h"
#include "relay/relay.h"
#include "relay/relay_address.h"
#include "relay/tcs_session.h"

void upward_drop(struct relay *relay, enum fanout_counter reason) { relay->media.counters->counter[reason]++; }

static void on_hop(struct relay *relay, struct flow *flow, struct media_up *up, uint32_t counter)
{
	if (flow_take(flow, counter))
		feedback_receive(relay, flow, up->bytes, up->size);
	else
		upward_drop(relay, FANOUT_counter_replayed);
}

static void on_foreign(struct relay *relay, struct flow *flow, struct media_up *up)
{
	struct loop_datagram again = { .from = up->from, .received_ns = up->received_ns, .bytes = up->bytes, .size = up->size };
	if (flow->has_address && relay_address_is_equal(&flow->address.peer, &up->from.peer))
		(void)media_receive(&relay->media, &again, 1); // it was proven while the packet waited
	else if (flow->path == HOP_PATH_UDP)
		path_check_foreign(relay, flow, &up->from, up->bytes, up->size);
}

// The sequence numbers of a stream begin anywhere.
static void begin(struct relay *relay, const struct flow *flow, uint8_t stream, const uint8_t *bytes)
{
	const uint8_t *rtp = bytes + PACKET_HEADER_BYTES;
	struct fanout_sender *sender = &table_memory(relay->table)->sender[packet_handle_index(flow->handle)];
	if (stream < FANOUT_STREAMS)
		__atomic_store_n(&sender->stream[stream].newest, (uint16_t)((rtp[2] << 8 | rtp[3]) - 1), __ATOMIC_RELAXED);
}

static void on_stream(struct relay *relay, struct flow *flow, struct media_up *up)
{
	uint8_t stream = up->bytes[PACKET_HEADER_BYTES + 11]; // the SSRC's low byte
	bool is_open = stream < FANOUT_STREAMS && flow->open_streams >> stream & 1;
	if (!is_open)
		begin(relay, flow, stream, up->bytes);
	enum err err = is_open ? ERR_OK : receivers_open_stream(relay, flow, stream);
	if (err == ERR_LIMIT)
		upward_drop(relay, FANOUT_stream_limit);
	else if (err)
		relay_stats_add(&relay->stats, STATS_table_full, 1);
	else
		(void)media_forward(&relay->media, up);
}

// ---------------------------------------------------------------- receivers on TLS

// The extent that the packet was multiplied by; if that is used for something else meanwhile, what the stream has now.
static const struct fanout_extent *find_extent(const struct relay *relay, const struct flow *flow, const struct media_up *up)
{
	const struct table_memory *memory = table_memory(relay->table);
	uint32_t first = table_marked(memory, up->mark, flow->member->room->number);
	if (first != 0)
		return (const struct fanout_extent *)&memory->receiver[first];
	struct room_stream *stream = room_stream_find(flow->member, up->bytes[PACKET_HEADER_BYTES + 11]);
	return stream && stream->block ? table_block_extent(relay->table, stream->block->block) : NULL;
}

static void on_outside(struct relay *relay, struct flow *flow, struct media_up *up)
{
	const struct member *sender = flow->member;
	const struct fanout_extent *extent = find_extent(relay, flow, up);
	const struct fanout_receiver *record = (const struct fanout_receiver *)extent + 1;
	uint64_t copies = 0;
	bool is_first = true; // nobody else has it
	for (size_t i = 0; extent && i < extent->count; i++) {
		if (record[i].member == sender->index)
			continue;
		if (record[i].family != FANOUT_OUTSIDE) {
			is_first = false;
			continue;
		}
		const struct member *receiver = room_find_index(sender->room, record[i].member);
		if (receiver && tcs_session_send_packet(receiver->session, up->bytes, up->size))
			copies++;
	}
	if (copies == 0)
		return;
	relay->media.counters->counter[FANOUT_media_forwarded] += copies;
	relay->media.counters->counter[FANOUT_bytes_forwarded] += copies * up->size;
	if (is_first)
		media_note_forwarded(&relay->media, up->received_ns);
}

void upward_receive(struct relay *relay, struct media_up *up)
{
	struct packet_header header;
	struct flow *flow = packet_parse(up->bytes, up->size, &header) ? NULL : flow_find(relay->flows, header.handle);
	if (!flow) {
		upward_drop(relay, FANOUT_handle_unknown); // it left while the packet waited
		return;
	}
	switch (up->reason) {
	case FANOUT_up_hop:
		on_hop(relay, flow, up, header.counter);
		break;
	case FANOUT_up_foreign:
		on_foreign(relay, flow, up);
		break;
	case FANOUT_up_stream:
		on_stream(relay, flow, up);
		break;
	default:
		on_outside(relay, flow, up);
		break;
	}
}
