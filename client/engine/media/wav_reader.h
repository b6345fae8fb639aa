// RIFF/WAVE files with 16-bit PCM, mono or stereo, any usual rate. Strict: a damaged file is refused with one
// line that says what is wrong and where. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_WAV_READER_H
#define CLIENT_ENGINE_MEDIA_WAV_READER_H

#include "base/err.h"
#include "client/engine/media/limits.h"

#include <stddef.h>
#include <stdint.h>

enum { WAV_RATE_MIN = 8000, WAV_RATE_MAX = 192000, WAV_HEADER_MAX = 65536 };

struct wav_format {
	uint32_t rate; // Hz
	uint16_t channels;
	uint64_t data_offset; // bytes
	uint64_t frames;      // samples per channel
};

struct wav_reader;

// `bytes` is the beginning of a file of `file_size` bytes, at most WAV_HEADER_MAX of it; the data chunk must
// start there. `problem` has MEDIA_PROBLEM_BYTES and gets a line without the file's name.
enum err wav_reader_parse(const uint8_t *bytes, size_t size, uint64_t file_size, struct wav_format *out,
		char *problem) CHECK_RESULT;

enum err wav_reader_open(const char *path, struct wav_reader **out, char *problem) CHECK_RESULT;
void wav_reader_free(struct wav_reader *reader);
const struct wav_format *wav_reader_format(const struct wav_reader *reader);

// `count` frames from frame `position` modulo the length, stereo mixed to mono. ERR_IO if the file shrank.
enum err wav_reader_read(struct wav_reader *reader, uint64_t position, int16_t *mono, size_t count) CHECK_RESULT;

#endif
