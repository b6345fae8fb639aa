// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/audio_receiver.h"

#include "client/engine/media/audio_buffer.h"
#include "client/engine/media/delay.h"
#include "client/engine/media/stretch.h"
#include "client/engine/media/unwrap.h"

#include <opus/opus.h>
#include <stdlib.h>
#include <string.h>

enum { DECODER_COMPLEXITY = 5 }; // from 5 on libopus conceals with its neural network, where built with it
static const double in_time = 0.95;
#define TARGET_LEAST_NS (20 * (int64_t)MEDIA_MS)
#define TARGET_START_NS (35 * (int64_t)MEDIA_MS)
#define LONGER_BELOW_NS (3 * (int64_t)MEDIA_MS)   // delay is raised when it is so much too small,
#define SHORTER_ABOVE_NS (30 * (int64_t)MEDIA_MS) // lowered when so much too large
#define DELAY_MAX_NS (500 * (int64_t)MEDIA_MS)    // above the base, whatever anybody asks for
enum {
	SAMPLE_STEP = 120,                            // libopus conceals multiples of 2.5 ms
	FADE_OUT = MEDIA_AUDIO_RATE / 5,              // made-up sound in a row before it is silence
	IDLE = 2 * MEDIA_AUDIO_RATE,                  // nothing for so long: the next packet starts anew
	JUMP = 5 * MEDIA_AUDIO_RATE,                  // timestamps this far off are not believed at once
	JUMPS_BELIEVED = 3,
	HOLD_MAX = MEDIA_AUDIO_RATE / 2,              // waiting for late packets in a row
	READY_MAX = LIMIT_AUDIO_PACKET_SAMPLES + MEDIA_AUDIO_RATE / 10,
};

struct audio_receiver {
	struct tally *tally; // borrowed
	OpusDecoder *decoder;
	struct arrivals arrivals;
	struct unwrap timestamp;
	struct audio_buffer buffer;
	struct delay delay;
	unsigned jumps; // in a row

	bool is_playing;
	uint64_t pulled_ns; // the last tick
	int64_t next;     // timestamp that is decoded next
	int64_t delay_ns; // of the play-out now
	int64_t made_up;  // samples in a row
	int64_t held;     // samples made up while time stood still

	int16_t ready[READY_MAX]; // decoded, not yet played
	size_t ready_count;
	uint64_t played, concealed; // samples
};

static int64_t media_ns(int64_t timestamp)
{
	return timestamp * (int64_t)(MEDIA_SECOND / 1000) / (MEDIA_AUDIO_RATE / 1000);
}

static int64_t samples_ns(size_t samples)
{
	return media_ns((int64_t)samples);
}

static void begin_delay(struct audio_receiver *r)
{
	delay_init(&r->delay, in_time, TARGET_LEAST_NS, TARGET_START_NS);
}

static void restart(struct audio_receiver *r)
{
	begin_delay(r);
	audio_buffer_init(&r->buffer);
	r->timestamp = (struct unwrap){ 0 };
	r->is_playing = false;
	r->jumps = 0;
	r->ready_count = 0;
}

enum err audio_receiver_new(struct tally *tally, struct audio_receiver **out)
{
	static const struct nack_policy policy = { .allowance_ns = 8 * MEDIA_MS, .give_up_ns = 200 * MEDIA_MS, .tries = 2 };
	struct audio_receiver *r = calloc(1, sizeof *r);
	if (!r)
		return ERR_NOMEM;
	int code;
	r->tally = tally;
	r->decoder = opus_decoder_create(MEDIA_AUDIO_RATE, 1, &code);
	if (!r->decoder || opus_decoder_ctl(r->decoder, OPUS_SET_COMPLEXITY(DECODER_COMPLEXITY)) != OPUS_OK) {
		audio_receiver_free(r);
		return ERR_NOMEM;
	}
	arrivals_init(&r->arrivals, &policy, tally);
	restart(r);
	*out = r;
	return ERR_OK;
}

void audio_receiver_free(struct audio_receiver *receiver)
{
	if (!receiver)
		return;
	if (receiver->decoder)
		opus_decoder_destroy(receiver->decoder);
	free(receiver);
}

// False: the timestamp is too far off to be believed yet.
static bool is_time_sane(struct audio_receiver *r, uint32_t timestamp)
{
	if (!r->timestamp.is_started)
		return true;
	int64_t step = unwrap_u32_peek(&r->timestamp, timestamp) - r->timestamp.last;
	if (step > -JUMP && step < JUMP) {
		r->jumps = 0;
		return true;
	}
	tally_add(r->tally, TALLY_AUDIO_JUMP, 1);
	if (++r->jumps < JUMPS_BELIEVED)
		return false;
	restart(r);
	return true;
}

