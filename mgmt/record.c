// SPDX-License-Identifier: Apache-2.0
#include "mgmt/record.h"

#define FIELDS(name, ...) \
	static const struct wire_field name##_fields[] = {__VA_ARGS__}; \
	static const struct wire_table name = WIRE_TABLE(name##_fields)

FIELDS(user, WIRE_FIELD(WIRE_TEXT, struct record_user, name, REQUEST_NAME_MAX),
       WIRE_FIELD(WIRE_TEXT, struct record_user, mail, REQUEST_MAIL_MAX), WIRE_FIELD(WIRE_U64, struct record_user, created, 0));
FIELDS(device, WIRE_ID(struct record_device, device), WIRE_ID(struct record_device, user), WIRE_KEY(struct record_device, key),
       WIRE_FIELD(WIRE_U8, struct record_device, state, REQUEST_STATE_LAST), WIRE_FIELD(WIRE_U64, struct record_device, created, 0));
FIELDS(token, WIRE_FIELD(WIRE_U8, struct record_token, subject, REQUEST_SUBJECT_LAST), WIRE_ID(struct record_token, id),
       WIRE_FIELD(WIRE_U64, struct record_token, expires, 0));
FIELDS(relay, WIRE_FIELD(WIRE_TEXT, struct record_relay, name, REQUEST_HOST_MAX),
       WIRE_FIELD(WIRE_TEXT, struct record_relay, address, REQUEST_ADDRESS_MAX), WIRE_FIELD(WIRE_U16, struct record_relay, port, 0),
       WIRE_FIELD(WIRE_U8, struct record_relay, state, REQUEST_STATE_LAST), WIRE_KEY(struct record_relay, pin),
       WIRE_KEY(struct record_relay, backup_pin), WIRE_FIELD(WIRE_U64, struct record_relay, created, 0));
FIELDS(meeting, WIRE_ID(struct record_meeting, owner), WIRE_ID(struct record_meeting, relay),
       WIRE_FIELD(WIRE_U64, struct record_meeting, created, 0), WIRE_FIELD(WIRE_U64, struct record_meeting, expires, 0),
       WIRE_FIELD(WIRE_U8, struct record_meeting, state, REQUEST_STATE_LAST),
       WIRE_FIELD(WIRE_VIEW, struct record_meeting, blob, REQUEST_BLOB_MAX));
FIELDS(member, WIRE_FIELD(WIRE_U64, struct record_member, joined, 0));
FIELDS(event, WIRE_FIELD(WIRE_U8, struct record_event, kind, REQUEST_EVENT_LAST), WIRE_ID(struct record_event, meeting),
       WIRE_ID(struct record_event, participant), WIRE_FIELD(WIRE_U64, struct record_event, until, 0));
FIELDS(reference, WIRE_ID(struct record_reference, id));

static const struct wire_table *const tables[RECORD_TYPES] = {
	[RECORD_USER] = &user,       [RECORD_DEVICE] = &device, [RECORD_TOKEN] = &token, [RECORD_RELAY] = &relay,
	[RECORD_MEETING] = &meeting, [RECORD_MEMBER] = &member, [RECORD_EVENT] = &event, [RECORD_REFERENCE] = &reference,
};

enum err record_emit(enum record_type type, const void *record, uint8_t *bytes, size_t *size)
{
	struct cursor c = cursor_writer(bytes, RECORD_MAX);
	cursor_write_u8(&c, RECORD_VERSION);
	wire_emit(tables[type], &c, record);
	*size = c.position;
	return c.is_failed ? ERR_LIMIT : ERR_OK;
}

enum err record_parse(enum record_type type, const uint8_t *bytes, size_t size, void *out)
{
	struct cursor c = cursor_reader(bytes, size);
	if (cursor_read_u8(&c) != RECORD_VERSION)
		return size == 0 ? ERR_PARSE : ERR_VERSION;
	wire_parse(tables[type], &c, out);
	return cursor_finish(&c);
}
