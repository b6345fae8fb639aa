// The media engine as the session uses it: two members in one process send to each other and record; damaged
// sources, a full disk, FIFOs, strangers, members who come again. SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/limits.h"
#include "client/engine/media/media.h"
#include "client/engine/media/timebase.h"
#include "client/engine/media/wav_reader.h"
#include "client/engine/media/wav_writer.h"
#include "client/engine/media/y4m_reader.h"
#include "client/engine/media/y4m_writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { WIDTH = 320, HEIGHT = 180, PICTURE = WIDTH * HEIGHT * 3 / 2, PICTURES = 50, LOSE = 20 };

static char directory[] = "/tmp/media_engine.XXXXXX";
static char wav_path[128], y4m_path[128], record_path[128];
static const struct id alice = { { 0xa1 } };
static const char alice_text[] = "a1000000-0000-0000-0000-000000000000";

static void make_wav(void)
{
	struct wav_writer writer;
	static int16_t samples[32000];
	for (int i = 0; i < 32000; i++)
		samples[i] = (int16_t)(6000 * sin(i * 0.06) * (1 + sin(i * 0.0015)) / 2);
	int fd = open(wav_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(wav_writer_init(&writer, fd, 16000, false), ERR_OK);
	assert_int_equal(wav_writer_write(&writer, samples, 32000), ERR_OK);
	assert_int_equal(wav_writer_flush(&writer), ERR_OK);
	close(fd);
}

static void paint(uint8_t *i420, unsigned number)
{
	for (int y = 0; y < HEIGHT; y++)
		for (int x = 0; x < WIDTH; x++)
			i420[y * WIDTH + x] = (uint8_t)(128 + 100 * sin((x + 2 * number) * 0.05) * cos(y * 0.07));
	memset(i420 + WIDTH * HEIGHT, 110, WIDTH * HEIGHT / 4);
	memset(i420 + WIDTH * HEIGHT * 5 / 4, 140, WIDTH * HEIGHT / 4);
}

static void make_y4m(void)
{
	struct y4m_writer writer;
	struct y4m_format format = { .width = WIDTH, .height = HEIGHT, .rate_num = 25, .rate_den = 1 };
	static uint8_t i420[PICTURE];
	int fd = open(y4m_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(y4m_writer_init(&writer, fd, false, &format), ERR_OK);
	for (unsigned n = 0; n < PICTURES; n++) {
		paint(i420, n);
		assert_int_equal(y4m_writer_write(&writer, i420), ERR_OK);
	}
	close(fd);
}

static void empty_directory(const char *path)
{
	DIR *list = opendir(path);
	assert_non_null(list);
	for (struct dirent *entry; (entry = readdir(list));)
		(void)unlinkat(dirfd(list), entry->d_name, 0);
	closedir(list);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(wav_path, sizeof wav_path, "%s/in.wav", directory);
	snprintf(y4m_path, sizeof y4m_path, "%s/in.y4m", directory);
	snprintf(record_path, sizeof record_path, "%s/out", directory);
	make_wav();
	make_y4m();
	return mkdir(record_path, 0700);
}

static int tear_down(void **state)
{
	(void)state;
	empty_directory(record_path);
	rmdir(record_path);
	empty_directory(directory);
	return rmdir(directory);
}

// One sender, one receiver; every LOSE-th packet is lost for good.
struct pair {
	struct media *sender, *receiver;
	pthread_mutex_t lock;
	uint16_t sequence[2];
	uint64_t sent, lost;
	unsigned lose; // every so many, 0: none
	atomic_uint keys_asked, packets_asked;
};

static void on_packet(void *context, uint8_t stream, const struct packet_rtp *rtp, const uint8_t *payload, size_t size)
{
	struct pair *p = context;
	struct packet_rtp full = *rtp;
	pthread_mutex_lock(&p->lock);
	full.ssrc = packet_ssrc(7, stream);
	full.sequence = p->sequence[stream]++;
	bool is_lost = p->lose && ++p->sent % p->lose == 0;
	p->lost += is_lost;
	pthread_mutex_unlock(&p->lock);
	if (!is_lost)
		media_receive(p->receiver, &full, payload, size, timebase_wall_ns());
}

static void on_key_frame_needed(void *context, uint32_t ssrc)
{
	struct pair *p = context;
	atomic_fetch_add(&p->keys_asked, 1);
	media_force_key_frame(p->sender, packet_ssrc_stream(ssrc));
}

// Only remembered: calling back into the engine from here is not allowed.
static void on_missing(void *context, uint32_t ssrc, const uint16_t *sequences, size_t count)
{
	struct pair *p = context;
	(void)ssrc;
	(void)sequences;
	atomic_fetch_add(&p->packets_asked, (unsigned)count);
}

static struct pair *pair_new(const char *audio, const char *video)
{
	struct pair *p = calloc(1, sizeof *p);
	char problem[MEDIA_PROBLEM_BYTES];
	assert_non_null(p);
	pthread_mutex_init(&p->lock, NULL);
	empty_directory(record_path);
	struct media_options receive = { .record_path = record_path, .on_key_frame_needed = on_key_frame_needed, .on_missing = on_missing, .context = p };
	struct media_options send = { .audio_path = audio, .video_path = video, .on_packet = on_packet, .context = p };
	assert_int_equal(media_new(&receive, &p->receiver, problem), ERR_OK);
	assert_int_equal(media_new(&send, &p->sender, problem), ERR_OK);
	return p;
}

static void pair_run(struct pair *p, unsigned ms)
{
	uint64_t epoch;
	assert_int_equal(media_start(p->sender, &epoch), ERR_OK);
	assert_int_equal(media_participant_set(p->receiver, &alice, 7, epoch, "0123456789abcdef"), ERR_OK);
	usleep(ms * 1000);
}

static void pair_free(struct pair *p)
{
	media_free(p->sender);
	media_free(p->receiver);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

// Sound alone: it is asked for again where the way to the relay is known to be short enough, from the start.
static void lost_sound_is_asked_for_in_time(void **state)
{
	(void)state;
	static const uint64_t round_trips_ns[] = { MEDIA_MS, 5 * MEDIA_SECOND };
	for (size_t i = 0; i < 2; i++) {
		struct pair *p = pair_new(wav_path, NULL);
		p->lose = 10;
		media_set_round_trip(p->receiver, round_trips_ns[i]);
		pair_run(p, 800);
		if (i == 0)
			assert_true(p->packets_asked > 0);
		else
			assert_int_equal(p->packets_asked, 0);
		pair_free(p);
	}
}

static uint64_t counter(struct media *media, const char *name)
{
	struct media_counter counters[64];
	size_t count = media_counters(media, counters, 64);
	for (size_t i = 0; i < count; i++)
		if (strcmp(counters[i].name, name) == 0)
			return counters[i].count;
	fail_msg("no counter %s", name);
	return 0;
}

static const char *recorded(const char *suffix)
{
	static char path[256];
	snprintf(path, sizeof path, "%s/%s%s", record_path, alice_text, suffix);
	return path;
}

static double mean_psnr(void)
{
	struct y4m_reader *reader;
	char problem[MEDIA_PROBLEM_BYTES], line[256];
	static uint8_t is[PICTURE], was[PICTURE];
	if (y4m_reader_open(recorded(".y4m"), &reader, problem) != ERR_OK)
		fail_msg("%s", problem);
	FILE *list = fopen(recorded(".frames"), "r");
	assert_non_null(list);
	double sum = 0;
	unsigned count = 0;
	while (fgets(line, sizeof line, list)) {
		unsigned number, timestamp;
		if (sscanf(line, "1 %u %u", &number, &timestamp) != 2)
			continue;
		double error = 0;
		assert_int_equal(y4m_reader_read(reader, number, is), ERR_OK);
		paint(was, timestamp / 3600 % PICTURES);
		for (size_t i = 0; i < PICTURE; i++)
			error += (is[i] - was[i]) * (is[i] - was[i]);
		sum += 10 * log10(255.0 * 255.0 * PICTURE / (error + 1));
		count++;
	}
	fclose(list);
	y4m_reader_free(reader);
	assert_true(count > 20);
	return sum / count;
}

static void heard_and_seen(void **state)
{
	(void)state;
	struct pair *p = pair_new(wav_path, y4m_path);
	pair_run(p, 2500);
	struct media_stream_stats stats[4];
	assert_int_equal(media_stats(p->receiver, stats, 4), 2);
	assert_int_equal(media_stats(p->receiver, stats, 1), 1);
	assert_int_equal(media_stats(p->receiver, stats, 4), 2);
	for (int i = 0; i < 2; i++) {
		assert_memory_equal(&stats[i].participant, &alice, sizeof alice);
		assert_int_equal(stats[i].lost, 0);
		assert_true(stats[i].frames > 30);
		assert_true(stats[i].first_frame_ns > 0);
		assert_true(stats[i].latency_p50_ms > 15 && stats[i].latency_p50_ms < 400);
	}
	assert_int_equal(stats[1].width, WIDTH);
	pair_free(p);
	assert_true(mean_psnr() > 35);
	struct wav_reader *wav;
	char problem[MEDIA_PROBLEM_BYTES];
	assert_int_equal(wav_reader_open(recorded(".wav"), &wav, problem), ERR_OK);
	assert_true(wav_reader_format(wav)->frames > 48000);
	wav_reader_free(wav);
	assert_int_equal(access(recorded(".json"), R_OK), 0);
	assert_int_not_equal(access(recorded(".json.part"), R_OK), 0);
}

static void with_losses(void **state)
{
	(void)state;
	struct pair *p = pair_new(wav_path, y4m_path);
	p->lose = LOSE;
	pair_run(p, 2500);
	struct media_stream_stats stats[4];
	assert_int_equal(media_stats(p->receiver, stats, 4), 2);
	// Nobody answers: what is lost stays lost, is shown, and key frames keep the pictures going.
	assert_true(stats[0].frames > 80);
	assert_true(stats[1].frames > 5);
	assert_true(atomic_load(&p->packets_asked) > 0);
	assert_true(atomic_load(&p->keys_asked) > 0);
	assert_true(stats[0].lost + stats[1].lost > 0);
	assert_true(stats[0].lost + stats[1].lost <= p->lost);
	pair_free(p);
}

static void problems_said(void **state)
{
	(void)state;
	struct media *media = NULL;
	char problem[MEDIA_PROBLEM_BYTES];
	struct media_options options = { .audio_path = "/nonexistent.wav", .on_packet = on_packet };
	assert_int_equal(media_new(&options, &media, problem), ERR_IO);
	assert_string_equal(problem, "/nonexistent.wav: No such file or directory");
	options = (struct media_options){ .video_path = wav_path, .on_packet = on_packet };
	assert_int_equal(media_new(&options, &media, problem), ERR_PARSE);
	assert_non_null(strstr(problem, "not a YUV4MPEG2 file"));
	options = (struct media_options){ .audio_path = y4m_path, .on_packet = on_packet };
	assert_int_equal(media_new(&options, &media, problem), ERR_PARSE);
	assert_non_null(strstr(problem, "not a RIFF/WAVE file"));
	options = (struct media_options){ .record_path = "/nonexistent" };
	assert_int_equal(media_new(&options, &media, problem), ERR_IO);
	options = (struct media_options){ .record_path = wav_path };
	assert_int_equal(media_new(&options, &media, problem), ERR_IO);
	assert_non_null(strstr(problem, "not a directory"));
	options = (struct media_options){ .audio_path = wav_path };
	assert_int_equal(media_new(&options, &media, problem), ERR_USAGE);
	options = (struct media_options){ .audio_path = wav_path, .audio_bitrate = 1, .on_packet = on_packet };
	assert_int_equal(media_new(&options, &media, problem), ERR_USAGE);
	assert_null(media);
}

static void strangers_counted(void **state)
{
	(void)state;
	struct pair *p = pair_new(NULL, NULL);
	uint8_t payload[4] = { 0 };
	struct packet_rtp rtp = { .ssrc = packet_ssrc(9, 0), .payload_type = PACKET_PT_OPUS };
	media_receive(p->receiver, &rtp, payload, 4, timebase_wall_ns());
	assert_int_equal(counter(p->receiver, "participant_unknown"), 1);
	assert_int_equal(media_participant_set(p->receiver, &alice, 9, 0, "00"), ERR_OK);
	rtp.payload_type = 1;
	media_receive(p->receiver, &rtp, payload, 4, 0);
	rtp.ssrc = packet_ssrc(9, 200);
	media_receive(p->receiver, &rtp, payload, 4, UINT64_MAX);
	assert_int_equal(counter(p->receiver, "stream_unknown"), 2);
	media_participant_gone(p->receiver, &alice);
	media_receive(p->receiver, &rtp, payload, 4, 0);
	assert_int_equal(counter(p->receiver, "participant_unknown"), 2);
	pair_free(p);
}

// A new participant with an index takes it from who had it; those who left make room; the present ones do not.
static void seats(void **state)
{
	(void)state;
	struct pair *p = pair_new(NULL, NULL);
	struct id id = { { 0 } };
	for (unsigned i = 0; i < LIMIT_PARTICIPANTS; i++) {
		id.bytes[0] = (uint8_t)(i + 1);
		assert_int_equal(media_participant_set(p->receiver, &id, i, 1, "00"), ERR_OK);
	}
	id.bytes[0] = 100;
	assert_int_equal(media_participant_set(p->receiver, &id, 1000, 1, "00"), ERR_LIMIT);
	assert_int_equal(counter(p->receiver, "participant_limit"), 1);
	id.bytes[0] = 5;
	media_participant_gone(p->receiver, &id);
	id.bytes[0] = 100;
	assert_int_equal(media_participant_set(p->receiver, &id, 1000, 1, "00"), ERR_OK);
	pair_free(p);
}

// The same participant joins again: one recording, two runs in its description.
static void comes_again(void **state)
{
	(void)state;
	struct pair *p = pair_new(wav_path, NULL);
	pair_run(p, 600);
	media_participant_gone(p->receiver, &alice);
	media_free(p->sender);
	usleep(300000);
	struct media_options send = { .audio_path = wav_path, .on_packet = on_packet, .context = p };
	char problem[MEDIA_PROBLEM_BYTES];
	uint64_t epoch;
	assert_int_equal(media_new(&send, &p->sender, problem), ERR_OK);
	assert_int_equal(media_start(p->sender, &epoch), ERR_OK);
	assert_int_equal(media_participant_set(p->receiver, &alice, 7, epoch, "fedcba"), ERR_OK);
	usleep(600000);
	pair_free(p);
	struct wav_reader *wav;
	assert_int_equal(wav_reader_open(recorded(".wav"), &wav, problem), ERR_OK);
	assert_true(wav_reader_format(wav)->frames > 48 * 1100); // the pause is in it
	assert_true(wav_reader_format(wav)->frames < 48 * 2500);
	wav_reader_free(wav);
	char text[4096] = "";
	FILE *json = fopen(recorded(".json"), "r");
	assert_non_null(json);
	assert_true(fread(text, 1, sizeof text - 1, json) > 0);
	fclose(json);
	assert_non_null(strstr(text, "\"0123456789abcdef\""));
	assert_non_null(strstr(text, "\"fedcba\""));
}

// The disk is full: recording ends, receiving does not, and what is there can be read.
static void disk_full(void **state)
{
	(void)state;
	struct rlimit was, small;
	struct pair *p = pair_new(wav_path, y4m_path);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	small = was;
	small.rlim_cur = 500000; // some five pictures
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	pair_run(p, 1500);
	struct media_stream_stats stats[4];
	assert_int_equal(media_stats(p->receiver, stats, 4), 2);
	assert_true(stats[1].frames > 15);
	assert_true(counter(p->receiver, "recording_stopped") > 0);
	pair_free(p);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	struct y4m_reader *y4m;
	struct wav_reader *wav;
	char problem[MEDIA_PROBLEM_BYTES];
	assert_int_equal(y4m_reader_open(recorded(".y4m"), &y4m, problem), ERR_OK);
	assert_int_equal(wav_reader_open(recorded(".wav"), &wav, problem), ERR_OK);
	y4m_reader_free(y4m);
	wav_reader_free(wav);
}

static void *read_fifo(void *argument)
{
	FILE *in = fopen(argument, "r");
	static uint8_t bytes[65536];
	size_t total = 0, got;
	while ((got = fread(bytes, 1, sizeof bytes, in)) > 0)
		total += got;
	fclose(in);
	return (void *)total;
}

static void recorded_to_fifo(void **state)
{
	(void)state;
	struct pair *p = pair_new(NULL, y4m_path);
	char fifo[256];
	pthread_t reader;
	void *total;
	snprintf(fifo, sizeof fifo, "%s", recorded(".y4m"));
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(pthread_create(&reader, NULL, read_fifo, fifo), 0);
	pair_run(p, 1200);
	pair_free(p);
	pthread_join(reader, &total);
	assert_true((size_t)total > 10 * PICTURE);
}

static void *write_fifo(void *argument)
{
	static uint8_t i420[PICTURE];
	FILE *out = fopen(argument, "w");
	fprintf(out, "YUV4MPEG2 W%d H%d F25:1\n", WIDTH, HEIGHT);
	for (unsigned n = 0; n < 35; n++) {
		paint(i420, n);
		fputs("FRAME\n", out);
		fwrite(i420, PICTURE, 1, out);
	}
	fclose(out);
	return NULL;
}

// Pictures of a FIFO are sent at their own rate, each with its own time, to the end.
static void sent_from_fifo(void **state)
{
	(void)state;
	char fifo[256];
	pthread_t writer;
	snprintf(fifo, sizeof fifo, "%s/fifo", directory);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(pthread_create(&writer, NULL, write_fifo, fifo), 0);
	struct pair *p = pair_new(NULL, fifo);
	pair_run(p, 2000);
	struct media_stream_stats stats[2];
	assert_int_equal(media_stats(p->receiver, stats, 2), 1);
	uint64_t skipped = counter(p->sender, "capture_picture_skipped");
	assert_true(stats[0].frames + skipped == 35);
	assert_int_equal(counter(p->sender, "capture_failed"), 0);
	pair_free(p);
	pthread_join(writer, NULL);
	assert_true(mean_psnr() > 35);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heard_and_seen),
		cmocka_unit_test(with_losses),
		cmocka_unit_test(problems_said),
		cmocka_unit_test(strangers_counted),
		cmocka_unit_test(seats),
		cmocka_unit_test(comes_again),
		cmocka_unit_test(disk_full),
		cmocka_unit_test(recorded_to_fifo),
		cmocka_unit_test(lost_sound_is_asked_for_in_time),
		cmocka_unit_test(sent_from_fifo),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
