// Where in a looped source does a recording come from, and how alike are the two?
//
// The recording is cut into windows of two seconds. Each is correlated with the whole loop (by FFT, at 8 kHz);
// the delay that most of the sound agrees on is the delay of the recording. Each window's quarters are then
// matched again, at 48 kHz, within ALIGN_SLACK_MS of it: a play-out buffer may stretch and shrink by that much, and
// no piece may pick some other place in the loop that happens to look better. SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_TOOLS_ALIGN_H
#define TESTS_TOOLS_ALIGN_H

#include "base/err.h"

#include <complex.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
	ALIGN_RATE_HZ = 48000,
	ALIGN_STEP = 6, // samples at 48 kHz for one of the coarse search
	ALIGN_WINDOW = 2 * ALIGN_RATE_HZ,
	ALIGN_PIECE = ALIGN_WINDOW / 4,
	ALIGN_PIECES_MAX = 2400,
	ALIGN_SLACK_MS = 200,
};

struct align_result {
	double correlation;       // of all pieces, weighted by their energy; -1 to 1
	double rigid_correlation; // of the whole recording with one delay for all of it
	double delay_ms;          // capture to play-out, weighted median; 0 to the loop's length
	double spread_ms;         // largest difference of a piece's delay from the median
	size_t pieces;            // of half a second, with sound in them
};

struct align_piece {
	size_t start;  // in the recording, samples
	double energy;
	double delay;  // samples
	double correlation;
};

// In place, radix 2; `sign` -1 forward, 1 backward (not scaled).
static inline void align_fft(float complex *v, size_t count, int sign)
{
	for (size_t i = 1, j = 0; i < count; i++) {
		size_t bit = count >> 1;
		for (; j & bit; bit >>= 1)
			j ^= bit;
		j ^= bit;
		if (i < j) {
			float complex swap = v[i];
			v[i] = v[j];
			v[j] = swap;
		}
	}
	for (size_t half = 1; half < count; half *= 2) {
		float complex turn[64];
		for (size_t k0 = 0; k0 < half; k0 += 64) {
			size_t some = half - k0 < 64 ? half - k0 : 64;
			for (size_t k = 0; k < some; k++)
				turn[k] = (float complex)cexp(I * sign * M_PI * (double)(k0 + k) / (double)half);
			for (size_t base = 0; base < count; base += 2 * half)
				for (size_t k = 0; k < some; k++) {
					float complex a = v[base + k0 + k], b = v[base + k0 + k + half] * turn[k];
					v[base + k0 + k] = a + b;
					v[base + k0 + k + half] = a - b;
				}
		}
	}
}

// Means of ALIGN_STEP samples each: a crude low-pass, the same for both sides.
static inline float align_coarse(const float *samples, size_t count, bool is_loop, size_t i)
{
	float sum = 0;
	for (size_t k = i * ALIGN_STEP; k < (i + 1) * ALIGN_STEP; k++)
		sum += is_loop ? samples[k % count] : k < count ? samples[k] : 0;
	return sum;
}

static inline double align_energy(const float *samples, size_t count)
{
	double sum = 0;
	for (size_t i = 0; i < count; i++)
		sum += (double)samples[i] * (double)samples[i];
	return sum;
}

// Normalised correlation of `count` samples of the recording with the loop from `position` on.
static inline double align_correlate(const float *recording, size_t count, const float *loop, size_t loop_count, size_t position)
{
	double cross = 0, a = 0, b = 0;
	for (size_t i = 0, k = position % loop_count; i < count; i++, k = k + 1 == loop_count ? 0 : k + 1) {
		cross += (double)recording[i] * (double)loop[k];
		a += (double)recording[i] * (double)recording[i];
		b += (double)loop[k] * (double)loop[k];
	}
	return a > 0 && b > 0 ? cross / sqrt(a * b) : 0;
}

struct align_search {
	const float *loop;
	size_t loop_count;
	size_t size;              // of the transforms
	size_t lags;              // coarse positions in the loop
	float complex *spectrum;  // of the loop, repeated
	float complex *work;
	double *energy;           // running sums of the repeated loop's squares, coarse
};

static inline void align_search_fini(struct align_search *search)
{
	free(search->spectrum);
	free(search->work);
	free(search->energy);
}

static inline enum err align_search_init(struct align_search *search, const float *loop, size_t loop_count)
{
	*search = (struct align_search){ .loop = loop, .loop_count = loop_count, .lags = loop_count / ALIGN_STEP };
	size_t needed = search->lags + ALIGN_WINDOW / ALIGN_STEP;
	for (search->size = 1; search->size < needed;)
		search->size *= 2;
	search->spectrum = calloc(search->size, sizeof(float complex));
	search->work = calloc(search->size, sizeof(float complex));
	search->energy = calloc(needed + 1, sizeof(double));
	if (!search->spectrum || !search->work || !search->energy) {
		align_search_fini(search);
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < needed; i++) {
		float v = align_coarse(loop, loop_count, true, i);
		search->spectrum[i] = v;
		search->energy[i + 1] = search->energy[i] + (double)v * (double)v;
	}
	align_fft(search->spectrum, search->size, -1);
	return ERR_OK;
}

// Positive remainder.
static inline double align_modulo(double value, double period)
{
	double rest = fmod(value, period);
	return rest < 0 ? rest + period : rest;
}

