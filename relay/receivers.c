// SPDX-License-Identifier: Apache-2.0
#include "relay/receivers.h"

#include "base/token.h"
#include "relay/receivers_block.h"
#include "relay/relay.h"
#include "relay/tcs_config.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_NS 30000000000u         // a stream without packets gives back what it has in the table
#define SUBSCRIBE_NS 10000000u       // a member's allowance of messages that take effect at once: 100 a second,
#define SUBSCRIBE_BURST_NS 500000000u // 50 at once; others wait for the next tick
#define RECORD_NS 30000u              // a room's allowance of records that are written at once: 33,000 a second,
#define RECORD_BURST_NS 250000000u    // 8,000 in a row; what changes beyond waits for the next tick

// ---------------------------------------------------------------- one receiver

static void set_address(uint8_t out[static 16], const struct in6_addr *address, uint8_t family)
{
	memset(out, 0, 16);
	if (family == FANOUT_IPV4)
		memcpy(out, &address->s6_addr[12], 4);
	else
		memcpy(out, address->s6_addr, 16);
}

// Next hop, devices and own address towards the receiver. Nothing is filled in if only a socket knows the way.
static struct engine_place locate(const struct relay *relay, const struct loop_address *to, struct fanout_receiver *record)
{
	struct neighbour_hop hop;
	if (!relay->neighbours || relay->engine.wish == ENGINE_USER || neighbours_find(relay->neighbours, &to->peer.sin6_addr, &hop) ||
	    !hop.is_known || hop.mtu < ENGINE_MTU_MIN)
		return (struct engine_place){ 0 };
	memcpy(record->next_hop, hop.mac, sizeof(record->next_hop));
	memcpy(record->own, hop.own_mac, sizeof(record->own));
	if (IN6_IS_ADDR_UNSPECIFIED(&to->local))
		set_address(record->source, &hop.source, record->family);
	return engine_place(relay, &hop);
}

static struct engine_place make_record(const struct relay *relay, const struct member *member, struct fanout_receiver *out)
{
	const struct flow *udp = member->flow[HOP_PATH_UDP];
	*out = (struct fanout_receiver){ .family = FANOUT_OUTSIDE, .room = member->room->number, .member = member->index };
	if (member->path != HOP_PATH_UDP || !udp->has_address)
		return (struct engine_place){ 0 };
	const struct loop_address *to = &udp->address;
	out->family = IN6_IS_ADDR_V4MAPPED(&to->peer.sin6_addr) ? FANOUT_IPV4 : FANOUT_IPV6;
	set_address(out->destination, &to->peer.sin6_addr, out->family);
	out->destination_port_be = to->peer.sin6_port;
	set_address(out->source, &to->local, out->family);
	out->source_port_be = htons((uint16_t)relay->config->udp_port);
	out->traffic_class = (uint8_t)(relay->config->dscp << 2);
	return locate(relay, to, out);
}

// ---------------------------------------------------------------- a room

static void list_free(struct receivers_list *list)
{
	free(list->record);
	free(list->place);
}

static enum err list_new(size_t capacity, struct receivers_list *out)
{
	*out = (struct receivers_list){ .record = malloc(capacity * sizeof(*out->record)), .place = malloc(capacity * sizeof(*out->place)) };
	if (out->record && out->place)
		return ERR_OK;
	list_free(out);
	return ERR_NOMEM;
}

static void list_room(const struct relay *relay, const struct room *room, struct receivers_list *out)
{
	for (size_t i = 0; i < room->count; i++) {
		if (!(room->member[i]->rights & TOKEN_RIGHT_RECEIVE))
			continue;
		out->place[out->count] = make_record(relay, room->member[i], &out->record[out->count]);
		out->count++;
	}
}

// Sound goes before pictures when there is too much. What the catalogue does not name is judged by the usual numbers.
static uint32_t stream_flags(const struct member *sender, uint8_t stream)
{
	for (size_t i = 0; i < sender->catalogue.count; i++) {
		if (sender->catalogue.stream[i].stream == stream)
			return sender->catalogue.stream[i].kind == CONTROL_AUDIO ? 0 : FANOUT_STREAM_MAY_SHED;
	}
	return stream == PACKET_STREAM_AUDIO ? 0 : FANOUT_STREAM_MAY_SHED;
}

static void lead(struct relay *relay, const struct member *sender, const struct room_stream *stream)
{
	for (size_t path = 0; path < HOP_PATHS; path++) {
		const struct flow *flow = sender->flow[path];
		if (flow && flow->open_streams >> stream->stream & 1)
			table_stream_set(relay->table, flow->handle, stream->stream, stream->block->block, stream_flags(sender, stream->stream));
	}
}

