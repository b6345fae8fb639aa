// SPDX-License-Identifier: Apache-2.0
#include "mgmt/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_text(yyjson_val *value, const struct json_field *field)
{
	const char *text = yyjson_get_str(value);
	size_t size = yyjson_get_len(value);
	if (!text || size < field->min || size > field->max || (size > 0 && !text_is_printable(text, size)))
		return false;
	memcpy(field->out, text, size);
	((char *)field->out)[size] = '\0';
	return true;
}

static bool read_id(yyjson_val *value, const struct json_field *field)
{
	const char *text = yyjson_get_str(value);
	return text && yyjson_get_len(value) == TEXT_UUID_CHARS && !text_id_parse(text, field->out) &&
	       !text_id_is_zero(field->out);
}

static bool read_bytes(yyjson_val *value, const struct json_field *field)
{
	const char *text = yyjson_get_str(value);
	size_t size = 0;
	if (!text || text_base64_parse(text, yyjson_get_len(value), field->out, field->max, &size) || size < field->min)
		return false;
	if (field->size)
		*field->size = size;
	return true;
}

static bool read_value(yyjson_val *value, const struct json_field *field)
{
	switch (field->kind) {
	case JSON_TEXT:
		return read_text(value, field);
	case JSON_ID:
		return read_id(value, field);
	case JSON_BYTES:
		return read_bytes(value, field);
	case JSON_NUMBER:
		*(uint64_t *)field->out = yyjson_get_uint(value);
		return yyjson_is_uint(value) && yyjson_get_uint(value) >= field->min && yyjson_get_uint(value) <= field->max;
	case JSON_ARRAY:
		*(yyjson_val **)field->out = value;
		return yyjson_is_arr(value) && yyjson_arr_size(value) >= field->min && yyjson_arr_size(value) <= field->max;
	}
	return false;
}

static void describe(const struct json_field *field, char *problem)
{
	unsigned long long min = field->min, max = field->max;
	switch (field->kind) {
	case JSON_TEXT:
		snprintf(problem, JSON_PROBLEM_MAX, "\"%s\": a text of %llu to %llu bytes without control characters", field->name, min, max);
		break;
	case JSON_ID:
		snprintf(problem, JSON_PROBLEM_MAX, "\"%s\": a UUID", field->name);
		break;
	case JSON_BYTES:
		if (min == max)
			snprintf(problem, JSON_PROBLEM_MAX, "\"%s\": %llu bytes as base64url without padding", field->name, max);
		else
			snprintf(problem, JSON_PROBLEM_MAX, "\"%s\": %llu to %llu bytes as base64url without padding", field->name, min, max);
		break;
	case JSON_NUMBER:
		snprintf(problem, JSON_PROBLEM_MAX, "\"%s\": a whole number from %llu to %llu", field->name, min, max);
		break;
	case JSON_ARRAY:
		snprintf(problem, JSON_PROBLEM_MAX, "\"%s\": an array of %llu to %llu elements", field->name, min, max);
		break;
	}
}

static const struct json_field *find(const struct json_field *fields, size_t count, yyjson_val *key)
{
	for (size_t i = 0; i < count; i++) {
		if (yyjson_equals_str(key, fields[i].name))
			return &fields[i];
	}
	return NULL;
}

enum err json_read_object(yyjson_val *object, const struct json_field *fields, size_t count, char problem[static JSON_PROBLEM_MAX])
{
	uint64_t seen = 0;
	size_t i, members;
	yyjson_val *key, *value;
	if (!yyjson_is_obj(object)) {
		snprintf(problem, JSON_PROBLEM_MAX, "a JSON object is needed");
		return ERR_PARSE;
	}
	yyjson_obj_foreach(object, i, members, key, value) {
		const struct json_field *field = find(fields, count, key);
		uint64_t bit = field ? 1ull << (field - fields) : 0;
		if (!field || (seen & bit)) {
			snprintf(problem, JSON_PROBLEM_MAX, field ? "\"%s\" is there twice" : "an unknown member is there%s",
				 field ? field->name : "");
			return ERR_PARSE;
		}
		seen |= bit;
		if (!read_value(value, field)) {
			describe(field, problem);
			return ERR_PARSE;
		}
	}
	for (size_t f = 0; f < count; f++) {
		if (!(seen & 1ull << f) && !fields[f].is_optional) {
			describe(&fields[f], problem);
			return ERR_PARSE;
		}
	}
	return ERR_OK;
}

yyjson_doc *json_parse(const uint8_t *body, size_t size, char problem[static JSON_PROBLEM_MAX])
{
	yyjson_doc *doc = size > 0 ? yyjson_read((const char *)body, size, YYJSON_READ_NOFLAG) : NULL;
	if (!doc)
		snprintf(problem, JSON_PROBLEM_MAX, "the body is not JSON");
	return doc;
}

enum err json_read(const uint8_t *body, size_t size, const struct json_field *fields, size_t count, char problem[static JSON_PROBLEM_MAX])
{
	yyjson_doc *doc = json_parse(body, size, problem);
	if (!doc)
		return ERR_PARSE;
	enum err err = json_read_object(yyjson_doc_get_root(doc), fields, count, problem);
	yyjson_doc_free(doc);
	return err;
}

void json_put_id(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name, const struct id *id)
{
	char text[TEXT_UUID_SIZE];
	text_id_emit(id, text);
	yyjson_mut_obj_add_strcpy(doc, object, name, text);
}

// NULL without memory; the document is incomplete then, which writing it does not hide: a member is missing.
static yyjson_mut_val *bytes_value(yyjson_mut_doc *doc, const uint8_t *bytes, size_t size)
{
	char *text = malloc(TEXT_BASE64_SIZE(size));
	if (!text)
		return NULL;
	text_base64_emit(bytes, size, text);
	yyjson_mut_val *value = yyjson_mut_strcpy(doc, text);
	free(text);
	return value;
}

void json_put_bytes(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name, const uint8_t *bytes, size_t size)
{
	yyjson_mut_obj_add_val(doc, object, name, bytes_value(doc, bytes, size));
}

void json_append_bytes(yyjson_mut_doc *doc, yyjson_mut_val *array, const uint8_t *bytes, size_t size)
{
	yyjson_mut_arr_append(array, bytes_value(doc, bytes, size));
}
