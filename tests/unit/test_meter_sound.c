// The meter finds delay and likeness of sound that was delayed, made quieter and spoilt by known amounts.
// SPDX-License-Identifier: Apache-2.0
#include "tests/tools/align.h"
#include "tests/tools/sound.h"

// cmocka needs these before it
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { LOOP = 5 * ALIGN_RATE_HZ, RECORDING = 16 * ALIGN_RATE_HZ };

static uint64_t state;

// -1 to 1, the same every run
static float noise(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (float)(int32_t)(state >> 32) / 2147483648.0f;
}

// Noise of speech's band that comes and goes as syllables do, with a pause.
static float *make_loop(void)
{
	float *loop = malloc(LOOP * sizeof(float));
	float low = 0;
	assert_non_null(loop);
	state = 1;
	for (size_t i = 0; i < LOOP; i++) {
		double seconds = (double)i / ALIGN_RATE_HZ;
		low += 0.3f * (noise() - low);
		loop[i] = low * (float)fabs(sin(seconds * 9)) * (seconds > 4.2 ? 0 : 1);
	}
	return loop;
}

struct spoil {
	size_t first;      // position in the source of the recording's first sample
	size_t silence;    // samples before there is sound
	float gain, noise; // times the source; of the added noise
	size_t slip_at;    // from here on the recording is `slip` samples later
	size_t slip;
};

static float *make_recording(const float *loop, struct spoil spoil)
{
	float *recording = malloc(RECORDING * sizeof(float));
	assert_non_null(recording);
	for (size_t i = 0; i < RECORDING; i++) {
		size_t position = spoil.first + i + LOOP - (spoil.slip_at && i >= spoil.slip_at ? spoil.slip : 0);
		recording[i] = i < spoil.silence ? 0 : spoil.gain * loop[position % LOOP] + spoil.noise * noise();
	}
	return recording;
}

static struct align_result measure(struct spoil spoil, double zero)
{
	float *loop = make_loop(), *recording = make_recording(loop, spoil);
	struct align_result result;
	assert_int_equal(align_measure(recording, RECORDING, loop, LOOP, zero, &result), ERR_OK);
	free(loop);
	free(recording);
	return result;
}

static void finds_delay_and_ignores_gain(void **context)
{
	(void)context;
	// Without delay the first sample would be number 100,000 of the source; it is 94,240: 120 ms late.
	struct align_result result = measure((struct spoil){ .first = 94240, .gain = 0.25f }, 100000);
	assert_float_equal(result.delay_ms, 120.0, 0.001);
	assert_float_equal(result.correlation, 1.0, 1e-4);
	assert_float_equal(result.rigid_correlation, 1.0, 1e-4);
	assert_float_equal(result.spread_ms, 0.0, 0.001);
}

static void delay_counts_round_the_loop(void **context)
{
	(void)context;
	// Three loops into the capture, the recording shows what was captured just before the loop began anew.
	struct align_result result = measure((struct spoil){ .first = LOOP - 4800, .gain = 1 }, 3.0 * LOOP + 4800);
	assert_float_equal(result.delay_ms, 200.0, 0.001);
}

static void noise_lowers_the_correlation_as_it_must(void **context)
{
	(void)context;
	float *loop = make_loop();
	double power = align_energy(loop, LOOP) / LOOP;
	free(loop);
	// Noise (uniform, variance 1/3) as strong as the signal: 1 / sqrt(2).
	struct align_result result = measure((struct spoil){ .first = 0, .gain = 1, .noise = (float)sqrt(3 * power) }, 2400);
	assert_float_equal(result.correlation, M_SQRT1_2, 0.02);
	assert_float_equal(result.delay_ms, 50.0, 0.05);
}

static void late_start_is_no_fault(void **context)
{
	(void)context;
	struct align_result result = measure((struct spoil){ .first = 1000, .silence = 3 * ALIGN_RATE_HZ, .gain = 1 }, 5800);
	assert_float_equal(result.delay_ms, 100.0, 0.001);
	assert_true(result.correlation > 0.93); // the piece in which it starts may be half empty
}