// Best position in the loop (samples at 48 kHz, to ALIGN_STEP of them) of a piece of the recording, `count` samples
// (at most ALIGN_WINDOW), among those at most `reach` samples away from `near`.
static inline size_t align_find(struct align_search *search, const float *piece, size_t count, double near, double reach)
{
	size_t coarse = count / ALIGN_STEP, best = 0;
	double best_value = -1e30;
	for (size_t i = 0; i < search->size; i++)
		search->work[i] = i < coarse ? align_coarse(piece, count, false, i) : 0;
	align_fft(search->work, search->size, -1);
	for (size_t i = 0; i < search->size; i++)
		search->work[i] = search->spectrum[i] * conjf(search->work[i]);
	align_fft(search->work, search->size, 1);
	for (size_t lag = 0; lag < search->lags; lag++) {
		double apart = align_modulo((double)(lag * ALIGN_STEP) - near, (double)search->loop_count);
		if (fmin(apart, (double)search->loop_count - apart) > reach)
			continue;
		double energy = search->energy[lag + coarse] - search->energy[lag];
		double value = energy > 1e-9 ? (double)crealf(search->work[lag]) / sqrt(energy) : 0;
		if (value > best_value) {
			best_value = value;
			best = lag;
		}
	}
	return best * ALIGN_STEP;
}

static inline int align_by_delay(const void *a, const void *b)
{
	double left = ((const struct align_piece *)a)->delay, right = ((const struct align_piece *)b)->delay;
	return left < right ? -1 : left > right;
}

static inline double align_median(struct align_piece *pieces, size_t count)
{
	double total = 0, sum = 0;
	qsort(pieces, count, sizeof(*pieces), align_by_delay);
	for (size_t i = 0; i < count; i++)
		total += pieces[i].energy;
	for (size_t i = 0; i < count; i++)
		if ((sum += pieces[i].energy) >= total / 2)
			return pieces[i].delay;
	return 0;
}

// The recording in pieces of `size` samples, without those that are silent: silence correlates with nothing.
static inline size_t align_cut(const float *recording, size_t count, size_t size, struct align_piece pieces[static ALIGN_PIECES_MAX])
{
	size_t all = 0, loud = 0;
	double loudest = 0;
	for (size_t start = 0; start + size <= count && all < ALIGN_PIECES_MAX; start += size) {
		pieces[all] = (struct align_piece){ .start = start, .energy = align_energy(recording + start, size) };
		loudest = fmax(loudest, pieces[all++].energy);
	}
	for (size_t i = 0; i < all; i++)
		if (pieces[i].energy > loudest / 100)
			pieces[loud++] = pieces[i];
	return loud;
}

// Match one piece near `delay`, in the end sample by sample.
static inline void align_refine(struct align_search *search, struct align_piece *w, const float *recording, double zero,
				double delay)
{
	double loop_count = (double)search->loop_count, expected = zero + (double)w->start - delay;
	double coarse = (double)align_find(search, recording + w->start, ALIGN_PIECE, align_modulo(expected, loop_count),
					   ALIGN_SLACK_MS * ALIGN_RATE_HZ / 1000.0);
	w->correlation = -1;
	for (int d = -ALIGN_STEP; d <= ALIGN_STEP; d++) {
		double position = align_modulo(coarse + d, loop_count);
		double value = align_correlate(recording + w->start, ALIGN_PIECE, search->loop, search->loop_count, (size_t)position);
		if (value > w->correlation) {
			// The delay that is nearest to the expected one among those a whole loop apart.
			double apart = align_modulo(expected - position + loop_count / 2, loop_count) - loop_count / 2;
			w->correlation = value;
			w->delay = delay + apart;
		}
	}
}

// The delay on which most windows agree, when each looks for its place in all of the loop.
static inline double align_agree(struct align_search *search, const float *recording, double zero, struct align_piece *windows, size_t count)
{
	double period = (double)search->loop_count;
	for (size_t i = 0; i < count; i++) {
		size_t position = align_find(search, recording + windows[i].start, ALIGN_WINDOW, 0, period);
		windows[i].delay = align_modulo(zero + (double)windows[i].start - (double)position, period);
	}
	return align_median(windows, count);
}

// `zero` is the position in the source (samples since its capture began) that the recording's first sample
// would have if sound took no time. ERR_NOT_FOUND: the recording has no sound, or is shorter than a window.
static inline enum err align_measure(const float *recording, size_t count, const float *loop, size_t loop_count,
				     double zero, struct align_result *out)
{
	static struct align_piece pieces[ALIGN_PIECES_MAX];
	struct align_search search;
	double total = 0;
	*out = (struct align_result){};
	size_t windows = align_cut(recording, count, ALIGN_WINDOW, pieces);
	if (loop_count < ALIGN_STEP || windows == 0)
		return ERR_NOT_FOUND;
	enum err err = align_search_init(&search, loop, loop_count);
	if (err != ERR_OK)
		return err;
	double agreed = align_agree(&search, recording, zero, pieces, windows);
	out->pieces = align_cut(recording, count, ALIGN_PIECE, pieces);
	for (size_t i = 0; i < out->pieces; i++) {
		align_refine(&search, &pieces[i], recording, zero, agreed);
		out->correlation += pieces[i].correlation * pieces[i].energy;
		total += pieces[i].energy;
	}
	align_search_fini(&search);
	out->correlation /= total;
	double delay = align_median(pieces, out->pieces);
	for (size_t i = 0; i < out->pieces; i++)
		out->spread_ms = fmax(out->spread_ms, fabs(pieces[i].delay - delay) * 1000 / ALIGN_RATE_HZ);
	out->delay_ms = delay * 1000 / ALIGN_RATE_HZ;
	out->rigid_correlation = align_correlate(recording, count, loop, loop_count,
						 (size_t)align_modulo(round(zero - delay), (double)loop_count));
	return ERR_OK;
}

#endif
