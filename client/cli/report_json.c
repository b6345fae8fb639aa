// SPDX-License-Identifier: Apache-2.0
#include "client/cli/report.h"

#include <stdlib.h>
#include <yyjson.h>

static void add_id(yyjson_mut_doc *document, yyjson_mut_val *object, const char *name, const struct id *id)
{
	char text[TEXT_UUID_SIZE];
	text_id_emit(id, text);
	(void)yyjson_mut_obj_add_strcpy(document, object, name, text);
}

static void add_run(yyjson_mut_doc *document, yyjson_mut_val *object, const uint8_t *run)
{
	char text[TEXT_HEX_SIZE(E2EE_RUN_BYTES)];
	text_hex_emit(run, E2EE_RUN_BYTES, text);
	(void)yyjson_mut_obj_add_strcpy(document, object, "run", text);
}

static void print(FILE *out, yyjson_mut_doc *document)
{
	// A path in a problem may be of any bytes; a line that is not quite UTF-8 is worth more than none.
	char *text = yyjson_mut_write(document, YYJSON_WRITE_ALLOW_INVALID_UNICODE, NULL);
	if (text)
		fprintf(out, "%s\n", text);
	fflush(out);
	free(text);
	yyjson_mut_doc_free(document);
}

static yyjson_mut_doc *begin(const char *event, yyjson_mut_val **root)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	*root = yyjson_mut_obj(document);
	yyjson_mut_doc_set_root(document, *root);
	(void)yyjson_mut_obj_add_str(document, *root, "event", event);
	return document;
}

static const char *event_name(const struct engine_event *event)
{
	static const char *const states[] = { [ENGINE_CONNECTING] = "connecting", [ENGINE_JOINED] = "joined",
					      [ENGINE_RECONNECTING] = "reconnecting" };
	switch (event->type) {
	case ENGINE_EVENT_STATE:
		return states[event->state];
	case ENGINE_EVENT_TICKET:
		return "ticket";
	case ENGINE_EVENT_MEMBER:
		return "member";
	case ENGINE_EVENT_GONE:
		return "gone";
	case ENGINE_EVENT_PATH:
		return "path";
	case ENGINE_EVENT_FIRST_FRAME:
		return "first_frame";
	case ENGINE_EVENT_ENDED:
		return "ended";
	}
	return "unknown";
}

static void on_event(FILE *out, const struct engine_event *event)
{
	yyjson_mut_val *root;
	yyjson_mut_doc *document = begin(event_name(event), &root);
	(void)yyjson_mut_obj_add_uint(document, root, "at_ms", event->at_ms);
	switch (event->type) {
	case ENGINE_EVENT_TICKET:
		(void)yyjson_mut_obj_add_str(document, root, "title", event->title);
		break;
	case ENGINE_EVENT_MEMBER:
		add_id(document, root, "participant", &event->member.participant);
		(void)yyjson_mut_obj_add_str(document, root, "name", event->member.name);
		(void)yyjson_mut_obj_add_uint(document, root, "index", event->member.index);
		(void)yyjson_mut_obj_add_bool(document, root, "readable", event->member.is_readable);
		add_run(document, root, event->member.run);
		break;
	case ENGINE_EVENT_GONE:
		add_id(document, root, "participant", &event->member.participant);
		break;
	case ENGINE_EVENT_PATH:
		(void)yyjson_mut_obj_add_str(document, root, "path", event->is_udp ? "udp" : "tls");
		break;
	case ENGINE_EVENT_FIRST_FRAME:
		add_id(document, root, "participant", &event->member.participant);
		(void)yyjson_mut_obj_add_str(document, root, "kind", event->is_video ? "video" : "audio");
		(void)yyjson_mut_obj_add_real(document, root, "since_ticket_ms", event->since_ticket_ms);
		break;
	case ENGINE_EVENT_ENDED:
		(void)yyjson_mut_obj_add_str(document, root, "result", event->result ? err_text(event->result) : "ok");
		break;
	case ENGINE_EVENT_STATE:
		break;
	}
	if (event->problem[0])
		(void)yyjson_mut_obj_add_str(document, root, "problem", event->problem);
	print(out, document);
}

static void on_second(FILE *out, const struct engine_statistics *statistics, size_t member_count)
{
	(void)out, (void)statistics, (void)member_count; // the statistics at the end say it all
}

