// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/video_receiver.h"

#include "client/engine/media/delay.h"
#include "client/engine/media/unwrap.h"
#include "client/engine/media/video_assembler.h"
#include "client/engine/media/vp9_receiver.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const double in_time = 0.95;
// Sound waits for what most pictures need, not for the few that were lost and asked for.
static const double typical = 0.75;
#define TARGET_LEAST_NS (15 * (int64_t)MEDIA_MS)
#define TARGET_START_NS (30 * (int64_t)MEDIA_MS)
#define SYNC_MAX_NS ((int64_t)MEDIA_SECOND)     // sound farther away than this is of another clock
#define SHRINK_PER_SECOND_NS (20 * (int64_t)MEDIA_MS)
#define LATE_NS (80 * MEDIA_MS)                 // later pictures are skipped if the next one is due too
#define KEY_AGAIN_NS (500 * MEDIA_MS)
#define PERIOD_MIN_NS ((int64_t)MEDIA_SECOND / LIMIT_FPS)
#define IDLE_NS MEDIA_SECOND

struct waiting {
	struct picture *picture;
	int64_t media_ns;
};

struct video_receiver {
	struct tally *tally; // borrowed
	pthread_mutex_t lock;
	// Under the lock.
	struct arrivals arrivals;
	struct video_assembler *assembler;
	uint64_t key_asked_ns;
	uint64_t key_frames_requested;
	int64_t needed_ns;
	uint64_t shown, missed;
	uint32_t width, height;
	bool has_restarted; // the sender's numbers began anew: timestamps may, too

	// The worker's.
	struct vp9_receiver *vp9;
	struct video_frame frame;
	struct unwrap timestamp;
	struct delay delay;
	struct waiting waiting[LIMIT_DECODED_PICTURES];
	size_t waiting_count;
	int64_t delay_ns; // of the play-out now
	uint64_t delay_at_ns;
	bool has_shown;
	int64_t shown_media_ns, period_ns; // of the last picture shown; smallest distance seen
};

static int64_t media_time_ns(int64_t timestamp)
{
	return timestamp * (int64_t)(MEDIA_SECOND / 10000) / (MEDIA_VIDEO_CLOCK / 10000);
}

enum err video_receiver_new(struct tally *tally, struct video_receiver **out)
{
	static const struct nack_policy policy = { .allowance_ns = 10 * MEDIA_MS, .give_up_ns = 400 * MEDIA_MS,
			.tries = 8 };
	struct video_receiver *r = calloc(1, sizeof *r);
	if (!r)
		return ERR_NOMEM;
	r->tally = tally;
	pthread_mutex_init(&r->lock, NULL);
	arrivals_init(&r->arrivals, &policy, tally);
	delay_init(&r->delay, in_time, TARGET_LEAST_NS, TARGET_START_NS);
	r->needed_ns = r->delay_ns = MEDIA_DELAY_NONE;
	r->frame.bytes = malloc(LIMIT_PICTURE_BYTES);
	if (!r->frame.bytes || video_assembler_new(tally, &r->assembler) != ERR_OK || vp9_receiver_new(&r->vp9) != ERR_OK) {
		video_receiver_free(r);
		return ERR_NOMEM;
	}
	*out = r;
	return ERR_OK;
}

void video_receiver_free(struct video_receiver *receiver)
{
	if (!receiver)
		return;
	for (size_t i = 0; i < receiver->waiting_count; i++)
		free(receiver->waiting[i].picture);
	vp9_receiver_free(receiver->vp9);
	video_assembler_free(receiver->assembler);
	free(receiver->frame.bytes);
	pthread_mutex_destroy(&receiver->lock);
	free(receiver);
}

bool video_receiver_insert(struct video_receiver *r, const struct packet_rtp *rtp, const uint8_t *payload,
		size_t size, uint64_t now_ns)
{
	struct arrivals_packet arrival;
	pthread_mutex_lock(&r->lock);
	enum arrivals_verdict verdict = arrivals_accept(&r->arrivals, rtp->sequence, size, now_ns, &arrival);
	if (verdict == ARRIVALS_RESTART) {
		video_assembler_reset(r->assembler);
		r->has_restarted = true;
	}
	if (verdict != ARRIVALS_DROP) {
		if (arrival.order == NACK_OVERRUN)
			video_assembler_give_up(r->assembler, arrival.number - 1);
		video_assembler_insert(r->assembler, arrival.number, rtp, payload, size, now_ns,
				arrival.order == NACK_RECOVERED);
	}
	pthread_mutex_unlock(&r->lock);
	return verdict != ARRIVALS_DROP && (rtp->is_marked || arrival.order != NACK_IN_ORDER);
}

