// Jitter buffer, delay, missing packets: in a time of their own, without threads. SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/arrivals.h"
#include "client/engine/media/audio_receiver.h"
#include "client/engine/media/delay.h"
#include "client/engine/media/opus_sender.h"
#include "client/engine/media/quantile.h"
#include "client/engine/media/stretch.h"
#include "client/engine/media/voice.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define FRAME_NS (20 * MEDIA_MS)
#define TICK_NS (10 * MEDIA_MS)
#define START_NS (1000 * MEDIA_SECOND)
enum { PACKETS_MAX = 4000, FLIGHT = 64 };

// A sender of a hummed tone, a network, a receiver.
struct line {
	struct tally tally;
	struct audio_receiver *receiver;
	struct opus_sender *opus;
	uint64_t now_ns;
	uint32_t sent;            // packets
	uint32_t timestamp_shift; // added to every timestamp
	uint16_t sequence_shift;
	double next_ns;           // when the next packet is sent
	double drift;             // sender's seconds are longer by this part
	uint64_t held_until_ns;   // what arrives before lies in a queue
	uint64_t deaf_until_ns;   // no ticks before
	struct {
		uint64_t due_ns;
		struct packet_rtp rtp;
		uint8_t bytes[OPUS_SENDER_PACKET_MAX];
		size_t size;
	} flight[FLIGHT];
	size_t in_flight;
	// What came out.
	uint64_t ticks, silent_ticks;
	double energy;
	int64_t delay_ns; // of play-out, on the true clock
	struct quantile delays;
};

// How late packet `number` arrives, in ms; below 0: lost.
typedef double network(uint32_t number);

static struct line *line_new(void)
{
	struct line *l = calloc(1, sizeof *l);
	assert_non_null(l);
	l->now_ns = START_NS;
	l->next_ns = START_NS;
	assert_int_equal(audio_receiver_new(&l->tally, &l->receiver), ERR_OK);
	assert_int_equal(opus_sender_new(48000, &l->opus), ERR_OK);
	return l;
}

static void line_free(struct line *l)
{
	audio_receiver_free(l->receiver);
	opus_sender_free(l->opus);
	free(l);
}

static void send_one(struct line *l, network *late_ms)
{
	int16_t samples[MEDIA_AUDIO_FRAME];
	uint32_t number = l->sent++;
	for (int i = 0; i < MEDIA_AUDIO_FRAME; i++) {
		double t = 2 * M_PI * (number * (double)MEDIA_AUDIO_FRAME + i) / MEDIA_AUDIO_RATE;
		// Syllables: what never changes counts as noise, for which Opus makes no FEC.
		samples[i] = (int16_t)((6000 * sin(t * 150) + 2000 * sin(t * 300)) * (1.2 + sin(t * 4)) / 2);
	}
	uint8_t bytes[OPUS_SENDER_PACKET_MAX];
	size_t size;
	assert_int_equal(opus_sender_encode(l->opus, samples, bytes, &size), ERR_OK);
	double late = late_ms(number);
	if (late < 0)
		return;
	assert_true(l->in_flight < FLIGHT);
	l->flight[l->in_flight].due_ns = l->now_ns + (uint64_t)(late * 1e6);
	l->flight[l->in_flight].rtp = (struct packet_rtp){ .timestamp = number * MEDIA_AUDIO_FRAME + l->timestamp_shift,
							   .sequence = (uint16_t)(number + l->sequence_shift), .payload_type = PACKET_PT_OPUS,
							   .has_voice = true };
	memcpy(l->flight[l->in_flight].bytes, bytes, size);
	l->flight[l->in_flight++].size = size;
}

// In the order of sending, one packet in a millisecond: what was held comes with its time of arrival, over some ticks.
static void arrive(struct line *l)
{
	size_t i = 0;
	while (i < l->in_flight && l->flight[i].due_ns > l->now_ns)
		i++;
	if (i == l->in_flight || l->now_ns < l->held_until_ns)
		return;
	audio_receiver_insert(l->receiver, &l->flight[i].rtp, l->flight[i].bytes, l->flight[i].size, l->flight[i].due_ns);
	memmove(&l->flight[i], &l->flight[i + 1], (--l->in_flight - i) * sizeof l->flight[0]);
}

