// Typed fields of JSON objects: what home files and server answers are read with.
// SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_JSON_H
#define CLIENT_ENGINE_JSON_H

#include "base/err.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yyjson.h>

// Each is ERR_PARSE if the field is missing, of another type or malformed, ERR_LIMIT if it is too long.

// Text without NUL; `capacity` counts the terminating one.
enum err json_text(yyjson_val *object, const char *name, char *out, size_t capacity) CHECK_RESULT;
enum err json_id(yyjson_val *object, const char *name, struct id *out) CHECK_RESULT;
enum err json_number(yyjson_val *object, const char *name, uint64_t max, uint64_t *out) CHECK_RESULT;
// base64url; at most `capacity` bytes.
enum err json_bytes(yyjson_val *object, const char *name, uint8_t *out, size_t capacity, size_t *size) CHECK_RESULT;
// Exactly `size` bytes.
enum err json_bytes_exact(yyjson_val *object, const char *name, uint8_t *out, size_t size) CHECK_RESULT;

void json_add_text(yyjson_mut_doc *document, yyjson_mut_val *object, const char *name, const char *text); // copied
void json_add_id(yyjson_mut_doc *document, yyjson_mut_val *object, const char *name, const struct id *id);
void json_add_bytes(yyjson_mut_doc *document, yyjson_mut_val *object, const char *name, const uint8_t *bytes, size_t size);

#endif