// The next whole picture, without what only the decoder can do.
static bool take_frame(struct video_receiver *r)
{
	pthread_mutex_lock(&r->lock);
	bool is_there = video_assembler_take(r->assembler, &r->frame);
	if (is_there)
		nack_forget(&r->arrivals.nack, video_assembler_next(r->assembler));
	if (r->has_restarted) {
		r->has_restarted = false;
		r->timestamp = (struct unwrap){ 0 };
		delay_init(&r->delay, in_time, TARGET_LEAST_NS, TARGET_START_NS);
		r->period_ns = 0;
		r->has_shown = false;
	}
	pthread_mutex_unlock(&r->lock);
	return is_there;
}

static void frame_failed(struct video_receiver *r, enum err err)
{
	tally_add(r->tally, err == ERR_DENIED ? TALLY_VIDEO_REFUSED : TALLY_VIDEO_UNDECODABLE, 1);
	pthread_mutex_lock(&r->lock);
	video_assembler_give_up(r->assembler, -1);
	pthread_mutex_unlock(&r->lock);
}

static void decode_frame(struct video_receiver *r)
{
	struct picture *picture = NULL;
	enum err err = vp9_receiver_decode(r->vp9, r->frame.bytes, r->frame.size, &picture);
	int64_t timestamp = unwrap_u32_peek(&r->timestamp, r->frame.timestamp);
	unwrap_move(&r->timestamp, timestamp);
	delay_update(&r->delay, r->frame.complete_ns, media_time_ns(timestamp));
	if (err == ERR_AGAIN)
		return;
	if (err != ERR_OK) {
		frame_failed(r, err);
		return;
	}
	picture->timestamp = r->frame.timestamp;
	r->waiting[r->waiting_count++] = (struct waiting){ .picture = picture, .media_ns = media_time_ns(timestamp) };
}

// Grows at once, shrinks slowly: a picture that is held a little longer is not seen, one that is hurried is.
static void update_delay(struct video_receiver *r, uint64_t now_ns, int64_t sync_ns)
{
	if (r->delay.updates == 0)
		return;
	int64_t needed = delay_base_ns(&r->delay) + delay_target_ns(&r->delay), wanted = needed;
	if (sync_ns > needed && sync_ns < needed + SYNC_MAX_NS)
		wanted = sync_ns;
	int64_t passed = (int64_t)(now_ns - r->delay_at_ns);
	int64_t shrink = passed < (int64_t)MEDIA_SECOND ? passed * SHRINK_PER_SECOND_NS / (int64_t)MEDIA_SECOND : SHRINK_PER_SECOND_NS;
	bool is_other_clock = r->delay_ns == MEDIA_DELAY_NONE || wanted < r->delay_ns - SYNC_MAX_NS;
	r->delay_ns = is_other_clock || wanted > r->delay_ns - shrink ? wanted : r->delay_ns - shrink;
	r->delay_at_ns = now_ns;
	pthread_mutex_lock(&r->lock);
	r->needed_ns = delay_base_ns(&r->delay) + delay_part_ns(&r->delay, typical);
	pthread_mutex_unlock(&r->lock);
}

static struct waiting remove_first(struct video_receiver *r)
{
	struct waiting first = r->waiting[0];
	memmove(&r->waiting[0], &r->waiting[1], --r->waiting_count * sizeof r->waiting[0]);
	return first;
}

// Pictures that should have been shown since the last one.
static uint64_t count_missed(struct video_receiver *r, int64_t media_ns)
{
	int64_t step = media_ns - r->shown_media_ns;
	bool is_first = !r->has_shown;
	r->has_shown = true;
	r->shown_media_ns = media_ns;
	if (is_first || step < PERIOD_MIN_NS * 9 / 10 || step > 10 * (int64_t)MEDIA_SECOND)
		return 0;
	if (r->period_ns == 0 || step < r->period_ns)
		r->period_ns = step;
	return (uint64_t)((step + r->period_ns / 2) / r->period_ns - 1);
}

