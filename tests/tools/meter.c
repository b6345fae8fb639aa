// How good is what was received? Compares a recording of `tcc-cli join --record` with what was sent.
//
//   meter --recording DIRECTORY/UUID --wav FILE --y4m FILE
//   meter --transit CAPTURE --port N
//
// Sound: aligned with the looped source (align.h), normalised correlation, delay from capture to play-out found
// by the alignment and the recording's time stamps. Pictures: each one that was really received, by its RTP
// timestamp, against the picture of the source that was captured then; psnr_db is the mean of the pictures' luma
// PSNR, psnr_weighted_db that of (6 Y + Cb + Cr) / 8.
// The second form: how long the relay at UDP port N kept the media packets of a capture. One line of JSON, null for what is not in the recording.
// Exit status 0: measured, 1: a file is missing or damaged, 2: wrong use. SPDX-License-Identifier: Apache-2.0
#include "base/text.h"
#include "tests/tools/align.h"
#include "tests/tools/picture.h"
#include "tests/tools/sound.h"
#include "tests/tools/transit.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <yyjson.h>

enum { PATH_BYTES = 4096, VIDEO_CLOCK_HZ = 90000 };

struct frame_line { // of UUID.frames
	unsigned file;
	uint64_t number;
	uint32_t rtp_timestamp;
	uint64_t capture_ns, playout_ns;
	int is_repeat;
};

struct meter {
	const char *recording, *wav, *y4m;
	bool has_epoch;
	double epoch_ns; // Unix time of RTP timestamp 0
	bool has_sound, has_pictures;
	struct align_result sound;
	double luma_sum_db, luma_min_db, weighted_sum_db, latency_sum_ms;
	uint64_t frames, repeats, unmatched;
};

static bool complain(const char *path, const char *why)
{
	fprintf(stderr, "meter: %s: %s\n", path, why);
	return false;
}

static const char *why_of(enum err err)
{
	return err == ERR_IO ? strerror(errno) : err_text(err);
}

static bool parse_line(const char *line, struct frame_line *out)
{
	return sscanf(line, "%u %" SCNu64 " %" SCNu32 " %" SCNu64 " %" SCNu64 " %d", &out->file, &out->number, &out->rtp_timestamp,
		      &out->capture_ns, &out->playout_ns, &out->is_repeat) == 6;
}

// One picture of the recording against its source. `loop_count` pictures, one each RTP `step`.
static bool compare(struct meter *meter, const struct picture_file *received, const struct picture_file *source,
		    const struct frame_line *line)
{
	double step = (double)VIDEO_CLOCK_HZ * source->scale / source->rate;
	uint64_t number = (uint64_t)llround(line->rtp_timestamp / step);
	const uint8_t *a = picture_frame(received, line->number), *b = picture_frame(source, number % source->count);
	if (!a || !b || fabs(line->rtp_timestamp - (double)number * step) > step / 4)
		return false;
	struct picture_psnr psnr = picture_compare(source, a, b);
	meter->luma_sum_db += psnr.luma_db;
	meter->weighted_sum_db += psnr.weighted_db;
	meter->luma_min_db = meter->frames == 0 ? psnr.luma_db : fmin(meter->luma_min_db, psnr.luma_db);
	meter->latency_sum_ms += ((double)line->playout_ns - (double)line->capture_ns) / 1e6;
	meter->frames++;
	return true;
}

static bool measure_lines(struct meter *meter, FILE *list, const struct picture_file *received, const struct picture_file *source)
{
	char text[256];
	while (fgets(text, sizeof(text), list)) {
		struct frame_line line;
		if (text[0] == '#')
			continue;
		if (!parse_line(text, &line))
			return complain(meter->recording, "a line of its .frames file is damaged");
		if (!meter->has_epoch) {
			meter->epoch_ns = (double)line.capture_ns - line.rtp_timestamp * (1e9 / VIDEO_CLOCK_HZ);
			meter->has_epoch = true;
		}
		if (line.is_repeat)
			meter->repeats++;
		else if (line.file != 1 || !compare(meter, received, source, &line))
			meter->unmatched++; // of another size than the source, or of no picture in it
	}
	return true;
}

static bool measure_pictures(struct meter *meter)
{
	char path[PATH_BYTES];
	struct picture_file received = {}, source = {};
	snprintf(path, sizeof(path), "%s.frames", meter->recording);
	FILE *list = fopen(path, "re");
	if (!list)
		return errno == ENOENT ? true : complain(path, strerror(errno));
	snprintf(path, sizeof(path), "%s.y4m", meter->recording);
	enum err err = picture_open(path, &received);
	bool is_good = err == ERR_OK || complain(path, why_of(err));
	if (is_good) {
		err = picture_open(meter->y4m, &source);
		is_good = err == ERR_OK || complain(meter->y4m, why_of(err));
	}
	if (is_good && (received.width != source.width || received.height != source.height))
		is_good = complain(path, "its pictures are not of the source's size");
	if (is_good)
		is_good = measure_lines(meter, list, &received, &source);
	meter->has_pictures = is_good && meter->frames > 0;
	picture_close(&received);
	picture_close(&source);
	fclose(list);
	return is_good;
}

