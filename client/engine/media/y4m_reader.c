// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/y4m_reader.h"

#include "base/text.h"
#include "client/engine/media/timebase.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIPE_BYTES = 1024 * 1024 };
static const char magic[] = "YUV4MPEG2", frame_magic[] = "FRAME";

struct y4m_reader {
	int descriptor;
	struct y4m_format format;
	bool is_stream;
	char path[128]; // for problems
	char problem[MEDIA_PROBLEM_BYTES];

	uint64_t *offsets; // of a file's pictures, behind their FRAME lines
	uint64_t count, capacity;

	// A FIFO: what the next bytes are.
	uint64_t next; // number of the picture that comes next
	char line[Y4M_HEADER_MAX];
	size_t line_size;
	bool is_in_picture;
	size_t picture_filled; // bytes of the picture that are there
};

#define REFUSE(problem, code, ...) (snprintf((problem), MEDIA_PROBLEM_BYTES, __VA_ARGS__), (code))

// "25:1" with 1..fps pictures a second.
static enum err parse_rate(const char *text, struct y4m_format *out)
{
	char number[16];
	const char *colon = strchr(text, ':');
	uint64_t num, den;
	if (!colon || (size_t)(colon - text) >= sizeof number)
		return ERR_PARSE;
	memcpy(number, text, (size_t)(colon - text));
	number[colon - text] = 0;
	if (text_u64_parse(number, 1, 1000000000, &num) != ERR_OK || text_u64_parse(colon + 1, 1, 1000000000,
			&den) != ERR_OK)
		return ERR_PARSE;
	if (num > LIMIT_FPS * den || num < den)
		return ERR_LIMIT;
	out->rate_num = (uint32_t)num;
	out->rate_den = (uint32_t)den;
	return ERR_OK;
}

static bool is_colour_read(const char *text)
{
	static const char *const known[] = { "420", "420jpeg", "420mpeg2", "420paldv" };
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strcmp(text, known[i]) == 0)
			return true;
	return false;
}

static enum err parse_side(const char *text, uint32_t most, uint32_t *out)
{
	uint64_t value;
	if (text_u64_parse(text, LIMIT_SIDE_MIN, most, &value) != ERR_OK || value % 2 != 0)
		return ERR_PARSE;
	*out = (uint32_t)value;
	return ERR_OK;
}

static enum err parse_field(const char *field, struct y4m_format *out, char *problem)
{
	const char *value = field + 1;
	switch (field[0]) {
	case 'W':
		return parse_side(value, LIMIT_WIDTH, &out->width) == ERR_OK ? ERR_OK
			: REFUSE(problem, ERR_PARSE, "width %.40s: an even number from %d to %d is allowed",
					value, LIMIT_SIDE_MIN, LIMIT_WIDTH);
	case 'H':
		return parse_side(value, LIMIT_HEIGHT, &out->height) == ERR_OK ? ERR_OK
			: REFUSE(problem, ERR_PARSE, "height %.40s: an even number from %d to %d is allowed",
					value, LIMIT_SIDE_MIN, LIMIT_HEIGHT);
	case 'F':
		return parse_rate(value, out) == ERR_OK ? ERR_OK
			: REFUSE(problem, ERR_PARSE, "frame rate %.40s: 1:1 to %d:1 is allowed", value, LIMIT_FPS);
	case 'C':
		return is_colour_read(value) ? ERR_OK
			: REFUSE(problem, ERR_PARSE, "colour space %.40s: only 8-bit 4:2:0 is read", value);
	case 'I':
		return value[0] == 'p' || value[0] == '?' ? ERR_OK : REFUSE(problem, ERR_PARSE,
				"interlaced pictures are not read");
	case 'A':
	case 'X':
		return ERR_OK;
	default:
		return REFUSE(problem, ERR_PARSE, "unknown header field '%.20s'", text_is_printable(field,
				strlen(field)) ? field : "?");
	}
}

enum err y4m_reader_parse(const char *line, size_t size, struct y4m_format *out, char *problem)
{
	char copy[Y4M_HEADER_MAX];
	*out = (struct y4m_format){ 0 };
	if (size >= sizeof copy || size < sizeof magic - 1 || memcmp(line, magic,
			sizeof magic - 1) != 0 || memchr(line, 0, size))
		return REFUSE(problem, ERR_PARSE, "not a YUV4MPEG2 file");
	memcpy(copy, line, size);
	copy[size] = 0;
	char *save;
	for (char *field = strtok_r(copy + sizeof magic - 1, " ", &save); field; field = strtok_r(NULL, " ", &save)) {
		enum err err = parse_field(field, out, problem);
		if (err != ERR_OK)
			return err;
	}
	if (!out->width || !out->height || !out->rate_num)
		return REFUSE(problem, ERR_PARSE, "the header lacks width, height or frame rate");
	return ERR_OK;
}