// `count` packets, sent at their true times; time goes on in steps of 1 ms, play-out in ticks of 10 ms.
static void run(struct line *l, uint32_t count, network *late_ms)
{
	double frame_ns = FRAME_NS * (1 + l->drift);
	for (uint32_t end = l->sent + count; l->sent < end; l->now_ns += MEDIA_MS) {
		if ((double)l->now_ns >= l->next_ns) {
			send_one(l, late_ms);
			l->next_ns += frame_ns;
		}
		arrive(l);
		if (l->now_ns % TICK_NS || l->now_ns < l->deaf_until_ns)
			continue;
		int16_t out[MEDIA_AUDIO_TICK];
		int64_t media_ns;
		bool has_sound = audio_receiver_pull(l->receiver, l->now_ns, MEDIA_DELAY_NONE, out, &media_ns);
		l->ticks++;
		l->silent_ticks += !has_sound || voice_energy(out, MEDIA_AUDIO_TICK) < 1e4;
		if (has_sound) {
			// The packet is captured 20 ms before it is sent, START_NS being the first one's sending.
			l->delay_ns = (int64_t)(l->now_ns - START_NS) - media_ns + (int64_t)FRAME_NS;
			quantile_add(&l->delays, l->delay_ns);
		}
	}
}

static uint64_t concealed_frames(struct line *l)
{
	uint64_t played, concealed;
	audio_receiver_samples(l->receiver, &played, &concealed);
	return concealed / MEDIA_AUDIO_FRAME;
}

static double clean(uint32_t number)
{
	(void)number;
	return 3;
}

static void clean_line(void **state)
{
	(void)state;
	struct line *l = line_new();
	run(l, 500, clean);
	assert_int_equal(concealed_frames(l), 0);
	assert_true(l->silent_ticks <= 6);
	assert_true(l->delay_ns <= 72 * (int64_t)MEDIA_MS); // mouth to ear, without the codec's 6.5 ms
	assert_int_equal(arrivals_lost(audio_receiver_arrivals(l->receiver)), 0);
	for (int reason = 0; reason < TALLY_REASONS; reason++)
		assert_int_equal(tally_get(&l->tally, reason), 0);
	line_free(l);
}

static double queued(uint32_t number)
{
	return number < 10 ? 3 + 20.0 * (10 - number) : 3; // waits up to 200 ms for a connection, then all at once
}

static double hiccup(uint32_t number)
{
	return number >= 20 && number < 25 ? 3 + 20.0 * (25 - number) : 3; // the first second of a busy machine
}

// However a stream begins, its delay is that of a clean line from the first sample on.
static void begins(uint64_t held_ms, network *late_ms, uint64_t missed_most)
{
	struct line *l = line_new();
	l->held_until_ns = START_NS + held_ms * MEDIA_MS;
	run(l, 500, late_ms);
	uint64_t too_old = tally_get(&l->tally, TALLY_AUDIO_LATE);
	assert_true(quantile_ms(&l->delays, 0.9999) <= 72);
	assert_true(quantile_ms(&l->delays, 0.9999) - quantile_ms(&l->delays, 0) < 1); // never moved
	assert_true(concealed_frames(l) <= missed_most);
	assert_true(too_old <= held_ms / 20 + missed_most && too_old + 3 >= held_ms / 20);
	assert_true(l->silent_ticks <= 7 + held_ms / 10);
	line_free(l);
}

static void begins_steadily(void **state)
{
	(void)state;
	begins(0, clean, 0);
	begins(55, clean, 0);  // in time yet
	begins(170, clean, 0); // held until the sender's key was there
	begins(900, clean, 0);
	begins(200, queued, 0);
	begins(0, hiccup, 4);
}

static double pause_then_farther(uint32_t number)
{
	return number < 200 ? 3 : number < 325 ? -1 : 153; // away for 2.5 s; comes back by a path 150 ms longer
}

// A path that has become longer in the meantime is learnt from the first packets, none of which is then too late.
static void comes_back(void **state)
{
	(void)state;
	struct line *l = line_new();
	run(l, 335, pause_then_farther);
	l->silent_ticks = 0;
	run(l, 100, pause_then_farther);
	assert_true(l->delay_ns > 170 * (int64_t)MEDIA_MS && l->delay_ns <= 222 * (int64_t)MEDIA_MS);
	assert_true(l->silent_ticks <= 5);
	assert_true(tally_get(&l->tally, TALLY_AUDIO_LATE) <= 1);
	line_free(l);
}

