// SPDX-License-Identifier: Apache-2.0
#include "mgmt/http.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

static const char *const headers[][2] = {
	{"Cache-Control", "no-store"},
	{"X-Content-Type-Options", "nosniff"},
	{"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
	{"Referrer-Policy", "no-referrer"},
	{"Strict-Transport-Security", "max-age=31536000"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
};

enum MHD_Result http_answer_queue(struct MHD_Connection *connection, unsigned status, const struct id *request_id,
				  struct MHD_Response *response)
{
	char id[TEXT_UUID_SIZE];
	if (!response)
		return MHD_NO;
	text_id_emit(request_id, id);
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		MHD_add_response_header(response, headers[i][0], headers[i][1]);
	MHD_add_response_header(response, "X-Request-Id", id);
	enum MHD_Result result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static char *write_problem(const struct api_call *call, const struct id *request_id, size_t *size)
{
	char id[TEXT_UUID_SIZE];
	text_id_emit(request_id, id);
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc);
	yyjson_mut_doc_set_root(doc, root);
	yyjson_mut_obj_add_str(doc, root, "error", call->problem);
	yyjson_mut_obj_add_str(doc, root, "code", call->code);
	yyjson_mut_obj_add_str(doc, root, "request", id);
	char *text = yyjson_mut_write(doc, YYJSON_WRITE_NOFLAG, size);
	yyjson_mut_doc_free(doc);
	return text;
}

static void log_problem(struct http *http, const struct api_call *call, const struct id *request_id)
{
	char id[TEXT_UUID_SIZE];
	text_id_emit(request_id, id);
	bool is_own = call->status >= 500;
	counters_add(http->context->counters, is_own ? COUNTER_REQUESTS_FAILED : COUNTER_REQUESTS_BAD);
	log_line(is_own ? LOG_WARNING : LOG_INFO, "%s: request %s: %u %s: %s", call->peer->address, id, call->status, call->code, call->problem);
}

enum MHD_Result http_answer_call(struct http *http, struct MHD_Connection *connection, struct api_call *call,
				 const struct id *request_id, const char *allowed)
{
	size_t size = 0;
	char *text = call->code ? write_problem(call, request_id, &size) : yyjson_mut_write(call->doc, YYJSON_WRITE_NOFLAG, &size);
	if (!text)
		return MHD_NO; // no memory: the connection is closed
	if (call->code)
		log_problem(http, call, request_id);
	struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback(size, text, free);
	if (!response) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(response, "Content-Type", "application/json");
	if (allowed && *allowed)
		MHD_add_response_header(response, "Allow", allowed);
	return http_answer_queue(connection, call->status, request_id, response);
}
