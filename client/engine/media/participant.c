// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/participant.h"

#include "client/engine/media/audio_receiver.h"
#include "client/engine/media/opus_sender.h"
#include "client/engine/media/quantile.h"
#include "client/engine/media/recording.h"
#include "client/engine/media/timebase.h"
#include "client/engine/media/video_player.h"

#include <pthread.h>
#include <stdlib.h>

enum { ASK_MAX = 64 };
// Pictures may be this much later than sound and still be acceptable (ITU-R BT.1359); beyond, sound waits: people
// who talk feel the delay of sound most.
#define PICTURE_LAG_NS (90 * (int64_t)MEDIA_MS)

struct participant {
	struct id id;
	const struct media_options *options; // borrowed
	struct tally *tally;                 // borrowed
	struct recording *recording;         // NULL: not recorded

	pthread_mutex_t lock;
	// Under the lock.
	bool is_here;
	uint32_t index;
	uint64_t epoch_ns;
	struct audio_receiver *audio; // made by the first packet
	struct video_player *video;   // the same
	struct quantile latency;      // of sound
	uint64_t first_sound_ns;
};

enum err participant_new(const struct id *id, const struct media_options *options, struct tally *tally,
		struct participant **out)
{
	struct participant *p = calloc(1, sizeof *p);
	if (!p)
		return ERR_NOMEM;
	p->id = *id;
	p->options = options;
	p->tally = tally;
	pthread_mutex_init(&p->lock, NULL);
	enum err err = options->record_path ? recording_new(options->record_path, id, tally, &p->recording) : ERR_OK;
	if (err != ERR_OK) {
		participant_free(p);
		return err;
	}
	*out = p;
	return ERR_OK;
}

void participant_free(struct participant *participant)
{
	if (!participant)
		return;
	if (participant->recording)
		participant_publish(participant);
	video_player_free(participant->video);
	audio_receiver_free(participant->audio);
	recording_free(participant->recording);
	pthread_mutex_destroy(&participant->lock);
	free(participant);
}

const struct id *participant_id(const struct participant *p)
{
	return &p->id;
}

void participant_bind(struct participant *p, uint32_t index, uint64_t capture_epoch_ns, const char *run_text)
{
	struct video_player *old_video = NULL;
	pthread_mutex_lock(&p->lock);
	if (p->index != index || p->epoch_ns != capture_epoch_ns) {
		old_video = p->video;
		p->video = NULL;
		audio_receiver_free(p->audio);
		p->audio = NULL;
		p->latency = (struct quantile){ 0 };
		p->first_sound_ns = 0;
	}
	p->index = index;
	p->epoch_ns = capture_epoch_ns;
	p->is_here = true;
	pthread_mutex_unlock(&p->lock);
	video_player_free(old_video); // waits for the worker: not under the lock
	if (p->recording && run_text)
		recording_run(p->recording, run_text);
}

void participant_unbind(struct participant *p)
{
	pthread_mutex_lock(&p->lock);
	p->is_here = false;
	pthread_mutex_unlock(&p->lock);
}

bool participant_is_here(struct participant *p)
{
	pthread_mutex_lock(&p->lock);
	bool is_here = p->is_here;
	pthread_mutex_unlock(&p->lock);
	return is_here;
}

bool participant_has_index(struct participant *p, uint32_t index)
{
	pthread_mutex_lock(&p->lock);
	bool has = p->is_here && p->index == index;
	pthread_mutex_unlock(&p->lock);
	return has;
}

static void receive_sound(struct participant *p, const struct packet_rtp *rtp, const uint8_t *payload,
		size_t size, uint64_t now_ns)
{
	if (!p->audio && audio_receiver_new(p->tally, &p->audio) != ERR_OK)
		tally_add(p->tally, TALLY_NO_MEMORY, 1);
	else
		audio_receiver_insert(p->audio, rtp, payload, size, now_ns);
}

static void receive_picture(struct participant *p, const struct packet_rtp *rtp, const uint8_t *payload,
		size_t size, uint64_t now_ns)
{
	if (!p->video && video_player_new(p->tally, p->recording, p->epoch_ns, &p->video) != ERR_OK)
		tally_add(p->tally, TALLY_NO_MEMORY, 1);
	else
		video_player_receive(p->video, rtp, payload, size, now_ns);
}

void participant_receive(struct participant *p, const struct packet_rtp *rtp, const uint8_t *payload,
		size_t size, uint64_t now_ns)
{
	uint8_t stream = packet_ssrc_stream(rtp->ssrc);
	pthread_mutex_lock(&p->lock);
	if (!p->is_here || p->index != packet_ssrc_index(rtp->ssrc))
		tally_add(p->tally, TALLY_PARTICIPANT_UNKNOWN, 1);
	else if (stream == PACKET_STREAM_AUDIO && rtp->payload_type == PACKET_PT_OPUS)
		receive_sound(p, rtp, payload, size, now_ns);
	else if (stream == PACKET_STREAM_VIDEO && rtp->payload_type == PACKET_PT_VP9)
		receive_picture(p, rtp, payload, size, now_ns);
	else
		tally_add(p->tally, TALLY_STREAM_UNKNOWN, 1);
	pthread_mutex_unlock(&p->lock);
}

