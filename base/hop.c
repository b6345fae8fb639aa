// SPDX-License-Identifier: Apache-2.0
#include "base/hop.h"

#include "base/cursor.h"
#include "base/secret.h"

#include <string.h>

enum { RTCP_VERSION = 0x80, PT_RR = 201, PT_APP = 204, PT_RTPFB = 205, PT_PSFB = 206, FMT_NACK = 1, FMT_PLI = 1,
       APP_CHALLENGE = 1, APP_RESPONSE = 2, STREAM_CLIENT = 255, STREAM_RELAY = 254, NACK_SPAN = 17,
       KEEPALIVE_EXTENSION_BYTES = 20 }; // makes a keepalive as long as the challenge it may cause
static const uint8_t app_name[4] = { 'H', 'U', 'I', 'S' };
static const uint8_t keepalive_extension[KEEPALIVE_EXTENSION_BYTES];

enum err hop_init(struct hop *hop, enum hop_side side, uint32_t index, uint32_t handle, const struct hop_keys *keys)
{
	bool is_client = side == HOP_CLIENT;
	*hop = (struct hop){ .side = side, .index = index, .handle = handle };
	memcpy(hop->tag_key_out, is_client ? keys->up_tag : keys->down_tag, PACKET_TAG_KEY_BYTES);
	memcpy(hop->tag_key_in, is_client ? keys->down_tag : keys->up_tag, PACKET_TAG_KEY_BYTES);
	uint32_t up = packet_ssrc(index, STREAM_CLIENT), down = packet_ssrc(index, STREAM_RELAY);
	enum err err = srtcp_init(&hop->out, is_client ? up : down, is_client ? keys->up_master : keys->down_master);
	if (!err)
		err = srtcp_init(&hop->in, is_client ? down : up, is_client ? keys->down_master : keys->up_master);
	if (err)
		hop_fini(hop);
	return err;
}

void hop_fini(struct hop *hop) { secret_wipe(hop, sizeof(*hop)); }

// Lost packets as RFC 4585's pairs: a packet id and a mask of the sixteen that follow it. Ids come in rising order.
static void emit_nack(struct cursor *c, const uint16_t *sequences, size_t count)
{
	for (size_t i = 0; i < count;) {
		uint16_t first = sequences[i++];
		uint16_t mask = 0;
		for (; i < count; i++) {
			uint16_t distance = (uint16_t)(sequences[i] - first);
			if (distance == 0 || distance >= NACK_SPAN)
				break;
			mask |= (uint16_t)(1u << (distance - 1));
		}
		cursor_write_u16(c, first);
		cursor_write_u16(c, mask);
	}
}

static void parse_nack(struct cursor *c, struct hop_message *out)
{
	while (cursor_left(c) >= 4) {
		uint16_t first = cursor_read_u16(c);
		uint32_t mask = (uint32_t)cursor_read_u16(c) << 1 | 1;
		for (unsigned i = 0; i < NACK_SPAN; i++) {
			if (!(mask >> i & 1))
				continue;
			if (out->sequence_count == HOP_NACK_MAX) {
				cursor_fail(c);
				return;
			}
			out->sequences[out->sequence_count++] = (uint16_t)(first + i);
		}
	}
}

size_t hop_rtcp_emit(uint32_t sender_ssrc, const struct hop_message *message, uint8_t out[static PACKET_MAX_BYTES])
{
	static const struct {
		uint8_t count_or_format, type;
	} shapes[HOP_KINDS] = {
		[HOP_KEEPALIVE] = { 0, PT_RR },
		[HOP_CHALLENGE] = { APP_CHALLENGE, PT_APP },
		[HOP_RESPONSE] = { APP_RESPONSE, PT_APP },
		[HOP_PLI] = { FMT_PLI, PT_PSFB },
		[HOP_NACK] = { FMT_NACK, PT_RTPFB },
	};
	struct cursor c = cursor_writer(out, PACKET_MAX_BYTES);
	cursor_write_u8(&c, RTCP_VERSION | shapes[message->kind].count_or_format);
	cursor_write_u8(&c, shapes[message->kind].type);
	cursor_write_u16(&c, 0);
	cursor_write_u32(&c, sender_ssrc);
	switch (message->kind) {
	case HOP_KEEPALIVE:
		cursor_write_bytes(&c, keepalive_extension, sizeof(keepalive_extension));
		break;
	case HOP_CHALLENGE:
	case HOP_RESPONSE:
		cursor_write_bytes(&c, app_name, sizeof(app_name));
		cursor_write_bytes(&c, message->cookie, HOP_COOKIE_BYTES);
		break;
	case HOP_PLI:
		cursor_write_u32(&c, message->ssrc);
		break;
	case HOP_NACK:
		cursor_write_u32(&c, message->ssrc);
		emit_nack(&c, message->sequences, message->sequence_count);
		break;
	default:
		break;
	}
	size_t words = c.position / 4 - 1; // RFC 3550: length in words, minus one
	out[2] = (uint8_t)(words >> 8);
	out[3] = (uint8_t)words;
	return c.position;
}

