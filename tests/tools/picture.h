// Pictures for the measuring tools: a Y4M file (4:2:0, 8 bits) as an array of frames, and PSNR.
// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_TOOLS_PICTURE_H
#define TESTS_TOOLS_PICTURE_H

#include "base/err.h"

#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// What two equal pictures count as: PSNR has no bound, a mean needs one.
#define PICTURE_PSNR_MAX_DB 100.0

struct picture_file {
	uint8_t *bytes; // mapped
	size_t size;
	uint32_t width, height, rate, scale; // rate / scale frames a second
	size_t header_size;
	size_t frame_stride; // with its "FRAME" line
	size_t count;
};

struct picture_psnr {
	double luma_db;
	double weighted_db; // (6 Y + Cb + Cr) / 8, each in dB
};

static inline void picture_close(struct picture_file *file)
{
	if (file->bytes)
		munmap(file->bytes, file->size);
	*file = (struct picture_file){};
}

static inline size_t picture_bytes(const struct picture_file *file)
{
	return (size_t)file->width * file->height +
	       2 * (size_t)((file->width + 1) / 2) * ((file->height + 1) / 2);
}

// The stream header line: "YUV4MPEG2 W640 H360 F25:1 …".
static inline enum err picture_parse(struct picture_file *file)
{
	const char *line = (const char *)file->bytes, *end;
	if (file->size < 10 || memcmp(line, "YUV4MPEG2 ", 10) != 0)
		return ERR_PARSE;
	end = memchr(line, '\n', file->size < 256 ? file->size : 256);
	if (!end || (size_t)(end - line) + 8 > file->size)
		return ERR_PARSE;
	file->rate = 25;
	file->scale = 1;
	for (const char *at = line; at && at < end; at = memchr(at + 1, ' ', (size_t)(end - at - 1))) {
		char *rest = NULL;
		if (memcmp(at, " W", 2) == 0)
			file->width = (uint32_t)strtoul(at + 2, NULL, 10);
		else if (memcmp(at, " H", 2) == 0)
			file->height = (uint32_t)strtoul(at + 2, NULL, 10);
		else if (memcmp(at, " F", 2) == 0) {
			file->rate = (uint32_t)strtoul(at + 2, &rest, 10);
			file->scale = *rest == ':' ? (uint32_t)strtoul(rest + 1, NULL, 10) : 1;
		} else if (memcmp(at, " C", 2) == 0 && memcmp(at, " C420", 5) != 0)
			return ERR_PARSE;
	}
	if (!file->width || !file->height || file->width > 16384 || file->height > 16384 || !file->rate || !file->scale)
		return ERR_PARSE;
	file->header_size = (size_t)(end - line) + 1;
	// All frames have one length: parameters after "FRAME" are allowed if every frame has them alike.
	const char *frame = end + 1;
	const char *frame_end = memchr(frame, '\n', file->size - file->header_size);
	if (!frame_end || memcmp(frame, "FRAME", 5) != 0)
		return ERR_PARSE;
	file->frame_stride = (size_t)(frame_end - frame) + 1 + picture_bytes(file);
	file->count = (file->size - file->header_size) / file->frame_stride;
	return file->count > 0 ? ERR_OK : ERR_PARSE;
}

static inline enum err picture_open(const char *path, struct picture_file *out)
{
	struct stat info;
	enum err err = ERR_IO;
	*out = (struct picture_file){};
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (descriptor < 0)
		return ERR_IO;
	if (fstat(descriptor, &info) == 0 && info.st_size > 0) {
		void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
		if (map != MAP_FAILED) {
			out->bytes = map;
			out->size = (size_t)info.st_size;
			err = picture_parse(out);
		}
	} else if (info.st_size == 0)
		err = ERR_PARSE;
	close(descriptor);
	if (err != ERR_OK)
		picture_close(out);
	return err;
}

// The planes of frame `i`; NULL if the file has lost step there.
static inline const uint8_t *picture_frame(const struct picture_file *file, size_t i)
{
	const uint8_t *at = file->bytes + file->header_size + i * file->frame_stride;
	return i < file->count && memcmp(at, "FRAME", 5) == 0 ? at + file->frame_stride - picture_bytes(file) : NULL;
}

static inline double picture_plane_psnr(const uint8_t *a, const uint8_t *b, size_t size)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < size;) {
		uint32_t part = 0; // of few enough squares not to overflow
		for (size_t end = size - i < 16384 ? size : i + 16384; i < end; i++) {
			int d = a[i] - b[i];
			part += (uint32_t)(d * d);
		}
		sum += part;
	}
	return sum == 0 ? PICTURE_PSNR_MAX_DB : 10 * log10(255.0 * 255.0 * (double)size / (double)sum);
}

// Two pictures of the size of `file`.
static inline struct picture_psnr picture_compare(const struct picture_file *file, const uint8_t *a, const uint8_t *b)
{
	size_t luma = (size_t)file->width * file->height, chroma = (picture_bytes(file) - luma) / 2;
	double y = picture_plane_psnr(a, b, luma);
	double cb = picture_plane_psnr(a + luma, b + luma, chroma);
	double cr = picture_plane_psnr(a + luma + chroma, b + luma + chroma, chroma);
	return (struct picture_psnr){ .luma_db = y, .weighted_db = (6 * y + cb + cr) / 8 };
}

#endif