static bool is_late(const struct audio_receiver *r, const struct audio_packet *packet)
{
	return r->is_playing && packet->timestamp < r->next;
}

void audio_receiver_insert(struct audio_receiver *r, const struct packet_rtp *rtp, const uint8_t *payload,
		size_t size, uint64_t now_ns)
{
	struct audio_packet packet = { .has_voice = rtp->has_voice, .size = size };
	if (size > 0 && size <= sizeof packet.bytes)
		memcpy(packet.bytes, payload, size);
	audio_buffer_inspect(&packet);
	if (packet.samples == 0) {
		tally_add(r->tally, TALLY_AUDIO_MALFORMED, 1);
		return;
	}
	struct arrivals_packet arrival;
	enum arrivals_verdict verdict = arrivals_accept(&r->arrivals, rtp->sequence, size, now_ns, &arrival);
	if (verdict == ARRIVALS_DROP)
		return;
	if (verdict == ARRIVALS_RESTART)
		restart(r);
	if (!is_time_sane(r, rtp->timestamp))
		return;
	packet.timestamp = unwrap_u32_peek(&r->timestamp, rtp->timestamp);
	if (!r->timestamp.is_started || packet.timestamp > r->timestamp.last)
		unwrap_move(&r->timestamp, packet.timestamp);
	// What was asked for says nothing about how late packets come by themselves.
	if (arrival.order != NACK_RECOVERED || r->delay.updates == 0)
		delay_update(&r->delay, now_ns, media_ns(packet.timestamp));
	if (is_late(r, &packet)) {
		tally_add(r->tally, TALLY_AUDIO_LATE, 1);
		return;
	}
	bool has_dropped = false;
	if (!audio_buffer_insert(&r->buffer, &packet, &has_dropped))
		tally_add(r->tally, TALLY_DUPLICATE, 1);
	if (has_dropped)
		tally_add(r->tally, TALLY_AUDIO_OVERFLOW, 1);
}

// The delay that play-out should have, on the scale of delay_ns.
static int64_t wanted_delay_ns(const struct audio_receiver *r, int64_t floor_ns)
{
	int64_t base = delay_base_ns(&r->delay);
	int64_t wanted = base + delay_target_ns(&r->delay);
	if (floor_ns > base + DELAY_MAX_NS)
		floor_ns = base + DELAY_MAX_NS;
	return wanted > floor_ns ? wanted : floor_ns;
}

static int decode(struct audio_receiver *r, const struct audio_packet *packet, int16_t *out, int samples, bool is_fec)
{
	int made = opus_decode(r->decoder, packet ? packet->bytes : NULL, packet ? (opus_int32)packet->size : 0,
			out, samples, is_fec);
	return made == samples ? made : 0;
}

// Sound for a missing frame, or to bridge a wait: libopus fades it out by itself, then it is plain silence.
static void make_up(struct audio_receiver *r, size_t samples)
{
	int16_t *out = r->ready + r->ready_count;
	if (r->made_up >= FADE_OUT || decode(r, NULL, out, (int)samples, false) == 0)
		memset(out, 0, samples * sizeof *out);
	r->made_up += (int64_t)samples;
	r->concealed += samples;
	r->ready_count += samples;
}

static void play_packet(struct audio_receiver *r, const struct audio_packet *packet, int64_t delay_ns, int64_t wanted_ns)
{
	int16_t *out = r->ready + r->ready_count;
	size_t samples = (size_t)packet->samples;
	if (decode(r, packet, out, packet->samples, false) == 0) {
		tally_add(r->tally, TALLY_AUDIO_UNDECODABLE, 1);
		make_up(r, samples);
		r->next += (int64_t)samples;
		return;
	}
	r->next += (int64_t)samples;
	r->played += samples;
	r->made_up = r->held = 0;
	if (samples == MEDIA_AUDIO_FRAME && delay_ns + LONGER_BELOW_NS < wanted_ns)
		samples = stretch_longer(out);
	else if (samples == MEDIA_AUDIO_FRAME && delay_ns > wanted_ns + SHORTER_ABOVE_NS && !packet->has_voice)
		samples = stretch_shorter(out);
	r->ready_count += samples;
}

static void play_gap(struct audio_receiver *r, const struct audio_packet *following, int64_t delay_ns, int64_t wanted_ns)
{
	int64_t gap = following ? following->timestamp - r->next : MEDIA_AUDIO_FRAME;
	// Nothing there and the delay is to grow anyway: let it grow now, while there is nothing to play.
	if (!following && delay_ns < wanted_ns && r->held < HOLD_MAX) {
		r->held += MEDIA_AUDIO_TICK;
		make_up(r, MEDIA_AUDIO_TICK);
		return;
	}
	if (gap < SAMPLE_STEP) { // odd timestamps: no frame fits in between
		r->next += gap;
		return;
	}
	int samples = (int)(gap < MEDIA_AUDIO_FRAME ? gap - gap % SAMPLE_STEP : MEDIA_AUDIO_FRAME);
	int16_t *out = r->ready + r->ready_count;
	if (following && following->has_fec && gap == MEDIA_AUDIO_FRAME && decode(r, following, out, samples, true)) {
		r->ready_count += (size_t)samples;
		r->played += (uint64_t)samples;
		r->made_up = 0;
	} else {
		make_up(r, (size_t)samples);
	}
	r->next += samples;
}

