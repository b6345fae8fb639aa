// SPDX-License-Identifier: Apache-2.0
#include "base/control.h"

const char *control_end_text(enum control_end reason)
{
	switch (reason) {
	case CONTROL_END_LEFT:
		return "left";
	case CONTROL_END_TICKET:
		return "the ticket is not valid here";
	case CONTROL_END_EXPIRED:
		return "the ticket has expired";
	case CONTROL_END_CLOSED:
		return "the meeting has ended";
	case CONTROL_END_REMOVED:
		return "removed from the meeting";
	case CONTROL_END_REPLACED:
		return "joined from elsewhere";
	case CONTROL_END_FULL:
		return "the meeting or the server is full";
	case CONTROL_END_PROTOCOL:
		return "protocol error";
	case CONTROL_END_SHUTDOWN:
		return "the server is stopping";
	case CONTROL_END_TIMEOUT:
		return "no sign of life";
	}
	return "unknown reason";
}

static void read_id(struct cursor *c, struct id *id) { cursor_read_bytes(c, id->bytes, sizeof(id->bytes)); }
static void write_id(struct cursor *c, const struct id *id) { cursor_write_bytes(c, id->bytes, sizeof(id->bytes)); }

static void parse_join(struct cursor *c, struct control_join *join)
{
	join->version = cursor_read_u16(c);
	join->flags = cursor_read_u8(c);
	cursor_read_bytes(c, join->proof, sizeof(join->proof));
	join->ticket = cursor_read_vector16(c, UINT16_MAX, &join->ticket_size);
}

static void emit_join(struct cursor *c, const struct control_join *join)
{
	cursor_write_u16(c, join->version);
	cursor_write_u8(c, join->flags);
	cursor_write_bytes(c, join->proof, sizeof(join->proof));
	cursor_write_vector16(c, join->ticket, join->ticket_size);
}

static void parse_streams(struct cursor *c, struct control_streams *streams)
{
	streams->count = cursor_read_u8(c);
	if (streams->count > CONTROL_STREAMS_MAX)
		cursor_fail(c);
	for (size_t i = 0; i < streams->count && !c->is_failed; i++) {
		struct control_stream *s = &streams->stream[i];
		s->stream = cursor_read_u8(c);
		s->kind = cursor_read_u8(c);
		s->width = cursor_read_u16(c);
		s->height = cursor_read_u16(c);
		s->bitrate = cursor_read_u32(c);
		if (s->kind < CONTROL_AUDIO || s->kind > CONTROL_SCREEN)
			cursor_fail(c);
	}
}

static void emit_streams(struct cursor *c, const struct control_streams *streams)
{
	if (streams->count > CONTROL_STREAMS_MAX) {
		cursor_fail(c);
		return;
	}
	cursor_write_u8(c, streams->count);
	for (size_t i = 0; i < streams->count; i++) {
		const struct control_stream *s = &streams->stream[i];
		cursor_write_u8(c, s->stream);
		cursor_write_u8(c, s->kind);
		cursor_write_u16(c, s->width);
		cursor_write_u16(c, s->height);
		cursor_write_u32(c, s->bitrate);
	}
}

static void parse_subscribe(struct cursor *c, struct control_subscribe *subscribe)
{
	subscribe->count = cursor_read_u8(c);
	if (subscribe->count > CONTROL_SUBSCRIPTIONS_MAX)
		cursor_fail(c);
	for (size_t i = 0; i < subscribe->count && !c->is_failed; i++) {
		subscribe->subscription[i].ssrc = cursor_read_u32(c);
		uint8_t wanted = cursor_read_u8(c);
		if (wanted > 1)
			cursor_fail(c);
		subscribe->subscription[i].is_wanted = wanted == 1;
	}
}

static void emit_subscribe(struct cursor *c, const struct control_subscribe *subscribe)
{
	if (subscribe->count > CONTROL_SUBSCRIPTIONS_MAX) {
		cursor_fail(c);
		return;
	}
	cursor_write_u8(c, subscribe->count);
	for (size_t i = 0; i < subscribe->count; i++) {
		cursor_write_u32(c, subscribe->subscription[i].ssrc);
		cursor_write_u8(c, subscribe->subscription[i].is_wanted);
	}
}

static void parse_welcome(struct cursor *c, struct control_welcome *welcome)
{
	read_id(c, &welcome->incarnation);
	welcome->index = cursor_read_u32(c);
	welcome->udp_port = cursor_read_u16(c);
	for (size_t i = 0; i < HOP_PATHS; i++)
		welcome->handle[i] = cursor_read_u32(c);
	welcome->rejoin_until = cursor_read_u64(c);
}

