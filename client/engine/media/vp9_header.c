// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/vp9_header.h"

#include "client/engine/media/limits.h"

enum { FRAME_MARKER = 2, SYNC_CODE = 0x498342, COLOUR_RGB = 7, SUPERFRAME_MASK = 0xe0, SUPERFRAME_MARKER = 0xc0,
		REFERENCES = 3 };

struct bits {
	const uint8_t *bytes;
	size_t size, position; // position in bits
	bool is_failed;
};

static uint32_t take(struct bits *b, unsigned count)
{
	uint32_t value = 0;
	for (; count > 0; count--, b->position++) {
		if (b->position / 8 >= b->size) {
			b->is_failed = true;
			return 0;
		}
		value = value << 1 | (b->bytes[b->position / 8] >> (7 - b->position % 8) & 1);
	}
	return value;
}

static void take_size(struct bits *b, struct vp9_header *out)
{
	out->width = take(b, 16) + 1;
	out->height = take(b, 16) + 1;
}

// Profile 0: colour space and range; RGB is not allowed in it.
static bool is_colour_sane(struct bits *b)
{
	if (take(b, 3) == COLOUR_RGB)
		return false;
	take(b, 1);
	return true;
}

static enum err parse_inter(struct bits *b, bool is_error_resilient, bool is_shown, struct vp9_header *out)
{
	bool is_intra_only = is_shown ? false : take(b, 1);
	if (!is_error_resilient)
		take(b, 2); // reset_frame_context
	if (is_intra_only) {
		if (take(b, 24) != SYNC_CODE)
			return ERR_PARSE;
		take(b, 8); // refresh flags
		take_size(b, out);
		return ERR_OK;
	}
	take(b, 8);              // refresh flags
	take(b, REFERENCES * 4); // index and sign bias of each
	for (int i = 0; i < REFERENCES; i++)
		if (take(b, 1))
			return ERR_OK; // the size of a reference
	take_size(b, out);
	return ERR_OK;
}

enum err vp9_header_parse(const uint8_t *bytes, size_t size, struct vp9_header *out)
{
	*out = (struct vp9_header){ 0 };
	struct bits b = { .bytes = bytes, .size = size };
	if (size == 0 || take(&b, 2) != FRAME_MARKER)
		return ERR_PARSE;
	// Encoders never let a frame end in this pattern: it announces a superframe, whose inner frames we would not see.
	if (take(&b, 2) != 0 || (bytes[size - 1] & SUPERFRAME_MASK) == SUPERFRAME_MARKER)
		return ERR_VERSION;
	out->shows_existing = take(&b, 1);
	if (out->shows_existing) {
		take(&b, 3);
		return b.is_failed ? ERR_PARSE : ERR_OK;
	}
	out->is_key = take(&b, 1) == 0;
	bool is_shown = take(&b, 1), is_error_resilient = take(&b, 1);
	if (out->is_key) {
		if (take(&b, 24) != SYNC_CODE || !is_colour_sane(&b))
			return ERR_PARSE;
		take_size(&b, out);
	} else {
		enum err err = parse_inter(&b, is_error_resilient, is_shown, out);
		if (err != ERR_OK)
			return err;
	}
	if (b.is_failed)
		return ERR_PARSE;
	return out->width > LIMIT_WIDTH || out->height > LIMIT_HEIGHT ? ERR_LIMIT : ERR_OK;
}
