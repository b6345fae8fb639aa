// Sound to send: a WAV file in an endless loop, as mono 48 kHz. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_AUDIO_SOURCE_H
#define CLIENT_ENGINE_MEDIA_AUDIO_SOURCE_H

#include "base/err.h"
#include "client/engine/media/limits.h"

#include <stdint.h>

struct audio_source;

enum err audio_source_open(const char *path, struct audio_source **out, char *problem) CHECK_RESULT;
void audio_source_free(struct audio_source *source);
// The next 20 ms; call k gives the samples from k * MEDIA_AUDIO_FRAME, modulo the file's length.
enum err audio_source_read(struct audio_source *source, int16_t out[static MEDIA_AUDIO_FRAME]) CHECK_RESULT;

#endif
