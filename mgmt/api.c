// SPDX-License-Identifier: Apache-2.0
#include "mgmt/api.h"

#include "mgmt/json.h"

#include <stdio.h>
#include <string.h>

static const struct api_error enrol_errors[] = {
	{ERR_DENIED, 403, "token", "the enrolment link is unknown or was used already"},
	{ERR_EXPIRED, 403, "token", "the enrolment link has expired"},
	{ERR_AUTH, 403, "proof", "the proof of possession of the key does not verify"},
	{ERR_PARSE, 400, "bad_request", "\"csr\": not a PKCS#10 request"},
	{ERR_EXISTS, 409, "exists", "this key is enrolled already"},
	{0},
};
static const struct api_error link_errors[] = {
	{ERR_NOT_FOUND, 404, "not_found", "no such user"},
	{ERR_AGAIN, 409, "no_relay", "no relay is registered yet: clients could not pin one (tmmsctl relays add, tcs --enrol)"},
	{0},
};
#define NOT_KNOWN {ERR_DENIED, 403, "denied", "this device or relay is not known here, or was removed"}
static const struct api_error known_errors[] = {NOT_KNOWN, {0}};
static const struct api_error ticket_errors[] = {
	NOT_KNOWN,
	{ERR_NOT_FOUND, 404, "not_found", "no such meeting"},
	{ERR_EXPIRED, 410, "ended", "the meeting is over"},
	{ERR_AGAIN, 503, "no_relay", "no relay is registered"},
	{0},
};
static const struct api_error meeting_errors[] = {
	{ERR_NOT_FOUND, 404, "not_found", "no such meeting"},
	{ERR_EXISTS, 409, "exists", "a meeting of this id exists already"},
	NOT_KNOWN,
	{0},
};
static const struct api_error end_errors[] = {
	{ERR_NOT_FOUND, 404, "not_found", "no such meeting"},
	{ERR_DENIED, 403, "denied", "only the owner may end a meeting"},
	{0},
};
static const struct api_error user_errors[] = {
	{ERR_NOT_FOUND, 404, "not_found", "no such user"},
	{ERR_EXISTS, 409, "exists", "a user of this name exists already"},
	{0},
};
static const struct api_error relay_errors[] = {
	{ERR_NOT_FOUND, 404, "not_found", "no such relay"},
	{ERR_EXISTS, 409, "exists", "a relay of this name exists already"},
	{ERR_LIMIT, 409, "limit", "there are too many relays"},
	{0},
};
// What an error means where a route says nothing else.
static const struct api_error usual_errors[] = {
	{ERR_NOT_FOUND, 404, "not_found", "no such object"},
	{ERR_DENIED, 403, "denied", "not allowed"},
	{ERR_EXISTS, 409, "exists", "exists already"},
	{ERR_EXPIRED, 410, "expired", "its time is over"},
	{ERR_FULL, 507, "full", "the store or its disk is full: nothing was changed"},
	{ERR_IO, 503, "store", "the store cannot be read or written: nothing was changed"},
	{ERR_NOMEM, 503, "memory", "out of memory"},
	{ERR_AGAIN, 503, "busy", "too busy, try again"},
	{ERR_CLOSED, 503, "unavailable", "a part of the service is being restarted, try again"},
	{ERR_TIMEOUT, 503, "unavailable", "a part of the service did not answer in time"},
	{0},
};

static const struct api_route routes[] = {
	{"GET", "/v1/health", API_ANYONE, api_status_health, NULL},
	{"POST", "/v1/enrol", API_ANYONE, api_enrol_device, enrol_errors},
	{"POST", "/v1/relay/enrol", API_ANYONE, api_enrol_relay, enrol_errors},
	{"GET", "/v1/me", API_CERTIFICATE, api_users_me, known_errors},
	{"POST", "/v1/meetings", API_CERTIFICATE, api_meetings_create, meeting_errors},
	{"GET", "/v1/meetings", API_CERTIFICATE, api_meetings_list, meeting_errors},
	{"POST", "/v1/meetings/*/tickets", API_CERTIFICATE, api_meetings_ticket, ticket_errors},
	{"POST", "/v1/meetings/*/end", API_CERTIFICATE, api_meetings_end, end_errors},
	{"GET", "/v1/relay/events", API_CERTIFICATE, api_relays_events, known_errors},
	{"POST", "/v1/relay/report", API_CERTIFICATE, api_relays_report, known_errors},
	{"GET", "/v1/admin/status", API_ADMIN, api_status_show, NULL},
	{"GET", "/v1/admin/users", API_ADMIN, api_users_list, user_errors},
	{"POST", "/v1/admin/users", API_ADMIN, api_users_add, user_errors},
	{"DELETE", "/v1/admin/users/*", API_ADMIN, api_users_remove, user_errors},
	{"POST", "/v1/admin/users/*/enrolment", API_ADMIN, api_enrol_link, link_errors},
	{"GET", "/v1/admin/meetings", API_ADMIN, api_meetings_list_all, meeting_errors},
	{"POST", "/v1/admin/meetings/*/end", API_ADMIN, api_meetings_end_any, meeting_errors},
	{"GET", "/v1/admin/relays", API_ADMIN, api_relays_list, relay_errors},
	{"POST", "/v1/admin/relays", API_ADMIN, api_relays_add, relay_errors},
	{"DELETE", "/v1/admin/relays/*", API_ADMIN, api_relays_remove, relay_errors},
};
enum { ROUTES = sizeof(routes) / sizeof(routes[0]) };

