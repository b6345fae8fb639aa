// What the files of the http role share. SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_HTTP_H
#define MGMT_HTTP_H

#include "mgmt/api.h"
#include "mgmt/channel.h"
#include "mgmt/handoff.h"
#include "mgmt/request.h"
#include "mgmt/role.h"

#include <microhttpd.h>

#include <stdbool.h>
#include <stdint.h>

enum { HTTP_PENDING_MAX = 256, HTTP_ASK_TIMEOUT_MS = 10000, HTTP_STREAMS_MAX = 64, HTTP_STREAM_BUFFER = 65536 };

// A request under way to another role. `on_reply` gets ERR_CLOSED or ERR_TIMEOUT in the reply if none comes.
struct http_pending {
	uint32_t serial; // 0: free
	enum request_type type;
	uint64_t deadline_ms;
	void (*on_reply)(void *owner, const struct reply *reply);
	void *owner;
};

// A connection from front that MHD has not announced yet.
struct http_incoming {
	struct http_incoming *next;
	int fd;
	struct handoff peer;
};

struct http_stream;

struct http {
	struct role_context *context;
	struct MHD_Daemon *daemon;
	struct api_context api;
	struct http_incoming *incoming;
	struct http_stream *streams;
	bool is_stopping; // nothing more is asked, so that no connection is suspended again
	uint32_t serial;
	struct http_pending pending[HTTP_PENDING_MAX];
	uint8_t in[CHANNEL_MESSAGE_MAX], out[CHANNEL_MESSAGE_MAX];
};


// http_ask.c. ERR_AGAIN: too many under way; ERR_CLOSED: the role is being restarted. Then on_reply is not called.
enum err http_ask_send(struct http *http, struct request *request, void (*on_reply)(void *owner, const struct reply *reply),
		       void *owner) CHECK_RESULT;
void http_ask_forget(struct http *http, const void *owner);
void http_ask_receive(struct http *http, enum role from); // all that wait on its channel
void http_ask_fail_role(struct http *http, enum role role);
void http_ask_expire(struct http *http, uint64_t now_ms);

// http_call.c: MHD's callbacks.
enum MHD_Result http_call_handle(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
				 const char *version, const char *upload, size_t *upload_size, void **state);
void http_call_completed(void *cls, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code);
void http_call_connection(void *cls, struct MHD_Connection *connection, void **state, enum MHD_ConnectionNotificationCode code);

// http_answer.c: headers that every answer carries. Takes `response`.
enum MHD_Result http_answer_queue(struct MHD_Connection *connection, unsigned status, const struct id *request_id,
				  struct MHD_Response *response);
enum MHD_Result http_answer_call(struct http *http, struct MHD_Connection *connection, struct api_call *call,
				 const struct id *request_id, const char *allowed);

// http_stream.c: server-sent events for relays. The first page has come already.
enum MHD_Result http_stream_start(struct http *http, struct MHD_Connection *connection, const struct handoff *peer,
				  const struct id *request_id, const struct reply *first);
void http_stream_poke(struct http *http); // there may be new events
void http_stream_tick(struct http *http, uint64_t now_ms);
void http_stream_stop(struct http *http); // before MHD_stop_daemon

#endif
