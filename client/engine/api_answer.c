// SPDX-License-Identifier: Apache-2.0
#include "client/engine/api_answer.h"

#include "base/cursor.h"
#include "client/engine/json.h"

#include <stdlib.h>
#include <string.h>

enum err api_answer_error(const char *json, size_t size, char out[static API_ANSWER_ERROR_MAX + 1])
{
	yyjson_doc *document = yyjson_read(json, size, 0);
	enum err err = json_text(yyjson_doc_get_root(document), "error", out, API_ANSWER_ERROR_MAX + 1);
	yyjson_doc_free(document);
	if (!err && (!out[0] || !text_is_printable(out, strlen(out))))
		err = ERR_PARSE;
	return err;
}

static enum err der_field(yyjson_val *root, const char *name, struct credentials_der *out)
{
	return json_bytes(root, name, out->bytes, sizeof(out->bytes), &out->size);
}

enum err api_answer_enrol(const char *json, size_t size, struct api_answer_enrol *out)
{
	yyjson_doc *document = yyjson_read(json, size, 0);
	yyjson_val *root = yyjson_doc_get_root(document);
	enum err err;
	memset(out, 0, sizeof(*out));
	if ((err = json_id(root, "user", &out->user)) || (err = json_id(root, "device", &out->device)) ||
	    (err = json_text(root, "name", out->name, sizeof(out->name))) ||
	    (err = der_field(root, "certificate", &out->certificate)) || (err = der_field(root, "issuer", &out->issuer)) ||
	    (err = der_field(root, "root", &out->root)))
		goto done;
	if (!text_is_printable(out->name, strlen(out->name)))
		err = ERR_PARSE;
done:
	yyjson_doc_free(document);
	return err;
}

static enum err parse_relay(yyjson_val *relay, struct api_answer_ticket *out)
{
	uint64_t port;
	enum err err = json_id(relay, "relay", &out->relay);
	if (!err)
		err = json_text(relay, "name", out->relay_name, sizeof(out->relay_name));
	if (!err)
		err = json_text(relay, "address", out->relay_address, sizeof(out->relay_address));
	if (!err)
		err = json_number(relay, "port", UINT16_MAX, &port);
	if (err)
		return err;
	out->relay_port = (uint16_t)port;
	bool is_fine = port > 0 && out->relay_name[0] && text_is_printable(out->relay_name, strlen(out->relay_name));
	return is_fine ? ERR_OK : ERR_PARSE;
}

// Layout of base/token.h.
static enum err check_ticket(struct api_answer_ticket *out, const struct id *meeting, const uint8_t *device_key)
{
	struct cursor c = cursor_reader(out->ticket, sizeof(out->ticket));
	struct id relay, ticket_meeting;
	uint8_t key[TOKEN_ED25519_BYTES];
	if (cursor_read_u8(&c) != TOKEN_TICKET_VERSION)
		return ERR_VERSION;
	cursor_read_view(&c, TOKEN_KEY_ID_BYTES);
	cursor_read_view(&c, TEXT_ID_BYTES); // serial
	cursor_read_bytes(&c, relay.bytes, TEXT_ID_BYTES);
	cursor_read_bytes(&c, ticket_meeting.bytes, TEXT_ID_BYTES);
	cursor_read_bytes(&c, out->participant.bytes, TEXT_ID_BYTES);
	cursor_read_bytes(&c, key, sizeof(key));
	bool is_ours = text_id_equal(&relay, &out->relay) && text_id_equal(&ticket_meeting, meeting) &&
		       memcmp(key, device_key, sizeof(key)) == 0;
	return is_ours ? ERR_OK : ERR_AUTH;
}

enum err api_answer_ticket(const char *json, size_t size, const struct id *meeting,
			   const uint8_t device_key[static TOKEN_ED25519_BYTES], struct api_answer_ticket *out)
{
	yyjson_doc *document = yyjson_read(json, size, 0);
	yyjson_val *root = yyjson_doc_get_root(document);
	memset(out, 0, sizeof(*out));
	enum err err = json_bytes_exact(root, "ticket", out->ticket, sizeof(out->ticket));
	if (!err)
		err = parse_relay(yyjson_obj_get(root, "relay"), out);
	if (!err)
		err = json_bytes(root, "blob", out->blob.bytes, sizeof(out->blob.bytes), &out->blob.size);
	if (!err)
		err = check_ticket(out, meeting, device_key);
	yyjson_doc_free(document);
	return err;
}

static enum err parse_meeting(yyjson_val *object, struct api_answer_meeting *out)
{
	char state[16];
	yyjson_val *is_owner = yyjson_obj_get(object, "is_owner");
	enum err err = json_id(object, "meeting", &out->meeting);
	if (!err)
		err = json_number(object, "expires", INT64_MAX, &out->expires);
	if (!err)
		err = json_text(object, "state", state, sizeof(state));
	if (!err)
		err = json_bytes(object, "blob", out->blob.bytes, sizeof(out->blob.bytes), &out->blob.size);
	if (!err && !yyjson_is_bool(is_owner))
		err = ERR_PARSE;
	out->is_open = !err && strcmp(state, "open") == 0;
	out->is_owner = yyjson_get_bool(is_owner);
	return err;
}

enum err api_answer_meetings(const char *json, size_t size,
			     enum err (*on_meeting)(void *context, const struct api_answer_meeting *meeting), void *context)
{
	yyjson_doc *document = yyjson_read(json, size, 0);
	yyjson_val *array = yyjson_obj_get(yyjson_doc_get_root(document), "meetings"), *value;
	struct api_answer_meeting *meeting = malloc(sizeof(*meeting));
	enum err err = !meeting ? ERR_NOMEM : !yyjson_is_arr(array) ? ERR_PARSE : ERR_OK;
	if (!err && yyjson_arr_size(array) > API_ANSWER_MEETINGS_MAX)
		err = ERR_LIMIT;
	size_t i, count;
	yyjson_arr_foreach(array, i, count, value) {
		if (!err)
			err = parse_meeting(value, meeting);
		if (!err)
			err = on_meeting(context, meeting);
		if (err)
			break;
	}
	free(meeting);
	yyjson_doc_free(document);
	return err;
}
