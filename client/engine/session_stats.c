// Figures of the session: what the media engine counts, and what the session itself does.
// SPDX-License-Identifier: Apache-2.0
#include "client/engine/session_private.h"

static bool was_reported(const struct engine_session *session, const struct media_stream_stats *stream)
{
	for (size_t i = 0; i < session->first_frame_count; i++) {
		if (session->first_frames[i].is_video == stream->is_video &&
		    text_id_equal(&session->first_frames[i].participant, &stream->participant))
			return true;
	}
	return false;
}

static void report_first_frame(struct engine_session *session, const struct media_stream_stats *stream)
{
	if (!stream->first_frame_ns || session->first_frame_count == ENGINE_STREAMS_MAX || was_reported(session, stream))
		return;
	session->first_frames[session->first_frame_count].participant = stream->participant;
	session->first_frames[session->first_frame_count++].is_video = stream->is_video;
	double since_ms = ((double)stream->first_frame_ns - (double)session->ticket_ns) / 1e6;
	if (session->stats.first_frame_ms == 0 || since_ms < session->stats.first_frame_ms)
		session->stats.first_frame_ms = since_ms;
	struct engine_event event = { .type = ENGINE_EVENT_FIRST_FRAME, .is_video = stream->is_video, .since_ticket_ms = since_ms };
	struct roster_entry *entry = roster_find(&session->roster, &stream->participant);
	if (entry)
		event.member = entry->member;
	event.member.participant = stream->participant;
	session_event(session, &event);
}

void session_stats_refresh(struct engine_session *session)
{
	struct engine_statistics *stats = &session->stats;
	const struct session_media *media = &session->options.media;
	stats->counters.value[COUNTER_queue_full] = packet_queue_dropped(session->options.queue);
	stats->member_count = session->roster.count;
	stats->stream_count = media->stats(media->media, stats->streams, ENGINE_STREAMS_MAX);
	for (size_t i = 0; i < stats->stream_count; i++)
		report_first_frame(session, &stats->streams[i]);
}
