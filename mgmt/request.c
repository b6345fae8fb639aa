// SPDX-License-Identifier: Apache-2.0
#include "mgmt/request.h"

#define FIELDS(name, ...) \
	static const struct wire_field name##_fields[] = {__VA_ARGS__}; \
	static const struct wire_table name = WIRE_TABLE(name##_fields)

// --- requests

#define R request_user_add
FIELDS(user_add, WIRE_ID(struct R, user), WIRE_FIELD(WIRE_TEXT, struct R, name, REQUEST_NAME_MAX),
       WIRE_FIELD(WIRE_TEXT, struct R, mail, REQUEST_MAIL_MAX));
#undef R
FIELDS(page, WIRE_ID(struct request_page, after));
FIELDS(one_id, WIRE_ID(struct request_id, id));
FIELDS(pin, WIRE_KEY(struct request_pin, pin));
FIELDS(hash, WIRE_KEY(struct request_hash, hash));
FIELDS(user_token, WIRE_ID(struct request_user_token, user), WIRE_KEY(struct request_user_token, hash),
       WIRE_FIELD(WIRE_U64, struct request_user_token, expires, 0));
#define R request_meeting_add
FIELDS(meeting_add, WIRE_KEY(struct R, pin), WIRE_ID(struct R, meeting), WIRE_FIELD(WIRE_U64, struct R, expires, 0),
       WIRE_FIELD(WIRE_VIEW, struct R, blob, REQUEST_BLOB_MAX));
#undef R
FIELDS(meeting_list, WIRE_FIELD(WIRE_U8, struct request_meeting_list, is_admin, 1),
       WIRE_KEY(struct request_meeting_list, pin), WIRE_ID(struct request_meeting_list, after));
FIELDS(meeting_end, WIRE_FIELD(WIRE_U8, struct request_meeting_end, is_admin, 1),
       WIRE_KEY(struct request_meeting_end, pin), WIRE_ID(struct request_meeting_end, meeting));
#define R request_relay_add
FIELDS(relay_add, WIRE_ID(struct R, relay), WIRE_FIELD(WIRE_TEXT, struct R, name, REQUEST_HOST_MAX),
       WIRE_FIELD(WIRE_TEXT, struct R, address, REQUEST_ADDRESS_MAX), WIRE_FIELD(WIRE_U16, struct R, port, 0),
       WIRE_KEY(struct R, hash), WIRE_FIELD(WIRE_U64, struct R, expires, 0));
#undef R
FIELDS(event_list, WIRE_KEY(struct request_event_list, pin), WIRE_FIELD(WIRE_U64, struct request_event_list, after, 0));
#define R request_device_add
FIELDS(device_add, WIRE_KEY(struct R, hash), WIRE_ID(struct R, device), WIRE_KEY(struct R, key), WIRE_KEY(struct R, pin));
#undef R
FIELDS(relay_activate, WIRE_KEY(struct request_relay_activate, hash), WIRE_KEY(struct request_relay_activate, pin),
       WIRE_KEY(struct request_relay_activate, backup_pin));
FIELDS(meeting, WIRE_KEY(struct request_meeting, pin), WIRE_ID(struct request_meeting, meeting));
#define R request_auth_device
FIELDS(auth_device, WIRE_KEY(struct R, token), WIRE_KEY(struct R, key),
       WIRE_FIELD(WIRE_BYTES, struct R, proof, TOKEN_SIGNATURE_BYTES), WIRE_KEY(struct R, channel));
#undef R
FIELDS(auth_relay, WIRE_KEY(struct request_auth_relay, token), WIRE_KEY(struct request_auth_relay, backup_pin),
       WIRE_FIELD(WIRE_VIEW, struct request_auth_relay, csr, REQUEST_CSR_MAX));

// --- answers

static const struct wire_table nothing = {NULL, 0};
FIELDS(page_of, WIRE_FIELD(WIRE_U8, struct reply_page, is_last, 1),
       WIRE_FIELD(WIRE_VIEW, struct reply_page, items, REQUEST_ITEMS_MAX));
FIELDS(pins, WIRE_FIELD(WIRE_VIEW, struct reply_pins, pins, TOKEN_PINS_MAX * TOKEN_PIN_BYTES));
FIELDS(who, WIRE_FIELD(WIRE_U8, struct reply_who, subject, REQUEST_SUBJECT_LAST), WIRE_ID(struct reply_who, id),
       WIRE_ID(struct reply_who, user), WIRE_FIELD(WIRE_TEXT, struct reply_who, name, REQUEST_HOST_MAX));
#define R reply_status
FIELDS(status, WIRE_FIELD(WIRE_U32, struct R, users, 0), WIRE_FIELD(WIRE_U32, struct R, devices, 0),
       WIRE_FIELD(WIRE_U32, struct R, meetings_open, 0), WIRE_FIELD(WIRE_U32, struct R, relays, 0),
       WIRE_FIELD(WIRE_U64, struct R, bytes, 0), WIRE_FIELD(WIRE_U64, struct R, bytes_max, 0));
#undef R
FIELDS(subject, WIRE_FIELD(WIRE_U8, struct reply_subject, subject, REQUEST_SUBJECT_LAST), WIRE_ID(struct reply_subject, id),
       WIRE_FIELD(WIRE_TEXT, struct reply_subject, name, REQUEST_HOST_MAX));
#define R reply_join
FIELDS(join, WIRE_ID(struct R, user), WIRE_KEY(struct R, device_key), WIRE_FIELD(WIRE_U8, struct R, is_owner, 1),
       WIRE_FIELD(WIRE_U64, struct R, expires, 0), WIRE_ID(struct R, relay),
       WIRE_FIELD(WIRE_TEXT, struct R, name, REQUEST_HOST_MAX), WIRE_FIELD(WIRE_TEXT, struct R, address, REQUEST_ADDRESS_MAX),
       WIRE_FIELD(WIRE_U16, struct R, port, 0), WIRE_FIELD(WIRE_VIEW, struct R, blob, REQUEST_BLOB_MAX));
#undef R
#define R reply_auth_info
FIELDS(auth_info, WIRE_KEY(struct R, pin), WIRE_KEY(struct R, backup_pin), WIRE_KEY(struct R, root_pin),
       WIRE_KEY(struct R, ticket_key), WIRE_FIELD(WIRE_U64, struct R, issuer_expires, 0));
#undef R
#define R reply_enrolled
FIELDS(enrolled, WIRE_ID(struct R, id), WIRE_ID(struct R, user), WIRE_FIELD(WIRE_TEXT, struct R, name, REQUEST_HOST_MAX),
       WIRE_KEY(struct R, ticket_key), WIRE_FIELD(WIRE_VIEW, struct R, certificate, REQUEST_CERTIFICATE_MAX),
       WIRE_FIELD(WIRE_VIEW, struct R, issuer, REQUEST_CERTIFICATE_MAX),
       WIRE_FIELD(WIRE_VIEW, struct R, root, REQUEST_CERTIFICATE_MAX));
#undef R
#define R reply_ticket
FIELDS(ticket, WIRE_ID(struct R, relay), WIRE_FIELD(WIRE_TEXT, struct R, name, REQUEST_HOST_MAX),
       WIRE_FIELD(WIRE_TEXT, struct R, address, REQUEST_ADDRESS_MAX), WIRE_FIELD(WIRE_U16, struct R, port, 0),
       WIRE_FIELD(WIRE_VIEW, struct R, ticket, TOKEN_TICKET_BYTES), WIRE_FIELD(WIRE_VIEW, struct R, blob, REQUEST_BLOB_MAX));
#undef R

// --- items

#define R item_user
FIELDS(user_item, WIRE_ID(struct R, id), WIRE_FIELD(WIRE_TEXT, struct R, name, REQUEST_NAME_MAX),
       WIRE_FIELD(WIRE_TEXT, struct R, mail, REQUEST_MAIL_MAX), WIRE_FIELD(WIRE_U64, struct R, created, 0),
       WIRE_FIELD(WIRE_U32, struct R, devices, 0));
#undef R
#define R item_meeting
FIELDS(meeting_item, WIRE_ID(struct R, id), WIRE_ID(struct R, owner), WIRE_ID(struct R, relay),
       WIRE_FIELD(WIRE_U64, struct R, created, 0), WIRE_FIELD(WIRE_U64, struct R, expires, 0),
       WIRE_FIELD(WIRE_U8, struct R, state, REQUEST_STATE_LAST), WIRE_FIELD(WIRE_U8, struct R, is_owner, 1),
       WIRE_FIELD(WIRE_VIEW, struct R, blob, REQUEST_BLOB_MAX));
#undef R
#define R item_relay
FIELDS(relay_item, WIRE_ID(struct R, id), WIRE_FIELD(WIRE_TEXT, struct R, name, REQUEST_HOST_MAX),
       WIRE_FIELD(WIRE_TEXT, struct R, address, REQUEST_ADDRESS_MAX), WIRE_FIELD(WIRE_U16, struct R, port, 0),
       WIRE_FIELD(WIRE_U8, struct R, state, REQUEST_STATE_LAST), WIRE_KEY(struct R, pin),
       WIRE_FIELD(WIRE_U64, struct R, created, 0));
#undef R
#define R item_event
FIELDS(event_item, WIRE_FIELD(WIRE_U64, struct R, sequence, 0), WIRE_FIELD(WIRE_U8, struct R, kind, REQUEST_EVENT_LAST),
       WIRE_ID(struct R, meeting), WIRE_ID(struct R, participant), WIRE_FIELD(WIRE_U64, struct R, until, 0));
#undef R

// --- the list

struct request_row {
	const char *name;
	enum role asker, target;
	const struct wire_table *request, *reply, *item;
};

static const struct request_row rows[REQUEST_TYPES] = {
	[REQUEST_USER_ADD] = {"user add", ROLE_HTTP, ROLE_STORE, &user_add, &nothing, NULL},
	[REQUEST_USER_LIST] = {"user list", ROLE_HTTP, ROLE_STORE, &page, &page_of, &user_item},
	[REQUEST_USER_REMOVE] = {"user remove", ROLE_HTTP, ROLE_STORE, &one_id, &nothing, NULL},
	[REQUEST_USER_TOKEN] = {"user token", ROLE_HTTP, ROLE_STORE, &user_token, &pins, NULL},
	[REQUEST_WHO] = {"who", ROLE_HTTP, ROLE_STORE, &pin, &who, NULL},
	[REQUEST_MEETING_ADD] = {"meeting add", ROLE_HTTP, ROLE_STORE, &meeting_add, &nothing, NULL},
	[REQUEST_MEETING_LIST] = {"meeting list", ROLE_HTTP, ROLE_STORE, &meeting_list, &page_of, &meeting_item},
	[REQUEST_MEETING_END] = {"meeting end", ROLE_HTTP, ROLE_STORE, &meeting_end, &nothing, NULL},
	[REQUEST_RELAY_ADD] = {"relay add", ROLE_HTTP, ROLE_STORE, &relay_add, &nothing, NULL},
	[REQUEST_RELAY_LIST] = {"relay list", ROLE_HTTP, ROLE_STORE, &page, &page_of, &relay_item},
	[REQUEST_RELAY_REMOVE] = {"relay remove", ROLE_HTTP, ROLE_STORE, &one_id, &nothing, NULL},
	[REQUEST_RELAY_REPORT] = {"relay report", ROLE_HTTP, ROLE_STORE, &pin, &who, NULL},
	[REQUEST_EVENT_LIST] = {"event list", ROLE_HTTP, ROLE_STORE, &event_list, &page_of, &event_item},
	[REQUEST_STATUS] = {"status", ROLE_HTTP, ROLE_STORE, &nothing, &status, NULL},
	[REQUEST_TOKEN_CHECK] = {"token check", ROLE_AUTH, ROLE_STORE, &hash, &subject, NULL},
	[REQUEST_DEVICE_ADD] = {"device add", ROLE_AUTH, ROLE_STORE, &device_add, &nothing, NULL},
	[REQUEST_RELAY_ACTIVATE] = {"relay activate", ROLE_AUTH, ROLE_STORE, &relay_activate, &nothing, NULL},
	[REQUEST_MEETING_JOIN] = {"meeting join", ROLE_AUTH, ROLE_STORE, &meeting, &join, NULL},
	[REQUEST_AUTH_INFO] = {"auth info", ROLE_HTTP, ROLE_AUTH, &nothing, &auth_info, NULL},
	[REQUEST_AUTH_DEVICE] = {"auth device", ROLE_HTTP, ROLE_AUTH, &auth_device, &enrolled, NULL},
	[REQUEST_AUTH_RELAY] = {"auth relay", ROLE_HTTP, ROLE_AUTH, &auth_relay, &enrolled, NULL},
	[REQUEST_AUTH_TICKET] = {"auth ticket", ROLE_HTTP, ROLE_AUTH, &meeting, &ticket, NULL},
};

// Every struct of the union starts where the union does.
#define REQUEST_FIELDS(message) ((void *)&(message)->user_add)
#define REPLY_FIELDS(message) ((void *)&(message)->page)

static const struct request_row *row_of(unsigned type)
{
	return type < REQUEST_TYPES && rows[type].name ? &rows[type] : NULL;
}

enum role request_target(enum request_type type)
{
	return rows[type].target;
}

bool request_is_allowed(enum request_type type, enum role asker)
{
	const struct request_row *row = row_of(type);
	return row && row->asker == asker;
}

const char *request_name(enum request_type type)
{
	const struct request_row *row = row_of(type);
	return row ? row->name : "unknown";
}

static enum err finish(const struct cursor *c, size_t *size)
{
	*size = c->position;
	return c->is_failed ? ERR_LIMIT : ERR_OK;
}

enum err request_emit(const struct request *request, uint8_t *bytes, size_t *size)
{
	const struct request_row *row = row_of(request->type);
	if (!row)
		return ERR_PARSE;
	struct cursor c = cursor_writer(bytes, CHANNEL_MESSAGE_MAX);
	cursor_write_u32(&c, request->serial);
	cursor_write_u8(&c, (uint8_t)request->type);
	wire_emit(row->request, &c, REQUEST_FIELDS(request));
	return finish(&c, size);
}

enum err request_parse(const uint8_t *bytes, size_t size, struct request *out)
{
	struct cursor c = cursor_reader(bytes, size);
	*out = (struct request){.serial = cursor_read_u32(&c)};
	unsigned type = cursor_read_u8(&c);
	const struct request_row *row = row_of(type);
	if (!row)
		return ERR_PARSE;
	out->type = (enum request_type)type;
	wire_parse(row->request, &c, REQUEST_FIELDS(out));
	return cursor_finish(&c);
}

enum err request_reply_emit(const struct reply *reply, uint8_t *bytes, size_t *size)
{
	const struct request_row *row = row_of(reply->type);
	if (!row)
		return ERR_PARSE;
	struct cursor c = cursor_writer(bytes, CHANNEL_MESSAGE_MAX);
	cursor_write_u32(&c, reply->serial);
	cursor_write_u8(&c, (uint8_t)reply->type);
	cursor_write_u8(&c, (uint8_t)reply->err);
	if (!reply->err)
		wire_emit(row->reply, &c, REPLY_FIELDS(reply));
	return finish(&c, size);
}

enum err request_reply_parse(const uint8_t *bytes, size_t size, struct reply *out)
{
	struct cursor c = cursor_reader(bytes, size);
	*out = (struct reply){.serial = cursor_read_u32(&c)};
	unsigned type = cursor_read_u8(&c), err = cursor_read_u8(&c);
	const struct request_row *row = row_of(type);
	if (!row || err >= ERR_COUNT)
		return ERR_PARSE;
	out->type = (enum request_type)type;
	out->err = (enum err)err;
	if (!out->err)
		wire_parse(row->reply, &c, REPLY_FIELDS(out));
	return cursor_finish(&c);
}

enum err request_item_emit(enum request_type type, const void *item, struct cursor *c)
{
	size_t start = c->position;
	cursor_write_u16(c, 0);
	wire_emit(rows[type].item, c, item);
	if (c->is_failed) { // take back what was written of it
		c->position = start;
		c->is_failed = false;
		return ERR_LIMIT;
	}
	size_t size = c->position - start - 2;
	c->bytes[start] = (uint8_t)(size >> 8);
	c->bytes[start + 1] = (uint8_t)size;
	return ERR_OK;
}

enum err request_item_parse(enum request_type type, struct cursor *c, union request_item *out)
{
	if (cursor_left(c) == 0)
		return ERR_NOT_FOUND;
	size_t size = 0;
	const uint8_t *bytes = cursor_read_vector16(c, REQUEST_ITEMS_MAX, &size);
	const struct request_row *row = row_of(type);
	if (!bytes || !row || !row->item)
		return ERR_PARSE;
	*out = (union request_item){0};
	struct cursor item = cursor_reader(bytes, size);
	wire_parse(row->item, &item, out);
	return cursor_finish(&item);
}
