// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/media.h"

#include "client/engine/media/audio_capture.h"
#include "client/engine/media/limits.h"
#include "client/engine/media/opus_sender.h"
#include "client/engine/media/participant.h"
#include "client/engine/media/timebase.h"
#include "client/engine/media/video_capture.h"
#include "client/engine/media/vp9_sender.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TICK_NS (10 * MEDIA_MS)
#define START_LEAD_NS (5 * MEDIA_MS) // the threads are up before the first sample is captured
enum { BEHIND_TICKS = 20, PUBLISH_TICKS = 100 };

struct seat {
	struct participant *participant; // NULL: free
	unsigned users;                  // threads that use it just now
};

struct media {
	struct media_options options; // paths are ours
	struct tally tally;
	struct audio_capture *audio;  // NULL: none sent
	struct video_capture *video;
	pthread_t ticker;
	bool is_ticking;
	atomic_bool is_stopping;
	_Atomic uint64_t round_trip_ns;

	pthread_mutex_t lock;
	pthread_cond_t unused; // a seat's users have become 0
	struct seat seat[LIMIT_PARTICIPANTS]; // under the lock
};

static struct participant *enter(struct media *m, size_t at)
{
	pthread_mutex_lock(&m->lock);
	struct participant *p = m->seat[at].participant;
	if (p)
		m->seat[at].users++;
	pthread_mutex_unlock(&m->lock);
	return p;
}

static void leave(struct media *m, size_t at)
{
	pthread_mutex_lock(&m->lock);
	if (--m->seat[at].users == 0)
		pthread_cond_broadcast(&m->unused);
	pthread_mutex_unlock(&m->lock);
}

static void tick(struct media *m, uint64_t number, uint64_t tick_ns)
{
	for (size_t i = 0; i < LIMIT_PARTICIPANTS; i++) {
		struct participant *p = enter(m, i);
		if (!p)
			continue;
		participant_tick(p, tick_ns, atomic_load(&m->round_trip_ns));
		if (number % PUBLISH_TICKS == 0)
			participant_publish(p);
		leave(m, i);
	}
}

static void *run_ticker(void *argument)
{
	struct media *m = argument;
	timebase_prefer_thread();
	uint64_t start = timebase_now_ns();
	for (uint64_t number = 1; !atomic_load(&m->is_stopping); number++) {
		timebase_sleep_until_ns(start + number * TICK_NS);
		// A short stall is made good tick by tick, as a sound card's buffer would; a long one is not.
		uint64_t due = (timebase_now_ns() - start) / TICK_NS;
		if (due > number + BEHIND_TICKS)
			number = due;
		tick(m, number, start + number * TICK_NS);
	}
	return NULL;
}

static enum err refuse(char *problem, enum err err, const char *text)
{
	snprintf(problem, MEDIA_PROBLEM_BYTES, "%s", text);
	return err;
}

static enum err check_directory(const char *path, char *problem)
{
	struct stat status;
	int failed = stat(path, &status);
	if (failed == 0 && S_ISDIR(status.st_mode) && access(path, W_OK | X_OK) == 0)
		return ERR_OK;
	snprintf(problem, MEDIA_PROBLEM_BYTES, "%.150s: cannot record there: %s", path,
		 failed == 0 && !S_ISDIR(status.st_mode) ? "not a directory" : strerror(errno));
	return ERR_IO;
}

static enum err check_options(const struct media_options *o, char *problem)
{
	if ((o->audio_path || o->video_path) && !o->on_packet)
		return refuse(problem, ERR_USAGE, "something is to be sent, but nobody takes the packets");
	if (o->audio_bitrate && (o->audio_bitrate < OPUS_SENDER_BITRATE_MIN || o->audio_bitrate > OPUS_SENDER_BITRATE_MAX))
		return refuse(problem, ERR_USAGE, "bit rate of sound: 6000 to 256000 bit/s are allowed");
	if (o->video_bitrate && (o->video_bitrate < VP9_SENDER_BITRATE_MIN || o->video_bitrate > VP9_SENDER_BITRATE_MAX))
		return refuse(problem, ERR_USAGE, "bit rate of pictures: 50000 to 20000000 bit/s are allowed");
	return o->record_path ? check_directory(o->record_path, problem) : ERR_OK;
}

static bool copy_path(const char **path)
{
	if (!*path)
		return true;
	*path = strdup(*path);
	return *path != NULL;
}

static enum err set_up(struct media *m, char *problem)
{
	struct media_options *o = &m->options;
	enum err err = ERR_OK;
	if (o->audio_path)
		err = audio_capture_new(o, &m->tally, &m->audio, problem);
	if (err == ERR_OK && o->video_path)
		err = video_capture_new(o, &m->tally, &m->video, problem);
	if (err == ERR_OK && pthread_create(&m->ticker, NULL, run_ticker, m) != 0)
		err = refuse(problem, ERR_NOMEM, "no thread for play-out");
	m->is_ticking = err == ERR_OK;
	return err;
}

enum err media_new(const struct media_options *options, struct media **out, char *problem)
{
	problem[0] = 0;
	enum err err = check_options(options, problem);
	if (err != ERR_OK)
		return err;
	struct media *m = calloc(1, sizeof *m);
	if (!m)
		return refuse(problem, ERR_NOMEM, err_text(ERR_NOMEM));
	m->options = *options;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->unused, NULL);
	bool is_copied = copy_path(&m->options.audio_path);
	is_copied &= copy_path(&m->options.video_path);
	is_copied &= copy_path(&m->options.record_path);
	err = is_copied ? set_up(m, problem) : ERR_NOMEM;
	if (err != ERR_OK) {
		if (!problem[0])
			(void)refuse(problem, err, err_text(err));
		media_free(m);
		return err;
	}
	*out = m;
	return ERR_OK;
}

