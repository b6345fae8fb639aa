// Relays: what they report and hear, and their list. SPDX-License-Identifier: Apache-2.0
#include "mgmt/api.h"

#include "base/secret.h"
#include "mgmt/json.h"
#include "mgmt/reports.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_LIFE_S = 7 * 24 * 3600 };

// The first page of events shows that the asker is a relay; the stream goes on from there.
enum api_next api_relays_events(struct api_call *call, const struct reply *reply)
{
	if (reply)
		return API_STREAM;
	memcpy(call->request.event_list.pin, call->peer->pin, TOKEN_PIN_BYTES);
	return api_ask(call, REQUEST_EVENT_LIST);
}

static enum err read_meetings(yyjson_val *array, struct reports_relay *report, char *problem)
{
	size_t i, count;
	yyjson_val *value;
	report->meetings = calloc(yyjson_arr_size(array) + 1, sizeof(*report->meetings));
	if (!report->meetings)
		return ERR_NOMEM;
	yyjson_arr_foreach(array, i, count, value) {
		struct reports_meeting *meeting = &report->meetings[i];
		uint64_t participants = 0;
		const struct json_field fields[] = {
			{"meeting", JSON_ID, &meeting->meeting, 0, 0, NULL, false},
			{"participants", JSON_NUMBER, &participants, 0, UINT16_MAX, NULL, false},
		};
		enum err err = json_read_object(value, fields, 2, problem);
		if (err)
			return err;
		meeting->participants = (uint32_t)participants;
	}
	report->count = count;
	return ERR_OK;
}

static enum err read_report(struct api_call *call, struct reports_relay *report)
{
	yyjson_val *array = NULL;
	const struct json_field fields[] = {
		{"version", JSON_TEXT, report->version, 0, REQUEST_ENGINE_MAX, NULL, false},
		{"engine", JSON_TEXT, report->engine, 0, REQUEST_ENGINE_MAX, NULL, false},
		{"meetings", JSON_ARRAY, &array, 0, REPORTS_MEETINGS_MAX, NULL, false},
	};
	yyjson_doc *doc = json_parse(call->body, call->body_size, call->problem);
	enum err err = doc ? json_read_object(yyjson_doc_get_root(doc), fields, 3, call->problem) : ERR_PARSE;
	if (!err)
		err = read_meetings(array, report, call->problem);
	yyjson_doc_free(doc);
	return err;
}

// The body is read before store is asked, so that a bad one costs nothing, and again when the relay is known.
enum api_next api_relays_report(struct api_call *call, const struct reply *reply)
{
	struct reports_relay report = {.at = call->now};
	enum err err = read_report(call, &report);
	if (err) {
		free(report.meetings);
		return err == ERR_NOMEM ? api_fail(call, 503, "memory", err_text(err)) : api_bad_body(call);
	}
	if (!reply) {
		free(report.meetings);
		memcpy(call->request.pin.pin, call->peer->pin, TOKEN_PIN_BYTES);
		return api_ask(call, REQUEST_RELAY_REPORT);
	}
	report.relay = reply->who.id;
	reports_put(call->context->reports, &report);
	return api_done(call, 200);
}

static void put_relay(struct api_call *call, const struct item_relay *relay)
{
	const struct reports_relay *report = reports_of(call->context->reports, &relay->id, call->now);
	yyjson_mut_val *row = yyjson_mut_arr_add_obj(call->doc, call->list);
	json_put_id(call->doc, row, "relay", &relay->id);
	yyjson_mut_obj_add_strcpy(call->doc, row, "name", relay->name);
	yyjson_mut_obj_add_strcpy(call->doc, row, "address", relay->address);
	yyjson_mut_obj_add_uint(call->doc, row, "port", relay->port);
	yyjson_mut_obj_add_uint(call->doc, row, "created", relay->created);
	yyjson_mut_obj_add_str(call->doc, row, "state",
			       relay->state != REQUEST_STATE_ACTIVE ? "waiting" : report ? "connected" : "silent");
	if (relay->state == REQUEST_STATE_ACTIVE)
		json_put_bytes(call->doc, row, "pin", relay->pin, sizeof(relay->pin));
	if (!report)
		return;
	uint64_t participants = 0;
	for (size_t i = 0; i < report->count; i++)
		participants += report->meetings[i].participants;
	yyjson_mut_obj_add_strcpy(call->doc, row, "version", report->version);
	yyjson_mut_obj_add_strcpy(call->doc, row, "engine", report->engine);
	yyjson_mut_obj_add_uint(call->doc, row, "meetings", report->count);
	yyjson_mut_obj_add_uint(call->doc, row, "participants", participants);
}