static void find_positions(struct relay *relay, const struct member *sender, const struct room_stream *stream)
{
	for (size_t path = 0; path < HOP_PATHS; path++) {
		const struct flow *flow = sender->flow[path];
		if (flow && flow->open_streams >> stream->stream & 1)
			table_stream_position(relay->table, flow->handle, stream->stream);
	}
}

// Whether the first could be written; streams of others that could not lead to the first.
static enum err write_blocks(struct relay *relay, struct room *room, const struct receivers_list *all, struct receivers_list *scratch)
{
	enum err first = ERR_OK;
	for (struct room_block *block = room->block; block; block = block->next) {
		if (!block->is_changed)
			continue;
		enum err err = receivers_block_write(relay, room, block, all, scratch);
		if (block == room->block)
			first = err;
		else if (err)
			receivers_block_give_up(relay, room, block);
		room->written_ns += scratch->count * RECORD_NS;
	}
	return first;
}

// Blocks first, then the streams that lead to them, then blocks that nobody needs any more: so that there is a list of
// receivers for every stream at any time.
static enum err write_room(struct relay *relay, struct room *room, const struct receivers_list *all, struct receivers_list *scratch)
{
	enum err err = receivers_block_all(relay, room);
	if (!err)
		err = write_blocks(relay, room, all, scratch);
	for (size_t i = 0; i < room->count && !err; i++) {
		struct member *sender = room->member[i];
		for (size_t n = 0; n < sender->stream_count; n++) {
			struct room_stream *stream = sender->stream[n];
			if (stream->block != stream->wanted_block) {
				stream->block = stream->wanted_block;
				lead(relay, sender, stream);
			} else if (stream->block && stream->block->is_written) {
				find_positions(relay, sender, stream);
			}
		}
	}
	if (!err)
		receivers_block_tidy(relay, room);
	return err;
}

static void flush_room(struct relay *relay, struct room *room)
{
	struct receivers_list all, scratch;
	enum err err = list_new(room->count, &all);
	if (!err) {
		err = list_new(room->count, &scratch);
		if (!err) {
			list_room(relay, room, &all);
			err = write_room(relay, room, &all, &scratch);
			list_free(&scratch);
		}
		list_free(&all);
	}
	room->is_urgent = false;
	room->is_stuck = room->is_changed_later = err != ERR_OK;
	if (err)
		relay_stats_add(&relay->stats, STATS_table_full, 1);
}

// Members who change path, address or subscriptions all the time must not keep the control thread busy, nor fill the table
// with what was replaced. Who leaves is gone at once.
static bool may_write(const struct relay *relay, struct room *room)
{
	uint64_t now_ns = relay_now_ns(relay);
	if (room->written_ns < now_ns)
		room->written_ns = now_ns;
	return room->is_urgent || room->written_ns <= now_ns + RECORD_BURST_NS;
}

void receivers_flush(struct relay *relay)
{
	struct room *room;
	while ((room = rooms_take_changed(relay->rooms)) != NULL) {
		if (may_write(relay, room))
			flush_room(relay, room);
		else
			room->is_changed_later = true;
	}
}

// ---------------------------------------------------------------- what changes

void receivers_changed(struct relay *relay, struct room *room)
{
	for (struct room_block *block = room->block; block; block = block->next)
		block->is_changed = true;
	if (room->block)
		rooms_change(relay->rooms, room);
}

void receivers_changed_all(struct relay *relay)
{
	for (struct room *room = rooms_next(relay->rooms, NULL); room; room = rooms_next(relay->rooms, room))
		receivers_changed(relay, room);
}

static bool may_change_at_once(struct member *member, uint64_t now_ns)
{
	if (member->subscribe_ns < now_ns)
		member->subscribe_ns = now_ns;
	if (member->subscribe_ns + SUBSCRIBE_NS > now_ns + SUBSCRIBE_BURST_NS)
		return false;
	member->subscribe_ns += SUBSCRIBE_NS;
	return true;
}

// Somebody who has left is not noted, nor oneself.
static bool is_of_interest(const struct member *member, uint32_t index)
{
	return index != member->index && (index >= member->room->next_index || room_find_index(member->room, index));
}