// The line at the beginning of `bytes`: its length without newline, or -1.
static int line_length(const char *bytes, size_t size)
{
	const char *end = memchr(bytes, '\n', size);
	return end ? (int)(end - bytes) : -1;
}

static bool is_frame_line(const char *line, int length)
{
	int magic_length = (int)sizeof frame_magic - 1;
	return length >= magic_length && length < Y4M_FRAME_HEADER_MAX && memcmp(line, frame_magic,
			sizeof frame_magic - 1) == 0 &&
	       (length == magic_length || line[magic_length] == ' ');
}

static enum err add_offset(struct y4m_reader *r, uint64_t offset)
{
	if (r->count == r->capacity) {
		uint64_t capacity = r->capacity ? r->capacity * 2 : 256;
		uint64_t *grown = capacity <= LIMIT_SOURCE_PICTURES ? reallocarray(r->offsets, capacity,
				sizeof *grown) : NULL;
		if (!grown)
			return REFUSE(r->problem, ERR_LIMIT, "more than %llu pictures", (unsigned long long)r->count);
		r->offsets = grown;
		r->capacity = capacity;
	}
	r->offsets[r->count++] = offset;
	return ERR_OK;
}

// Find every picture, so that a damaged file is refused before anything was sent.
static enum err index_file(struct y4m_reader *r, uint64_t offset, uint64_t file_size)
{
	size_t picture = y4m_picture_bytes(&r->format);
	while (offset < file_size) {
		char line[Y4M_FRAME_HEADER_MAX];
		ssize_t got = pread(r->descriptor, line, sizeof line, (off_t)offset);
		int length = got > 0 ? line_length(line, (size_t)got) : -1;
		if (length < 0 || !is_frame_line(line, length))
			return REFUSE(r->problem, ERR_PARSE, "damaged: picture %llu does not begin with FRAME at byte %llu",
				      (unsigned long long)r->count, (unsigned long long)offset);
		offset += (uint64_t)length + 1;
		if (file_size - offset < picture)
			return REFUSE(r->problem, ERR_PARSE,
					"cut off: picture %llu needs %zu bytes from byte %llu, the file ends at %llu",
				      (unsigned long long)r->count, picture, (unsigned long long)offset,
				(unsigned long long)file_size);
		enum err err = add_offset(r, offset);
		if (err != ERR_OK)
			return err;
		offset += picture;
	}
	return r->count > 0 ? ERR_OK : REFUSE(r->problem, ERR_PARSE, "no picture in it");
}

static enum err open_file(struct y4m_reader *r, uint64_t file_size)
{
	char line[Y4M_HEADER_MAX];
	ssize_t got = pread(r->descriptor, line, sizeof line, 0);
	if (got < 0)
		return REFUSE(r->problem, ERR_IO, "%s", strerror(errno));
	int length = line_length(line, (size_t)got);
	if (length < 0)
		return REFUSE(r->problem, ERR_PARSE, "not a YUV4MPEG2 file");
	enum err err = y4m_reader_parse(line, (size_t)length, &r->format, r->problem);
	return err == ERR_OK ? index_file(r, (uint64_t)length + 1, file_size) : err;
}

// Some bytes of a FIFO. Before the writer has opened it, a FIFO reads as ended: `is_begun` tells the two apart.
static enum err read_some(struct y4m_reader *r, void *bytes, size_t size, int wait_ms, bool is_begun, size_t *got)
{
	struct pollfd poller = { .fd = r->descriptor, .events = POLLIN };
	int ready = poll(&poller, 1, wait_ms);
	if (ready == 0 || (ready < 0 && errno == EINTR))
		return ERR_AGAIN;
	ssize_t n = read(r->descriptor, bytes, size);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? ERR_AGAIN : REFUSE(r->problem, ERR_IO, "%s", strerror(errno));
	if (n == 0) {
		if (is_begun)
			return ERR_CLOSED;
		timebase_sleep_until_ns(timebase_now_ns() + 10 * MEDIA_MS);
		return ERR_AGAIN;
	}
	*got = (size_t)n;
	return ERR_OK;
}

// One line of a FIFO into r->line, byte by byte: lines are short and rare.
static enum err read_line(struct y4m_reader *r, size_t most, int wait_ms, bool is_begun)
{
	for (;;) {
		size_t got;
		char c;
		enum err err = read_some(r, &c, 1, wait_ms, is_begun || r->line_size > 0, &got);
		if (err == ERR_CLOSED && r->line_size > 0)
			return REFUSE(r->problem, ERR_PARSE, "cut off in the header of picture %llu",
					(unsigned long long)r->next);
		if (err != ERR_OK)
			return err;
		if (c == '\n')
			return ERR_OK;
		if (r->line_size >= most)
			return REFUSE(r->problem, ERR_PARSE,
					"damaged: no line end in %zu bytes before picture %llu", most,
					(unsigned long long)r->next);
		r->line[r->line_size++] = c;
	}
}