// The machine sleeps for a while: its sound is lost, and not what is said from then on late.
static void ticks_left_out(void **state)
{
	(void)state;
	struct line *l = line_new();
	run(l, 100, clean);
	int64_t before = l->delay_ns;
	l->held_until_ns = l->deaf_until_ns = l->now_ns + 800 * MEDIA_MS;
	run(l, 45, clean);
	l->silent_ticks = 0;
	run(l, 50, clean);
	assert_true(llabs(l->delay_ns - before) <= 20 * (int64_t)MEDIA_MS);
	assert_int_equal(l->silent_ticks, 0);
	line_free(l);
}

static double some_lost(uint32_t number)
{
	return number % 20 == 10 ? -1 : 3;
}

// 5 % single losses: rebuilt from the copies in the next packets.
static void lost_packets(void **state)
{
	(void)state;
	struct line *l = line_new();
	run(l, 400, some_lost);
	assert_int_equal(arrivals_lost(audio_receiver_arrivals(l->receiver)) + audio_receiver_arrivals(l->receiver)->nack.count, 20);
	assert_true(concealed_frames(l) <= 10); // none between syllables
	assert_true(l->silent_ticks <= 8);
	line_free(l);
}

static double burst(uint32_t number)
{
	return number >= 100 && number < 110 ? -1 : 3;
}

// 200 ms are gone: made up, fading, and the delay afterwards is what it was.
static void lost_burst(void **state)
{
	(void)state;
	struct line *l = line_new();
	run(l, 100, burst);
	int64_t before = l->delay_ns;
	run(l, 60, burst);
	assert_true(concealed_frames(l) >= 8 && concealed_frames(l) <= 10);
	assert_true(llabs(l->delay_ns - before) < 20 * (int64_t)MEDIA_MS);
	line_free(l);
}

static double swapped(uint32_t number)
{
	return number % 5 == 0 ? 25 : 3; // comes after its successor
}

static void reordered(void **state)
{
	(void)state;
	struct line *l = line_new();
	run(l, 500, swapped);
	assert_true(concealed_frames(l) <= 1);
	assert_int_equal(arrivals_lost(audio_receiver_arrivals(l->receiver)), 0);
	line_free(l);
}

static double stalled(uint32_t number)
{
	return number >= 200 && number < 210 ? 3 + 20.0 * (210 - number) : 3; // held back 200 ms, then all at once
}

// A stall costs the sound of that time; it does not delay what follows.
static void stall(void **state)
{
	(void)state;
	struct line *l = line_new();
	run(l, 195, stalled);
	int64_t before = l->delay_ns;
	run(l, 60, stalled);
	assert_true(llabs(l->delay_ns - before) <= 20 * (int64_t)MEDIA_MS);
	assert_true(concealed_frames(l) >= 5 && concealed_frames(l) <= 12);
	assert_int_equal(arrivals_lost(audio_receiver_arrivals(l->receiver)), 0);
	assert_true(tally_get(&l->tally, TALLY_AUDIO_LATE) > 0);
	line_free(l);
}

static double jittery(uint32_t number)
{
	return 3 + number * 7919 % 31; // evenly 0 to 30 ms
}

static void jitter(void **state)
{
	(void)state;
	struct line *l = line_new();
	run(l, 1000, jittery);
	uint64_t early = concealed_frames(l);
	run(l, 1000, jittery);
	assert_true(concealed_frames(l) - early <= 20); // 2 % once the delay is known
	assert_true(l->delay_ns < 110 * (int64_t)MEDIA_MS);
	line_free(l);
}

static double farther(uint32_t number)
{
	return number < 300 ? 3 : 103; // the path becomes 100 ms longer
}

static void longer_path(void **state)
{
	(void)state;
	struct line *l = line_new();
	run(l, 300, farther);
	run(l, 200, farther);
	uint64_t settled = concealed_frames(l);
	run(l, 200, farther);
	assert_int_equal(concealed_frames(l), settled);
	assert_true(l->delay_ns > 120 * (int64_t)MEDIA_MS && l->delay_ns < 200 * (int64_t)MEDIA_MS);
	line_free(l);
}

static void drift_of(double part)
{
	struct line *l = line_new();
	l->drift = part;
	run(l, PACKETS_MAX, clean); // 80 s: 16 ms at 200 ppm
	double minute_ns = part * (double)(l->now_ns - START_NS);
	// On the sender's clock the delay stays what it was.
	assert_true(fabs((double)l->delay_ns - minute_ns) < 110 * (double)MEDIA_MS);
	assert_true(concealed_frames(l) <= 3);
	assert_true(l->silent_ticks <= 12);
	line_free(l);
}

