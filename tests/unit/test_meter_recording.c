// The meter as a program, on a recording that was made up: known delay, gain and error of the pictures.
// SPDX-License-Identifier: Apache-2.0
#include "tests/tools/align.h"

// cmocka needs these before it
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>
#include <yyjson.h>

enum { WIDTH = 64, HEIGHT = 32, BYTES = WIDTH * HEIGHT * 3 / 2, PICTURES = 50, SHOWN = 60, REPEATS = SHOWN / 10, STEP = 3600, RATE = 48000,
       LOOP = 5 * RATE, RECORDED = 8 * RATE, DELAY = 90 * RATE / 1000 };
#define EPOCH_NS UINT64_C(1800000000123456789)

struct place {
	char directory[64], base[96];
};

static FILE *create(const struct place *place, const char *name)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", place->directory, name);
	FILE *file = fopen(path, "wb");
	assert_non_null(file);
	return file;
}

static void put(FILE *file, uint32_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		fputc((int)(value >> 8 * i & 0xff), file);
}

static void write_wav(const struct place *place, const char *name, size_t count, int16_t (*sample)(size_t i))
{
	FILE *file = create(place, name);
	fputs("RIFF", file);
	put(file, (uint32_t)(36 + count * 2), 4);
	fputs("WAVEfmt ", file);
	put(file, 16, 4);
	put(file, 1, 2);
	put(file, 1, 2);
	put(file, RATE, 4);
	put(file, RATE * 2, 4);
	put(file, 2, 2);
	put(file, 16, 2);
	fputs("data", file);
	put(file, (uint32_t)(count * 2), 4);
	for (size_t i = 0; i < count; i++)
		put(file, (uint16_t)sample(i), 2);
	fclose(file);
}

static int16_t source_sample(size_t i)
{
	uint64_t v = (i / 4 % (LOOP / 4)) * 6364136223846793005u; // steps: not all of it is above hearing
	return (int16_t)((int32_t)(v >> 33 & 0x3fff) - 0x2000);
}

// Played out from one second after the epoch on, 90 ms late, half as loud.
static int16_t recorded_sample(size_t i)
{
	return source_sample((i + RATE - DELAY) % LOOP) / 2;
}

// Picture `number` of the source, `error` added to its luma.
static void write_picture(FILE *file, size_t number, int error)
{
	fputs("FRAME\n", file);
	for (size_t i = 0; i < BYTES; i++)
		fputc((int)(16 + (number * 31 + i * 7) % 200) + (i < WIDTH * HEIGHT ? error : 0), file);
}

// Every tenth picture is a repeat, every other picture is wrong by 1 or 2: 48.13 and 42.11 dB.
static void write_pictures(const struct place *place)
{
	FILE *source = create(place, "source.y4m"), *received = create(place, "someone.y4m"), *list = create(place, "someone.frames");
	fprintf(source, "YUV4MPEG2 W%d H%d F25:1 C420\n", WIDTH, HEIGHT);
	for (size_t i = 0; i < PICTURES; i++)
		write_picture(source, i, 0);
	fprintf(received, "YUV4MPEG2 W%d H%d F25:1\n", WIDTH, HEIGHT);
	fputs("# a comment\n", list);
	for (size_t i = 0; i < SHOWN; i++) {
		bool is_repeat = i % 10 == 9;
		size_t number = 30 + i - is_repeat; // beyond the loop's end
		uint64_t capture_ns = EPOCH_NS + number * 40000000;
		write_picture(received, number % PICTURES, (int)(1 + number % 2));
		fprintf(list, "1 %zu %zu %" PRIu64 " %" PRIu64 " %d\n", i, number * STEP, capture_ns, capture_ns + 75000000, is_repeat);
	}
	fclose(source);
	fclose(received);
	fclose(list);
}

static int make_recording(void **context)
{
	struct place *place = calloc(1, sizeof(*place));
	assert_non_null(place);
	strcpy(place->directory, "/tmp/test_meter_recording.XXXXXX");
	assert_non_null(mkdtemp(place->directory));
	snprintf(place->base, sizeof(place->base), "%s/someone", place->directory);
	write_wav(place, "source.wav", LOOP, source_sample);
	write_wav(place, "someone.wav", RECORDED, recorded_sample);
	write_pictures(place);
	FILE *json = create(place, "someone.json");
	fprintf(json, "{\"audio\":{\"playout_ns\":%" PRIu64 "}}", EPOCH_NS + 1000000000);
	fclose(json);
	*context = place;
	return 0;
}

