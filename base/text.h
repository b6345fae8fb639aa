// Bytes as text and back: hex, base64url (RFC 4648 section 5, no padding), UUIDs (RFC 9562 form).
// SPDX-License-Identifier: Apache-2.0
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT_ID_BYTES = 16, TEXT_UUID_CHARS = 36 };

// 16 random bytes that name a user, participant, meeting, device or relay; text form is a UUID.
struct id {
	uint8_t bytes[TEXT_ID_BYTES];
};

// Characters needed with the terminating NUL.
#define TEXT_HEX_SIZE(bytes) ((bytes)*2 + 1)
#define TEXT_BASE64_SIZE(bytes) (((bytes)*4 + 2) / 3 + 1)
#define TEXT_UUID_SIZE (TEXT_UUID_CHARS + 1)

void text_hex_emit(const uint8_t *bytes, size_t size, char *out);
// Exactly `size` bytes, either case; ERR_PARSE otherwise.
enum err text_hex_parse(const char *text, uint8_t *out, size_t size) CHECK_RESULT;

void text_base64_emit(const uint8_t *bytes, size_t size, char *out);
// At most `capacity` bytes, ERR_LIMIT beyond; ERR_PARSE on any character outside the alphabet, on padding
// and on bits that a canonical encoder would have left zero.
enum err text_base64_parse(const char *text, size_t chars, uint8_t *out, size_t capacity, size_t *size) CHECK_RESULT;

void text_id_emit(const struct id *id, char out[static TEXT_UUID_SIZE]);
enum err text_id_parse(const char *text, struct id *out) CHECK_RESULT;
bool text_id_equal(const struct id *a, const struct id *b);
bool text_id_is_zero(const struct id *id);

// A number in decimal without sign or space, between min and max.
enum err text_u64_parse(const char *text, uint64_t min, uint64_t max, uint64_t *out) CHECK_RESULT;

// Valid UTF-8 (RFC 3629) without control characters: what may be shown to people as one line.
bool text_is_printable(const char *text, size_t size);

#endif
