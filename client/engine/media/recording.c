// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/recording.h"

#include "base/log.h"
#include "client/engine/media/outfile.h"
#include "client/engine/media/picture_track.h"
#include "client/engine/media/recording_text.h"
#include "client/engine/media/timebase.h"
#include "client/engine/media/wav_writer.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SOUND_CHUNKS = 400, LOOK_EVERY_MS = 50 };

struct chunk {
	uint64_t playout_ns, capture_ns;
	int16_t samples[MEDIA_AUDIO_TICK];
};

struct recording {
	char *directory;
	struct tally *tally; // borrowed
	uint64_t wall_offset_ns; // wall clock minus monotonic clock
	pthread_t thread;
	bool is_running;

	pthread_mutex_t lock;
	pthread_cond_t wake;
	// Under the lock.
	bool is_stopping, has_stopped; // has_stopped: disk full or failed
	struct chunk chunk[SOUND_CHUNKS];
	size_t chunk_first, chunk_count;
	struct picture *picture[LIMIT_RECORDED_PICTURES];
	size_t picture_first, picture_count;
	struct recording_text text; // runs and figures; the rest is the thread's

	// The thread's.
	struct wav_writer wav;
	int wav_descriptor; // -1: none yet
	uint64_t wav_start_ns;
	struct picture_track *track;
	uint64_t flushed_ns;
};

static enum err open_wav(struct recording *r, const struct chunk *first)
{
	char path[PATH_MAX];
	bool is_stream;
	snprintf(path, sizeof path, "%s/%s.wav", r->directory, r->text.base);
	enum err err = outfile_open(path, &r->wav_descriptor, &is_stream);
	if (err != ERR_OK)
		return err;
	r->wav_start_ns = first->playout_ns;
	r->text.sound_playout_ns = first->playout_ns + r->wall_offset_ns;
	r->text.sound_capture_ns = first->capture_ns;
	return wav_writer_init(&r->wav, r->wav_descriptor, MEDIA_AUDIO_RATE, is_stream);
}

static enum err write_chunk(struct recording *r, const struct chunk *chunk)
{
	if (r->wav_descriptor < 0) {
		enum err err = open_wav(r, chunk);
		if (err != ERR_OK)
			return err;
	}
	// Ticks are 10 ms apart exactly, so this is exact too.
	uint64_t position = (chunk->playout_ns - r->wav_start_ns + MEDIA_MS / 2) / MEDIA_MS * (MEDIA_AUDIO_RATE / 1000);
	if (position > r->wav.samples) {
		enum err err = wav_writer_silence(&r->wav, position - r->wav.samples);
		if (err != ERR_OK)
			return err;
	}
	return wav_writer_write(&r->wav, chunk->samples, MEDIA_AUDIO_TICK);
}

static enum err write_sound(struct recording *r)
{
	for (;;) {
		pthread_mutex_lock(&r->lock);
		bool is_empty = r->chunk_count == 0;
		struct chunk chunk = r->chunk[r->chunk_first];
		pthread_mutex_unlock(&r->lock);
		if (is_empty)
			return ERR_OK;
		enum err err = write_chunk(r, &chunk);
		if (err != ERR_OK)
			return err;
		pthread_mutex_lock(&r->lock);
		// The ring drops its newest when full, so the first is still the one that was written.
		r->chunk_first = (r->chunk_first + 1) % SOUND_CHUNKS;
		r->chunk_count--;
		pthread_mutex_unlock(&r->lock);
	}
}

static enum err write_pictures(struct recording *r)
{
	for (;;) {
		pthread_mutex_lock(&r->lock);
		struct picture *picture = r->picture_count ? r->picture[r->picture_first] : NULL;
		pthread_mutex_unlock(&r->lock);
		if (!picture)
			return ERR_OK;
		enum err err = picture_track_put(r->track, picture);
		if (err == ERR_AGAIN)
			return err;
		pthread_mutex_lock(&r->lock);
		r->picture_first = (r->picture_first + 1) % LIMIT_RECORDED_PICTURES;
		r->picture_count--;
		pthread_mutex_unlock(&r->lock);
		if (err != ERR_OK)
			return err;
	}
}

static enum err describe(struct recording *r)
{
	pthread_mutex_lock(&r->lock);
	struct recording_text text = r->text;
	pthread_mutex_unlock(&r->lock);
	text.samples = r->wav_descriptor >= 0 ? r->wav.samples : 0;
	text.file_count = picture_track_files(r->track, &text.files);
	size_t size;
	char *json = recording_text_emit(&text, &size);
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/%s.json", r->directory, text.base);
	enum err err = json ? outfile_replace(path, json, size) : ERR_NOMEM;
	free(json);
	return err;
}

// What is on disk is made whole: header of the WAV, list of pictures, description.
static enum err flush(struct recording *r)
{
	enum err err = r->wav_descriptor >= 0 ? wav_writer_flush(&r->wav) : ERR_OK;
	if (err == ERR_OK)
		err = picture_track_flush(r->track);
	if (err == ERR_OK)
		err = describe(r);
	r->flushed_ns = timebase_now_ns();
	return err;
}

static void drop_waiting(struct recording *r)
{
	uint64_t dropped = r->chunk_count + r->picture_count;
	while (r->picture_count > 0) {
		free(r->picture[r->picture_first]);
		r->picture_first = (r->picture_first + 1) % LIMIT_RECORDED_PICTURES;
		r->picture_count--;
	}
	r->chunk_count = 0;
	tally_add(r->tally, TALLY_RECORDING_STOPPED, dropped);
}

