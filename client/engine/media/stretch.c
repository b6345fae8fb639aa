// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/stretch.h"

#include "client/engine/media/voice.h"

#include <math.h>
#include <string.h>

static const double quiet_energy = 2500.0; // mean square; about -56 dBFS
static const double alike_enough = 0.9;
enum { DECIMATE = 4, STEP = 4 };

// Normalised correlation of the first period with the next one.
static double likeness(const int16_t *samples, size_t period)
{
	double ab = 0, aa = 0, bb = 0;
	for (size_t i = 0; i < period; i += DECIMATE) {
		double a = samples[i], b = samples[i + period];
		ab += a * b;
		aa += a * a;
		bb += b * b;
	}
	return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

// The period at which the sound repeats itself, 0 if it does not.
static size_t find_period(const int16_t *samples)
{
	if (voice_energy(samples, MEDIA_AUDIO_FRAME) < quiet_energy)
		return STRETCH_PERIOD_MAX;
	size_t best = 0;
	double best_likeness = alike_enough;
	for (size_t period = STRETCH_PERIOD_MIN; period <= STRETCH_PERIOD_MAX; period += STEP) {
		double l = likeness(samples, period);
		if (l > best_likeness) {
			best_likeness = l;
			best = period;
		}
	}
	return best;
}

// From `a` to `b` over `count` samples.
static void cross_fade(const int16_t *a, const int16_t *b, int16_t *out, size_t count)
{
	for (size_t i = 0; i < count; i++)
		out[i] = (int16_t)((a[i] * (int32_t)(count - i) + b[i] * (int32_t)i) / (int32_t)count);
}

size_t stretch_longer(int16_t samples[static STRETCH_MAX])
{
	size_t period = find_period(samples);
	if (period == 0)
		return MEDIA_AUDIO_FRAME;
	int16_t faded[STRETCH_PERIOD_MAX];
	cross_fade(samples + period, samples, faded, period);
	memmove(samples + 2 * period, samples + period, (MEDIA_AUDIO_FRAME - period) * sizeof *samples);
	memcpy(samples + period, faded, period * sizeof *samples);
	return MEDIA_AUDIO_FRAME + period;
}

size_t stretch_shorter(int16_t samples[static STRETCH_MAX])
{
	size_t period = find_period(samples);
	if (period == 0)
		return MEDIA_AUDIO_FRAME;
	cross_fade(samples, samples + period, samples, period);
	memmove(samples + period, samples + 2 * period, (MEDIA_AUDIO_FRAME - 2 * period) * sizeof *samples);
	return MEDIA_AUDIO_FRAME - period;
}
