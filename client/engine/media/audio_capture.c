// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/audio_capture.h"

#include "base/log.h"
#include "client/engine/media/audio_source.h"
#include "client/engine/media/opus_sender.h"
#include "client/engine/media/timebase.h"
#include "client/engine/media/voice.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define FRAME_NS (20 * MEDIA_MS)
enum { BEHIND_FRAMES = 10 }; // more than this late: what was missed is not sent any more

struct audio_capture {
	const struct media_options *options; // borrowed
	struct tally *tally;                 // borrowed
	struct audio_source *source;
	struct opus_sender *opus;
	struct voice voice;
	uint64_t epoch_ns;
	pthread_t thread;
	bool is_running;
	atomic_bool is_stopping;
};

enum err audio_capture_new(const struct media_options *options, struct tally *tally, struct audio_capture **out,
		char *problem)
{
	struct audio_capture *c = calloc(1, sizeof *c);
	if (!c)
		return ERR_NOMEM;
	c->options = options;
	c->tally = tally;
	enum err err = audio_source_open(options->audio_path, &c->source, problem);
	if (err == ERR_OK) {
		err = opus_sender_new(options->audio_bitrate ? options->audio_bitrate : OPUS_SENDER_BITRATE, &c->opus);
		if (err != ERR_OK)
			snprintf(problem, MEDIA_PROBLEM_BYTES, "the Opus encoder does not start: %s", err_text(err));
	}
	if (err != ERR_OK) {
		audio_capture_free(c);
		return err;
	}
	*out = c;
	return ERR_OK;
}

static enum err send_frame(struct audio_capture *c, uint64_t number)
{
	int16_t samples[MEDIA_AUDIO_FRAME];
	uint8_t packet[OPUS_SENDER_PACKET_MAX];
	size_t size;
	enum err err = audio_source_read(c->source, samples);
	if (err == ERR_OK)
		err = opus_sender_encode(c->opus, samples, packet, &size);
	if (err != ERR_OK)
		return err;
	bool was_active = c->voice.is_active;
	bool has_voice = voice_update(&c->voice, samples, MEDIA_AUDIO_FRAME);
	struct packet_rtp rtp = {
		.timestamp = (uint32_t)(number * MEDIA_AUDIO_FRAME),
		.payload_type = PACKET_PT_OPUS,
		.is_marked = has_voice && !was_active,
		.is_frame_start = true,
		.is_frame_end = true,
		.is_independent = true,
		.has_voice = has_voice,
	};
	c->options->on_packet(c->options->context, PACKET_STREAM_AUDIO, &rtp, packet, size);
	if (c->options->on_burst)
		c->options->on_burst(c->options->context);
	return ERR_OK;
}

// After a long stall (the machine slept) go on with what is captured now; the source keeps its place in time.
static enum err skip_missed(struct audio_capture *c, uint64_t *number, uint64_t now_ns)
{
	uint64_t ready = (now_ns - c->epoch_ns) / FRAME_NS;
	while (ready > BEHIND_FRAMES && *number + BEHIND_FRAMES < ready) {
		int16_t samples[MEDIA_AUDIO_FRAME];
		enum err err = audio_source_read(c->source, samples);
		if (err != ERR_OK)
			return err;
		tally_add(c->tally, TALLY_CAPTURE_AUDIO_SKIPPED, 1);
		++*number;
	}
	return ERR_OK;
}

static void *run(void *argument)
{
	struct audio_capture *c = argument;
	timebase_prefer_thread();
	for (uint64_t number = 0;; number++) {
		// A frame is there when its last sample is.
		timebase_sleep_until_ns(c->epoch_ns + (number + 1) * FRAME_NS);
		if (atomic_load(&c->is_stopping))
			return NULL;
		enum err err = skip_missed(c, &number, timebase_now_ns());
		if (err == ERR_OK)
			err = send_frame(c, number);
		if (err != ERR_OK) {
			tally_add(c->tally, TALLY_CAPTURE_FAILED, 1);
			log_line(LOG_ERROR, "sound is not sent any more: %s: %s", c->options->audio_path, err_text(err));
			return NULL;
		}
	}
}

enum err audio_capture_start(struct audio_capture *capture, uint64_t epoch_ns)
{
	capture->epoch_ns = epoch_ns;
	if (pthread_create(&capture->thread, NULL, run, capture) != 0)
		return ERR_NOMEM;
	capture->is_running = true;
	return ERR_OK;
}

void audio_capture_free(struct audio_capture *capture)
{
	if (!capture)
		return;
	atomic_store(&capture->is_stopping, true);
	if (capture->is_running)
		pthread_join(capture->thread, NULL);
	opus_sender_free(capture->opus);
	audio_source_free(capture->source);
	free(capture);
}