static bool note(struct relay *relay, struct member *member, const struct control_subscription *wish)
{
	uint32_t index = packet_ssrc_index(wish->ssrc);
	enum err err;
	if (!is_of_interest(member, index))
		return false;
	bool is_news = room_want(member, wish->ssrc, wish->is_wanted, &err);
	if (err)
		relay_stats_add(&relay->stats, STATS_subscribe_limit, 1);
	struct member *sender = is_news ? room_find_index(member->room, index) : NULL;
	struct room_stream *stream = sender ? room_stream_find(sender, packet_ssrc_stream(wish->ssrc)) : NULL;
	if (stream)
		stream->is_resubscribed = true;
	return stream != NULL;
}

void receivers_subscribe(struct relay *relay, struct member *member, const struct control_subscribe *message)
{
	bool is_changed = false;
	for (size_t i = 0; i < message->count; i++)
		is_changed |= note(relay, member, &message->subscription[i]);
	if (!is_changed)
		return;
	if (may_change_at_once(member, relay_now_ns(relay))) {
		rooms_change(relay->rooms, member->room);
	} else {
		relay_stats_add(&relay->stats, STATS_subscribe_coalesced, 1);
		member->room->is_changed_later = true;
	}
}

void receivers_describe(struct relay *relay, struct member *sender)
{
	for (size_t i = 0; i < sender->stream_count; i++) {
		if (sender->stream[i]->block)
			lead(relay, sender, sender->stream[i]);
	}
}

enum err receivers_open_stream(struct relay *relay, struct flow *flow, uint8_t stream)
{
	struct member *sender = flow->member;
	struct room_stream *found = room_stream_make(sender, stream);
	if (!found)
		return ERR_LIMIT;
	if (!found->block) {
		found->is_resubscribed = true;
		if (!sender->room->is_stuck) // else it is tried by the tick, not with every packet
			flush_room(relay, sender->room);
		if (!found->block) // as it was written last
			found->block = found->wanted_block = sender->room->block;
	}
	if (!found->block)
		return ERR_FULL;
	found->moved_ns[flow->path] = relay_now_ns(relay);
	flow->open_streams |= (uint16_t)(1u << stream);
	lead(relay, sender, found);
	return ERR_OK;
}

void receivers_forget(struct relay *relay, struct member *member)
{
	struct room *room = member->room;
	room_forget_wishes(room, member->index);
	room->is_urgent = true;
	for (size_t i = 0; i < member->stream_count; i++)
		member->stream[i]->block = member->stream[i]->wanted_block = NULL;
	if (room->count == 1) {
		receivers_block_free_all(relay, room);
		return;
	}
	for (size_t i = 0; i < room->count && member->unwanted_count > 0; i++) {
		for (size_t n = 0; n < room->member[i]->stream_count; n++)
			room->member[i]->stream[n]->is_resubscribed = true;
	}
	receivers_changed(relay, room);
}

// ---------------------------------------------------------------- time

static void close_if_idle(struct relay *relay, struct flow *flow, struct room_stream *stream, uint64_t now_ns)
{
	const struct fanout_sender *sender = &table_memory(relay->table)->sender[packet_handle_index(flow->handle)];
	uint64_t packets = __atomic_load_n(&sender->stream[stream->stream].packets, __ATOMIC_RELAXED);
	if (packets != stream->packets[flow->path]) {
		stream->packets[flow->path] = packets;
		stream->moved_ns[flow->path] = now_ns;
	} else if (now_ns - stream->moved_ns[flow->path] >= IDLE_NS) {
		flow->open_streams &= (uint16_t)~(1u << stream->stream);
		table_stream_set(relay->table, flow->handle, stream->stream, 0, 0);
	}
}

static void tick_member(struct relay *relay, struct member *member, uint64_t now_ns)
{
	for (size_t path = 0; path < HOP_PATHS; path++) {
		struct flow *flow = member->flow[path];
		if (!flow || !flow->open_streams)
			continue;
		table_history_tick(relay->table, flow->handle, now_ns);
		for (size_t i = 0; i < member->stream_count; i++) {
			if (flow->open_streams >> member->stream[i]->stream & 1)
				close_if_idle(relay, flow, member->stream[i], now_ns);
		}
	}
}

void receivers_tick(struct relay *relay, uint64_t now_ns)
{
	for (struct room *room = rooms_next(relay->rooms, NULL); room; room = rooms_next(relay->rooms, room)) {
		for (size_t i = 0; i < room->count; i++)
			tick_member(relay, room->member[i], now_ns);
		if (room->is_changed_later || (room->retry_ns && now_ns >= room->retry_ns)) {
			room->is_urgent = true;
			rooms_change(relay->rooms, room);
		}
	}
	receivers_flush(relay);
}
