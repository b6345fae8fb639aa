// SPDX-License-Identifier: Apache-2.0
#include "mgmt/handoff.h"

#include "mgmt/wire.h"

static const struct wire_field fields[] = {
	WIRE_FIELD(WIRE_U8, struct handoff, kind, HANDOFF_LAST),
	WIRE_KEY(struct handoff, pin),
	WIRE_FIELD(WIRE_BYTES, struct handoff, channel, HANDOFF_CHANNEL_BYTES),
	WIRE_FIELD(WIRE_TEXT, struct handoff, address, HANDOFF_ADDRESS_MAX),
};
static const struct wire_table table = WIRE_TABLE(fields);

enum err handoff_emit(const struct handoff *handoff, uint8_t bytes[static HANDOFF_BYTES_MAX], size_t *size)
{
	struct cursor c = cursor_writer(bytes, HANDOFF_BYTES_MAX);
	wire_emit(&table, &c, handoff);
	*size = c.position;
	return c.is_failed ? ERR_LIMIT : ERR_OK;
}

enum err handoff_parse(const uint8_t *bytes, size_t size, struct handoff *out)
{
	struct cursor c = cursor_reader(bytes, size);
	*out = (struct handoff){0};
	wire_parse(&table, &c, out);
	return cursor_finish(&c);
}
