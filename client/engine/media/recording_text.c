// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/recording_text.h"

#include <stdio.h>
#include <yyjson.h>

static void add_sound(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct recording_text *t)
{
	char name[64];
	snprintf(name, sizeof name, "%s.wav", t->base);
	yyjson_mut_val *sound = yyjson_mut_obj_add_obj(doc, root, "audio");
	yyjson_mut_obj_add_strcpy(doc, sound, "file", name);
	yyjson_mut_obj_add_uint(doc, sound, "sample_rate", MEDIA_AUDIO_RATE);
	yyjson_mut_obj_add_uint(doc, sound, "samples", t->samples);
	yyjson_mut_obj_add_uint(doc, sound, "playout_ns", t->sound_playout_ns);
	yyjson_mut_obj_add_uint(doc, sound, "capture_ns", t->sound_capture_ns);
}

static void add_pictures(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct recording_text *t)
{
	char name[64];
	snprintf(name, sizeof name, "%s.frames", t->base);
	yyjson_mut_obj_add_strcpy(doc, root, "frames", name);
	yyjson_mut_val *files = yyjson_mut_obj_add_arr(doc, root, "video");
	for (size_t i = 0; i < t->file_count; i++) {
		const struct picture_track_file *f = &t->files[i];
		yyjson_mut_val *file = yyjson_mut_arr_add_obj(doc, files);
		yyjson_mut_obj_add_strcpy(doc, file, "file", f->name);
		yyjson_mut_obj_add_uint(doc, file, "width", f->format.width);
		yyjson_mut_obj_add_uint(doc, file, "height", f->format.height);
		yyjson_mut_obj_add_uint(doc, file, "fps", f->format.rate_num);
		yyjson_mut_obj_add_uint(doc, file, "pictures", f->pictures);
		yyjson_mut_obj_add_uint(doc, file, "repeats", f->repeats);
		yyjson_mut_obj_add_uint(doc, file, "playout_ns", f->playout_ns);
		yyjson_mut_obj_add_uint(doc, file, "capture_ns", f->capture_ns);
	}
}

static void add_stream(yyjson_mut_doc *doc, yyjson_mut_val *streams, const struct media_stream_stats *s)
{
	yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, streams);
	yyjson_mut_obj_add_str(doc, o, "kind", s->is_video ? "video" : "audio");
	yyjson_mut_obj_add_uint(doc, o, "ssrc", s->ssrc);
	yyjson_mut_obj_add_uint(doc, o, "packets", s->packets);
	yyjson_mut_obj_add_uint(doc, o, "bytes", s->bytes);
	yyjson_mut_obj_add_uint(doc, o, "lost", s->lost);
	yyjson_mut_obj_add_uint(doc, o, "recovered", s->recovered);
	yyjson_mut_obj_add_uint(doc, o, "frames", s->frames);
	yyjson_mut_obj_add_uint(doc, o, "concealed", s->concealed);
	yyjson_mut_obj_add_uint(doc, o, "key_frames_requested", s->key_frames_requested);
	yyjson_mut_obj_add_real(doc, o, "latency_p50_ms", s->latency_p50_ms);
	yyjson_mut_obj_add_real(doc, o, "latency_p95_ms", s->latency_p95_ms);
	yyjson_mut_obj_add_real(doc, o, "latency_p99_ms", s->latency_p99_ms);
	yyjson_mut_obj_add_real(doc, o, "bitrate", s->bitrate);
	yyjson_mut_obj_add_uint(doc, o, "first_frame_ns", s->first_frame_ns);
}

char *recording_text_emit(const struct recording_text *t, size_t *size)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	if (!doc)
		return NULL;
	yyjson_mut_val *root = yyjson_mut_obj(doc);
	yyjson_mut_doc_set_root(doc, root);
	yyjson_mut_obj_add_uint(doc, root, "version", 1);
	yyjson_mut_obj_add_strcpy(doc, root, "participant", t->base);
	yyjson_mut_val *runs = yyjson_mut_obj_add_arr(doc, root, "runs");
	for (size_t i = 0; i < t->run_count; i++)
		yyjson_mut_arr_add_strcpy(doc, runs, t->runs[i]);
	if (t->samples > 0)
		add_sound(doc, root, t);
	if (t->file_count > 0)
		add_pictures(doc, root, t);
	yyjson_mut_val *streams = yyjson_mut_obj_add_arr(doc, root, "streams");
	for (size_t i = 0; i < t->stat_count; i++)
		add_stream(doc, streams, &t->stats[i]);
	if (t->problem != ERR_OK)
		yyjson_mut_obj_add_strcpy(doc, root, "problem", err_text(t->problem));
	char *text = yyjson_mut_write(doc, YYJSON_WRITE_PRETTY | YYJSON_WRITE_ALLOW_INVALID_UNICODE, size);
	yyjson_mut_doc_free(doc);
	return text;
}