static enum err parse_app(struct cursor *c, uint8_t subtype, struct hop_message *out)
{
	uint8_t name[sizeof(app_name)];
	cursor_read_bytes(c, name, sizeof(name));
	cursor_read_bytes(c, out->cookie, HOP_COOKIE_BYTES);
	if (memcmp(name, app_name, sizeof(name)) != 0 || (subtype != APP_CHALLENGE && subtype != APP_RESPONSE))
		return ERR_PARSE;
	out->kind = subtype == APP_CHALLENGE ? HOP_CHALLENGE : HOP_RESPONSE;
	return cursor_finish(c);
}

static enum err parse_keepalive(struct cursor *c, uint8_t count, struct hop_message *out)
{
	uint8_t extension[KEEPALIVE_EXTENSION_BYTES];
	cursor_read_bytes(c, extension, sizeof(extension));
	out->kind = HOP_KEEPALIVE;
	if (count != 0 || memcmp(extension, keepalive_extension, sizeof(extension)) != 0)
		return ERR_PARSE;
	return cursor_finish(c);
}

enum err hop_rtcp_parse(const uint8_t *bytes, size_t size, struct hop_message *out)
{
	struct cursor c = cursor_reader(bytes, size);
	*out = (struct hop_message){ 0 };
	uint8_t first = cursor_read_u8(&c), type = cursor_read_u8(&c);
	uint8_t format = first & 0x1f;
	size_t words = cursor_read_u16(&c);
	cursor_read_u32(&c); // sender: bound by the SRTCP context
	if (first >> 5 != RTCP_VERSION >> 5 || (words + 1) * 4 != size)
		return ERR_PARSE;
	switch (type) {
	case PT_RR:
		return parse_keepalive(&c, format, out);
	case PT_APP:
		return parse_app(&c, format, out);
	case PT_PSFB:
		out->kind = HOP_PLI;
		out->ssrc = cursor_read_u32(&c);
		return format == FMT_PLI ? cursor_finish(&c) : ERR_PARSE;
	case PT_RTPFB:
		out->kind = HOP_NACK;
		out->ssrc = cursor_read_u32(&c);
		parse_nack(&c, out);
		return format == FMT_NACK && out->sequence_count > 0 ? cursor_finish(&c) : ERR_PARSE;
	default:
		return ERR_PARSE;
	}
}

static uint32_t hop_handle(const struct hop *hop)
{
	return packet_handle(PACKET_HOP, packet_handle_generation(hop->handle), packet_handle_index(hop->handle));
}

enum err hop_emit(struct hop *hop, const struct hop_message *message, uint8_t *bytes, size_t *size)
{
	uint8_t rtcp[PACKET_MAX_BYTES];
	uint32_t sender = packet_ssrc(hop->index, hop->side == HOP_CLIENT ? STREAM_CLIENT : STREAM_RELAY);
	size_t used = hop_rtcp_emit(sender, message, rtcp);
	if (used + PACKET_HEADER_BYTES + SRTCP_OVERHEAD > PACKET_MAX_BYTES)
		return ERR_LIMIT;
	memcpy(bytes + PACKET_HEADER_BYTES, rtcp, used);
	enum err err = srtcp_protect(&hop->out, bytes + PACKET_HEADER_BYTES, &used);
	if (err)
		return err;
	*size = used + PACKET_HEADER_BYTES;
	packet_stamp(hop->tag_key_out, hop_handle(hop), ++hop->counter, bytes, *size);
	return ERR_OK;
}

enum err hop_parse(struct hop *hop, uint8_t *bytes, size_t size, struct hop_message *out)
{
	struct packet_header header;
	enum err err = packet_parse(bytes, size, &header);
	if (err)
		return err;
	if (header.handle != hop_handle(hop))
		return ERR_DENIED;
	uint64_t tag = packet_tag(hop->tag_key_in, bytes, size);
	if (!secret_equal(&tag, &header.tag, sizeof(tag)))
		return ERR_AUTH;
	size_t plain = size - PACKET_HEADER_BYTES;
	err = srtcp_unprotect(&hop->in, bytes + PACKET_HEADER_BYTES, &plain);
	return err ? err : hop_rtcp_parse(bytes + PACKET_HEADER_BYTES, plain, out);
}
