// A byte cursor with a sticky error: parse or emit straight through, check once at the end.
// SPDX-License-Identifier: Apache-2.0
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Integers are big-endian, as on every wire of this project. After an overrun the cursor is failed: reads
// give zeros, writes do nothing, pointers are NULL, and cursor_finish() says so.
struct cursor {
	uint8_t *bytes;
	size_t size;
	size_t position;
	bool is_failed;
};

// Read from `bytes` (borrowed).
struct cursor cursor_reader(const uint8_t *bytes, size_t size);
// Write into `bytes` (borrowed), at most `size`.
struct cursor cursor_writer(uint8_t *bytes, size_t size);

uint8_t cursor_read_u8(struct cursor *c);
uint16_t cursor_read_u16(struct cursor *c);
uint32_t cursor_read_u32(struct cursor *c);
uint64_t cursor_read_u64(struct cursor *c);
void cursor_read_bytes(struct cursor *c, uint8_t *out, size_t size);
// Borrowed view of the next `size` bytes, NULL on overrun.
const uint8_t *cursor_read_view(struct cursor *c, size_t size);
// A vector with a two-byte length of at most `max`; its view and size.
const uint8_t *cursor_read_vector16(struct cursor *c, size_t max, size_t *size);

void cursor_write_u8(struct cursor *c, uint8_t v);
void cursor_write_u16(struct cursor *c, uint16_t v);
void cursor_write_u32(struct cursor *c, uint32_t v);
void cursor_write_u64(struct cursor *c, uint64_t v);
void cursor_write_bytes(struct cursor *c, const uint8_t *bytes, size_t size);
void cursor_write_vector16(struct cursor *c, const uint8_t *bytes, size_t size);

size_t cursor_left(const struct cursor *c);
void cursor_fail(struct cursor *c);

// End of reading: ERR_PARSE after an overrun or with bytes left over.
enum err cursor_finish(const struct cursor *c) CHECK_RESULT;

#endif
