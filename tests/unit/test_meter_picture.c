// The meter's PSNR on pictures that differ by a known amount, and its reading of Y4M files.
// SPDX-License-Identifier: Apache-2.0
#include "tests/tools/picture.h"

// cmocka needs these before it
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { WIDTH = 64, HEIGHT = 32, LUMA = WIDTH * HEIGHT, CHROMA = LUMA / 4, BYTES = LUMA + 2 * CHROMA };

static void psnr_of_known_differences(void **context)
{
	(void)context;
	struct picture_file file = { .width = WIDTH, .height = HEIGHT };
	uint8_t a[BYTES], b[BYTES];
	memset(a, 100, sizeof(a));
	memcpy(b, a, sizeof(a));
	assert_int_equal(picture_bytes(&file), BYTES);
	assert_float_equal(picture_compare(&file, a, b).luma_db, PICTURE_PSNR_MAX_DB, 0);
	memset(b, 101, LUMA); // error 1 everywhere: 20 log10(255)
	struct picture_psnr psnr = picture_compare(&file, a, b);
	assert_float_equal(psnr.luma_db, 48.1308, 0.0001);
	assert_float_equal(psnr.weighted_db, (6 * 48.1308 + 200) / 8, 0.0001);
	memset(b + LUMA, 90, CHROMA);           // error 10: 28.13 dB
	memset(b + LUMA + CHROMA, 110, CHROMA); // the other way
	psnr = picture_compare(&file, a, b);
	assert_float_equal(psnr.weighted_db, (6 * 48.1308 + 2 * 28.1308) / 8, 0.0001);
	memset(a, 0, LUMA); // black and white differ by all there is
	memset(b, 255, LUMA);
	assert_float_equal(picture_compare(&file, a, b).luma_db, 0, 0.0001);
}

static void large_planes_do_not_overflow(void **context)
{
	(void)context;
	enum { SIZE = 1 << 20 };
	uint8_t *a = calloc(1, SIZE), *b = malloc(SIZE);
	assert_non_null(a);
	assert_non_null(b);
	memset(b, 255, SIZE);
	assert_float_equal(picture_plane_psnr(a, b, SIZE), 0, 0.0001);
	free(a);
	free(b);
}

static enum err open_text(const char *header, size_t frames, size_t tail, struct picture_file *out)
{
	char path[] = "/tmp/test_meter_picture.XXXXXX";
	uint8_t planes[BYTES];
	int descriptor = mkstemp(path);
	FILE *file = fdopen(descriptor, "wb");
	assert_non_null(file);
	fputs(header, file);
	for (size_t i = 0; i < frames; i++) {
		memset(planes, (int)(10 + i), sizeof(planes));
		fputs("FRAME\n", file);
		fwrite(planes, sizeof(planes), 1, file);
	}
	fwrite(planes, tail, 1, file);
	fclose(file);
	enum err err = picture_open(path, out);
	unlink(path);
	return err;
}

static void frames_are_found(void **context)
{
	(void)context;
	struct picture_file file;
	assert_int_equal(open_text("YUV4MPEG2 W64 H32 F30000:1001 Ip A1:1 C420mpeg2\n", 3, 7, &file), ERR_OK);
	assert_int_equal(file.width, WIDTH);
	assert_int_equal(file.height, HEIGHT);
	assert_int_equal(file.rate, 30000);
	assert_int_equal(file.scale, 1001);
	assert_int_equal(file.count, 3); // the rest is half a frame
	assert_int_equal(picture_frame(&file, 0)[0], 10);
	assert_int_equal(picture_frame(&file, 2)[BYTES - 1], 12);
	assert_null(picture_frame(&file, 3));
	picture_close(&file);
}

static void damaged_files_are_refused(void **context)
{
	(void)context;
	struct picture_file file;
	assert_int_equal(open_text("", 0, 0, &file), ERR_PARSE);
	assert_int_equal(open_text("YUV4MPEG2 W64 H32 F25:1\n", 0, 0, &file), ERR_PARSE);
	assert_int_equal(open_text("YUV4MPEG2 W64 F25:1\n", 2, 0, &file), ERR_PARSE);
	assert_int_equal(open_text("YUV4MPEG2 W64 H32 F25:1 C444\n", 2, 0, &file), ERR_PARSE);
	assert_int_equal(open_text("YUV4MPEG2 W99999 H32 F25:1\n", 2, 0, &file), ERR_PARSE);
	assert_int_equal(open_text("RIFF", 2, 0, &file), ERR_PARSE);
	assert_int_equal(picture_open("/nonexistent", &file), ERR_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(psnr_of_known_differences),
		cmocka_unit_test(large_planes_do_not_overflow),
		cmocka_unit_test(frames_are_found),
		cmocka_unit_test(damaged_files_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
