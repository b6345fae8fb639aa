// Whether somebody speaks in 20 ms of sound: energy against a noise floor that follows the quiet parts.
// SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_VOICE_H
#define CLIENT_ENGINE_MEDIA_VOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct voice {
	double floor;      // mean square of the background
	unsigned hangover; // frames that still count as voice
	bool is_active;
};

bool voice_update(struct voice *voice, const int16_t *samples, size_t count);
double voice_energy(const int16_t *samples, size_t count); // mean square

#endif
