// YUV4MPEG2 pictures, 8-bit 4:2:0, from a file (any picture at any time) or a FIFO (in order, to its end).
// Damaged input is refused with one line that says what is wrong and where. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_Y4M_READER_H
#define CLIENT_ENGINE_MEDIA_Y4M_READER_H

#include "base/err.h"
#include "client/engine/media/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { Y4M_HEADER_MAX = 512, Y4M_FRAME_HEADER_MAX = 128, Y4M_OPEN_WAIT_MS = 10000, Y4M_READ_WAIT_MS = 100 };

struct y4m_format {
	uint32_t width, height;       // even, at most LIMIT_WIDTH x LIMIT_HEIGHT
	uint32_t rate_num, rate_den;  // pictures per second, at most LIMIT_FPS
};

static inline size_t y4m_picture_bytes(const struct y4m_format *format)
{
	return (size_t)format->width * format->height * 3 / 2;
}

struct y4m_reader;

// A header line without its newline. `problem` has MEDIA_PROBLEM_BYTES and gets a line without the file's name.
enum err y4m_reader_parse(const char *line, size_t size, struct y4m_format *out, char *problem) CHECK_RESULT;

// A file is checked to its end; of a FIFO the header, which may take Y4M_OPEN_WAIT_MS to come.
enum err y4m_reader_open(const char *path, struct y4m_reader **out, char *problem) CHECK_RESULT;
void y4m_reader_free(struct y4m_reader *reader);
const struct y4m_format *y4m_reader_format(const struct y4m_reader *reader);
bool y4m_reader_is_stream(const struct y4m_reader *reader);

// Picture `number` as packed I420: of a file modulo its length, of a FIFO never before one already read.
// ERR_AGAIN: nothing came for Y4M_READ_WAIT_MS, call again. ERR_CLOSED: the FIFO's end. ERR_PARSE, ERR_IO:
// damaged; y4m_reader_problem says where.
enum err y4m_reader_read(struct y4m_reader *reader, uint64_t number, uint8_t *i420) CHECK_RESULT;
const char *y4m_reader_problem(const struct y4m_reader *reader);

#endif