void media_free(struct media *media)
{
	if (!media)
		return;
	audio_capture_free(media->audio);
	video_capture_free(media->video);
	atomic_store(&media->is_stopping, true);
	if (media->is_ticking)
		pthread_join(media->ticker, NULL);
	for (size_t i = 0; i < LIMIT_PARTICIPANTS; i++)
		participant_free(media->seat[i].participant);
	pthread_cond_destroy(&media->unused);
	pthread_mutex_destroy(&media->lock);
	free((char *)media->options.audio_path);
	free((char *)media->options.video_path);
	free((char *)media->options.record_path);
	free(media);
}

enum err media_start(struct media *media, uint64_t *capture_epoch_ns)
{
	uint64_t epoch = timebase_now_ns() + START_LEAD_NS;
	*capture_epoch_ns = timebase_wall_ns() + START_LEAD_NS;
	enum err err = media->audio ? audio_capture_start(media->audio, epoch) : ERR_OK;
	if (err == ERR_OK && media->video)
		err = video_capture_start(media->video, epoch);
	return err;
}

void media_set_round_trip(struct media *media, uint64_t round_trip_ns)
{
	atomic_store(&media->round_trip_ns, round_trip_ns);
}

void media_force_key_frame(struct media *media, uint8_t stream)
{
	if (stream == PACKET_STREAM_VIDEO && media->video)
		video_capture_force_key_frame(media->video);
}

// A free seat, if need be that of somebody who left. Under the lock; `*retired` is for the caller to free.
static struct seat *find_free_seat(struct media *m, struct participant **retired)
{
	for (size_t i = 0; i < LIMIT_PARTICIPANTS; i++)
		if (!m->seat[i].participant)
			return &m->seat[i];
	for (size_t i = 0; i < LIMIT_PARTICIPANTS; i++) {
		struct seat *seat = &m->seat[i];
		if (participant_is_here(seat->participant))
			continue;
		*retired = seat->participant;
		seat->participant = NULL;
		while (seat->users > 0)
			pthread_cond_wait(&m->unused, &m->lock);
		return seat;
	}
	return NULL;
}

// Under the lock. An index belongs to one participant: whoever had it before has left.
static struct participant *find_participant(struct media *m, const struct id *id, uint32_t index)
{
	struct participant *found = NULL;
	for (size_t i = 0; i < LIMIT_PARTICIPANTS; i++) {
		struct participant *p = m->seat[i].participant;
		if (!p)
			continue;
		if (text_id_equal(participant_id(p), id))
			found = p;
		else if (participant_has_index(p, index))
			participant_unbind(p);
	}
	return found;
}

enum err media_participant_set(struct media *media, const struct id *participant, uint32_t index, uint64_t capture_epoch_ns,
			       const char *run_text)
{
	struct participant *retired = NULL;
	pthread_mutex_lock(&media->lock);
	struct participant *p = find_participant(media, participant, index);
	enum err err = ERR_OK;
	if (!p) {
		struct seat *seat = find_free_seat(media, &retired);
		if (!seat)
			err = ERR_LIMIT;
		else if ((err = participant_new(participant, &media->options, &media->tally, &p)) == ERR_OK)
			seat->participant = p;
	}
	pthread_mutex_unlock(&media->lock);
	participant_free(retired);
	if (err == ERR_OK)
		participant_bind(p, index, capture_epoch_ns, run_text);
	else
		tally_add(&media->tally, TALLY_PARTICIPANT_LIMIT, 1);
	return err;
}

void media_participant_gone(struct media *media, const struct id *participant)
{
	pthread_mutex_lock(&media->lock);
	for (size_t i = 0; i < LIMIT_PARTICIPANTS; i++) {
		struct participant *p = media->seat[i].participant;
		if (p && text_id_equal(participant_id(p), participant))
			participant_unbind(p);
	}
	pthread_mutex_unlock(&media->lock);
}

static struct participant *enter_by_index(struct media *m, uint32_t index, size_t *at)
{
	struct participant *p = NULL;
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < LIMIT_PARTICIPANTS && !p; i++) {
		if (m->seat[i].participant && participant_has_index(m->seat[i].participant, index)) {
			p = m->seat[i].participant;
			m->seat[i].users++;
			*at = i;
		}
	}
	pthread_mutex_unlock(&m->lock);
	return p;
}

void media_receive(struct media *media, const struct packet_rtp *rtp, const uint8_t *payload, size_t size, uint64_t now_ns)
{
	size_t at;
	struct participant *p = enter_by_index(media, packet_ssrc_index(rtp->ssrc), &at);
	if (!p) {
		tally_add(&media->tally, TALLY_PARTICIPANT_UNKNOWN, 1);
		return;
	}
	participant_receive(p, rtp, payload, size, timebase_from_wall_ns(now_ns));
	leave(media, at);
}

size_t media_stats(struct media *media, struct media_stream_stats *out, size_t capacity)
{
	size_t count = 0;
	for (size_t i = 0; i < LIMIT_PARTICIPANTS; i++) {
		struct media_stream_stats stats[PARTICIPANT_STREAMS];
		struct participant *p = enter(media, i);
		if (!p)
			continue;
		size_t streams = participant_stats(p, stats);
		leave(media, i);
		for (size_t s = 0; s < streams && count < capacity; s++)
			out[count++] = stats[s];
	}
	return count;
}

size_t media_counters(const struct media *media, struct media_counter *out, size_t capacity)
{
	size_t count = 0;
	for (int reason = 0; reason < TALLY_REASONS && count < capacity; reason++)
		out[count++] = (struct media_counter){ .name = tally_name(reason),
				.count = tally_get(&media->tally, reason) };
	return count;
}
