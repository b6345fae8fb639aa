// Strict readers of JSON bodies: exactly the named members, each once, of the right type and size; and short
// ways to write ids and bytes. SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_JSON_H
#define MGMT_JSON_H

#include "base/err.h"
#include "base/text.h"

#include <yyjson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_PROBLEM_MAX = 128 };

enum json_kind {
	JSON_TEXT,   // char[max + 1]: printable UTF-8 of min..max bytes
	JSON_ID,     // struct id, not zero
	JSON_BYTES,  // base64url, min..max bytes; `size` gets how many
	JSON_NUMBER, // uint64_t, min..max
	JSON_ARRAY,  // yyjson_val *, min..max elements; valid while the document is
};

struct json_field {
	const char *name;
	enum json_kind kind;
	void *out;
	uint64_t min, max;
	size_t *size;     // JSON_BYTES, may be NULL if min == max
	bool is_optional; // `out` keeps what it had
};

// On failure `problem` is one line for people.
enum err json_read_object(yyjson_val *object, const struct json_field *fields, size_t count,
			  char problem[static JSON_PROBLEM_MAX]) CHECK_RESULT;
// The whole body. With JSON_ARRAY fields use json_parse() and json_read_object().
enum err json_read(const uint8_t *body, size_t size, const struct json_field *fields, size_t count,
		   char problem[static JSON_PROBLEM_MAX]) CHECK_RESULT;
// NULL: not JSON. The caller frees it with yyjson_doc_free().
yyjson_doc *json_parse(const uint8_t *body, size_t size, char problem[static JSON_PROBLEM_MAX]);

void json_put_id(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name, const struct id *id);
void json_put_bytes(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name, const uint8_t *bytes, size_t size);
void json_append_bytes(yyjson_mut_doc *doc, yyjson_mut_val *array, const uint8_t *bytes, size_t size);

#endif
