// Flat structs as bytes and back, driven by a table of fields: what requests between roles and records in the
// store have in common. SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_WIRE_H
#define MGMT_WIRE_H

#include "base/cursor.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum wire_kind {
	WIRE_U8,    // uint8_t, at most `max`
	WIRE_U16,   // uint16_t
	WIRE_U32,   // uint32_t
	WIRE_U64,   // uint64_t
	WIRE_BYTES, // `max` bytes, always
	WIRE_TEXT,  // char[max + 1]: printable UTF-8, may be empty
	WIRE_VIEW,  // struct wire_view of at most `max` bytes, borrowed from what is parsed
};

struct wire_view {
	const uint8_t *bytes;
	size_t size;
};

struct wire_field {
	enum wire_kind kind;
	uint16_t offset;
	uint16_t max;
};

struct wire_table {
	const struct wire_field *fields;
	size_t count;
};

#define WIRE_FIELD(kind, type, member, max) { kind, offsetof(type, member), max }
#define WIRE_ID(type, member) WIRE_FIELD(WIRE_BYTES, type, member, TEXT_ID_BYTES)
#define WIRE_KEY(type, member) WIRE_FIELD(WIRE_BYTES, type, member, 32)
#define WIRE_TABLE(rows) { rows, sizeof(rows) / sizeof((rows)[0]) }

// Fail the cursor on anything out of range.
void wire_parse(const struct wire_table *table, struct cursor *c, void *out);
void wire_emit(const struct wire_table *table, struct cursor *c, const void *in);

#endif
