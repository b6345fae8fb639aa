// WAV and Y4M: what is read, what is refused and how it is said, files that stay valid.
// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/audio_source.h"
#include "client/engine/media/outfile.h"
#include "client/engine/media/wav_reader.h"
#include "client/engine/media/wav_writer.h"
#include "client/engine/media/y4m_reader.h"
#include "client/engine/media/y4m_writer.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static char directory[] = "/tmp/media_files.XXXXXX";
static char path[256];

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof path, "%s/file", directory);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

static void write_file(const void *bytes, size_t size)
{
	unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), (ssize_t)size);
	close(fd);
}

// A good mono file of 4 samples at 16 kHz.
static const uint8_t good_wav[52] = "RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\x08\0\0\0\1\0\2\0\3\0\4";

static enum err parse_changed(size_t at, uint8_t value, size_t size, char *problem)
{
	uint8_t bytes[sizeof good_wav];
	struct wav_format format;
	memcpy(bytes, good_wav, sizeof bytes);
	bytes[at] = value;
	problem[0] = 0;
	return wav_reader_parse(bytes, size, size, &format, problem);
}

static void wav_good(void **state)
{
	(void)state;
	struct wav_format format;
	char problem[MEDIA_PROBLEM_BYTES];
	assert_int_equal(wav_reader_parse(good_wav, sizeof good_wav, sizeof good_wav, &format, problem), ERR_OK);
	assert_int_equal(format.rate, 16000);
	assert_int_equal(format.channels, 1);
	assert_int_equal(format.frames, 4);
	assert_int_equal(format.data_offset, 44);
}

