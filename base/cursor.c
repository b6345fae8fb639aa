// SPDX-License-Identifier: Apache-2.0
#include "base/cursor.h"

#include <string.h>

struct cursor cursor_reader(const uint8_t *bytes, size_t size)
{
	// Readers never write through the pointer; one type serves both directions.
	return (struct cursor){ .bytes = (uint8_t *)(uintptr_t)bytes, .size = size };
}

struct cursor cursor_writer(uint8_t *bytes, size_t size)
{
	return (struct cursor){ .bytes = bytes, .size = size };
}

static uint8_t *take(struct cursor *c, size_t size)
{
	if (c->is_failed || size > c->size - c->position) {
		c->is_failed = true;
		return NULL;
	}
	uint8_t *at = c->bytes + c->position;
	c->position += size;
	return at;
}

static uint64_t read_be(struct cursor *c, size_t size)
{
	const uint8_t *at = take(c, size);
	uint64_t v = 0;
	for (size_t i = 0; at && i < size; i++)
		v = v << 8 | at[i];
	return v;
}

static void write_be(struct cursor *c, uint64_t v, size_t size)
{
	uint8_t *at = take(c, size);
	for (size_t i = 0; at && i < size; i++)
		at[i] = (uint8_t)(v >> (8 * (size - 1 - i)));
}

uint8_t cursor_read_u8(struct cursor *c) { return (uint8_t)read_be(c, 1); }
uint16_t cursor_read_u16(struct cursor *c) { return (uint16_t)read_be(c, 2); }
uint32_t cursor_read_u32(struct cursor *c) { return (uint32_t)read_be(c, 4); }
uint64_t cursor_read_u64(struct cursor *c) { return read_be(c, 8); }

void cursor_read_bytes(struct cursor *c, uint8_t *out, size_t size)
{
	const uint8_t *at = take(c, size);
	if (at)
		memcpy(out, at, size);
	else
		memset(out, 0, size);
}

const uint8_t *cursor_read_view(struct cursor *c, size_t size) { return take(c, size); }

const uint8_t *cursor_read_vector16(struct cursor *c, size_t max, size_t *size)
{
	*size = 0;
	size_t length = cursor_read_u16(c);
	if (length > max)
		c->is_failed = true;
	const uint8_t *at = take(c, length);
	if (at)
		*size = length;
	return at;
}

void cursor_write_u8(struct cursor *c, uint8_t v) { write_be(c, v, 1); }
void cursor_write_u16(struct cursor *c, uint16_t v) { write_be(c, v, 2); }
void cursor_write_u32(struct cursor *c, uint32_t v) { write_be(c, v, 4); }
void cursor_write_u64(struct cursor *c, uint64_t v) { write_be(c, v, 8); }

void cursor_write_bytes(struct cursor *c, const uint8_t *bytes, size_t size)
{
	uint8_t *at = take(c, size);
	if (at && size > 0)
		memcpy(at, bytes, size);
}

void cursor_write_vector16(struct cursor *c, const uint8_t *bytes, size_t size)
{
	if (size > UINT16_MAX)
		c->is_failed = true;
	cursor_write_u16(c, (uint16_t)size);
	cursor_write_bytes(c, bytes, size);
}

size_t cursor_left(const struct cursor *c) { return c->is_failed ? 0 : c->size - c->position; }

void cursor_fail(struct cursor *c) { c->is_failed = true; }

enum err cursor_finish(const struct cursor *c)
{
	return c->is_failed || c->position != c->size ? ERR_PARSE : ERR_OK;
}