static void play_out_that_shifts_is_followed_and_told(void **context)
{
	(void)context;
	struct align_result result = measure(
		(struct spoil){ .first = 0, .gain = 1, .slip_at = 10 * ALIGN_RATE_HZ, .slip = 960 }, 4800);
	assert_float_equal(result.delay_ms, 100.0, 0.001);
	assert_float_equal(result.spread_ms, 20.0, 0.001);
	assert_true(result.correlation > 0.999);
	assert_true(result.rigid_correlation < 0.9);
}

static void foreign_sound_does_not_correlate(void **context)
{
	(void)context;
	struct align_result result = measure((struct spoil){ .gain = 0, .noise = 0.2f }, 0);
	assert_true(result.correlation < 0.1);
}

static void silence_is_not_found(void **context)
{
	(void)context;
	float *loop = make_loop(), *recording = calloc(RECORDING, sizeof(float));
	struct align_result result;
	assert_non_null(recording);
	assert_int_equal(align_measure(recording, RECORDING, loop, LOOP, 0, &result), ERR_NOT_FOUND);
	assert_int_equal(align_measure(recording, 100, loop, LOOP, 0, &result), ERR_NOT_FOUND);
	free(loop);
	free(recording);
}

static void put(uint8_t *at, uint32_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static void reads_stereo_wav_and_refuses_others(void **context)
{
	(void)context;
	uint8_t wav[44 + 8] = "RIFF....WAVEfmt ";
	struct sound sound;
	put(wav + 16, 16, 4);
	put(wav + 20, 1, 2);
	put(wav + 22, 2, 2);
	put(wav + 24, 16000, 4);
	put(wav + 34, 16, 2);
	memcpy(wav + 36, "data", 4);
	put(wav + 40, 0xffffffff, 4); // as a recording says that was not closed
	put(wav + 44, 16384, 2);
	put(wav + 46, 8192, 2);
	put(wav + 48, (uint16_t)-16384, 2);
	put(wav + 50, (uint16_t)-16384, 2);
	assert_int_equal(sound_decode(wav, sizeof(wav), &sound), ERR_OK);
	assert_int_equal(sound.count, 2);
	assert_int_equal(sound.rate_hz, 16000);
	assert_float_equal(sound.samples[0], 0.375, 1e-6);
	assert_float_equal(sound.samples[1], -0.5, 1e-6);
	sound_fini(&sound);
	put(wav + 34, 8, 2);
	assert_int_equal(sound_decode(wav, sizeof(wav), &sound), ERR_PARSE);
	assert_int_equal(sound_decode(wav, 30, &sound), ERR_PARSE);
	assert_int_equal(sound_decode((const uint8_t *)"no", 2, &sound), ERR_PARSE);
}

static void resampling_keeps_place_and_length(void **context)
{
	(void)context;
	enum { COUNT = 16000, HZ = 440 };
	struct sound in = { .samples = malloc(COUNT * sizeof(float)), .count = COUNT, .rate_hz = 16000 }, out;
	assert_non_null(in.samples);
	for (size_t i = 0; i < COUNT; i++)
		in.samples[i] = (float)sin(2 * M_PI * HZ * (double)i / 16000);
	assert_int_equal(sound_resample_loop(&in, &out), ERR_OK);
	assert_int_equal(out.count, 3 * COUNT);
	for (size_t i = 0; i < out.count; i++)
		assert_float_equal(out.samples[i], sin(2 * M_PI * HZ * (double)i / 48000), 0.002);
	sound_fini(&in);
	sound_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_delay_and_ignores_gain),
		cmocka_unit_test(delay_counts_round_the_loop),
		cmocka_unit_test(noise_lowers_the_correlation_as_it_must),
		cmocka_unit_test(late_start_is_no_fault),
		cmocka_unit_test(play_out_that_shifts_is_followed_and_told),
		cmocka_unit_test(foreign_sound_does_not_correlate),
		cmocka_unit_test(silence_is_not_found),
		cmocka_unit_test(reads_stereo_wav_and_refuses_others),
		cmocka_unit_test(resampling_keeps_place_and_length),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