static void emit_welcome(struct cursor *c, const struct control_welcome *welcome)
{
	write_id(c, &welcome->incarnation);
	cursor_write_u32(c, welcome->index);
	cursor_write_u16(c, welcome->udp_port);
	for (size_t i = 0; i < HOP_PATHS; i++)
		cursor_write_u32(c, welcome->handle[i]);
	cursor_write_u64(c, welcome->rejoin_until);
}

static uint8_t parse_path(struct cursor *c)
{
	uint8_t path = cursor_read_u8(c);
	if (path >= HOP_PATHS)
		cursor_fail(c);
	return path;
}

enum err control_parse(const uint8_t *bytes, size_t size, struct control_message *out)
{
	struct cursor c = cursor_reader(bytes, size);
	*out = (struct control_message){ 0 };
	if (cursor_read_u8(&c) != CONTROL_MESSAGE_BYTE)
		return ERR_PARSE;
	out->type = (enum control_type)cursor_read_u8(&c);
	switch (out->type) {
	case CONTROL_JOIN:
		parse_join(&c, &out->join);
		break;
	case CONTROL_ANNOUNCE:
		out->announce.bytes = cursor_read_vector16(&c, CONTROL_ANNOUNCE_MAX, &out->announce.size);
		break;
	case CONTROL_STREAMS:
		parse_streams(&c, &out->streams);
		break;
	case CONTROL_PATH:
	case CONTROL_PATH_IS:
		out->path = parse_path(&c);
		break;
	case CONTROL_LEAVE:
		break;
	case CONTROL_PING:
	case CONTROL_PONG:
		out->ping = cursor_read_u64(&c);
		break;
	case CONTROL_SUBSCRIBE:
		parse_subscribe(&c, &out->subscribe);
		break;
	case CONTROL_WELCOME:
		parse_welcome(&c, &out->welcome);
		break;
	case CONTROL_MEMBER:
		out->member.index = cursor_read_u32(&c);
		read_id(&c, &out->member.participant);
		out->member.announcement = cursor_read_vector16(&c, CONTROL_ANNOUNCE_MAX, &out->member.announcement_size);
		break;
	case CONTROL_GONE:
		out->gone.index = cursor_read_u32(&c);
		read_id(&c, &out->gone.participant);
		out->gone.reason = cursor_read_u8(&c);
		break;
	case CONTROL_END:
		out->end = cursor_read_u8(&c);
		break;
	case CONTROL_STREAMS_OF:
		out->streams_of.index = cursor_read_u32(&c);
		parse_streams(&c, &out->streams_of.streams);
		break;
	default:
		return ERR_PARSE;
	}
	return cursor_finish(&c);
}

enum err control_emit(const struct control_message *message, uint8_t *bytes, size_t capacity, size_t *size)
{
	struct cursor c = cursor_writer(bytes, capacity);
	cursor_write_u8(&c, CONTROL_MESSAGE_BYTE);
	cursor_write_u8(&c, (uint8_t)message->type);
	switch (message->type) {
	case CONTROL_JOIN:
		emit_join(&c, &message->join);
		break;
	case CONTROL_ANNOUNCE:
		cursor_write_vector16(&c, message->announce.bytes, message->announce.size);
		break;
	case CONTROL_STREAMS:
		emit_streams(&c, &message->streams);
		break;
	case CONTROL_PATH:
	case CONTROL_PATH_IS:
		cursor_write_u8(&c, message->path);
		break;
	case CONTROL_LEAVE:
		break;
	case CONTROL_PING:
	case CONTROL_PONG:
		cursor_write_u64(&c, message->ping);
		break;
	case CONTROL_SUBSCRIBE:
		emit_subscribe(&c, &message->subscribe);
		break;
	case CONTROL_WELCOME:
		emit_welcome(&c, &message->welcome);
		break;
	case CONTROL_MEMBER:
		cursor_write_u32(&c, message->member.index);
		write_id(&c, &message->member.participant);
		cursor_write_vector16(&c, message->member.announcement, message->member.announcement_size);
		break;
	case CONTROL_GONE:
		cursor_write_u32(&c, message->gone.index);
		write_id(&c, &message->gone.participant);
		cursor_write_u8(&c, message->gone.reason);
		break;
	case CONTROL_END:
		cursor_write_u8(&c, message->end);
		break;
	case CONTROL_STREAMS_OF:
		cursor_write_u32(&c, message->streams_of.index);
		emit_streams(&c, &message->streams_of.streams);
		break;
	}
	if (c.is_failed || c.position > CONTROL_FRAME_MAX)
		return ERR_LIMIT;
	*size = c.position;
	return ERR_OK;
}
