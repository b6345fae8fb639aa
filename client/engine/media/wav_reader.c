// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/wav_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORMAT_PCM = 1, FORMAT_EXTENSIBLE = 0xFFFE, READ_FRAMES = 1024 };

struct wav_reader {
	int descriptor;
	struct wav_format format;
};

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint16_t le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

#define REFUSE(problem, code, ...) (snprintf((problem), MEDIA_PROBLEM_BYTES, __VA_ARGS__), (code))

static enum err parse_format(const uint8_t *body, uint32_t size, struct wav_format *out, char *problem)
{
	if (size < 16)
		return REFUSE(problem, ERR_PARSE, "the fmt chunk has %u bytes, 16 are needed", size);
	uint16_t tag = le16(body), bits = le16(body + 14);
	// An extensible header names the real format in the first two bytes of a GUID.
	if (tag == FORMAT_EXTENSIBLE && size >= 26)
		tag = le16(body + 24);
	if (tag != FORMAT_PCM || bits != 16)
		return REFUSE(problem, ERR_PARSE, "format %u with %u bits: only PCM with 16 bits is read", tag, bits);
	out->channels = le16(body + 2);
	out->rate = le32(body + 4);
	if (out->channels < 1 || out->channels > 2)
		return REFUSE(problem, ERR_PARSE, "%u channels: only mono and stereo are read", out->channels);
	if (out->rate < WAV_RATE_MIN || out->rate > WAV_RATE_MAX)
		return REFUSE(problem, ERR_PARSE, "%u Hz: %d to %d Hz are read", out->rate, WAV_RATE_MIN, WAV_RATE_MAX);
	if (le16(body + 12) != out->channels * 2 || le32(body + 8) != out->rate * out->channels * 2)
		return REFUSE(problem, ERR_PARSE, "the fmt chunk contradicts itself (block size or byte rate)");
	return ERR_OK;
}

static enum err parse_data(uint64_t offset, uint32_t size, uint64_t file_size, struct wav_format *out, char *problem)
{
	uint32_t block = out->channels * 2u;
	if (block == 0)
		return REFUSE(problem, ERR_PARSE, "the data chunk at byte %llu comes before the fmt chunk",
				(unsigned long long)offset);
	if (size > file_size - offset)
		return REFUSE(problem, ERR_PARSE, "cut off: the data chunk says %u bytes from byte %llu, the file ends at %llu",
			      size, (unsigned long long)offset, (unsigned long long)file_size);
	if (size == 0 || size % block != 0)
		return REFUSE(problem, ERR_PARSE, "the data chunk has %u bytes: not a whole number of samples, or none", size);
	out->data_offset = offset;
	out->frames = size / block;
	return ERR_OK;
}

enum err wav_reader_parse(const uint8_t *bytes, size_t size, uint64_t file_size, struct wav_format *out, char *problem)
{
	*out = (struct wav_format){ 0 };
	if (size < 12 || memcmp(bytes, "RIFF", 4) != 0 || memcmp(bytes + 8, "WAVE", 4) != 0)
		return REFUSE(problem, ERR_PARSE, "not a RIFF/WAVE file");
	uint64_t at = 12;
	while (at + 8 <= size) {
		const uint8_t *chunk = bytes + at;
		uint32_t chunk_size = le32(chunk + 4);
		uint64_t body = at + 8;
		if (memcmp(chunk, "data", 4) == 0)
			return parse_data(body, chunk_size, file_size, out, problem);
		if (chunk_size > file_size - body)
			return REFUSE(problem, ERR_PARSE, "cut off: the chunk at byte %llu says %u bytes",
					(unsigned long long)at, chunk_size);
		if (memcmp(chunk, "fmt ", 4) == 0) {
			if (out->channels != 0)
				return REFUSE(problem, ERR_PARSE, "a second fmt chunk at byte %llu",
				(unsigned long long)at);
			if (body + chunk_size > size)
				return REFUSE(problem, ERR_PARSE,
				"the fmt chunk at byte %llu is cut off or far too long", (unsigned long long)at);
			enum err err = parse_format(bytes + body, chunk_size, out, problem);
			if (err != ERR_OK)
				return err;
		}
		at = body + chunk_size + (chunk_size & 1); // chunks are padded to even sizes
	}
	return REFUSE(problem, ERR_PARSE, "no data chunk in the first %zu bytes", size);
}

static enum err open_and_parse(struct wav_reader *reader, const char *path, char *reason)
{
	reader->descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;
	if (reader->descriptor < 0 || fstat(reader->descriptor, &status) != 0)
		return REFUSE(reason, ERR_IO, "%s", strerror(errno));
	if (!S_ISREG(status.st_mode))
		return REFUSE(reason, ERR_USAGE, "not a regular file");
	uint8_t *bytes = malloc(WAV_HEADER_MAX);
	if (!bytes)
		return REFUSE(reason, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
	ssize_t got = pread(reader->descriptor, bytes, WAV_HEADER_MAX, 0);
	enum err err = got < 0 ? REFUSE(reason, ERR_IO, "%s", strerror(errno))
			       : wav_reader_parse(bytes, (size_t)got, (uint64_t)status.st_size, &reader->format, reason);
	free(bytes);
	return err;
}

enum err wav_reader_open(const char *path, struct wav_reader **out, char *problem)
{
	char reason[MEDIA_PROBLEM_BYTES];
	struct wav_reader *reader = calloc(1, sizeof *reader);
	if (!reader)
		return REFUSE(problem, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
	enum err err = open_and_parse(reader, path, reason);
	if (err != ERR_OK) {
		snprintf(problem, MEDIA_PROBLEM_BYTES, "%.120s: %.130s", path, reason);
		wav_reader_free(reader);
		return err;
	}
	*out = reader;
	return ERR_OK;
}

void wav_reader_free(struct wav_reader *reader)
{
	if (!reader)
		return;
	if (reader->descriptor >= 0)
		close(reader->descriptor);
	free(reader);
}

const struct wav_format *wav_reader_format(const struct wav_reader *reader)
{
	return &reader->format;
}

// At most READ_FRAMES frames that do not cross the end.
static enum err read_piece(struct wav_reader *reader, uint64_t position, int16_t *mono, size_t count)
{
	uint8_t bytes[READ_FRAMES * 4];
	size_t block = reader->format.channels * 2u, want = count * block;
	ssize_t got = pread(reader->descriptor, bytes, want, (off_t)(reader->format.data_offset + position * block));
	if (got < 0 || (size_t)got != want)
		return ERR_IO;
	for (size_t i = 0; i < count; i++) {
		int left = (int16_t)le16(bytes + i * block);
		int right = block == 4 ? (int16_t)le16(bytes + i * block + 2) : left;
		mono[i] = (int16_t)((left + right) / 2);
	}
	return ERR_OK;
}

enum err wav_reader_read(struct wav_reader *reader, uint64_t position, int16_t *mono, size_t count)
{
	while (count > 0) {
		position %= reader->format.frames;
		size_t piece = count < READ_FRAMES ? count : READ_FRAMES;
		if (piece > reader->format.frames - position)
			piece = (size_t)(reader->format.frames - position);
		enum err err = read_piece(reader, position, mono, piece);
		if (err != ERR_OK)
			return err;
		position += piece;
		mono += piece;
		count -= piece;
	}
	return ERR_OK;
}
