// SPDX-License-Identifier: Apache-2.0
#include "base/token.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const char scheme[] = "https://";

struct field_text {
	const char *at;
	size_t size;
};

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

static enum err parse_name(struct field_text name, char *out)
{
	if (name.size == 0 || name.size > TOKEN_NAME_MAX || name.at[0] == '.' || name.at[0] == '-')
		return ERR_PARSE;
	for (size_t i = 0; i < name.size; i++) {
		if (!is_name_char(name.at[i]))
			return ERR_PARSE;
	}
	memcpy(out, name.at, name.size);
	out[name.size] = '\0';
	return ERR_OK;
}

static enum err parse_port(const char *text, size_t size, uint16_t *port)
{
	char digits[6] = "";
	uint64_t value;
	if (size == 0 || size >= sizeof(digits))
		return ERR_PARSE;
	memcpy(digits, text, size);
	if (text_u64_parse(digits, 1, UINT16_MAX, &value))
		return ERR_PARSE;
	*port = (uint16_t)value;
	return ERR_OK;
}

static enum err parse_host(const char *host, size_t size, struct token_link *out)
{
	const char *colon = memchr(host, ':', size);
	size_t name_size = colon ? (size_t)(colon - host) : size;
	enum err err = parse_name((struct field_text){ host, name_size }, out->name);
	out->port = TOKEN_PORT_DEFAULT;
	if (!err && colon)
		err = parse_port(colon + 1, size - name_size - 1, &out->port);
	return err;
}

static enum err parse_path(const char *path, size_t size, struct token_link *out)
{
	char id[TEXT_UUID_SIZE] = "";
	if (size == strlen("/enrol") && memcmp(path, "/enrol", size) == 0) {
		out->kind = TOKEN_LINK_ENROL;
		return ERR_OK;
	}
	if (size == strlen("/relay") && memcmp(path, "/relay", size) == 0) {
		out->kind = TOKEN_LINK_RELAY;
		return ERR_OK;
	}
	if (size != strlen("/m/") + TEXT_UUID_CHARS || memcmp(path, "/m/", 3) != 0)
		return ERR_PARSE;
	memcpy(id, path + 3, TEXT_UUID_CHARS);
	out->kind = TOKEN_LINK_MEETING;
	return text_id_parse(id, &out->meeting);
}

static enum err parse_fixed(struct field_text value, uint8_t out[static 32])
{
	size_t size;
	if (text_base64_parse(value.at, value.size, out, 32, &size) || size != 32)
		return ERR_PARSE;
	return ERR_OK;
}

static enum err parse_pin(struct field_text value, struct token_pins *pins)
{
	if (pins->count == TOKEN_PINS_MAX)
		return ERR_PARSE;
	return parse_fixed(value, pins->pin[pins->count++]);
}

static enum err parse_address(struct field_text value, char *out)
{
	uint8_t binary[16];
	if (value.size > TOKEN_ADDRESS_MAX)
		return ERR_PARSE;
	memcpy(out, value.at, value.size);
	out[value.size] = '\0';
	bool is_literal = inet_pton(AF_INET, out, binary) == 1 || inet_pton(AF_INET6, out, binary) == 1;
	return is_literal ? ERR_OK : ERR_PARSE;
}

// Which fields a kind of link has; pins may repeat, nothing else may.
static const char *const fields_of[] = {
	[TOKEN_LINK_ENROL] = "atpro",
	[TOKEN_LINK_RELAY] = "atpo",
	[TOKEN_LINK_MEETING] = "s",
};

static enum err parse_field(char name, struct field_text value, struct token_link *out)
{
	switch (name) {
	case 'a':
		return parse_address(value, out->address);
	case 't':
		return parse_fixed(value, out->token);
	case 'p':
		return parse_pin(value, &out->server_pins);
	case 'r':
		return parse_pin(value, &out->relay_pins);
	case 'o':
		return parse_fixed(value, out->root);
	default:
		return parse_fixed(value, out->secret);
	}
}

