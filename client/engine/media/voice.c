// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/voice.h"

enum { HANGOVER_FRAMES = 15 };        // the ends of words are soft
static const double least = 900.0;    // mean square: below -60 dBFS nobody speaks
static const double above_floor = 6.0;
static const double floor_rise = 1.01; // per frame: 4 dB a second

double voice_energy(const int16_t *samples, size_t count)
{
	double sum = 0;
	for (size_t i = 0; i < count; i++)
		sum += (double)samples[i] * samples[i];
	return count ? sum / (double)count : 0;
}

bool voice_update(struct voice *voice, const int16_t *samples, size_t count)
{
	double energy = voice_energy(samples, count);
	if (voice->floor == 0 || energy < voice->floor)
		voice->floor = energy > 1 ? energy : 1;
	else
		voice->floor *= floor_rise;
	if (energy > least && energy > voice->floor * above_floor)
		voice->hangover = HANGOVER_FRAMES;
	else if (voice->hangover > 0)
		voice->hangover--;
	voice->is_active = voice->hangover > 0;
	return voice->is_active;
}
