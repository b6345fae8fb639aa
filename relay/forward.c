// SPDX-License-Identifier: Apache-2.0
//
//   datagram ── handle ── address ── tag ── counter ─┬─ hop control ─► feedback.c
//                            │        │              └─ media ── SSRC is the sender's own ── history ── copies
//                            └ foreign, tag good ─► path_check.c (one challenge, nothing forwarded)
#include "relay/forward.h"

#include "base/secret.h"
#include "base/token.h"
#include "relay/feedback.h"
#include "relay/path_check.h"
#include "relay/relay.h"
#include "relay/relay_address.h"
#include "relay/tcs_session.h"

#include <string.h>

static size_t drop(struct relay *relay, enum relay_stats_counter reason)
{
	relay_stats_add(&relay->stats, reason, 1);
	return 0;
}

// A UDP flow belongs to one address, a TLS flow to one connection.
static bool is_at_home(const struct flow *flow, const struct forward_source *source)
{
	if (flow->path != source->path)
		return false;
	if (source->path == HOP_PATH_TLS)
		return flow->member->session == source->session;
	return flow->has_address && relay_address_is_equal(&flow->address.peer, &source->address->peer);
}

bool forward_to(struct relay *relay, const struct member *member, const uint8_t *bytes, size_t size)
{
	const struct flow *udp = member->flow[HOP_PATH_UDP];
	if (member->path == HOP_PATH_UDP && udp->has_address) {
		outbox_add(relay->outbox, &udp->address, bytes, size);
		return true;
	}
	return tcs_session_send_packet(member->session, bytes, size);
}

// Verbatim, hop header included, to every other member that may receive.
static size_t copy_to_others(struct relay *relay, const struct member *sender, const uint8_t *bytes, size_t size)
{
	const struct room *room = sender->room;
	size_t copies = 0;
	for (size_t i = 0; i < room->count; i++) {
		const struct member *receiver = room->member[i];
		if (receiver != sender && (receiver->rights & TOKEN_RIGHT_RECEIVE))
			copies += forward_to(relay, receiver, bytes, size);
	}
	relay_stats_add(&relay->stats, STATS_media_forwarded, copies);
	return copies;
}

// A sender that was asked for a packet by mistake, or twice: the others have it already.
static bool is_repeated(const struct room_stream *stream, uint16_t sequence, const uint8_t *bytes, size_t size)
{
	size_t kept;
	const uint8_t *before = history_get(&stream->history, sequence, &kept);
	return before && kept == size &&
	       memcmp(before + PACKET_HEADER_BYTES, bytes + PACKET_HEADER_BYTES, size - PACKET_HEADER_BYTES) == 0;
}

static size_t forward_media(struct relay *relay, struct member *sender, const uint8_t *bytes, size_t size)
{
	struct packet_rtp rtp;
	if (packet_rtp_parse(bytes, size, &rtp))
		return drop(relay, STATS_rtp_malformed);
	if (packet_ssrc_index(rtp.ssrc) != sender->index)
		return drop(relay, STATS_ssrc_foreign);
	if (!(sender->rights & TOKEN_RIGHT_SEND))
		return drop(relay, STATS_send_not_allowed);
	struct room_stream *stream = room_stream_make(sender, packet_ssrc_stream(rtp.ssrc));
	if (!stream)
		return drop(relay, STATS_stream_limit);
	if (is_repeated(stream, rtp.sequence, bytes, size))
		return drop(relay, STATS_media_repeated);
	relay_stats_add(&relay->stats, STATS_media_received, 1);
	size_t budget = rooms_history_left(relay->rooms, sender), left = budget;
	history_put(&stream->history, rtp.sequence, bytes, size, relay_now_ns(relay), &left);
	rooms_history_take(relay->rooms, sender, budget - left);
	return copy_to_others(relay, sender, bytes, size);
}

size_t forward_packet(struct relay *relay, const struct forward_source *source, uint8_t *bytes, size_t size)
{
	struct packet_header header;
	if (packet_parse(bytes, size, &header))
		return drop(relay, STATS_packet_malformed);
	struct flow *flow = flow_find(relay->flows, header.handle);
	if (!flow)
		return drop(relay, STATS_handle_unknown);
	bool is_home = is_at_home(flow, source);
	if (!is_home && (flow->path != HOP_PATH_UDP || source->path != HOP_PATH_UDP))
		return drop(relay, STATS_address_foreign);
	uint64_t tag = packet_tag(flow->hop.tag_key_in, bytes, size);
	if (!secret_equal(&tag, &header.tag, sizeof(tag)))
		return drop(relay, is_home ? STATS_tag_wrong : STATS_address_foreign);
	if (!is_home) {
		path_check_foreign(relay, flow, source->address, bytes, size);
		return 0;
	}
	if (!replay_accept(&flow->replay, header.counter))
		return drop(relay, STATS_counter_replayed);
	if (packet_handle_type(header.handle) == PACKET_HOP) {
		feedback_receive(relay, flow, bytes, size);
		return 0;
	}
	return forward_media(relay, flow->member, bytes, size);
}
