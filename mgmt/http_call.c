// One HTTP request from its first byte to its answer. SPDX-License-Identifier: Apache-2.0
#include "mgmt/http.h"

#include "base/secret.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum call_state {
	CALL_BODY,      // taking the body
	CALL_WAITING,   // the connection is suspended until another role answers
	CALL_ANSWERED,  // the answer is ready
	CALL_STREAMING, // the first page of a stream is ready
	CALL_QUEUED,    // MHD has the answer
};

struct http_call {
	struct api_call api;
	struct http *http;
	struct MHD_Connection *connection;
	const struct api_route *route;
	enum call_state state;
	struct id request_id;
	struct handoff peer;
	char allowed[API_PATH_MAX];
	uint8_t *body;
	size_t body_size, body_capacity;
	uint8_t *first_page; // of a stream
	struct reply first;
};

static const struct handoff unknown_peer = {.kind = HANDOFF_NOBODY, .address = "unknown"};

static const struct handoff *peer_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	return info && info->socket_context ? info->socket_context : &unknown_peer;
}

// The reply's view points into the receive buffer, so the page is copied for when MHD comes back.
static enum api_next keep_first_page(struct http_call *call, const struct reply *reply)
{
	call->first = *reply;
	call->first_page = malloc(reply->page.items.size + 1);
	if (!call->first_page)
		return api_fail(&call->api, 503, "memory", "out of memory");
	memcpy(call->first_page, reply->page.items.bytes, reply->page.items.size);
	call->first.page.items.bytes = call->first_page;
	return API_STREAM;
}

static void on_reply(void *owner, const struct reply *reply);

// Go on until the call waits for a role or is done.
static void advance(struct http_call *call, enum api_next next)
{
	if (next == API_ASK) {
		enum err err = http_ask_send(call->http, &call->api.request, on_reply, call);
		if (!err) {
			call->state = CALL_WAITING;
			return;
		}
		struct reply failed = {.type = call->api.request.type, .err = err};
		api_continue(call->route, &call->api, &failed);
	}
	call->state = next == API_STREAM ? CALL_STREAMING : CALL_ANSWERED;
}

static void on_reply(void *owner, const struct reply *reply)
{
	struct http_call *call = owner;
	enum api_next next = api_continue(call->route, &call->api, reply);
	if (next == API_STREAM)
		next = keep_first_page(call, reply);
	advance(call, next);
	if (call->state != CALL_WAITING)
		MHD_resume_connection(call->connection);
}

static bool is_body_too_long(struct MHD_Connection *connection)
{
	const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
	uint64_t size;
	return length && text_u64_parse(length, 0, API_BODY_MAX, &size);
}

// What can be said before the body is there.
static void check_head(struct http_call *call, const char *url, const char *method)
{
	enum err err = api_route(method, url, &call->route, &call->api.id, call->allowed);
	if (err == ERR_NOT_FOUND)
		api_fail(&call->api, 404, "not_found", "no such address");
	else if (err)
		api_fail(&call->api, 405, "method", "not with this method");
	// No browser is a client: what a page of another origin sends must not act with a user's certificate.
	else if (MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, "Origin"))
		api_fail(&call->api, 403, "origin", "requests from web pages are refused");
	else if (is_body_too_long(call->connection))
		api_fail(&call->api, 413, "too_large", "the body is longer than 64 KiB");
	if (call->api.status == 413)
		counters_add(call->http->context->counters, COUNTER_DROP_BODY);
}

static enum MHD_Result begin(struct http *http, struct MHD_Connection *connection, const char *url, const char *method, void **state)
{
	struct http_call *call = calloc(1, sizeof(*call));
	if (!call || api_init(&call->api)) {
		free(call);
		return MHD_NO;
	}
	counters_add(http->context->counters, COUNTER_REQUESTS);
	call->http = http;
	call->connection = connection;
	call->peer = *peer_of(connection);
	call->api.context = &http->api;
	call->api.peer = &call->peer;
	call->api.now = (uint64_t)time(NULL);
	secret_random(call->request_id.bytes, TEXT_ID_BYTES);
	*state = call;
	check_head(call, url, method);
	if (!call->api.status)
		return MHD_YES;
	call->state = CALL_QUEUED;
	return http_answer_call(http, connection, &call->api, &call->request_id, call->allowed);
}

// A body without Content-Length that grows too long ends the connection: MHD takes no answer in the middle.
static enum MHD_Result take_body(struct http_call *call, const char *upload, size_t size)
{
	if (call->body_size + size > API_BODY_MAX) {
		counters_add(call->http->context->counters, COUNTER_DROP_BODY);
		return MHD_NO;
	}
	if (call->body_size + size > call->body_capacity) {
		size_t capacity = call->body_size + size < 4096 ? 4096 : API_BODY_MAX;
		uint8_t *body = realloc(call->body, capacity);
		if (!body)
			return MHD_NO;
		call->body = body;
		call->body_capacity = capacity;
	}
	memcpy(call->body + call->body_size, upload, size);
	call->body_size += size;
	return MHD_YES;
}

static enum MHD_Result go_on(struct http_call *call)
{
	if (call->state == CALL_BODY) {
		call->api.body = call->body;
		call->api.body_size = call->body_size;
		advance(call, api_start(call->route, &call->api));
		if (call->state == CALL_WAITING) {
			MHD_suspend_connection(call->connection);
			return MHD_YES;
		}
	}
	enum call_state state = call->state;
	call->state = CALL_QUEUED;
	if (state == CALL_STREAMING)
		return http_stream_start(call->http, call->connection, &call->peer, &call->request_id, &call->first);
	if (state == CALL_ANSWERED)
		return http_answer_call(call->http, call->connection, &call->api, &call->request_id, NULL);
	return MHD_YES;
}

enum MHD_Result http_call_handle(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
				 const char *version, const char *upload, size_t *upload_size, void **state)
{
	(void)version;
	struct http_call *call = *state;
	if (!call)
		return begin(cls, connection, url, method, state);
	if (*upload_size > 0) {
		enum MHD_Result result = call->state == CALL_BODY ? take_body(call, upload, *upload_size) : MHD_YES;
		*upload_size = 0;
		return result;
	}
	return go_on(call);
}

void http_call_completed(void *cls, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
	(void)connection;
	(void)code;
	struct http_call *call = *state;
	if (!call)
		return;
	http_ask_forget(cls, call);
	api_fini(&call->api);
	free(call->body);
	free(call->first_page);
	free(call);
	*state = NULL;
}

// Who is at the other end came with the descriptor.
static struct handoff *take_incoming(struct http *http, int fd)
{
	for (struct http_incoming **at = &http->incoming; *at; at = &(*at)->next) {
		struct http_incoming *incoming = *at;
		if (incoming->fd != fd)
			continue;
		struct handoff *peer = malloc(sizeof(*peer));
		if (peer)
			*peer = incoming->peer;
		*at = incoming->next;
		free(incoming);
		return peer;
	}
	return NULL;
}

void http_call_connection(void *cls, struct MHD_Connection *connection, void **state, enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		*state = info ? take_incoming(cls, info->connect_fd) : NULL;
	} else {
		free(*state);
		*state = NULL;
	}
}