static void clock_drift(void **state)
{
	(void)state;
	drift_of(200e-6);
	drift_of(-200e-6);
	drift_of(2000e-6); // 160 ms in all: only by stretching
}

static void timestamp_jumps(void **state)
{
	(void)state;
	struct line *l = line_new();
	run(l, 100, clean);
	l->timestamp_shift = 3000000000u; // a new clock: believed when it goes on
	run(l, 100, clean);
	assert_int_equal(tally_get(&l->tally, TALLY_AUDIO_JUMP), 3);
	uint64_t before = concealed_frames(l);
	l->silent_ticks = 0;
	run(l, 100, clean);
	assert_int_equal(concealed_frames(l), before);
	assert_int_equal(l->silent_ticks, 0);
	l->sequence_shift = 30000; // numbers begin anew
	run(l, 100, clean);
	assert_int_equal(tally_get(&l->tally, TALLY_SEQUENCE_JUMP), 2);
	l->silent_ticks = 0;
	run(l, 50, clean);
	assert_int_equal(l->silent_ticks, 0);
	assert_int_equal(arrivals_lost(audio_receiver_arrivals(l->receiver)), 0);
	line_free(l);
}

static void wraps(void **state)
{
	(void)state;
	struct line *l = line_new();
	l->timestamp_shift = UINT32_MAX - 50 * MEDIA_AUDIO_FRAME + 1;
	l->sequence_shift = 65500;
	run(l, 200, clean);
	assert_int_equal(concealed_frames(l), 0);
	assert_int_equal(arrivals_lost(audio_receiver_arrivals(l->receiver)), 0);
	assert_int_equal(tally_get(&l->tally, TALLY_SEQUENCE_JUMP) + tally_get(&l->tally, TALLY_AUDIO_JUMP), 0);
	line_free(l);
}

static void hostile_packets(void **state)
{
	(void)state;
	struct line *l = line_new();
	struct packet_rtp rtp = { .sequence = 1 };
	uint8_t bytes[2000] = { 0xff };
	audio_receiver_insert(l->receiver, &rtp, bytes, 0, START_NS);
	audio_receiver_insert(l->receiver, &rtp, bytes, 1, START_NS);
	audio_receiver_insert(l->receiver, &rtp, bytes, sizeof bytes, START_NS);
	assert_int_equal(tally_get(&l->tally, TALLY_AUDIO_MALFORMED), 3);
	// A flood without time: bounded and counted.
	memset(bytes, 0, sizeof bytes);
	for (int i = 0; i < 500; i++) {
		rtp.sequence++;
		rtp.timestamp += MEDIA_AUDIO_FRAME;
		audio_receiver_insert(l->receiver, &rtp, bytes, 20, START_NS);
	}
	assert_true(tally_get(&l->tally, TALLY_AUDIO_OVERFLOW) + tally_get(&l->tally, TALLY_AUDIO_JUMP) > 100);
	audio_receiver_insert(l->receiver, &rtp, bytes, 20, START_NS);
	assert_int_equal(tally_get(&l->tally, TALLY_DUPLICATE), 1);
	line_free(l);
}

static void delay_follows(void **state)
{
	(void)state;
	struct delay d;
	delay_init(&d, 0.95, 20 * (int64_t)MEDIA_MS, 40 * (int64_t)MEDIA_MS);
	assert_int_equal(delay_target_ns(&d), 45 * (int64_t)MEDIA_MS); // and a margin
	for (int i = 0; i < 1000; i++)
		delay_update(&d, START_NS + (uint64_t)i * FRAME_NS + (i % 10 == 0 ? 90 * MEDIA_MS : 0), i * (int64_t)FRAME_NS);
	assert_int_equal(delay_base_ns(&d), START_NS);
	assert_true(delay_target_ns(&d) >= 90 * (int64_t)MEDIA_MS && delay_target_ns(&d) <= 105 * (int64_t)MEDIA_MS);
	for (int i = 1000; i < 3000; i++)
		delay_update(&d, START_NS + (uint64_t)i * FRAME_NS + 7 * MEDIA_MS, i * (int64_t)FRAME_NS);
	assert_int_equal(delay_base_ns(&d), START_NS + 7 * MEDIA_MS); // the window has moved on
	assert_int_equal(delay_target_ns(&d), 20 * (int64_t)MEDIA_MS);
}

