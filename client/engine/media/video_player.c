// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/video_player.h"

#include "client/engine/media/quantile.h"
#include "client/engine/media/timebase.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct video_player {
	struct video_receiver *receiver;
	struct recording *recording; // borrowed
	uint64_t epoch_ns;
	pthread_t thread;
	bool is_running;
	_Atomic int64_t sync_ns;

	pthread_mutex_t lock;
	pthread_cond_t wake;
	// Under the lock.
	bool is_stopping, has_news;
	struct quantile latency;
	uint64_t first_frame_ns;
};

static void show(void *context, struct picture *picture, int64_t media_ns)
{
	struct video_player *p = context;
	uint64_t wall = timebase_wall_ns();
	picture->capture_ns = p->epoch_ns + (uint64_t)media_ns;
	pthread_mutex_lock(&p->lock);
	if (p->first_frame_ns == 0)
		p->first_frame_ns = wall;
	quantile_add(&p->latency, (int64_t)(wall - picture->capture_ns));
	pthread_mutex_unlock(&p->lock);
	if (p->recording)
		recording_picture(p->recording, picture);
	else
		free(picture);
}

// False: stop.
static bool wait_until(struct video_player *p, uint64_t when_ns)
{
	struct timespec until = { .tv_sec = (time_t)(when_ns / MEDIA_SECOND), .tv_nsec = (long)(when_ns % MEDIA_SECOND) };
	pthread_mutex_lock(&p->lock);
	while (!p->is_stopping && !p->has_news && pthread_cond_timedwait(&p->wake, &p->lock, &until) == 0)
		;
	p->has_news = false;
	bool goes_on = !p->is_stopping;
	pthread_mutex_unlock(&p->lock);
	return goes_on;
}

static void *run(void *argument)
{
	struct video_player *p = argument;
	uint64_t next = timebase_now_ns();
	while (wait_until(p, next))
		next = video_receiver_step(p->receiver, timebase_now_ns(), atomic_load(&p->sync_ns), show, p);
	return NULL;
}

enum err video_player_new(struct tally *tally, struct recording *recording, uint64_t epoch_ns, struct video_player **out)
{
	struct video_player *p = calloc(1, sizeof *p);
	if (!p)
		return ERR_NOMEM;
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	p->recording = recording;
	p->epoch_ns = epoch_ns;
	p->sync_ns = MEDIA_DELAY_NONE;
	enum err err = video_receiver_new(tally, &p->receiver);
	if (err == ERR_OK && pthread_create(&p->thread, NULL, run, p) != 0)
		err = ERR_NOMEM;
	if (err != ERR_OK) {
		video_player_free(p);
		return err;
	}
	p->is_running = true;
	*out = p;
	return ERR_OK;
}

void video_player_free(struct video_player *player)
{
	if (!player)
		return;
	pthread_mutex_lock(&player->lock);
	player->is_stopping = true;
	pthread_cond_signal(&player->wake);
	pthread_mutex_unlock(&player->lock);
	if (player->is_running)
		pthread_join(player->thread, NULL);
	video_receiver_free(player->receiver);
	pthread_cond_destroy(&player->wake);
	pthread_mutex_destroy(&player->lock);
	free(player);
}

void video_player_receive(struct video_player *p, const struct packet_rtp *rtp, const uint8_t *payload,
		size_t size, uint64_t now_ns)
{
	if (!video_receiver_insert(p->receiver, rtp, payload, size, now_ns))
		return;
	pthread_mutex_lock(&p->lock);
	p->has_news = true;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
}

void video_player_sync(struct video_player *p, int64_t sound_delay_ns)
{
	atomic_store(&p->sync_ns, sound_delay_ns);
}

struct video_receiver *video_player_receiver(struct video_player *p)
{
	return p->receiver;
}

void video_player_stats(struct video_player *p, struct media_stream_stats *out)
{
	struct video_receiver_stats stats;
	video_receiver_get_stats(p->receiver, &stats);
	pthread_mutex_lock(&p->lock);
	*out = (struct media_stream_stats){
		.is_video = true,
		.packets = stats.packets,
		.bytes = stats.bytes,
		.lost = stats.lost,
		.recovered = stats.recovered,
		.frames = stats.shown,
		.concealed = stats.missed,
		.key_frames_requested = stats.key_frames_requested,
		.latency_p50_ms = quantile_ms(&p->latency, 0.50),
		.latency_p95_ms = quantile_ms(&p->latency, 0.95),
		.latency_p99_ms = quantile_ms(&p->latency, 0.99),
		.bitrate = stats.bitrate,
		.first_frame_ns = p->first_frame_ns,
		.width = stats.width,
		.height = stats.height,
	};
	pthread_mutex_unlock(&p->lock);
}