static enum err open_stream(struct y4m_reader *r)
{
	r->is_stream = true;
	(void)fcntl(r->descriptor, F_SETPIPE_SZ, PIPE_BYTES); // spares context switches; any size works
	uint64_t deadline = timebase_now_ns() + Y4M_OPEN_WAIT_MS * MEDIA_MS;
	enum err err;
	do {
		err = read_line(r, Y4M_HEADER_MAX - 1, Y4M_READ_WAIT_MS, false);
	} while (err == ERR_AGAIN && timebase_now_ns() < deadline);
	if (err == ERR_AGAIN)
		return REFUSE(r->problem, ERR_TIMEOUT, "nothing came for %d s", Y4M_OPEN_WAIT_MS / 1000);
	if (err != ERR_OK)
		return err;
	err = y4m_reader_parse(r->line, r->line_size, &r->format, r->problem);
	r->line_size = 0;
	return err;
}

enum err y4m_reader_open(const char *path, struct y4m_reader **out, char *problem)
{
	struct y4m_reader *r = calloc(1, sizeof *r);
	if (!r)
		return REFUSE(problem, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
	snprintf(r->path, sizeof r->path, "%s", path);
	r->descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;
	enum err err;
	if (r->descriptor < 0 || fstat(r->descriptor, &status) != 0)
		err = REFUSE(r->problem, ERR_IO, "%s", strerror(errno));
	else if (S_ISREG(status.st_mode))
		err = open_file(r, (uint64_t)status.st_size);
	else if (S_ISFIFO(status.st_mode))
		err = open_stream(r);
	else
		err = REFUSE(r->problem, ERR_USAGE, "neither a file nor a FIFO");
	if (err != ERR_OK) {
		snprintf(problem, MEDIA_PROBLEM_BYTES, "%.110s: %.140s", r->path, r->problem);
		y4m_reader_free(r);
		return err;
	}
	*out = r;
	return ERR_OK;
}

void y4m_reader_free(struct y4m_reader *reader)
{
	if (!reader)
		return;
	if (reader->descriptor >= 0)
		close(reader->descriptor);
	free(reader->offsets);
	free(reader);
}

const struct y4m_format *y4m_reader_format(const struct y4m_reader *reader)
{
	return &reader->format;
}

bool y4m_reader_is_stream(const struct y4m_reader *reader)
{
	return reader->is_stream;
}

const char *y4m_reader_problem(const struct y4m_reader *reader)
{
	return reader->problem;
}

static enum err read_file_picture(struct y4m_reader *r, uint64_t number, uint8_t *i420)
{
	uint64_t at = r->offsets[number % r->count];
	size_t size = y4m_picture_bytes(&r->format), done = 0;
	while (done < size) {
		ssize_t got = pread(r->descriptor, i420 + done, size - done, (off_t)(at + done));
		if (got <= 0)
			return REFUSE(r->problem, ERR_IO, "picture %llu could not be read: %s",
					(unsigned long long)(number % r->count),
				      got < 0 ? strerror(errno) : "the file became shorter");
		done += (size_t)got;
	}
	return ERR_OK;
}

// The FIFO's next picture; keeps its place over ERR_AGAIN.
static enum err read_stream_picture(struct y4m_reader *r, uint8_t *i420)
{
	if (!r->is_in_picture) {
		enum err err = read_line(r, Y4M_FRAME_HEADER_MAX - 1, Y4M_READ_WAIT_MS, true);
		if (err != ERR_OK)
			return err;
		if (!is_frame_line(r->line, (int)r->line_size))
			return REFUSE(r->problem, ERR_PARSE, "damaged: picture %llu does not begin with FRAME",
					(unsigned long long)r->next);
		r->line_size = 0;
		r->is_in_picture = true;
		r->picture_filled = 0;
	}
	size_t size = y4m_picture_bytes(&r->format);
	while (r->picture_filled < size) {
		size_t got;
		enum err err = read_some(r, i420 + r->picture_filled, size - r->picture_filled,
				Y4M_READ_WAIT_MS, true, &got);
		if (err == ERR_CLOSED)
			return REFUSE(r->problem, ERR_PARSE, "cut off in picture %llu", (unsigned long long)r->next);
		if (err != ERR_OK)
			return err;
		r->picture_filled += got;
	}
	r->is_in_picture = false;
	r->next++;
	return ERR_OK;
}

enum err y4m_reader_read(struct y4m_reader *reader, uint64_t number, uint8_t *i420)
{
	if (!reader->is_stream)
		return read_file_picture(reader, number, i420);
	enum err err;
	do {
		err = read_stream_picture(reader, i420);
	} while (err == ERR_OK && reader->next <= number);
	return err;
}