// Pattern and path walked together; "*" takes a UUID.
static bool is_match(const char *pattern, const char *path, struct id *id)
{
	for (; *pattern; pattern++) {
		if (*pattern != '*') {
			if (*path++ != *pattern)
				return false;
			continue;
		}
		char text[TEXT_UUID_SIZE];
		if (strnlen(path, TEXT_UUID_CHARS) < TEXT_UUID_CHARS)
			return false;
		memcpy(text, path, TEXT_UUID_CHARS);
		text[TEXT_UUID_CHARS] = '\0';
		if (text_id_parse(text, id))
			return false;
		path += TEXT_UUID_CHARS;
	}
	return *path == '\0';
}

enum err api_route(const char *method, const char *path, const struct api_route **out, struct id *id, char *allowed)
{
	size_t size = 0;
	allowed[0] = '\0';
	for (size_t i = 0; i < ROUTES; i++) {
		if (!is_match(routes[i].pattern, path, id))
			continue;
		if (strcmp(routes[i].method, method) == 0) {
			*out = &routes[i];
			return ERR_OK;
		}
		size += (size_t)snprintf(allowed + size, API_PATH_MAX - size, "%s%s", size ? ", " : "", routes[i].method);
	}
	return size ? ERR_DENIED : ERR_NOT_FOUND;
}

enum api_next api_fail(struct api_call *call, unsigned status, const char *code, const char *text)
{
	call->status = status;
	call->code = code;
	if (text != call->problem)
		snprintf(call->problem, sizeof(call->problem), "%s", text);
	return API_ANSWER;
}

enum api_next api_done(struct api_call *call, unsigned status)
{
	call->status = status;
	return API_ANSWER;
}

enum api_next api_ask(struct api_call *call, enum request_type type)
{
	call->request.type = type;
	return API_ASK;
}

enum api_next api_bad_body(struct api_call *call)
{
	return api_fail(call, 400, "bad_request", call->problem);
}

bool api_is_empty_object(struct api_call *call)
{
	return json_read(call->body, call->body_size, NULL, 0, call->problem) == ERR_OK;
}

enum err api_init(struct api_call *call)
{
	call->doc = yyjson_mut_doc_new(NULL);
	call->root = yyjson_mut_obj(call->doc);
	yyjson_mut_doc_set_root(call->doc, call->root);
	return call->root ? ERR_OK : ERR_NOMEM;
}

void api_fini(struct api_call *call)
{
	yyjson_mut_doc_free(call->doc);
	call->doc = NULL;
}

enum api_next api_start(const struct api_route *route, struct api_call *call)
{
	if (route->who == API_CERTIFICATE && call->peer->kind != HANDOFF_CERTIFICATE)
		return api_fail(call, 401, "certificate", "a client certificate is needed: enrol first");
	if (route->who == API_ADMIN && call->peer->kind != HANDOFF_ADMIN)
		return api_fail(call, 403, "denied", "only over the control socket");
	return route->step(call, NULL);
}

static const struct api_error *find_error(const struct api_error *errors, enum err err)
{
	for (; errors && errors->err; errors++) {
		if (errors->err == err)
			return errors;
	}
	return NULL;
}

enum api_next api_continue(const struct api_route *route, struct api_call *call, const struct reply *reply)
{
	if (!reply->err)
		return route->step(call, reply);
	const struct api_error *error = find_error(route->errors, reply->err);
	if (!error)
		error = find_error(usual_errors, reply->err);
	if (!error)
		return api_fail(call, 500, "internal", err_text(reply->err));
	return api_fail(call, error->status, error->code, error->text);
}
