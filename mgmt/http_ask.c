// Questions to store and auth, and the calls that wait for the answers. SPDX-License-Identifier: Apache-2.0
#include "mgmt/clock.h"
#include "mgmt/http.h"

#include "base/log.h"

#include <unistd.h>

static struct http_pending *find_free(struct http *http)
{
	for (size_t i = 0; i < HTTP_PENDING_MAX; i++) {
		if (!http->pending[i].serial)
			return &http->pending[i];
	}
	return NULL;
}

enum err http_ask_send(struct http *http, struct request *request, void (*on_reply)(void *owner, const struct reply *reply), void *owner)
{
	struct http_pending *pending = find_free(http);
	size_t size;
	if (http->is_stopping)
		return ERR_CLOSED;
	if (!pending) {
		counters_add(http->context->counters, COUNTER_DROP_PENDING);
		return ERR_AGAIN;
	}
	request->serial = ++http->serial ? http->serial : ++http->serial;
	enum err err = request_emit(request, http->out, &size);
	if (!err)
		err = channel_send(http->context->peer[request_target(request->type)], http->out, size, -1);
	if (err)
		return err;
	*pending = (struct http_pending){.serial = request->serial, .type = request->type, .on_reply = on_reply, .owner = owner,
					 .deadline_ms = clock_ms() + HTTP_ASK_TIMEOUT_MS};
	return ERR_OK;
}

void http_ask_forget(struct http *http, const void *owner)
{
	for (size_t i = 0; i < HTTP_PENDING_MAX; i++) {
		if (http->pending[i].owner == owner)
			http->pending[i] = (struct http_pending){0};
	}
}

// The place is free before the owner hears: it may ask again.
static void finish(struct http_pending *pending, const struct reply *reply)
{
	struct http_pending done = *pending;
	*pending = (struct http_pending){0};
	done.on_reply(done.owner, reply);
}

static void fail(struct http_pending *pending, enum err err)
{
	struct reply reply = {.serial = pending->serial, .type = pending->type, .err = err};
	finish(pending, &reply);
}

static void dispatch(struct http *http, const struct reply *reply)
{
	// What relays must hear has changed.
	if (!reply->err && (reply->type == REQUEST_MEETING_END || reply->type == REQUEST_USER_REMOVE || reply->type == REQUEST_RELAY_REMOVE))
		http_stream_poke(http);
	for (size_t i = 0; i < HTTP_PENDING_MAX; i++) {
		if (http->pending[i].serial == reply->serial && http->pending[i].type == reply->type) {
			finish(&http->pending[i], reply);
			return;
		}
	}
}

void http_ask_receive(struct http *http, enum role from)
{
	for (;;) {
		struct reply reply;
		size_t size;
		enum err err = channel_receive(http->context->peer[from], http->in, sizeof(http->in), &size, NULL);
		if (err == ERR_AGAIN)
			return;
		if (err == ERR_CLOSED || err == ERR_IO) {
			if (http->context->peer[from] >= 0)
				close(http->context->peer[from]);
			http->context->peer[from] = -1;
			http_ask_fail_role(http, from);
			return;
		}
		if (err || request_reply_parse(http->in, size, &reply) || request_target(reply.type) != from) {
			counters_add(http->context->counters, COUNTER_DROP_MESSAGE);
			log_line(LOG_WARNING, "a message of role %s is malformed, dropped", role_name(from));
			continue;
		}
		dispatch(http, &reply);
	}
}

void http_ask_fail_role(struct http *http, enum role role)
{
	for (size_t i = 0; i < HTTP_PENDING_MAX; i++) {
		if (http->pending[i].serial && request_target(http->pending[i].type) == role)
			fail(&http->pending[i], ERR_CLOSED);
	}
}

void http_ask_expire(struct http *http, uint64_t now_ms)
{
	for (size_t i = 0; i < HTTP_PENDING_MAX; i++) {
		if (http->pending[i].serial && http->pending[i].deadline_ms <= now_ms) {
			counters_add(http->context->counters, COUNTER_ROLE_TIMEOUT);
			fail(&http->pending[i], ERR_TIMEOUT);
		}
	}
}
