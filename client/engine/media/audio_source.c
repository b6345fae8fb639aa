// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/audio_source.h"

#include "client/engine/media/wav_reader.h"

#include <speex/speex_resampler.h>
#include <stdio.h>
#include <stdlib.h>

enum { QUALITY = 5, PIECE = 512 };

struct audio_source {
	struct wav_reader *wav;
	SpeexResamplerState *resampler; // NULL: the file has 48 kHz already
	uint64_t position;              // next frame of the file
};

enum err audio_source_open(const char *path, struct audio_source **out, char *problem)
{
	struct audio_source *source = calloc(1, sizeof *source);
	enum err err = source ? wav_reader_open(path, &source->wav, problem) : ERR_NOMEM;
	if (err == ERR_OK && wav_reader_format(source->wav)->rate != MEDIA_AUDIO_RATE) {
		int code;
		source->resampler = speex_resampler_init(1, wav_reader_format(source->wav)->rate,
				MEDIA_AUDIO_RATE, QUALITY, &code);
		if (!source->resampler) {
			snprintf(problem, MEDIA_PROBLEM_BYTES, "%.128s: %s", path, speex_resampler_strerror(code));
			err = ERR_NOMEM;
		} else {
			// Sample 0 of the file is sample 0 of what is sent.
			speex_resampler_skip_zeros(source->resampler);
		}
	}
	if (err != ERR_OK) {
		audio_source_free(source);
		return err;
	}
	*out = source;
	return ERR_OK;
}

void audio_source_free(struct audio_source *source)
{
	if (!source)
		return;
	if (source->resampler)
		speex_resampler_destroy(source->resampler);
	wav_reader_free(source->wav);
	free(source);
}

static enum err read_resampled(struct audio_source *source, int16_t *out)
{
	uint64_t frames = wav_reader_format(source->wav)->frames;
	size_t filled = 0;
	while (filled < MEDIA_AUDIO_FRAME) {
		int16_t in[PIECE];
		enum err err = wav_reader_read(source->wav, source->position, in, PIECE);
		if (err != ERR_OK)
			return err;
		spx_uint32_t used = PIECE, made = (spx_uint32_t)(MEDIA_AUDIO_FRAME - filled);
		if (speex_resampler_process_int(source->resampler, 0, in, &used, out + filled,
				&made) != RESAMPLER_ERR_SUCCESS)
			return ERR_NOMEM;
		// What it did not use is read again: the file is a loop of exact positions.
		source->position = (source->position + used) % frames;
		filled += made;
	}
	return ERR_OK;
}

enum err audio_source_read(struct audio_source *source, int16_t out[static MEDIA_AUDIO_FRAME])
{
	if (source->resampler)
		return read_resampled(source, out);
	enum err err = wav_reader_read(source->wav, source->position, out, MEDIA_AUDIO_FRAME);
	source->position = (source->position + MEDIA_AUDIO_FRAME) % wav_reader_format(source->wav)->frames;
	return err;
}