static void nack_asks(void **state)
{
	(void)state;
	static const struct nack_policy policy = { .allowance_ns = 10 * MEDIA_MS, .give_up_ns = 400 * MEDIA_MS, .tries = 3 };
	struct nack n;
	uint16_t out[8];
	int64_t given_up;
	uint64_t t = START_NS;
	nack_init(&n, &policy);
	assert_int_equal(nack_arrived(&n, 65534, t), NACK_IN_ORDER);
	assert_int_equal(nack_arrived(&n, 65538, t), NACK_IN_ORDER);
	assert_int_equal(nack_due(&n, t + 9 * MEDIA_MS, out, 8, &given_up), 0);
	assert_int_equal(nack_arrived(&n, 65535, t + 5 * MEDIA_MS), NACK_REORDERED);
	assert_int_equal(nack_due(&n, t + 11 * MEDIA_MS, out, 8, &given_up), 2);
	assert_int_equal(out[0], 0); // lowest 16 bits
	assert_int_equal(out[1], 1);
	assert_int_equal(nack_due(&n, t + 40 * MEDIA_MS, out, 8, &given_up), 0);
	assert_int_equal(nack_arrived(&n, 65536, t + 41 * MEDIA_MS), NACK_RECOVERED);
	assert_true(n.rtt_ns < 60 * MEDIA_MS);
	assert_int_equal(nack_arrived(&n, 65536, t + 42 * MEDIA_MS), NACK_REPEATED);
	assert_int_equal(nack_due(&n, t + 100 * MEDIA_MS, out, 8, &given_up), 1);
	assert_int_equal(nack_due(&n, t + 200 * MEDIA_MS, out, 8, &given_up), 1);
	assert_int_equal(nack_due(&n, t + 300 * MEDIA_MS, out, 8, &given_up), 0); // three tries were enough
	assert_int_equal(given_up, -1);
	assert_int_equal(nack_due(&n, t + 400 * MEDIA_MS, out, 8, &given_up), 0);
	assert_int_equal(given_up, 65537);
	assert_int_equal(n.count, 0);
	assert_int_equal(nack_arrived(&n, 65540, t), NACK_IN_ORDER);
	nack_forget(&n, 65540);
	assert_int_equal(n.count, 0);
	assert_int_equal(nack_arrived(&n, 65541 + LIMIT_MISSING + 1, t), NACK_OVERRUN);
	assert_int_equal(n.count, 0);
}

// Where packets are late by 30 ms as a rule, nobody asks for them after 10.
static void nack_learns_order(void **state)
{
	(void)state;
	static const struct nack_policy policy = { .allowance_ns = 10 * MEDIA_MS, .give_up_ns = 400 * MEDIA_MS, .tries = 3 };
	struct nack n;
	uint16_t out[8];
	int64_t given_up;
	nack_init(&n, &policy);
	uint64_t t = START_NS;
	(void)nack_arrived(&n, 100, t);
	(void)nack_arrived(&n, 102, t);
	assert_int_equal(nack_arrived(&n, 101, t + 30 * MEDIA_MS), NACK_REORDERED);
	(void)nack_arrived(&n, 104, t += 50 * MEDIA_MS);
	assert_int_equal(nack_due(&n, t + 25 * MEDIA_MS, out, 8, &given_up), 0);
	assert_int_equal(nack_due(&n, t + 31 * MEDIA_MS, out, 8, &given_up), 1);
}

