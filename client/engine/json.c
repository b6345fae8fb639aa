// SPDX-License-Identifier: Apache-2.0
#include "client/engine/json.h"

#include <stdlib.h>
#include <string.h>

enum err json_text(yyjson_val *object, const char *name, char *out, size_t capacity)
{
	yyjson_val *value = yyjson_obj_get(object, name);
	const char *text = yyjson_get_str(value);
	size_t size = yyjson_get_len(value);
	if (!text || strlen(text) != size)
		return ERR_PARSE;
	if (size >= capacity)
		return ERR_LIMIT;
	memcpy(out, text, size + 1);
	return ERR_OK;
}

enum err json_id(yyjson_val *object, const char *name, struct id *out)
{
	char text[TEXT_UUID_SIZE];
	enum err err = json_text(object, name, text, sizeof(text));
	return err ? ERR_PARSE : text_id_parse(text, out);
}

enum err json_number(yyjson_val *object, const char *name, uint64_t max, uint64_t *out)
{
	yyjson_val *value = yyjson_obj_get(object, name);
	if (!yyjson_is_uint(value))
		return ERR_PARSE;
	*out = yyjson_get_uint(value);
	return *out <= max ? ERR_OK : ERR_LIMIT;
}

enum err json_bytes(yyjson_val *object, const char *name, uint8_t *out, size_t capacity, size_t *size)
{
	yyjson_val *value = yyjson_obj_get(object, name);
	const char *text = yyjson_get_str(value);
	return text ? text_base64_parse(text, yyjson_get_len(value), out, capacity, size) : ERR_PARSE;
}

enum err json_bytes_exact(yyjson_val *object, const char *name, uint8_t *out, size_t size)
{
	size_t got;
	enum err err = json_bytes(object, name, out, size, &got);
	return !err && got != size ? ERR_PARSE : err;
}

// Adding fails only without memory; yyjson then refuses to write the document.
void json_add_text(yyjson_mut_doc *document, yyjson_mut_val *object, const char *name, const char *text)
{
	(void)yyjson_mut_obj_add_strcpy(document, object, name, text);
}

void json_add_id(yyjson_mut_doc *document, yyjson_mut_val *object, const char *name, const struct id *id)
{
	char text[TEXT_UUID_SIZE];
	text_id_emit(id, text);
	json_add_text(document, object, name, text);
}

void json_add_bytes(yyjson_mut_doc *document, yyjson_mut_val *object, const char *name, const uint8_t *bytes, size_t size)
{
	char *text = malloc(TEXT_BASE64_SIZE(size));
	if (!text)
		return;
	text_base64_emit(bytes, size, text);
	json_add_text(document, object, name, text);
	free(text);
}