static void add_stream(yyjson_mut_doc *document, yyjson_mut_val *array, const struct media_stream_stats *stream)
{
	yyjson_mut_val *object = yyjson_mut_arr_add_obj(document, array);
	add_id(document, object, "participant", &stream->participant);
	(void)yyjson_mut_obj_add_uint(document, object, "ssrc", stream->ssrc);
	(void)yyjson_mut_obj_add_str(document, object, "kind", stream->is_video ? "video" : "audio");
	(void)yyjson_mut_obj_add_uint(document, object, "packets", stream->packets);
	(void)yyjson_mut_obj_add_uint(document, object, "bytes", stream->bytes);
	(void)yyjson_mut_obj_add_uint(document, object, "lost", stream->lost);
	(void)yyjson_mut_obj_add_uint(document, object, "recovered", stream->recovered);
	(void)yyjson_mut_obj_add_uint(document, object, "frames", stream->frames);
	(void)yyjson_mut_obj_add_uint(document, object, "concealed", stream->concealed);
	(void)yyjson_mut_obj_add_uint(document, object, "key_frames_requested", stream->key_frames_requested);
	(void)yyjson_mut_obj_add_real(document, object, "bitrate", stream->bitrate);
	(void)yyjson_mut_obj_add_real(document, object, "latency_p50_ms", stream->latency_p50_ms);
	(void)yyjson_mut_obj_add_real(document, object, "latency_p99_ms", stream->latency_p99_ms);
	(void)yyjson_mut_obj_add_uint(document, object, "first_frame_ns", stream->first_frame_ns);
	(void)yyjson_mut_obj_add_uint(document, object, "width", stream->width);
	(void)yyjson_mut_obj_add_uint(document, object, "height", stream->height);
}

static void add_session(yyjson_mut_doc *document, yyjson_mut_val *root, const struct engine_statistics *statistics)
{
	add_id(document, root, "meeting", &statistics->meeting);
	add_id(document, root, "participant", &statistics->participant);
	(void)yyjson_mut_obj_add_uint(document, root, "index", statistics->index);
	add_run(document, root, statistics->run);
	(void)yyjson_mut_obj_add_uint(document, root, "capture_epoch_ns", statistics->capture_epoch_ns);
	(void)yyjson_mut_obj_add_str(document, root, "path", statistics->is_udp ? "udp" : "tls");
	(void)yyjson_mut_obj_add_uint(document, root, "connections", statistics->connections);
	(void)yyjson_mut_obj_add_real(document, root, "round_trip_ms", statistics->round_trip_ms);
	(void)yyjson_mut_obj_add_real(document, root, "first_frame_ms", statistics->first_frame_ms);
	(void)yyjson_mut_obj_add_uint(document, root, "packets_sent", statistics->packets_sent);
	(void)yyjson_mut_obj_add_uint(document, root, "bytes_sent", statistics->bytes_sent);
	(void)yyjson_mut_obj_add_uint(document, root, "packets_in_trains", statistics->packets_in_trains);
	(void)yyjson_mut_obj_add_uint(document, root, "packets_received", statistics->packets_received);
	(void)yyjson_mut_obj_add_uint(document, root, "bytes_received", statistics->bytes_received);
	(void)yyjson_mut_obj_add_uint(document, root, "decrypt_failures", statistics->counters.value[COUNTER_decrypt_failed]);
}

static void on_end(FILE *out, const struct engine_statistics *statistics, const struct engine_member *members, size_t member_count)
{
	(void)members, (void)member_count; // events told who they are
	yyjson_mut_val *root;
	yyjson_mut_doc *document = begin("statistics", &root);
	add_session(document, root, statistics);
	yyjson_mut_val *streams = yyjson_mut_obj_add_arr(document, root, "streams");
	for (size_t i = 0; i < statistics->stream_count; i++)
		add_stream(document, streams, &statistics->streams[i]);
	yyjson_mut_val *counters = yyjson_mut_obj_add_obj(document, root, "counters");
	for (int i = 0; i < COUNTER_COUNT; i++)
		(void)yyjson_mut_obj_add_uint(document, counters, session_counters_name((enum counter)i), statistics->counters.value[i]);
	print(out, document);
}

const struct report report_json = { .on_event = on_event, .on_second = on_second, .on_end = on_end };
