// Makes 20 ms of sound a little longer or shorter without being heard: one pitch period is inserted or left
// out with a cross-fade (NetEQ's expand and accelerate). SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_STRETCH_H
#define CLIENT_ENGINE_MEDIA_STRETCH_H

#include "client/engine/media/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STRETCH_PERIOD_MIN = 120, STRETCH_PERIOD_MAX = MEDIA_AUDIO_FRAME / 2,
		STRETCH_MAX = MEDIA_AUDIO_FRAME + STRETCH_PERIOD_MAX };

// In place; `samples` has room for STRETCH_MAX. The new length: MEDIA_AUDIO_FRAME where the sound does not
// permit it (neither quiet nor periodic).
size_t stretch_longer(int16_t samples[static STRETCH_MAX]);
size_t stretch_shorter(int16_t samples[static STRETCH_MAX]);

#endif