enum api_next api_relays_list(struct api_call *call, const struct reply *reply)
{
	if (!reply) {
		call->list = yyjson_mut_obj_add_arr(call->doc, call->root, "relays");
		return api_ask(call, REQUEST_RELAY_LIST);
	}
	struct cursor c = cursor_reader(reply->page.items.bytes, reply->page.items.size);
	union request_item item;
	enum err err;
	while (!(err = request_item_parse(reply->type, &c, &item))) {
		put_relay(call, &item.relay);
		call->request.page.after = item.relay.id;
	}
	if (err != ERR_NOT_FOUND)
		return api_fail(call, 500, "internal", err_text(err));
	return reply->page.is_last ? api_done(call, 200) : api_ask(call, REQUEST_RELAY_LIST);
}

static bool is_host_name(const char *name)
{
	return name[0] != '.' && name[0] != '-' && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-")] == '\0';
}

static bool is_address(const char *text)
{
	uint8_t bytes[16];
	return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static enum api_next read_relay(struct api_call *call)
{
	struct request_relay_add *r = &call->request.relay_add;
	uint64_t port = 0;
	const struct json_field fields[] = {
		{"name", JSON_TEXT, r->name, 1, REQUEST_HOST_MAX, NULL, false},
		{"address", JSON_TEXT, r->address, 1, REQUEST_ADDRESS_MAX, NULL, false},
		{"port", JSON_NUMBER, &port, 1, 65535, NULL, false},
	};
	if (json_read(call->body, call->body_size, fields, 3, call->problem))
		return api_bad_body(call);
	if (!is_host_name(r->name))
		return api_fail(call, 400, "bad_request", "\"name\": lower-case letters, digits, dots and hyphens");
	if (!is_address(r->address))
		return api_fail(call, 400, "bad_request", "\"address\": an IPv4 or IPv6 address");
	r->port = (uint16_t)port;
	return api_ask(call, REQUEST_RELAY_ADD);
}

// The relay is read first, kept in the request while auth says its pins, and then stored with its token.
enum api_next api_relays_add(struct api_call *call, const struct reply *reply)
{
	struct request_relay_add *r = &call->request.relay_add;
	char link[TOKEN_LINK_MAX];
	if (!reply) {
		enum api_next next = read_relay(call);
		return next == API_ASK ? api_ask(call, REQUEST_AUTH_INFO) : next;
	}
	if (reply->type == REQUEST_AUTH_INFO) {
		call->info = reply->auth_info;
		secret_random(call->token, sizeof(call->token));
		secret_random(r->relay.bytes, TEXT_ID_BYTES);
		secret_sha256(call->token, sizeof(call->token), r->hash);
		r->expires = call->now + TOKEN_LIFE_S;
		return api_ask(call, REQUEST_RELAY_ADD);
	}
	if (api_enrol_emit_link(call, TOKEN_LINK_RELAY, NULL, link))
		return api_fail(call, 500, "internal", "the link cannot be made");
	json_put_id(call->doc, call->root, "relay", &r->relay);
	yyjson_mut_obj_add_strcpy(call->doc, call->root, "link", link);
	yyjson_mut_obj_add_uint(call->doc, call->root, "expires", r->expires);
	return api_done(call, 201);
}

enum api_next api_relays_remove(struct api_call *call, const struct reply *reply)
{
	if (reply) {
		reports_forget(call->context->reports, &call->id);
		return api_done(call, 200);
	}
	call->request.id.id = call->id;
	return api_ask(call, REQUEST_RELAY_REMOVE);
}
