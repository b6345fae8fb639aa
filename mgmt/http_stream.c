// Server-sent events: each stream pages through the log of events in store and waits at its end. At most one
// page is held, so a relay that does not read costs no more. SPDX-License-Identifier: Apache-2.0
#include "mgmt/clock.h"
#include "mgmt/http.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COMMENT_MS = 10000 };
// Long enough to count as traffic for clients that give up below one byte a second.
static const char comment[] = ": still here, nothing new\n\n";
static const char synced[] = "event: synced\ndata: {}\n\n";

struct http_stream {
	struct http_stream *next;
	struct http *http;
	struct MHD_Connection *connection;
	uint8_t pin[TOKEN_PIN_BYTES];
	uint64_t after; // sequence of the last event sent
	bool is_synced, is_asking, is_suspended, is_over;
	bool is_stale; // there may be more events
	uint64_t written_ms;
	size_t size, position;
	char text[HTTP_STREAM_BUFFER];
};

static void append(struct http_stream *stream, const char *text, size_t size)
{
	if (size <= sizeof(stream->text) - stream->size) {
		memcpy(stream->text + stream->size, text, size);
		stream->size += size;
	}
}

static void append_event(struct http_stream *stream, const struct item_event *event)
{
	char line[256], meeting[TEXT_UUID_SIZE], participant[TEXT_UUID_SIZE];
	int size;
	text_id_emit(&event->meeting, meeting);
	text_id_emit(&event->participant, participant);
	if (event->kind == REQUEST_EVENT_ENDED)
		size = snprintf(line, sizeof(line), "event: ended\ndata: {\"meeting\":\"%s\",\"until\":%llu}\n\n", meeting,
				(unsigned long long)event->until);
	else
		size = snprintf(line, sizeof(line), "event: removed\ndata: {\"meeting\":\"%s\",\"participant\":\"%s\",\"until\":%llu}\n\n",
				meeting, participant, (unsigned long long)event->until);
	append(stream, line, (size_t)size);
}

// An item of a page is 57 bytes long, its text at most 160: pages are cut so that all of one fits.
static void take_page(struct http_stream *stream, const struct reply_page *page)
{
	struct cursor c = cursor_reader(page->items.bytes, page->items.size);
	union request_item item;
	bool is_whole = true;
	stream->size -= stream->position; // a comment may be half written
	memmove(stream->text, stream->text + stream->position, stream->size);
	stream->position = 0;
	while (!request_item_parse(REQUEST_EVENT_LIST, &c, &item)) {
		if (stream->size > sizeof(stream->text) - 512) {
			is_whole = false;
			break;
		}
		append_event(stream, &item.event);
		stream->after = item.event.sequence;
	}
	is_whole = is_whole && page->is_last;
	if (is_whole && !stream->is_synced) {
		append(stream, synced, sizeof(synced) - 1);
		stream->is_synced = true;
	}
	if (!is_whole)
		stream->is_stale = true;
}

static void wake(struct http_stream *stream)
{
	if (stream->is_suspended) {
		stream->is_suspended = false;
		MHD_resume_connection(stream->connection);
	}
}

static void on_page(void *owner, const struct reply *reply)
{
	struct http_stream *stream = owner;
	stream->is_asking = false;
	if (reply->err == ERR_CLOSED || reply->err == ERR_TIMEOUT)
		stream->is_stale = true; // store comes back: ask again with the next tick
	else if (reply->err)
		stream->is_over = true; // the relay was removed
	else
		take_page(stream, &reply->page);
	if (stream->is_over || stream->position < stream->size)
		wake(stream);
}

static void ask(struct http_stream *stream)
{
	struct request request = {.type = REQUEST_EVENT_LIST};
	if (stream->is_asking || stream->position < stream->size)
		return;
	memcpy(request.event_list.pin, stream->pin, sizeof(request.event_list.pin));
	request.event_list.after = stream->after;
	if (!http_ask_send(stream->http, &request, on_page, stream)) {
		stream->is_asking = true;
		stream->is_stale = false;
	}
}

static ssize_t on_read(void *cls, uint64_t position, char *bytes, size_t max)
{
	(void)position;
	struct http_stream *stream = cls;
	if (stream->is_over)
		return MHD_CONTENT_READER_END_OF_STREAM;
	size_t left = stream->size - stream->position;
	if (left == 0) {
		if (stream->is_stale)
			ask(stream);
		stream->is_suspended = true;
		MHD_suspend_connection(stream->connection);
		return 0;
	}
	size_t size = left < max ? left : max;
	memcpy(bytes, stream->text + stream->position, size);
	stream->position += size;
	stream->written_ms = clock_ms();
	return (ssize_t)size;
}

static void on_free(void *cls)
{
	struct http_stream *stream = cls;
	struct http_stream **at = &stream->http->streams;
	while (*at && *at != stream)
		at = &(*at)->next;
	if (*at)
		*at = stream->next;
	http_ask_forget(stream->http, stream);
	free(stream);
}

// A relay has one stream: a new one ends those before it, whose connections may be dead without our knowing.
static size_t end_older(struct http *http, const uint8_t pin[static TOKEN_PIN_BYTES])
{
	size_t count = 0;
	for (struct http_stream *s = http->streams; s; s = s->next, count++) {
		if (memcmp(s->pin, pin, TOKEN_PIN_BYTES) == 0) {
			s->is_over = true;
			wake(s);
		}
	}
	return count;
}

enum MHD_Result http_stream_start(struct http *http, struct MHD_Connection *connection, const struct handoff *peer,
				  const struct id *request_id, const struct reply *first)
{
	struct http_stream *stream = NULL;
	if (end_older(http, peer->pin) < HTTP_STREAMS_MAX)
		stream = calloc(1, sizeof(*stream));
	if (!stream)
		return MHD_NO;
	stream->http = http;
	stream->connection = connection;
	stream->written_ms = clock_ms();
	memcpy(stream->pin, peer->pin, sizeof(stream->pin));
	take_page(stream, &first->page);
	stream->is_stale = true; // what happened since that page was read poked nobody
	struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, on_read, stream, on_free);
	if (!response) {
		free(stream);
		return MHD_NO;
	}
	stream->next = http->streams;
	http->streams = stream;
	MHD_add_response_header(response, "Content-Type", "text/event-stream");
	log_line(LOG_NOTICE, "%s: a relay listens for events", peer->address);
	return http_answer_queue(connection, MHD_HTTP_OK, request_id, response);
}

void http_stream_poke(struct http *http)
{
	for (struct http_stream *s = http->streams; s; s = s->next) {
		s->is_stale = true;
		ask(s);
	}
}

void http_stream_tick(struct http *http, uint64_t now_ms)
{
	for (struct http_stream *s = http->streams; s; s = s->next) {
		if (s->is_stale)
			ask(s);
		if (now_ms - s->written_ms >= COMMENT_MS && s->position == s->size) {
			s->size = s->position = 0;
			append(s, comment, sizeof(comment) - 1);
			wake(s);
		}
	}
}

void http_stream_stop(struct http *http)
{
	for (struct http_stream *s = http->streams; s; s = s->next) {
		s->is_over = true;
		wake(s);
	}
}