// Decode or make up the next piece.
static void produce(struct audio_receiver *r, uint64_t now_ns, int64_t floor_ns)
{
	const struct audio_packet *first;
	while ((first = audio_buffer_first(&r->buffer)) && first->timestamp < r->next) {
		tally_add(r->tally, TALLY_AUDIO_LATE, 1); // overlaps what has been played
		audio_buffer_drop_first(&r->buffer);
	}
	int64_t delay_ns = (int64_t)now_ns + samples_ns(r->ready_count) - media_ns(r->next);
	int64_t wanted_ns = wanted_delay_ns(r, floor_ns);
	if (first && first->timestamp == r->next) {
		play_packet(r, first, delay_ns, wanted_ns);
		audio_buffer_drop_first(&r->buffer);
	} else {
		play_gap(r, first, delay_ns, wanted_ns);
	}
}

// Begins with the packet whose time it is. The first packets of a stream may have waited, for its key or a
// connection, and lie there at once: beginning with the oldest would keep their age as the delay of all that follow.
static bool start(struct audio_receiver *r, uint64_t now_ns, int64_t floor_ns)
{
	const struct audio_packet *first;
	while (delay_is_settled(&r->delay, now_ns) && (first = audio_buffer_first(&r->buffer))) {
		int64_t early_ns = media_ns(first->timestamp) + wanted_delay_ns(r, floor_ns) - (int64_t)now_ns;
		if (early_ns > 0)
			return false;
		if (early_ns > -samples_ns(MEDIA_AUDIO_TICK)) {
			r->is_playing = true;
			r->next = first->timestamp;
			r->ready_count = 0;
			r->made_up = r->held = 0;
			return true;
		}
		tally_add(r->tally, TALLY_AUDIO_LATE, 1);
		audio_buffer_drop_first(&r->buffer);
	}
	return false;
}

bool audio_receiver_pull(struct audio_receiver *r, uint64_t now_ns, int64_t floor_ns,
		int16_t out[static MEDIA_AUDIO_TICK], int64_t *media)
{
	memset(out, 0, MEDIA_AUDIO_TICK * sizeof *out);
	if (r->is_playing && r->made_up > IDLE) {
		r->is_playing = false;
		begin_delay(r); // the path may be another one
	}
	if (now_ns > r->pulled_ns + (uint64_t)samples_ns(MEDIA_AUDIO_TICK))
		r->is_playing = false; // ticks were left out: what should have played then is not to play now
	r->pulled_ns = now_ns;
	if (!r->is_playing && !start(r, now_ns, floor_ns))
		return false;
	while (r->ready_count < MEDIA_AUDIO_TICK)
		produce(r, now_ns, floor_ns);
	*media = media_ns(r->next) - samples_ns(r->ready_count);
	r->delay_ns = (int64_t)now_ns - *media;
	memcpy(out, r->ready, MEDIA_AUDIO_TICK * sizeof *out);
	r->ready_count -= MEDIA_AUDIO_TICK;
	memmove(r->ready, r->ready + MEDIA_AUDIO_TICK, r->ready_count * sizeof *out);
	return true;
}

size_t audio_receiver_missing(struct audio_receiver *r, uint64_t now_ns, uint64_t rtt_ns, uint16_t *out, size_t capacity)
{
	int64_t given_up;
	if (rtt_ns > 0)
		nack_set_rtt(&r->arrivals.nack, rtt_ns);
	// The slack of a packet that is missing now is about the target: with a longer way back it would come too late.
	if ((int64_t)r->arrivals.nack.rtt_ns > delay_target_ns(&r->delay) + (int64_t)r->arrivals.nack.policy.allowance_ns)
		capacity = 0;
	return nack_due(&r->arrivals.nack, now_ns, out, capacity, &given_up);
}

int64_t audio_receiver_delay_ns(const struct audio_receiver *r)
{
	return r->is_playing ? r->delay_ns : MEDIA_DELAY_NONE;
}

const struct arrivals *audio_receiver_arrivals(const struct audio_receiver *r)
{
	return &r->arrivals;
}

void audio_receiver_samples(const struct audio_receiver *r, uint64_t *played, uint64_t *concealed)
{
	*played = r->played;
	*concealed = r->concealed;
}