static void wav_refused(void **state)
{
	(void)state;
	static const struct { size_t at; uint8_t value; size_t size; const char *says; } rows[] = {
		{ 0, 'X', 52, "not a RIFF" },           { 8, 'X', 52, "not a RIFF" },
		{ 16, 8, 52, "fmt chunk has 8" },       { 20, 3, 52, "format 3" },
		{ 34, 8, 52, "8 bits" },                { 22, 3, 52, "3 channels" },
		{ 22, 0, 52, "0 channels" },            { 25, 0, 52, "128 Hz" },
		{ 32, 4, 52, "contradicts" },           { 40, 200, 52, "cut off" },
		{ 40, 7, 52, "not a whole number" },    { 40, 0, 52, "none" },
		{ 36, 'X', 52, "no data chunk" },       { 12, 'X', 52, "comes before the fmt" },
		{ 39, 'a', 30, "cut off" },             { 39, 'a', 44, "cut off" },
		{ 19, 0xff, 52, "cut off" },            { 39, 'a', 11, "not a RIFF" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char problem[MEDIA_PROBLEM_BYTES];
		assert_int_not_equal(parse_changed(rows[i].at, rows[i].value, rows[i].size, problem), ERR_OK);
		if (!strstr(problem, rows[i].says))
			fail_msg("row %zu says '%s', not '%s'", i, problem, rows[i].says);
	}
}

static void wav_open_names_file(void **state)
{
	(void)state;
	struct wav_reader *reader = NULL;
	char problem[MEDIA_PROBLEM_BYTES];
	assert_int_equal(wav_reader_open("/nonexistent.wav", &reader, problem), ERR_IO);
	assert_non_null(strstr(problem, "/nonexistent.wav: No such file"));
	assert_int_equal(wav_reader_open("/tmp", &reader, problem), ERR_USAGE);
	write_file(good_wav, 50);
	assert_int_equal(wav_reader_open(path, &reader, problem), ERR_PARSE);
	assert_non_null(strstr(problem, path));
	assert_null(reader);
}

static void wav_loops(void **state)
{
	(void)state;
	struct wav_reader *reader;
	char problem[MEDIA_PROBLEM_BYTES];
	int16_t samples[10];
	write_file(good_wav, sizeof good_wav);
	assert_int_equal(wav_reader_open(path, &reader, problem), ERR_OK);
	assert_int_equal(wav_reader_read(reader, 6, samples, 10), ERR_OK);
	for (int i = 0; i < 10; i++)
		assert_int_equal(samples[i], (6 + i) % 4 + 1);
	assert_int_equal(truncate(path, 46), 0);
	assert_int_equal(wav_reader_read(reader, 0, samples, 10), ERR_IO);
	wav_reader_free(reader);
}

// At every moment the file is one that the strict reader takes.
static void wav_writer_always_valid(void **state)
{
	(void)state;
	struct wav_writer writer;
	struct wav_reader *reader;
	char problem[MEDIA_PROBLEM_BYTES];
	int16_t samples[480] = { 7, -7 };
	int fd;
	bool is_stream;
	unlink(path);
	assert_int_equal(outfile_open(path, &fd, &is_stream), ERR_OK);
	assert_false(is_stream);
	assert_int_equal(wav_writer_init(&writer, fd, 48000, false), ERR_OK);
	assert_int_equal(wav_writer_write(&writer, samples, 480), ERR_OK);
	assert_int_equal(wav_writer_flush(&writer), ERR_OK);
	assert_int_equal(wav_writer_silence(&writer, 10000), ERR_OK); // not flushed: as if killed here
	assert_int_equal(wav_reader_open(path, &reader, problem), ERR_OK);
	assert_int_equal(wav_reader_format(reader)->frames, 480);
	wav_reader_free(reader);
	assert_int_equal(wav_writer_flush(&writer), ERR_OK);
	assert_int_equal(wav_reader_open(path, &reader, problem), ERR_OK);
	assert_int_equal(wav_reader_format(reader)->frames, 10480);
	int16_t back[3];
	assert_int_equal(wav_reader_read(reader, 0, back, 3), ERR_OK);
	assert_int_equal(back[0], 7);
	assert_int_equal(back[1], -7);
	wav_reader_free(reader);
	close(fd);
}

// A tone keeps its frequency and its place through the resampler and over the end of the file.
static void source_resamples(void **state)
{
	(void)state;
	enum { RATE = 16000, FRAMES = 16000 };
	struct wav_writer writer;
	struct audio_source *source;
	char problem[MEDIA_PROBLEM_BYTES];
	static int16_t tone[FRAMES];
	int fd;
	bool is_stream;
	for (int i = 0; i < FRAMES; i++)
		tone[i] = (int16_t)lrint(10000 * sin(2 * M_PI * 400 * i / RATE));
	unlink(path);
	assert_int_equal(outfile_open(path, &fd, &is_stream), ERR_OK);
	assert_int_equal(wav_writer_init(&writer, fd, RATE, false), ERR_OK);
	assert_int_equal(wav_writer_write(&writer, tone, FRAMES), ERR_OK);
	assert_int_equal(wav_writer_flush(&writer), ERR_OK);
	close(fd);
	assert_int_equal(audio_source_open(path, &source, problem), ERR_OK);
	for (int frame = 0; frame < 120; frame++) {
		int16_t out[MEDIA_AUDIO_FRAME];
		assert_int_equal(audio_source_read(source, out), ERR_OK);
		for (int i = frame ? 0 : 100; i < MEDIA_AUDIO_FRAME; i++) {
			double want = 10000 * sin(2 * M_PI * 400 * (frame * MEDIA_AUDIO_FRAME + i) / 48000);
			assert_true(fabs(out[i] - want) < 120);
		}
	}
	audio_source_free(source);
}

static void y4m_headers(void **state)
{
	(void)state;
	static const struct { const char *line; const char *says; } rows[] = {
		{ "YUV4MPEG2 W640 H360 F25:1 Ip A1:1 C420jpeg XYSCSS=420JPEG", NULL },
		{ "YUV4MPEG2 W16 H16 F30000:1001", NULL },
		{ "YUV4MPEG2 W1920 H1080 F60:1 I? C420", NULL },
		{ "YUV4MPEG W640 H360 F25:1", "not a YUV4MPEG2" },
		{ "YUV4MPEG2 W641 H360 F25:1", "width 641" },
		{ "YUV4MPEG2 W1922 H360 F25:1", "width 1922" },
		{ "YUV4MPEG2 W640 H1082 F25:1", "height 1082" },
		{ "YUV4MPEG2 W640 H0 F25:1", "height 0" },
		{ "YUV4MPEG2 W-640 H360 F25:1", "width -640" },
		{ "YUV4MPEG2 W640 H360 F61:1", "frame rate" },
		{ "YUV4MPEG2 W640 H360 F0:0", "frame rate" },
		{ "YUV4MPEG2 W640 H360 F1:2", "frame rate" },
		{ "YUV4MPEG2 W640 H360 F25", "frame rate" },
		{ "YUV4MPEG2 W640 H360", "lacks" },
		{ "YUV4MPEG2 H360 F25:1", "lacks" },
		{ "YUV4MPEG2 W640 H360 F25:1 C422", "colour space 422" },
		{ "YUV4MPEG2 W640 H360 F25:1 C420p10", "colour space 420p10" },
		{ "YUV4MPEG2 W640 H360 F25:1 It", "interlaced" },
		{ "YUV4MPEG2 W640 H360 F25:1 Q7", "unknown header field" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct y4m_format format;
		char problem[MEDIA_PROBLEM_BYTES] = "";
		enum err err = y4m_reader_parse(rows[i].line, strlen(rows[i].line), &format, problem);
		assert_int_equal(err == ERR_OK, rows[i].says == NULL);
		if (rows[i].says && !strstr(problem, rows[i].says))
			fail_msg("'%s' says '%s', not '%s'", rows[i].line, problem, rows[i].says);
	}
}

enum { SIDE = 16, PICTURE = SIDE * SIDE * 3 / 2 };

static size_t write_pictures(int count)
{
	struct y4m_writer writer;
	struct y4m_format format = { .width = SIDE, .height = SIDE, .rate_num = 25, .rate_den = 1 };
	uint8_t picture[PICTURE];
	int fd;
	bool is_stream;
	unlink(path);
	assert_int_equal(outfile_open(path, &fd, &is_stream), ERR_OK);
	assert_int_equal(y4m_writer_init(&writer, fd, false, &format), ERR_OK);
	for (int i = 0; i < count; i++) {
		memset(picture, i, sizeof picture);
		assert_int_equal(y4m_writer_write(&writer, picture), ERR_OK);
	}
	close(fd);
	return writer.bytes;
}

static void y4m_round_trip(void **state)
{
	(void)state;
	struct y4m_reader *reader;
	char problem[MEDIA_PROBLEM_BYTES];
	uint8_t picture[PICTURE];
	write_pictures(3);
	assert_int_equal(y4m_reader_open(path, &reader, problem), ERR_OK);
	for (uint64_t n = 0; n < 8; n++) {
		assert_int_equal(y4m_reader_read(reader, n, picture), ERR_OK);
		assert_int_equal(picture[PICTURE - 1], n % 3);
	}
	y4m_reader_free(reader);
}

static void y4m_damaged(void **state)
{
	(void)state;
	struct y4m_reader *reader;
	char problem[MEDIA_PROBLEM_BYTES];
	size_t size = write_pictures(3);
	assert_int_equal(truncate(path, (off_t)size - 1), 0);
	assert_int_equal(y4m_reader_open(path, &reader, problem), ERR_PARSE);
	assert_non_null(strstr(problem, "picture 2 needs"));
	write_pictures(3);
	int fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "X", 1, (off_t)(size - PICTURE - 6)), 1);
	close(fd);
	assert_int_equal(y4m_reader_open(path, &reader, problem), ERR_PARSE);
	assert_non_null(strstr(problem, "picture 2 does not begin with FRAME"));
	write_pictures(0);
	assert_int_equal(y4m_reader_open(path, &reader, problem), ERR_PARSE);
	assert_non_null(strstr(problem, "no picture"));
}

