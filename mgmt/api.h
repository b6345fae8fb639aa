// The HTTP interface without HTTP: docs/protocol.md section 1. A call goes through its handler in steps; between
// two steps http asks another role. No sockets here, so that tests and fuzzing drive the same handlers.
// SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_API_H
#define MGMT_API_H

#include "base/text.h"
#include "mgmt/config.h"
#include "mgmt/counters.h"
#include "mgmt/handoff.h"
#include "mgmt/request.h"

#include <yyjson.h>

#include <stddef.h>
#include <stdint.h>

enum { API_BODY_MAX = 65536, API_PROBLEM_MAX = 192, API_PATH_MAX = 256 };

enum api_who {
	API_ANYONE,
	API_CERTIFICATE, // device or relay: store says which
	API_ADMIN,
};

enum api_next {
	API_ANSWER, // status and document, or problem, stand in the call
	API_ASK,    // send call->request and come back with the answer
	API_STREAM, // go on as a stream of events
};

struct api_context {
	const struct config *config;
	const struct counters *counters;
	pid_t pid[ROLE_COUNT];
	uint64_t started_ms; // monotonic
	struct reports *reports;
};

struct api_call {
	// given
	const struct api_context *context;
	const struct handoff *peer;
	const uint8_t *body;
	size_t body_size;
	struct id id; // of the path
	uint64_t now; // Unix seconds

	// between steps
	struct request request;
	struct reply_auth_info info;
	uint8_t token[TOKEN_SECRET_BYTES];
	uint64_t expires;
	struct id object; // that is being made
	uint8_t blob[REQUEST_BLOB_MAX]; // what a request's view points to

	// answer
	unsigned status;
	const char *code; // of a problem
	char problem[API_PROBLEM_MAX];
	yyjson_mut_doc *doc;
	yyjson_mut_val *root, *list;
};

struct api_error {
	enum err err;
	unsigned status;
	const char *code, *text;
};

struct api_route {
	const char *method, *pattern; // "*" stands for a UUID
	enum api_who who;
	enum api_next (*step)(struct api_call *call, const struct reply *reply); // reply is NULL at first, never an error
	const struct api_error *errors; // what an error in a reply means here, ends with .err = ERR_OK; NULL: the usual
};

// The route of a request; path ids go to `id`. ERR_NOT_FOUND: no such path; ERR_DENIED: not with this method,
// `allowed` (API_PATH_MAX) lists those that are.
enum err api_route(const char *method, const char *path, const struct api_route **out, struct id *id, char *allowed) CHECK_RESULT;

// First step: who may, then the handler. Further steps with the reply to call->request.
enum api_next api_start(const struct api_route *route, struct api_call *call);
enum api_next api_continue(const struct api_route *route, struct api_call *call, const struct reply *reply);
// An answer's document; NULL without memory.
enum err api_init(struct api_call *call) CHECK_RESULT;
void api_fini(struct api_call *call);

// For handlers.
enum api_next api_fail(struct api_call *call, unsigned status, const char *code, const char *text);
enum api_next api_done(struct api_call *call, unsigned status);
enum api_next api_ask(struct api_call *call, enum request_type type); // clears the request but for its type
// What is wrong in the body stands in call->problem.
enum api_next api_bad_body(struct api_call *call);
// True if the body is an empty JSON object.
bool api_is_empty_object(struct api_call *call);

// Handlers, one file a resource.
enum api_next api_enrol_device(struct api_call *call, const struct reply *reply);
enum api_next api_enrol_relay(struct api_call *call, const struct reply *reply);
enum api_next api_enrol_link(struct api_call *call, const struct reply *reply);
enum api_next api_meetings_create(struct api_call *call, const struct reply *reply);
enum api_next api_meetings_list(struct api_call *call, const struct reply *reply);
enum api_next api_meetings_ticket(struct api_call *call, const struct reply *reply);
enum api_next api_meetings_end(struct api_call *call, const struct reply *reply);
enum api_next api_meetings_list_all(struct api_call *call, const struct reply *reply);
enum api_next api_meetings_end_any(struct api_call *call, const struct reply *reply);
enum api_next api_relays_events(struct api_call *call, const struct reply *reply);
enum api_next api_relays_report(struct api_call *call, const struct reply *reply);
enum api_next api_relays_list(struct api_call *call, const struct reply *reply);
enum api_next api_relays_add(struct api_call *call, const struct reply *reply);
enum api_next api_relays_remove(struct api_call *call, const struct reply *reply);
enum api_next api_users_me(struct api_call *call, const struct reply *reply);
enum api_next api_users_list(struct api_call *call, const struct reply *reply);
enum api_next api_users_add(struct api_call *call, const struct reply *reply);
enum api_next api_users_remove(struct api_call *call, const struct reply *reply);
enum api_next api_status_health(struct api_call *call, const struct reply *reply);
enum api_next api_status_show(struct api_call *call, const struct reply *reply);
// Links carry the token: nothing else of it is kept.
enum err api_enrol_emit_link(const struct api_call *call, enum token_link_kind kind, const struct token_pins *relay_pins,
			     char out[static TOKEN_LINK_MAX]) CHECK_RESULT;

#endif
