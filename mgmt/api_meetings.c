// Meetings, as members and as the administrator see them. SPDX-License-Identifier: Apache-2.0
#include "mgmt/api.h"

#include "mgmt/json.h"
#include "mgmt/reports.h"

#include <string.h>

enum { LIFE_MAX_S = 366 * 24 * 3600 };

enum api_next api_meetings_create(struct api_call *call, const struct reply *reply)
{
	if (reply)
		return api_done(call, 201);
	struct request_meeting_add *r = &call->request.meeting_add;
	size_t size = 0;
	const struct json_field fields[] = {
		{"meeting", JSON_ID, &r->meeting, 0, 0, NULL, false},
		{"blob", JSON_BYTES, call->blob, 0, REQUEST_BLOB_MAX, &size, false},
		{"expires", JSON_NUMBER, &r->expires, call->now + 1, call->now + LIFE_MAX_S, NULL, false},
	};
	if (json_read(call->body, call->body_size, fields, 3, call->problem))
		return api_bad_body(call);
	memcpy(r->pin, call->peer->pin, sizeof(r->pin));
	r->blob = (struct wire_view){call->blob, size};
	return api_ask(call, REQUEST_MEETING_ADD);
}

static const char *state_text(const struct item_meeting *item, uint64_t now)
{
	return item->state == REQUEST_STATE_ACTIVE && item->expires > now ? "open" : "ended";
}

static void put_own(struct api_call *call, const struct item_meeting *item)
{
	yyjson_mut_val *row = yyjson_mut_arr_add_obj(call->doc, call->list);
	json_put_id(call->doc, row, "meeting", &item->id);
	json_put_bytes(call->doc, row, "blob", item->blob.bytes, item->blob.size);
	yyjson_mut_obj_add_uint(call->doc, row, "expires", item->expires);
	yyjson_mut_obj_add_str(call->doc, row, "state", state_text(item, call->now));
	yyjson_mut_obj_add_bool(call->doc, row, "is_owner", item->is_owner);
}

static void put_any(struct api_call *call, const struct item_meeting *item)
{
	yyjson_mut_val *row = yyjson_mut_arr_add_obj(call->doc, call->list);
	json_put_id(call->doc, row, "meeting", &item->id);
	json_put_id(call->doc, row, "owner", &item->owner);
	yyjson_mut_obj_add_uint(call->doc, row, "created", item->created);
	yyjson_mut_obj_add_uint(call->doc, row, "expires", item->expires);
	yyjson_mut_obj_add_str(call->doc, row, "state", state_text(item, call->now));
	if (!text_id_is_zero(&item->relay))
		json_put_id(call->doc, row, "relay", &item->relay);
	yyjson_mut_obj_add_uint(call->doc, row, "participants",
				reports_participants(call->context->reports, &item->relay, &item->id, call->now));
}

static enum api_next list(struct api_call *call, const struct reply *reply, bool is_admin)
{
	struct request_meeting_list *r = &call->request.meeting_list;
	if (!reply) {
		call->list = yyjson_mut_obj_add_arr(call->doc, call->root, "meetings");
		r->is_admin = is_admin;
		memcpy(r->pin, call->peer->pin, sizeof(r->pin));
		return api_ask(call, REQUEST_MEETING_LIST);
	}
	struct cursor c = cursor_reader(reply->page.items.bytes, reply->page.items.size);
	union request_item item;
	enum err err;
	while (!(err = request_item_parse(reply->type, &c, &item))) {
		if (is_admin)
			put_any(call, &item.meeting);
		else
			put_own(call, &item.meeting);
		r->after = item.meeting.id;
	}
	if (err != ERR_NOT_FOUND)
		return api_fail(call, 500, "internal", err_text(err));
	return reply->page.is_last ? api_done(call, 200) : api_ask(call, REQUEST_MEETING_LIST);
}

enum api_next api_meetings_list(struct api_call *call, const struct reply *reply)
{
	return list(call, reply, false);
}

enum api_next api_meetings_list_all(struct api_call *call, const struct reply *reply)
{
	return list(call, reply, true);
}

enum api_next api_meetings_ticket(struct api_call *call, const struct reply *reply)
{
	if (!reply) {
		struct request_meeting *r = &call->request.meeting;
		if (!api_is_empty_object(call))
			return api_bad_body(call);
		memcpy(r->pin, call->peer->pin, sizeof(r->pin));
		r->meeting = call->id;
		return api_ask(call, REQUEST_AUTH_TICKET);
	}
	const struct reply_ticket *t = &reply->ticket;
	json_put_bytes(call->doc, call->root, "ticket", t->ticket.bytes, t->ticket.size);
	yyjson_mut_val *relay = yyjson_mut_obj_add_obj(call->doc, call->root, "relay");
	json_put_id(call->doc, relay, "relay", &t->relay);
	yyjson_mut_obj_add_strcpy(call->doc, relay, "name", t->name);
	yyjson_mut_obj_add_strcpy(call->doc, relay, "address", t->address);
	yyjson_mut_obj_add_uint(call->doc, relay, "port", t->port);
	json_put_bytes(call->doc, call->root, "blob", t->blob.bytes, t->blob.size);
	return api_done(call, 201);
}

static enum api_next end(struct api_call *call, const struct reply *reply, bool is_admin)
{
	if (reply)
		return api_done(call, 200);
	if (!api_is_empty_object(call))
		return api_bad_body(call);
	struct request_meeting_end *r = &call->request.meeting_end;
	r->is_admin = is_admin;
	memcpy(r->pin, call->peer->pin, sizeof(r->pin));
	r->meeting = call->id;
	return api_ask(call, REQUEST_MEETING_END);
}

enum api_next api_meetings_end(struct api_call *call, const struct reply *reply)
{
	return end(call, reply, false);
}

enum api_next api_meetings_end_any(struct api_call *call, const struct reply *reply)
{
	return end(call, reply, true);
}