static void *feed_fifo(void *argument)
{
	const char *fifo = argument;
	uint8_t picture[PICTURE];
	FILE *out = fopen(fifo, "w");
	fputs("YUV4MPEG2 W16 H16 F25:1\n", out);
	for (int i = 0; i < 5; i++) {
		memset(picture, i, sizeof picture);
		fputs("FRAME Ip\n", out);
		fwrite(picture, sizeof picture, 1, out);
		fflush(out);
	}
	fputs("FRAME\nhalf", out);
	fclose(out);
	return NULL;
}

static void y4m_fifo(void **state)
{
	(void)state;
	struct y4m_reader *reader;
	char problem[MEDIA_PROBLEM_BYTES];
	uint8_t picture[PICTURE];
	pthread_t feeder;
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(pthread_create(&feeder, NULL, feed_fifo, path), 0);
	assert_int_equal(y4m_reader_open(path, &reader, problem), ERR_OK);
	assert_true(y4m_reader_is_stream(reader));
	static const uint64_t wanted[] = { 0, 1, 4 }; // 2 and 3 are skipped
	for (int i = 0; i < 3; i++) {
		enum err err;
		while ((err = y4m_reader_read(reader, wanted[i], picture)) == ERR_AGAIN)
			;
		assert_int_equal(err, ERR_OK);
		assert_int_equal(picture[0], wanted[i]);
	}
	enum err err;
	while ((err = y4m_reader_read(reader, 5, picture)) == ERR_AGAIN)
		;
	assert_int_equal(err, ERR_PARSE);
	assert_non_null(strstr(y4m_reader_problem(reader), "cut off in picture 5"));
	pthread_join(feeder, NULL);
	y4m_reader_free(reader);
}

