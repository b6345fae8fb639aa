// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <string.h>

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void text_hex_emit(const uint8_t *bytes, size_t size, char *out)
{
	for (size_t i = 0; i < size; i++) {
		*out++ = hex_digits[bytes[i] >> 4];
		*out++ = hex_digits[bytes[i] & 15];
	}
	*out = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static enum err hex_pair(const char *text, uint8_t *out)
{
	int high = hex_value(text[0]);
	int low = high < 0 ? -1 : hex_value(text[1]);
	if (low < 0)
		return ERR_PARSE;
	*out = (uint8_t)(high << 4 | low);
	return ERR_OK;
}

enum err text_hex_parse(const char *text, uint8_t *out, size_t size)
{
	if (strlen(text) != size * 2)
		return ERR_PARSE;
	for (size_t i = 0; i < size; i++) {
		if (hex_pair(text + 2 * i, &out[i]))
			return ERR_PARSE;
	}
	return ERR_OK;
}

void text_base64_emit(const uint8_t *bytes, size_t size, char *out)
{
	uint32_t bits = 0;
	unsigned count = 0;
	for (size_t i = 0; i < size; i++) {
		bits = bits << 8 | bytes[i];
		for (count += 8; count >= 6; count -= 6)
			*out++ = base64_digits[bits >> (count - 6) & 63];
	}
	if (count > 0)
		*out++ = base64_digits[bits << (6 - count) & 63];
	*out = '\0';
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

enum err text_base64_parse(const char *text, size_t chars, uint8_t *out, size_t capacity, size_t *size)
{
	uint32_t bits = 0;
	unsigned count = 0;
	*size = 0;
	if (chars % 4 == 1)
		return ERR_PARSE;
	if (chars / 4 * 3 + chars % 4 * 3 / 4 > capacity)
		return ERR_LIMIT;
	for (size_t i = 0; i < chars; i++) {
		int value = base64_value(text[i]);
		if (value < 0)
			return ERR_PARSE;
		bits = bits << 6 | (uint32_t)value;
		count += 6;
		if (count >= 8) {
			count -= 8;
			out[(*size)++] = (uint8_t)(bits >> count);
		}
	}
	return bits & ((1u << count) - 1) ? ERR_PARSE : ERR_OK;
}

static bool is_dash_before(size_t byte) { return byte == 4 || byte == 6 || byte == 8 || byte == 10; }

void text_id_emit(const struct id *id, char out[static TEXT_UUID_SIZE])
{
	for (size_t i = 0; i < TEXT_ID_BYTES; i++) {
		if (is_dash_before(i))
			*out++ = '-';
		*out++ = hex_digits[id->bytes[i] >> 4];
		*out++ = hex_digits[id->bytes[i] & 15];
	}
	*out = '\0';
}

enum err text_id_parse(const char *text, struct id *out)
{
	if (strlen(text) != TEXT_UUID_CHARS)
		return ERR_PARSE;
	for (size_t i = 0; i < TEXT_ID_BYTES; i++) {
		if (is_dash_before(i) && *text++ != '-')
			return ERR_PARSE;
		if (hex_pair(text, &out->bytes[i]))
			return ERR_PARSE;
		text += 2;
	}
	return ERR_OK;
}

bool text_id_equal(const struct id *a, const struct id *b) { return memcmp(a, b, sizeof(*a)) == 0; }

bool text_id_is_zero(const struct id *id)
{
	static const struct id zero;
	return text_id_equal(id, &zero);
}

enum err text_u64_parse(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;
	if (!*text)
		return ERR_PARSE;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return ERR_PARSE;
		uint64_t digit = (uint64_t)(*text - '0');
		if (v > (UINT64_MAX - digit) / 10)
			return ERR_LIMIT;
		v = v * 10 + digit;
	}
	if (v < min || v > max)
		return ERR_LIMIT;
	*out = v;
	return ERR_OK;
}

// One scalar value of UTF-8; 0 for anything that RFC 3629 forbids.
static size_t utf8_scalar(const uint8_t *at, size_t left, uint32_t *scalar)
{
	static const uint32_t smallest[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t size = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : at[0] >> 3 == 30 ? 4 : 0;
	if (size == 0 || size > left)
		return 0;
	uint32_t v = size == 1 ? at[0] : at[0] & (0x7fu >> size);
	for (size_t i = 1; i < size; i++) {
		if (at[i] >> 6 != 2)
			return 0;
		v = v << 6 | (at[i] & 0x3f);
	}
	if (v < smallest[size] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
		return 0;
	*scalar = v;
	return size;
}

// Characters that change how the text around them is shown: C0 and C1 controls, line and paragraph
// separators, bidirectional overrides and isolates, zero-width and other format characters, tags.
static bool is_deceptive(uint32_t v)
{
	return v < 0x20 || (v >= 0x7f && v < 0xa0) || v == 0xad || v == 0x61c || v == 0x180e ||
	       (v >= 0x200b && v <= 0x200f) || (v >= 0x2028 && v <= 0x202e) || (v >= 0x2060 && v <= 0x206f) ||
	       v == 0xfeff || (v >= 0xfff9 && v <= 0xfffb) || (v >= 0xe0000 && v <= 0xe007f);
}

bool text_is_printable(const char *text, size_t size)
{
	const uint8_t *at = (const uint8_t *)text;
	while (size > 0) {
		uint32_t scalar = 0;
		size_t used = utf8_scalar(at, size, &scalar);
		if (used == 0 || is_deceptive(scalar))
			return false;
		at += used;
		size -= used;
	}
	return true;
}
