// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/vp9_payload.h"

#include "base/cursor.h"

// First octet: I|P|L|F|B|E|V|Z
enum { BIT_I = 0x80, BIT_P = 0x40, BIT_L = 0x20, BIT_F = 0x10, BIT_B = 0x08, BIT_E = 0x04, BIT_V = 0x02 };
enum { PICTURE_ID_LONG = 0x80, SS_Y = 0x10, SS_G = 0x08, GROUP_R_SHIFT = 2, TID_SHIFT = 5, BIT_U = 0x10, BIT_D = 0x01 };

// Scalability structure: N_S|Y|G, sizes of the layers, then the picture group.
static enum err parse_structure(struct cursor *c, struct vp9_payload *out)
{
	uint8_t first = cursor_read_u8(c);
	if (first >> 5 != 0)
		return ERR_VERSION;
	if (first & SS_Y) {
		out->width = cursor_read_u16(c);
		out->height = cursor_read_u16(c);
	}
	uint8_t groups = first & SS_G ? cursor_read_u8(c) : 0;
	for (; groups > 0 && !c->is_failed; groups--)
		(void)cursor_read_view(c, cursor_read_u8(c) >> GROUP_R_SHIFT & 3);
	return ERR_OK;
}

enum err vp9_payload_parse(const uint8_t *bytes, size_t size, struct vp9_payload *out, size_t *used)
{
	struct cursor c = cursor_reader(bytes, size);
	uint8_t first = cursor_read_u8(&c);
	*out = (struct vp9_payload){ .is_start = first & BIT_B, .is_end = first & BIT_E, .is_inter = first & BIT_P };
	if (!(first & BIT_I))
		return ERR_PARSE;
	if (first & BIT_F)
		return ERR_VERSION;
	uint16_t picture_id = cursor_read_u16(&c);
	if (!(picture_id >> 8 & PICTURE_ID_LONG))
		return ERR_PARSE;
	out->picture_id = picture_id & (VP9_PAYLOAD_PICTURE_IDS - 1);
	if (first & BIT_L) {
		uint8_t layer = cursor_read_u8(&c);
		out->temporal_id = layer >> TID_SHIFT;
		out->is_switching_point = layer & BIT_U;
		out->spatial_id = layer >> 1 & 7;
		out->is_inter_layer = layer & BIT_D;
		out->tl0picidx = cursor_read_u8(&c);
		if (out->spatial_id != 0)
			return ERR_VERSION;
	}
	if (first & BIT_V) {
		enum err err = parse_structure(&c, out);
		if (err != ERR_OK)
			return err;
	}
	if (c.is_failed || cursor_left(&c) == 0)
		return ERR_PARSE;
	*used = c.position;
	return ERR_OK;
}

size_t vp9_payload_emit(const struct vp9_payload *payload, uint8_t out[static VP9_PAYLOAD_DESCRIPTOR_MAX])
{
	struct cursor c = cursor_writer(out, VP9_PAYLOAD_DESCRIPTOR_MAX);
	cursor_write_u8(&c, (uint8_t)(BIT_I | BIT_L | (payload->is_inter ? BIT_P : 0) | (payload->is_start ? BIT_B : 0) |
				      (payload->is_end ? BIT_E : 0) | (payload->width ? BIT_V : 0)));
	cursor_write_u16(&c, (uint16_t)(PICTURE_ID_LONG << 8 | payload->picture_id));
	cursor_write_u8(&c, (uint8_t)(payload->temporal_id << TID_SHIFT | (payload->is_switching_point ? BIT_U : 0) |
				      payload->spatial_id << 1 | (payload->is_inter_layer ? BIT_D : 0)));
	cursor_write_u8(&c, payload->tl0picidx);
	if (payload->width) {
		// One spatial layer; a group of one picture of temporal level 0 that refers to the one before.
		cursor_write_u8(&c, SS_Y | SS_G);
		cursor_write_u16(&c, payload->width);
		cursor_write_u16(&c, payload->height);
		cursor_write_u8(&c, 1);
		cursor_write_u8(&c, 1 << GROUP_R_SHIFT);
		cursor_write_u8(&c, 1);
	}
	return c.position;
}
