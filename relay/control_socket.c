// SPDX-License-Identifier: Apache-2.0
#include "relay/control_socket.h"

#include "relay/relay.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct client {
	struct control_socket *control;
	struct loop_stream *stream;
	char request[CONTROL_SOCKET_REQUEST_MAX];
	size_t request_size;
	char *answer;
	size_t answer_size, sent;
	bool is_answered;
	struct client *next;
};

struct control_socket {
	struct relay *relay;
	int listener;
	struct client *clients; // the newest first
	size_t count;
};

static bool is_text(const char *line, size_t size, const char *text) { return strlen(text) == size && memcmp(text, line, size) == 0; }

static enum err parse_engine(const char *name, size_t size, struct control_socket_request *out)
{
	out->kind = TCS_STATUS_ENGINE;
	for (out->wish = 0; out->wish < ENGINE_WISHES; out->wish++) {
		if (is_text(name, size, engine_wish_name(out->wish)))
			return ERR_OK;
	}
	return ERR_PARSE;
}

enum err control_socket_request_parse(const char *line, size_t size, struct control_socket_request *out)
{
	static const char engine[] = "engine ";
	*out = (struct control_socket_request){ .wish = ENGINE_WISHES };
	if (size >= strlen(engine) && memcmp(line, engine, strlen(engine)) == 0)
		return parse_engine(line + strlen(engine), size - strlen(engine), out);
	for (; out->kind < TCS_STATUS_KINDS; out->kind++) {
		if (is_text(line, size, tcs_status_name(out->kind)))
			return ERR_OK;
	}
	return ERR_PARSE;
}

static void client_free(struct client *client)
{
	struct control_socket *control = client->control;
	struct client **at = &control->clients;
	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	control->count--;
	control->relay->loop->ops->stream_close(client->stream);
	free(client->answer);
	free(client);
}

static void answer(struct client *client)
{
	struct relay *relay = client->control->relay;
	const char *end = memchr(client->request, '\n', client->request_size);
	struct control_socket_request request;
	client->is_answered = true;
	if (!end || control_socket_request_parse(client->request, (size_t)(end - client->request), &request)) {
		relay_stats_add(&relay->stats, STATS_request_malformed, 1);
		client->answer = strdup("{\"error\":\"unknown request\"}\n");
		client->answer_size = client->answer ? strlen(client->answer) : 0;
	} else {
		if (request.wish != ENGINE_WISHES)
			engine_set(relay, request.wish);
		client->answer = tcs_status_emit(relay, request.kind, &client->answer_size);
	}
	relay->loop->ops->stream_finish(client->stream);
}

static void on_received(void *context, const uint8_t *bytes, size_t size, uint64_t received_ns)
{
	(void)received_ns;
	struct client *client = context;
	size_t room = sizeof(client->request) - client->request_size;
	size_t n = size < room ? size : room;
	if (client->is_answered)
		return;
	memcpy(client->request + client->request_size, bytes, n);
	client->request_size += n;
	if (memchr(client->request, '\n', client->request_size) || client->request_size == sizeof(client->request))
		answer(client);
}

static size_t on_output(void *context, uint8_t *bytes, size_t capacity)
{
	struct client *client = context;
	size_t left = client->answer_size - client->sent;
	size_t n = left < capacity ? left : capacity;
	if (n > 0)
		memcpy(bytes, client->answer + client->sent, n);
	client->sent += n;
	return n;
}

static void on_closed(void *context) { client_free(context); }

static const struct loop_stream_handlers handlers = { .on_received = on_received, .on_output = on_output, .on_closed = on_closed };

enum err control_socket_open(struct relay *relay, int listener, struct control_socket **out)
{
	struct control_socket *control = calloc(1, sizeof(*control));
	if (!control)
		return ERR_NOMEM;
	control->relay = relay;
	control->listener = listener;
	enum err err = relay->loop->ops->watch_readable(relay->loop, listener);
	if (err) {
		free(control);
		return err;
	}
	*out = control;
	return ERR_OK;
}

void control_socket_close(struct control_socket *control)
{
	if (!control)
		return;
	while (control->clients)
		client_free(control->clients);
	control->relay->loop->ops->unwatch(control->relay->loop, control->listener);
	close(control->listener);
	free(control);
}

// The one that has been here longest makes room: who asks gets an answer at once, who does not ask may go.
static void make_room(struct control_socket *control)
{
	if (control->count < CONTROL_SOCKET_CLIENTS_MAX)
		return;
	struct client *oldest = control->clients;
	while (oldest->next)
		oldest = oldest->next;
	client_free(oldest);
}

void control_socket_accept(struct control_socket *control)
{
	struct loop *loop = control->relay->loop;
	int descriptor = accept4(control->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (descriptor < 0)
		return;
	struct client *client = calloc(1, sizeof(*client));
	if (!client || loop->ops->stream_open(loop, descriptor, &handlers, client, &client->stream)) {
		free(client);
		close(descriptor);
		return;
	}
	make_room(control);
	client->control = control;
	client->next = control->clients;
	control->clients = client;
	control->count++;
}
