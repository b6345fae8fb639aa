// SPDX-License-Identifier: Apache-2.0
#include "mgmt/client_hello.h"

#include "base/cursor.h"

#include <stdbool.h>
#include <string.h>

enum {
	RECORD_HEADER = 5,
	RECORD_HANDSHAKE = 22,
	RECORD_MAX = 16384,
	MESSAGE_HEADER = 4,
	MESSAGE_CLIENT_HELLO = 1,
	EXTENSION_SERVER_NAME = 0,
	NAME_HOST = 0,
};

struct hello {
	uint8_t bytes[CLIENT_HELLO_MAX];
	size_t size;
};

// How long the handshake message is, header included; 0: not known yet.
static size_t message_size(const struct hello *hello)
{
	if (hello->size < MESSAGE_HEADER)
		return 0;
	return MESSAGE_HEADER + ((size_t)hello->bytes[1] << 16 | (size_t)hello->bytes[2] << 8 | hello->bytes[3]);
}

// Join the fragments of the records that are there. Each check comes as soon as its bytes do, so that who does
// not speak TLS is known after one byte.
static enum err join_records(const uint8_t *bytes, size_t size, struct hello *out, size_t *needed)
{
	size_t position = 0;
	for (;;) {
		size_t left = size - position;
		const uint8_t *record = bytes + position;
		if ((left > 0 && record[0] != RECORD_HANDSHAKE) || (left > 1 && record[1] != 3))
			return ERR_PARSE;
		*needed = position + RECORD_HEADER;
		if (left < RECORD_HEADER)
			return *needed > CLIENT_HELLO_MAX ? ERR_LIMIT : ERR_AGAIN;
		size_t fragment = (size_t)record[3] << 8 | record[4];
		if (fragment == 0 || fragment > RECORD_MAX)
			return ERR_PARSE;
		*needed += fragment;
		if (*needed > CLIENT_HELLO_MAX)
			return ERR_LIMIT;
		size_t there = left - RECORD_HEADER < fragment ? left - RECORD_HEADER : fragment;
		memcpy(out->bytes + out->size, record + RECORD_HEADER, there);
		out->size += there;
		if (out->size > 0 && out->bytes[0] != MESSAGE_CLIENT_HELLO)
			return ERR_PARSE;
		size_t whole = message_size(out);
		if (whole > CLIENT_HELLO_MAX)
			return ERR_LIMIT;
		if (whole > 0 && out->size >= whole) {
			out->size = whole;
			return ERR_OK;
		}
		if (there < fragment)
			return ERR_AGAIN;
		position += RECORD_HEADER + fragment;
	}
}

static bool is_name_char(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

static enum err take_name(const uint8_t *bytes, size_t size, char *name)
{
	if (size > 0 && bytes[size - 1] == '.')
		size--;
	if (size == 0 || size > CLIENT_HELLO_NAME_MAX)
		return ERR_PARSE;
	for (size_t i = 0; i < size; i++) {
		uint8_t c = bytes[i] >= 'A' && bytes[i] <= 'Z' ? (uint8_t)(bytes[i] + 32) : bytes[i];
		if (!is_name_char(c))
			return ERR_PARSE;
		name[i] = (char)c;
	}
	name[size] = '\0';
	return ERR_OK;
}

static enum err parse_server_name(const uint8_t *bytes, size_t size, char *name)
{
	struct cursor c = cursor_reader(bytes, size);
	size_t list_size = 0, name_size = 0;
	const uint8_t *list = cursor_read_vector16(&c, size, &list_size);
	if (cursor_finish(&c) || list_size == 0)
		return ERR_PARSE;
	c = cursor_reader(list, list_size);
	unsigned type = cursor_read_u8(&c);
	const uint8_t *host = cursor_read_vector16(&c, list_size, &name_size);
	// One name: RFC 6066 allows one of each type and defines one type.
	if (cursor_finish(&c) || type != NAME_HOST)
		return ERR_PARSE;
	return take_name(host, name_size, name);
}

static enum err parse_extensions(const uint8_t *bytes, size_t size, char *name)
{
	struct cursor c = cursor_reader(bytes, size);
	enum err err = ERR_NOT_FOUND;
	while (cursor_left(&c) > 0) {
		unsigned type = cursor_read_u16(&c);
		size_t body_size = 0;
		const uint8_t *body = cursor_read_vector16(&c, size, &body_size);
		if (c.is_failed)
			return ERR_PARSE;
		if (type != EXTENSION_SERVER_NAME)
			continue;
		if (err != ERR_NOT_FOUND) // twice
			return ERR_PARSE;
		err = parse_server_name(body, body_size, name);
		if (err)
			return err;
	}
	return err;
}

static void skip_vector8(struct cursor *c)
{
	cursor_read_view(c, cursor_read_u8(c));
}

enum err client_hello_name(const uint8_t *bytes, size_t size, char name[static CLIENT_HELLO_NAME_MAX + 1], size_t *needed)
{
	struct hello hello = {.size = 0};
	size_t suites = 0, extensions_size = 0;
	*needed = 0;
	enum err err = join_records(bytes, size > CLIENT_HELLO_MAX ? CLIENT_HELLO_MAX : size, &hello, needed);
	if (err)
		return err;
	struct cursor c = cursor_reader(hello.bytes + MESSAGE_HEADER, hello.size - MESSAGE_HEADER);
	cursor_read_u16(&c);      // legacy_version
	cursor_read_view(&c, 32); // random
	skip_vector8(&c);         // legacy_session_id
	cursor_read_vector16(&c, hello.size, &suites);
	skip_vector8(&c);         // legacy_compression_methods
	if (!c.is_failed && cursor_left(&c) == 0)
		return ERR_NOT_FOUND; // before TLS 1.2: no extensions
	const uint8_t *extensions = cursor_read_vector16(&c, hello.size, &extensions_size);
	if (cursor_finish(&c))
		return ERR_PARSE;
	return parse_extensions(extensions, extensions_size, name);
}