static enum err parse_fragment(const char *at, struct token_link *out)
{
	bool is_seen[128] = { false };
	for (;;) {
		const char *end = strchrnul(at, '&');
		char name = at[0];
		if (end - at < 3 || at[1] != '=' || !strchr(fields_of[out->kind], name))
			return ERR_PARSE;
		if (is_seen[(unsigned char)name & 127] && name != 'p' && name != 'r')
			return ERR_PARSE;
		is_seen[(unsigned char)name & 127] = true;
		if (parse_field(name, (struct field_text){ at + 2, (size_t)(end - at) - 2 }, out))
			return ERR_PARSE;
		if (*end == '\0')
			break;
		at = end + 1;
	}
	for (const char *needed = fields_of[out->kind]; *needed; needed++) {
		if (!is_seen[(unsigned char)*needed] && *needed != 'a') // a relay is not known before it is there: r= may not be empty
			return ERR_PARSE;
	}
	return ERR_OK;
}

enum err token_link_parse(const char *text, struct token_link *out)
{
	*out = (struct token_link){ 0 };
	if (strlen(text) >= TOKEN_LINK_MAX || strncmp(text, scheme, strlen(scheme)) != 0)
		return ERR_PARSE;
	const char *host = text + strlen(scheme), *path = strchr(host, '/'), *fragment = strchr(host, '#');
	if (!path || !fragment || fragment < path)
		return ERR_PARSE;
	enum err err = parse_host(host, (size_t)(path - host), out);
	if (!err)
		err = parse_path(path, (size_t)(fragment - path), out);
	return err ? err : parse_fragment(fragment + 1, out);
}

// Appends to a text of at most TOKEN_LINK_MAX; sticky, like the cursor.
struct appender {
	char *out;
	size_t used;
	bool is_failed;
};

static void append(struct appender *a, const char *text)
{
	size_t size = strlen(text);
	if (a->is_failed || a->used + size >= TOKEN_LINK_MAX) {
		a->is_failed = true;
		return;
	}
	memcpy(a->out + a->used, text, size + 1);
	a->used += size;
}

static void append_fixed(struct appender *a, const char *name, const uint8_t bytes[static 32])
{
	char encoded[TEXT_BASE64_SIZE(32)];
	text_base64_emit(bytes, 32, encoded);
	append(a, a->out[a->used - 1] == '#' ? "" : "&");
	append(a, name);
	append(a, encoded);
}

static void append_pins(struct appender *a, const char *name, const struct token_pins *pins)
{
	for (size_t i = 0; i < pins->count && i < TOKEN_PINS_MAX; i++)
		append_fixed(a, name, pins->pin[i]);
}

enum err token_link_emit(const struct token_link *link, char out[static TOKEN_LINK_MAX])
{
	struct appender a = { .out = out };
	char port[8] = "", id[TEXT_UUID_SIZE];
	if (link->port != TOKEN_PORT_DEFAULT)
		snprintf(port, sizeof(port), ":%u", link->port);
	append(&a, scheme);
	append(&a, link->name);
	append(&a, port);
	if (link->kind == TOKEN_LINK_MEETING) {
		text_id_emit(&link->meeting, id);
		append(&a, "/m/");
		append(&a, id);
		append(&a, "#");
		append_fixed(&a, "s=", link->secret);
	} else {
		append(&a, link->kind == TOKEN_LINK_ENROL ? "/enrol#" : "/relay#");
		if (link->address[0]) {
			append(&a, "a=");
			append(&a, link->address);
		}
		append_fixed(&a, "t=", link->token);
		append_pins(&a, "p=", &link->server_pins);
		if (link->kind == TOKEN_LINK_ENROL)
			append_pins(&a, "r=", &link->relay_pins);
		append_fixed(&a, "o=", link->root);
	}
	if (a.is_failed)
		return ERR_LIMIT;
	// What is emitted can be read back: a wrong name or a missing pin is found here and not by the user.
	struct token_link check;
	return token_link_parse(out, &check);
}