static void arrivals_count(void **state)
{
	(void)state;
	static const struct nack_policy policy = { .allowance_ns = 10 * MEDIA_MS, .give_up_ns = 400 * MEDIA_MS, .tries = 3 };
	static struct arrivals a;
	static struct tally tally;
	struct arrivals_packet packet;
	uint16_t out[8];
	int64_t given_up;
	arrivals_init(&a, &policy, &tally);
	assert_int_equal(arrivals_accept(&a, 65535, 10, START_NS, &packet), ARRIVALS_USE);
	assert_int_equal(arrivals_accept(&a, 2, 10, START_NS, &packet), ARRIVALS_USE); // 0 and 1 are missing
	assert_int_equal(arrivals_accept(&a, 65534, 10, START_NS, &packet), ARRIVALS_USE); // before the first
	assert_int_equal(arrivals_accept(&a, 2, 10, START_NS, &packet), ARRIVALS_DROP);
	assert_int_equal(tally_get(&tally, TALLY_DUPLICATE), 1);
	assert_int_equal(arrivals_lost(&a), 0); // still asked for
	assert_int_equal(nack_due(&a.nack, START_NS + 20 * MEDIA_MS, out, 8, &given_up), 2);
	assert_int_equal(arrivals_accept(&a, 0, 10, START_NS + 30 * MEDIA_MS, &packet), ARRIVALS_USE);
	assert_int_equal(a.recovered, 1);
	assert_int_equal(nack_due(&a.nack, START_NS + MEDIA_SECOND, out, 8, &given_up), 0);
	assert_int_equal(arrivals_lost(&a), 1);
	// Single strays are not believed; a new row is, and keeps the count of the old.
	assert_int_equal(arrivals_accept(&a, 30000, 10, START_NS, &packet), ARRIVALS_DROP);
	assert_int_equal(arrivals_accept(&a, 40000, 10, START_NS, &packet), ARRIVALS_DROP);
	assert_int_equal(arrivals_accept(&a, 40001, 10, START_NS, &packet), ARRIVALS_DROP);
	assert_int_equal(arrivals_accept(&a, 40002, 10, START_NS, &packet), ARRIVALS_RESTART);
	assert_int_equal(arrivals_accept(&a, 40003, 10, START_NS, &packet), ARRIVALS_USE);
	assert_int_equal(arrivals_lost(&a), 1);
	assert_int_equal(tally_get(&tally, TALLY_SEQUENCE_JUMP), 3);
	assert_int_equal(a.packets, 6);
}

static void stretch_keeps_sound(void **state)
{
	(void)state;
	uint32_t seed = 1;
	int16_t tone[STRETCH_MAX], noise[STRETCH_MAX], quiet[STRETCH_MAX] = { 0 };
	for (int i = 0; i < STRETCH_MAX; i++) {
		tone[i] = (int16_t)(8000 * sin(2 * M_PI * i / 240));
		noise[i] = (int16_t)((seed = seed * 1664525 + 1013904223) >> 16);
	}
	assert_int_equal(stretch_longer(noise), MEDIA_AUDIO_FRAME); // would be heard
	assert_int_equal(stretch_shorter(noise), MEDIA_AUDIO_FRAME);
	assert_int_equal(stretch_longer(quiet), MEDIA_AUDIO_FRAME + STRETCH_PERIOD_MAX);
	assert_int_equal(stretch_shorter(quiet), MEDIA_AUDIO_FRAME - STRETCH_PERIOD_MAX);
	size_t length = stretch_longer(tone);
	assert_int_equal(length % 240, 0);
	assert_true(length > MEDIA_AUDIO_FRAME);
	for (size_t i = 0; i < length; i++)
		assert_true(fabs(tone[i] - 8000 * sin(2 * M_PI * (double)i / 240)) < 300);
	assert_int_equal(stretch_shorter(tone) % 240, 0);
	for (size_t i = 0; i < MEDIA_AUDIO_FRAME - 480; i++)
		assert_true(fabs(tone[i] - 8000 * sin(2 * M_PI * (double)i / 240)) < 300);
}

static void quantiles(void **state)
{
	(void)state;
	static struct quantile q;
	assert_true(quantile_ms(&q, 0.5) == 0);
	for (int i = 1; i <= 100; i++)
		quantile_add(&q, i * (int64_t)MEDIA_MS);
	quantile_add(&q, -5);
	quantile_add(&q, 3600 * (int64_t)MEDIA_SECOND);
	assert_true(fabs(quantile_ms(&q, 0.5) - 50) < 2);
	assert_true(fabs(quantile_ms(&q, 0.95) - 95) < 2);
	assert_true(quantile_ms(&q, 1) >= 1999);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean_line),
		cmocka_unit_test(begins_steadily),
		cmocka_unit_test(comes_back),
		cmocka_unit_test(ticks_left_out),
		cmocka_unit_test(lost_packets),
		cmocka_unit_test(lost_burst),
		cmocka_unit_test(reordered),
		cmocka_unit_test(stall),
		cmocka_unit_test(jitter),
		cmocka_unit_test(longer_path),
		cmocka_unit_test(clock_drift),
		cmocka_unit_test(timestamp_jumps),
		cmocka_unit_test(wraps),
		cmocka_unit_test(hostile_packets),
		cmocka_unit_test(delay_follows),
		cmocka_unit_test(nack_asks),
		cmocka_unit_test(nack_learns_order),
		cmocka_unit_test(arrivals_count),
		cmocka_unit_test(stretch_keeps_sound),
		cmocka_unit_test(quantiles),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
