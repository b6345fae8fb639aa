// SPDX-License-Identifier: Apache-2.0
#include "mgmt/wire.h"

#include "base/text.h"

#include <string.h>

static void parse_text(struct cursor *c, char *out, size_t max)
{
	size_t size = 0;
	const uint8_t *view = cursor_read_vector16(c, max, &size);
	if (!view || (size > 0 && !text_is_printable((const char *)view, size))) {
		cursor_fail(c);
		out[0] = '\0';
		return;
	}
	memcpy(out, view, size);
	out[size] = '\0';
}

static void parse_field(const struct wire_field *field, struct cursor *c, void *to)
{
	switch (field->kind) {
	case WIRE_U8: {
		uint8_t v = cursor_read_u8(c);
		if (v > field->max)
			cursor_fail(c);
		*(uint8_t *)to = v;
		break;
	}
	case WIRE_U16:
		*(uint16_t *)to = cursor_read_u16(c);
		break;
	case WIRE_U32:
		*(uint32_t *)to = cursor_read_u32(c);
		break;
	case WIRE_U64:
		*(uint64_t *)to = cursor_read_u64(c);
		break;
	case WIRE_BYTES:
		cursor_read_bytes(c, to, field->max);
		break;
	case WIRE_TEXT:
		parse_text(c, to, field->max);
		break;
	case WIRE_VIEW: {
		struct wire_view *view = to;
		view->bytes = cursor_read_vector16(c, field->max, &view->size);
		if (!view->bytes)
			view->size = 0;
		break;
	}
	}
}

void wire_parse(const struct wire_table *table, struct cursor *c, void *out)
{
	for (size_t i = 0; i < table->count; i++)
		parse_field(&table->fields[i], c, (uint8_t *)out + table->fields[i].offset);
}

static void emit_vector(struct cursor *c, const void *bytes, size_t size, size_t max)
{
	if (size > max)
		cursor_fail(c);
	else
		cursor_write_vector16(c, bytes, size);
}

static void emit_field(const struct wire_field *field, struct cursor *c, const void *from)
{
	switch (field->kind) {
	case WIRE_U8:
		if (*(const uint8_t *)from > field->max)
			cursor_fail(c);
		cursor_write_u8(c, *(const uint8_t *)from);
		break;
	case WIRE_U16:
		cursor_write_u16(c, *(const uint16_t *)from);
		break;
	case WIRE_U32:
		cursor_write_u32(c, *(const uint32_t *)from);
		break;
	case WIRE_U64:
		cursor_write_u64(c, *(const uint64_t *)from);
		break;
	case WIRE_BYTES:
		cursor_write_bytes(c, from, field->max);
		break;
	case WIRE_TEXT:
		emit_vector(c, from, strnlen(from, field->max + 1u), field->max);
		break;
	case WIRE_VIEW: {
		const struct wire_view *view = from;
		emit_vector(c, view->bytes, view->size, field->max);
		break;
	}
	}
}

void wire_emit(const struct wire_table *table, struct cursor *c, const void *in)
{
	for (size_t i = 0; i < table->count; i++)
		emit_field(&table->fields[i], c, (const uint8_t *)in + table->fields[i].offset);
}