static int remove_recording(void **context)
{
	static const char *const names[] = { "source.wav", "source.y4m", "someone.wav", "someone.y4m", "someone.frames", "someone.json" };
	struct place *place = *context;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char path[128];
		snprintf(path, sizeof(path), "%s/%s", place->directory, names[i]);
		unlink(path);
	}
	int status = rmdir(place->directory);
	free(place);
	return status;
}

// build/tests/meter, which stands beside this test. Its exit status; its output as JSON if it gave any.
static int run_meter(const struct place *place, yyjson_doc **out)
{
	char self[PATH_MAX] = "", command[PATH_MAX + 512], text[4096];
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	*strrchr(self, '/') = 0;
	snprintf(command, sizeof(command), "'%s/meter' --recording %s --wav %s/source.wav --y4m %s/source.y4m 2>&1", self, place->base,
		 place->directory, place->directory);
	FILE *pipe = popen(command, "r");
	assert_non_null(pipe);
	size_t size = fread(text, 1, sizeof(text) - 1, pipe);
	text[size] = 0;
	int status = pclose(pipe);
	assert_true(WIFEXITED(status));
	*out = yyjson_read(text, size, 0);
	if (!*out)
		print_message("%s", text);
	return WEXITSTATUS(status);
}

static double number_of(yyjson_doc *doc, const char *name)
{
	yyjson_val *value = yyjson_obj_get(yyjson_doc_get_root(doc), name);
	assert_true(yyjson_is_num(value));
	return yyjson_get_num(value);
}

static void figures_are_those_that_were_made(void **context)
{
	yyjson_doc *doc;
	assert_int_equal(run_meter(*context, &doc), 0);
	assert_float_equal(number_of(doc, "audio_correlation"), 1, 0.001);
	assert_float_equal(number_of(doc, "audio_delay_ms"), 90, 0.05);
	assert_float_equal(number_of(doc, "audio_delay_spread_ms"), 0, 0.001);
	assert_float_equal(number_of(doc, "psnr_db"), (30 * 48.1308 + 24 * 42.1102) / 54, 0.001); // six odd ones are repeats
	assert_float_equal(number_of(doc, "psnr_min_db"), 42.1102, 0.001);
	assert_float_equal(number_of(doc, "video_delay_ms"), 75, 0.001);
	assert_float_equal(number_of(doc, "frames"), SHOWN - REPEATS, 0);
	assert_float_equal(number_of(doc, "repeats"), REPEATS, 0);
	assert_float_equal(number_of(doc, "unmatched"), 0, 0);
	yyjson_doc_free(doc);
}

static void pictures_of_the_wrong_time_show(void **context)
{
	struct place *place = *context;
	yyjson_doc *doc;
	FILE *list = create(place, "someone.frames");
	fprintf(list, "1 0 %d %" PRIu64 " %" PRIu64 " 0\n", 31 * STEP, EPOCH_NS, EPOCH_NS); // it is number 30
	fprintf(list, "1 1 %d %" PRIu64 " %" PRIu64 " 0\n", 31 * STEP + STEP / 2, EPOCH_NS, EPOCH_NS); // between two
	fclose(list);
	assert_int_equal(run_meter(place, &doc), 0);
	assert_true(number_of(doc, "psnr_db") < 20);
	assert_float_equal(number_of(doc, "unmatched"), 1, 0);
	yyjson_doc_free(doc);
}

static void what_was_not_received_is_null(void **context)
{
	struct place *place = *context;
	char path[128];
	yyjson_doc *doc;
	snprintf(path, sizeof(path), "%s.wav", place->base);
	unlink(path);
	snprintf(path, sizeof(path), "%s.frames", place->base);
	unlink(path);
	assert_int_equal(run_meter(place, &doc), 0);
	assert_true(yyjson_is_null(yyjson_obj_get(yyjson_doc_get_root(doc), "audio_correlation")));
	assert_true(yyjson_is_null(yyjson_obj_get(yyjson_doc_get_root(doc), "psnr_db")));
	assert_float_equal(number_of(doc, "frames"), 0, 0);
	yyjson_doc_free(doc);
}

static void damage_is_a_failure(void **context)
{
	struct place *place = *context;
	yyjson_doc *doc;
	fclose(create(place, "someone.json")); // empty
	assert_int_equal(run_meter(place, &doc), 1);
	assert_null(doc);
	fclose(create(place, "source.y4m"));
	assert_int_equal(run_meter(place, &doc), 1);
	assert_null(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(figures_are_those_that_were_made, make_recording, remove_recording),
		cmocka_unit_test_setup_teardown(pictures_of_the_wrong_time_show, make_recording, remove_recording),
		cmocka_unit_test_setup_teardown(what_was_not_received_is_null, make_recording, remove_recording),
		cmocka_unit_test_setup_teardown(damage_is_a_failure, make_recording, remove_recording),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