// When the recording's first sample was played out, from UUID.json.
static bool read_playout(const struct meter *meter, double *playout_ns)
{
	char path[PATH_BYTES];
	snprintf(path, sizeof(path), "%s.json", meter->recording);
	yyjson_doc *doc = yyjson_read_file(path, 0, NULL, NULL);
	if (!doc)
		return complain(path, "cannot be read as JSON");
	yyjson_val *value = yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(doc), "audio"), "playout_ns");
	bool is_good = yyjson_is_uint(value);
	*playout_ns = (double)yyjson_get_uint(value);
	yyjson_doc_free(doc);
	return is_good || complain(path, "does not say when its sound was played out");
}

static bool measure_sound(struct meter *meter)
{
	char path[PATH_BYTES];
	struct sound received = {}, source = {}, loop = {};
	double playout_ns = 0;
	snprintf(path, sizeof(path), "%s.wav", meter->recording);
	enum err err = sound_read(path, &received);
	if (err == ERR_IO && errno == ENOENT)
		return true;
	bool is_good = err == ERR_OK || complain(path, why_of(err));
	if (is_good && received.rate_hz != SOUND_RATE_HZ)
		is_good = complain(path, "is not of 48 kHz");
	if (is_good) {
		err = sound_read(meter->wav, &source);
		if (err == ERR_OK)
			err = sound_resample_loop(&source, &loop);
		is_good = err == ERR_OK || complain(meter->wav, why_of(err));
	}
	if (is_good)
		is_good = read_playout(meter, &playout_ns);
	if (is_good) {
		double zero = meter->has_epoch ? (playout_ns - meter->epoch_ns) * (SOUND_RATE_HZ / 1e9) : 0;
		err = align_measure(received.samples, received.count, loop.samples, loop.count, zero, &meter->sound);
		is_good = err == ERR_OK || err == ERR_NOT_FOUND || complain(path, err_text(err));
		meter->has_sound = err == ERR_OK;
	}
	sound_fini(&received);
	sound_fini(&source);
	sound_fini(&loop);
	return is_good;
}

static void print_number(const char *name, bool is_known, double value)
{
	if (is_known)
		printf("\"%s\":%.4f,", name, value);
	else
		printf("\"%s\":null,", name);
}

static void print(const struct meter *meter)
{
	double count = (double)meter->frames;
	bool has_delay = meter->has_sound && meter->has_epoch;
	printf("{");
	print_number("audio_correlation", meter->has_sound, meter->sound.correlation);
	print_number("audio_correlation_rigid", meter->has_sound, meter->sound.rigid_correlation);
	print_number("audio_delay_ms", has_delay, meter->sound.delay_ms);
	print_number("audio_delay_spread_ms", meter->has_sound, meter->sound.spread_ms);
	print_number("psnr_db", meter->has_pictures, meter->luma_sum_db / count);
	print_number("psnr_min_db", meter->has_pictures, meter->luma_min_db);
	print_number("psnr_weighted_db", meter->has_pictures, meter->weighted_sum_db / count);
	print_number("video_delay_ms", meter->has_pictures, meter->latency_sum_ms / count);
	printf("\"frames\":%" PRIu64 ",\"repeats\":%" PRIu64 ",\"unmatched\":%" PRIu64 "}\n", meter->frames, meter->repeats,
	       meter->unmatched);
}

static int measure_transit(const char *path, uint16_t port)
{
	struct transit transit = { .relay_port = port };
	struct transit_times times;
	enum err err = transit_capture(&transit, path);
	if (err == ERR_OK)
		err = transit_times(&transit, &times);
	if (err == ERR_OK)
		printf("{\"packets\":%zu,\"forwarded\":%zu,\"copies\":%" PRIu64 ",\"retransmitted\":%" PRIu64 ",\"strays\":%" PRIu64
		       ",\"trains_in\":%" PRIu64 ",\"packets_in_trains\":%" PRIu64 ",\"trains_out\":%" PRIu64
		       ",\"first_copy_us\":{\"p50\":%.3f,\"p99\":%.3f},\"last_copy_us\":{\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f}}\n",
		       transit.count, times.count, transit.copies, transit.retransmitted, transit.strays, transit.trains_in,
		       transit.packets_in_trains, transit.trains_out, (double)times.first_p50 / 1e3, (double)times.first_p99 / 1e3,
		       (double)times.last_p50 / 1e3, (double)times.last_p99 / 1e3, (double)times.last_max / 1e3);
	else
		complain(path, why_of(err));
	transit_fini(&transit);
	return err == ERR_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "recording", required_argument, NULL, 'r' }, { "wav", required_argument, NULL, 'w' },
		{ "y4m", required_argument, NULL, 'y' },       { "transit", required_argument, NULL, 't' },
		{ "port", required_argument, NULL, 'p' },      {},
	};
	struct meter meter = {};
	const char *capture = NULL;
	uint64_t port = 0;
	bool is_good = true;
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (option) {
		case 'r': meter.recording = optarg; break;
		case 'w': meter.wav = optarg; break;
		case 'y': meter.y4m = optarg; break;
		case 't': capture = optarg; break;
		case 'p': is_good = is_good && text_u64_parse(optarg, 1, UINT16_MAX, &port) == ERR_OK; break;
		default: is_good = false;
		}
	if (is_good && optind == argc && capture && port)
		return measure_transit(capture, (uint16_t)port);
	if (!is_good || optind != argc || !meter.recording || !meter.wav || !meter.y4m) {
		fprintf(stderr, "usage: meter --recording DIRECTORY/UUID --wav FILE --y4m FILE\n"
				"       meter --transit CAPTURE --port N\n");
		return 2;
	}
	if (!measure_pictures(&meter) || !measure_sound(&meter))
		return 1;
	print(&meter);
	return 0;
}
