// Sound for the measuring tools: a WAV file as mono floats, resampled to 48 kHz as a sender does it.
// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_TOOLS_SOUND_H
#define TESTS_TOOLS_SOUND_H

#include "base/err.h"

#include <speex/speex_resampler.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOUND_RATE_HZ = 48000, SOUND_RESAMPLER_QUALITY = 8 };

struct sound {
	float *samples; // owned
	size_t count;
	uint32_t rate_hz;
};

static inline void sound_fini(struct sound *sound)
{
	free(sound->samples);
	*sound = (struct sound){};
}

static inline uint32_t sound_le(const uint8_t *bytes, int count)
{
	uint32_t v = 0;
	for (int i = 0; i < count; i++)
		v |= (uint32_t)bytes[i] << 8 * i;
	return v;
}

// The "fmt " and "data" chunks of a RIFF file of 16-bit PCM. A data chunk that claims more than the file holds
// (a recording that was cut off) is taken as far as it goes.
static inline enum err sound_decode(const uint8_t *bytes, size_t size, struct sound *out)
{
	uint32_t channels = 0;
	*out = (struct sound){};
	if (size < 12 || memcmp(bytes, "RIFF", 4) != 0 || memcmp(bytes + 8, "WAVE", 4) != 0)
		return ERR_PARSE;
	for (size_t at = 12; at + 8 <= size;) {
		const uint8_t *chunk = bytes + at;
		size_t length = sound_le(chunk + 4, 4), left = size - at - 8;
		if (memcmp(chunk, "fmt ", 4) == 0 && length >= 16 && length <= left) {
			if (sound_le(chunk + 22, 2) != 16)
				return ERR_PARSE;
			channels = sound_le(chunk + 10, 2);
			out->rate_hz = sound_le(chunk + 12, 4);
		} else if (memcmp(chunk, "data", 4) == 0 && channels > 0) {
			size_t frame = channels * 2;
			out->count = (length < left ? length : left) / frame;
			out->samples = malloc((out->count + 1) * sizeof(float));
			if (!out->samples)
				return ERR_NOMEM;
			for (size_t i = 0; i < out->count; i++) {
				int32_t sum = 0;
				for (uint32_t c = 0; c < channels; c++)
					sum += (int16_t)sound_le(chunk + 8 + i * frame + c * 2, 2);
				out->samples[i] = (float)sum / (float)channels / 32768.0f;
			}
			return ERR_OK;
		}
		at += 8 + length + (length & 1);
	}
	return ERR_PARSE;
}

static inline enum err sound_read(const char *path, struct sound *out)
{
	enum err err = ERR_IO;
	uint8_t *bytes = NULL;
	long size = 0;
	FILE *file = fopen(path, "rb");
	*out = (struct sound){};
	if (!file)
		return ERR_IO;
	if (fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET) != 0)
		goto close;
	bytes = malloc((size_t)size + 1);
	if (!bytes)
		err = ERR_NOMEM;
	else if (fread(bytes, 1, (size_t)size, file) == (size_t)size)
		err = sound_decode(bytes, (size_t)size, out);
	free(bytes);
close:
	fclose(file);
	return err;
}

// A loop of sound at 48 kHz: what comes out of a resampler that is fed the file again and again, in its steady
// state, without the filter's own delay. So out->samples[(n % count)] belongs to capture time n / 48,000 s.
static inline enum err sound_resample_loop(const struct sound *in, struct sound *out)
{
	int problem = 0;
	*out = (struct sound){ .rate_hz = SOUND_RATE_HZ };
	if (in->count == 0 || in->rate_hz == 0)
		return ERR_PARSE;
	out->count = (size_t)((uint64_t)in->count * SOUND_RATE_HZ / in->rate_hz);
	size_t capacity = 2 * out->count + SOUND_RATE_HZ;
	out->samples = malloc(capacity * sizeof(float));
	if (!out->samples)
		return ERR_NOMEM;
	SpeexResamplerState *state =
		speex_resampler_init(1, in->rate_hz, SOUND_RATE_HZ, SOUND_RESAMPLER_QUALITY, &problem);
	if (!state) {
		sound_fini(out);
		return ERR_NOMEM;
	}
	speex_resampler_skip_zeros(state);
	size_t made = 0;
	for (int pass = 0; pass < 3; pass++) // twice round for the loop, and on to flush the filter
		for (size_t used = 0; used < in->count && made < capacity;) {
			spx_uint32_t take = (spx_uint32_t)(in->count - used), give = (spx_uint32_t)(capacity - made);
			speex_resampler_process_float(state, 0, in->samples + used, &take, out->samples + made, &give);
			used += take;
			made += give;
		}
	speex_resampler_destroy(state);
	memmove(out->samples, out->samples + out->count, out->count * sizeof(float));
	return ERR_OK;
}

#endif