// No space: said as such, and the file ends with a whole picture.
static void y4m_writer_full(void **state)
{
	(void)state;
	struct y4m_writer writer;
	struct y4m_reader *reader;
	struct y4m_format format = { .width = SIDE, .height = SIDE, .rate_num = 25, .rate_den = 1 };
	char problem[MEDIA_PROBLEM_BYTES];
	uint8_t picture[PICTURE] = { 0 };
	struct rlimit was, small;
	int fd;
	bool is_stream;
	outfile_block_signals();
	unlink(path);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	small = was;
	small.rlim_cur = 1000;
	assert_int_equal(outfile_open(path, &fd, &is_stream), ERR_OK);
	assert_int_equal(y4m_writer_init(&writer, fd, false, &format), ERR_OK);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	enum err err = ERR_OK;
	for (int i = 0; i < 10 && err == ERR_OK; i++)
		err = y4m_writer_write(&writer, picture);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	close(fd);
	assert_int_equal(err, ERR_FULL);
	assert_int_equal(writer.pictures, 2);
	assert_int_equal(y4m_reader_open(path, &reader, problem), ERR_OK);
	y4m_reader_free(reader);
}

static void outfile_failures(void **state)
{
	(void)state;
	int fd;
	bool is_stream;
	assert_int_equal(outfile_open("/nonexistent/file", &fd, &is_stream), ERR_IO);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(outfile_open(path, &fd, &is_stream), ERR_AGAIN); // nobody reads
	int reader = open(path, O_RDONLY | O_NONBLOCK);
	assert_int_equal(outfile_open(path, &fd, &is_stream), ERR_OK);
	assert_true(is_stream);
	assert_int_equal(outfile_write(fd, "x", 1), ERR_OK);
	close(reader);
	outfile_block_signals();
	assert_int_equal(outfile_write(fd, "x", 1), ERR_CLOSED);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wav_good),
		cmocka_unit_test(wav_refused),
		cmocka_unit_test(wav_open_names_file),
		cmocka_unit_test(wav_loops),
		cmocka_unit_test(wav_writer_always_valid),
		cmocka_unit_test(source_resamples),
		cmocka_unit_test(y4m_headers),
		cmocka_unit_test(y4m_round_trip),
		cmocka_unit_test(y4m_damaged),
		cmocka_unit_test(y4m_fifo),
		cmocka_unit_test(y4m_writer_full),
		cmocka_unit_test(outfile_failures),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