static bool is_due(const struct video_receiver *r, size_t at, uint64_t now_ns)
{
	return at < r->waiting_count && r->waiting[at].media_ns + r->delay_ns <= (int64_t)now_ns;
}

static void show_due(struct video_receiver *r, uint64_t now_ns, video_receiver_show *show, void *context)
{
	while (is_due(r, 0, now_ns)) {
		bool is_replaced = is_due(r, 1, now_ns) && is_due(r, 0, now_ns - LATE_NS);
		struct waiting w = remove_first(r);
		if (is_replaced) {
			tally_add(r->tally, TALLY_PICTURE_LATE, 1);
			free(w.picture);
			continue;
		}
		uint64_t missed = count_missed(r, w.media_ns);
		pthread_mutex_lock(&r->lock);
		r->shown++;
		r->missed += missed;
		r->width = w.picture->width;
		r->height = w.picture->height;
		pthread_mutex_unlock(&r->lock);
		w.picture->playout_ns = now_ns;
		show(context, w.picture, w.media_ns);
	}
}

uint64_t video_receiver_step(struct video_receiver *r, uint64_t now_ns, int64_t sync_ns,
		video_receiver_show *show, void *context)
{
	while (r->waiting_count < LIMIT_DECODED_PICTURES && take_frame(r))
		decode_frame(r);
	update_delay(r, now_ns, sync_ns);
	show_due(r, now_ns, show, context);
	if (r->waiting_count == 0)
		return now_ns + IDLE_NS;
	int64_t due = r->waiting[0].media_ns + r->delay_ns;
	// A picture from the far future is of a clock that jumped: look again, the delay will have followed.
	return due < (int64_t)(now_ns + IDLE_NS) ? (uint64_t)due : now_ns + IDLE_NS;
}

size_t video_receiver_missing(struct video_receiver *r, uint64_t now_ns, uint16_t *out, size_t capacity)
{
	int64_t given_up;
	pthread_mutex_lock(&r->lock);
	size_t count = nack_due(&r->arrivals.nack, now_ns, out, capacity, &given_up);
	if (given_up >= 0)
		video_assembler_give_up(r->assembler, given_up);
	pthread_mutex_unlock(&r->lock);
	return count;
}

uint64_t video_receiver_rtt_ns(struct video_receiver *r)
{
	pthread_mutex_lock(&r->lock);
	uint64_t rtt = r->arrivals.recovered > 0 ? r->arrivals.nack.rtt_ns : 0;
	pthread_mutex_unlock(&r->lock);
	return rtt;
}

bool video_receiver_wants_key(struct video_receiver *r, uint64_t now_ns)
{
	pthread_mutex_lock(&r->lock);
	bool wants = r->arrivals.packets > 0 && video_assembler_needs_key(r->assembler) &&
		     (r->key_asked_ns == 0 || now_ns - r->key_asked_ns >= KEY_AGAIN_NS);
	if (wants) {
		r->key_asked_ns = now_ns;
		r->key_frames_requested++;
	}
	pthread_mutex_unlock(&r->lock);
	return wants;
}

int64_t video_receiver_needed_ns(struct video_receiver *r)
{
	pthread_mutex_lock(&r->lock);
	int64_t needed = r->needed_ns;
	pthread_mutex_unlock(&r->lock);
	return needed;
}

void video_receiver_get_stats(struct video_receiver *r, struct video_receiver_stats *out)
{
	pthread_mutex_lock(&r->lock);
	*out = (struct video_receiver_stats){
		.packets = r->arrivals.packets,
		.bytes = r->arrivals.bytes,
		.lost = arrivals_lost(&r->arrivals),
		.recovered = r->arrivals.recovered,
		.bitrate = arrivals_bitrate(&r->arrivals),
		.shown = r->shown,
		.missed = r->missed,
		.key_frames_requested = r->key_frames_requested,
		.width = r->width,
		.height = r->height,
	};
	pthread_mutex_unlock(&r->lock);
}