// 10 ms of sound; false if none is due.
static bool play_sound(struct participant *p, uint64_t tick_ns, int16_t *samples, uint64_t *capture_ns)
{
	int64_t needed_ns = p->video ? video_receiver_needed_ns(video_player_receiver(p->video)) : MEDIA_DELAY_NONE;
	int64_t floor_ns = needed_ns == MEDIA_DELAY_NONE ? MEDIA_DELAY_NONE : needed_ns - PICTURE_LAG_NS;
	int64_t media_ns;
	if (!p->audio || !audio_receiver_pull(p->audio, tick_ns, floor_ns, samples, &media_ns))
		return false;
	uint64_t wall = timebase_wall_ns();
	// The codec's own delay: what is heard was captured a little before the timestamp says.
	*capture_ns = p->epoch_ns + (uint64_t)media_ns - OPUS_SENDER_LOOKAHEAD * MEDIA_SECOND / MEDIA_AUDIO_RATE;
	quantile_add(&p->latency, (int64_t)(wall - *capture_ns));
	if (p->first_sound_ns == 0)
		p->first_sound_ns = wall;
	return true;
}

void participant_tick(struct participant *p, uint64_t tick_ns, uint64_t round_trip_ns)
{
	uint16_t sound_missing[ASK_MAX], pictures_missing[ASK_MAX];
	size_t sound_count = 0, picture_count = 0;
	bool wants_key = false, has_sound = false;
	int16_t samples[MEDIA_AUDIO_TICK];
	uint64_t capture_ns = 0;
	pthread_mutex_lock(&p->lock);
	uint32_t index = p->index;
	if (p->is_here) {
		uint64_t now = timebase_now_ns();
		has_sound = play_sound(p, tick_ns, samples, &capture_ns);
		uint64_t rtt = p->video ? video_receiver_rtt_ns(video_player_receiver(p->video)) : 0;
		if (rtt == 0 && p->audio && audio_receiver_arrivals(p->audio)->recovered == 0)
			rtt = round_trip_ns;
		if (p->audio)
			sound_count = audio_receiver_missing(p->audio, now, rtt, sound_missing, ASK_MAX);
		if (p->video) {
			struct video_receiver *video = video_player_receiver(p->video);
			video_player_sync(p->video, p->audio ? audio_receiver_delay_ns(p->audio) : MEDIA_DELAY_NONE);
			picture_count = video_receiver_missing(video, now, pictures_missing, ASK_MAX);
			wants_key = video_receiver_wants_key(video, now);
		}
	}
	pthread_mutex_unlock(&p->lock);
	if (has_sound && p->recording)
		recording_sound(p->recording, tick_ns, capture_ns, samples);
	const struct media_options *o = p->options;
	if (sound_count && o->on_missing)
		o->on_missing(o->context, packet_ssrc(index, PACKET_STREAM_AUDIO), sound_missing, sound_count);
	if (picture_count && o->on_missing)
		o->on_missing(o->context, packet_ssrc(index, PACKET_STREAM_VIDEO), pictures_missing, picture_count);
	if (wants_key && o->on_key_frame_needed)
		o->on_key_frame_needed(o->context, packet_ssrc(index, PACKET_STREAM_VIDEO));
}

static void sound_stats(struct participant *p, struct media_stream_stats *out)
{
	const struct arrivals *a = audio_receiver_arrivals(p->audio);
	uint64_t played, concealed;
	audio_receiver_samples(p->audio, &played, &concealed);
	*out = (struct media_stream_stats){
		.packets = a->packets,
		.bytes = a->bytes,
		.lost = arrivals_lost(a),
		.recovered = a->recovered,
		.frames = played / MEDIA_AUDIO_FRAME,
		.concealed = (concealed + MEDIA_AUDIO_FRAME / 2) / MEDIA_AUDIO_FRAME,
		.latency_p50_ms = quantile_ms(&p->latency, 0.50),
		.latency_p95_ms = quantile_ms(&p->latency, 0.95),
		.latency_p99_ms = quantile_ms(&p->latency, 0.99),
		.bitrate = arrivals_bitrate(a),
		.first_frame_ns = p->first_sound_ns,
	};
}

size_t participant_stats(struct participant *p, struct media_stream_stats out[static PARTICIPANT_STREAMS])
{
	struct media_stream_stats *next = out;
	pthread_mutex_lock(&p->lock);
	if (p->audio) {
		sound_stats(p, next);
		next->participant = p->id;
		next++->ssrc = packet_ssrc(p->index, PACKET_STREAM_AUDIO);
	}
	if (p->video) {
		video_player_stats(p->video, next);
		next->participant = p->id;
		next++->ssrc = packet_ssrc(p->index, PACKET_STREAM_VIDEO);
	}
	pthread_mutex_unlock(&p->lock);
	return (size_t)(next - out);
}

void participant_publish(struct participant *p)
{
	struct media_stream_stats stats[PARTICIPANT_STREAMS];
	if (p->recording)
		recording_figures(p->recording, stats, participant_stats(p, stats));
}