// One line; then everything that comes is dropped, and what is on disk stays valid.
static void stop_recording(struct recording *r, enum err err)
{
	int problem = errno;
	log_line(LOG_ERROR, "recording of %s in %s has stopped: %s%s%s", r->text.base, r->directory, err_text(err),
		 err == ERR_FULL || err == ERR_IO ? ": " : "", err == ERR_FULL || err == ERR_IO ? strerror(problem) : "");
	pthread_mutex_lock(&r->lock);
	r->has_stopped = true;
	r->text.problem = err;
	drop_waiting(r);
	pthread_mutex_unlock(&r->lock);
	if (flush(r) != ERR_OK)
		log_line(LOG_WARNING, "recording of %s: its description could not be brought up to date", r->text.base);
}

// True while there may be more to do.
static bool wait_for_work(struct recording *r, int wait_ms)
{
	struct timespec until;
	uint64_t when = timebase_now_ns() + (uint64_t)wait_ms * MEDIA_MS;
	until = (struct timespec){ .tv_sec = (time_t)(when / MEDIA_SECOND), .tv_nsec = (long)(when % MEDIA_SECOND) };
	pthread_mutex_lock(&r->lock);
	while (!r->is_stopping && pthread_cond_timedwait(&r->wake, &r->lock, &until) == 0)
		;
	bool is_stopping = r->is_stopping;
	pthread_mutex_unlock(&r->lock);
	return !is_stopping;
}

static bool is_final(enum err err)
{
	return err != ERR_OK && err != ERR_AGAIN;
}

static void *run(void *argument)
{
	struct recording *r = argument;
	bool goes_on = true;
	outfile_block_signals();
	while (goes_on) {
		goes_on = wait_for_work(r, LOOK_EVERY_MS);
		if (r->has_stopped)
			continue;
		enum err sound = write_sound(r), pictures = is_final(sound) ? ERR_OK : write_pictures(r);
		enum err err = is_final(sound) ? sound : is_final(pictures) ? pictures : ERR_OK;
		if (err == ERR_OK && !goes_on)
			err = picture_track_finish(r->track);
		if (!is_final(err) && (!goes_on || timebase_now_ns() - r->flushed_ns > MEDIA_SECOND))
			err = flush(r);
		if (is_final(err))
			stop_recording(r, err);
	}
	return NULL;
}

enum err recording_new(const char *directory, const struct id *participant, struct tally *tally, struct recording **out)
{
	struct recording *r = calloc(1, sizeof *r);
	if (!r)
		return ERR_NOMEM;
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	r->tally = tally;
	r->wav_descriptor = -1;
	r->wall_offset_ns = timebase_wall_ns() - timebase_now_ns();
	text_id_emit(participant, r->text.base);
	r->directory = strdup(directory);
	enum err err = r->directory ? picture_track_new(r->directory, r->text.base, r->wall_offset_ns, tally,
			&r->track) : ERR_NOMEM;
	if (err == ERR_OK && pthread_create(&r->thread, NULL, run, r) != 0)
		err = ERR_NOMEM;
	if (err != ERR_OK) {
		recording_free(r);
		return err;
	}
	r->is_running = true;
	*out = r;
	return ERR_OK;
}

void recording_free(struct recording *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->is_stopping = true;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
	if (r->is_running)
		pthread_join(r->thread, NULL);
	drop_waiting(r); // what no FIFO's reader came for
	picture_track_free(r->track);
	if (r->wav_descriptor >= 0)
		close(r->wav_descriptor);
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
	free(r->directory);
	free(r);
}

void recording_run(struct recording *r, const char *run_text)
{
	pthread_mutex_lock(&r->lock);
	struct recording_text *t = &r->text;
	bool is_known = t->run_count == RECORDING_RUNS;
	for (size_t i = 0; i < t->run_count; i++)
		is_known |= strncmp(t->runs[i], run_text, RECORDING_RUN_TEXT - 1) == 0;
	if (!is_known)
		snprintf(t->runs[t->run_count++], RECORDING_RUN_TEXT, "%s", run_text);
	pthread_mutex_unlock(&r->lock);
}

void recording_sound(struct recording *r, uint64_t playout_ns, uint64_t capture_ns,
		const int16_t samples[static MEDIA_AUDIO_TICK])
{
	pthread_mutex_lock(&r->lock);
	if (r->has_stopped || r->chunk_count == SOUND_CHUNKS) {
		tally_add(r->tally, r->has_stopped ? TALLY_RECORDING_STOPPED : TALLY_RECORDING_BEHIND, 1);
	} else {
		struct chunk *c = &r->chunk[(r->chunk_first + r->chunk_count++) % SOUND_CHUNKS];
		c->playout_ns = playout_ns;
		c->capture_ns = capture_ns;
		memcpy(c->samples, samples, sizeof c->samples);
	}
	pthread_mutex_unlock(&r->lock);
}

void recording_picture(struct recording *r, struct picture *picture)
{
	pthread_mutex_lock(&r->lock);
	if (r->has_stopped || r->picture_count == LIMIT_RECORDED_PICTURES) {
		tally_add(r->tally, r->has_stopped ? TALLY_RECORDING_STOPPED : TALLY_RECORDING_BEHIND, 1);
		free(picture);
	} else {
		r->picture[(r->picture_first + r->picture_count++) % LIMIT_RECORDED_PICTURES] = picture;
	}
	pthread_mutex_unlock(&r->lock);
}

void recording_figures(struct recording *r, const struct media_stream_stats *stats, size_t count)
{
	pthread_mutex_lock(&r->lock);
	r->text.stat_count = count < RECORDING_STREAMS ? count : RECORDING_STREAMS;
	memcpy(r->text.stats, stats, r->text.stat_count * sizeof *stats);
	pthread_mutex_unlock(&r->lock);
}
