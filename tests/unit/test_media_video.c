// Video receiver in simulated time, with real VP9: order, missing packets, hostile streams; places of pictures
// in a recording. SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/picture_track.h"
#include "client/engine/media/video_receiver.h"
#include "client/engine/media/vp9_packetizer.h"
#include "client/engine/media/vp9_receiver.h"
#include "client/engine/media/vp9_sender.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define START_NS (1000 * MEDIA_SECOND)
#define PERIOD_NS (40 * MEDIA_MS)
enum { WIDTH = 160, HEIGHT = 96, PICTURE = WIDTH * HEIGHT * 3 / 2, PACKETS = 4096, SHOWN = 512 };

struct path {
	struct tally tally;
	struct vp9_sender *sender;
	struct vp9_packetizer packetizer;
	struct video_receiver *receiver;
	struct packet_rtp rtp[PACKETS];
	uint8_t payload[PACKETS][PACKET_MEDIA_PAYLOAD_MAX];
	size_t size[PACKETS], sent;
	uint64_t now_ns;
	uint32_t pictures; // encoded
	int64_t sync_ns;
	uint32_t shown[SHOWN]; // timestamps
	uint64_t shown_ns[SHOWN];
	size_t shown_count;
};

static void show(void *context, struct picture *picture, int64_t media_ns)
{
	struct path *p = context;
	assert_int_equal(picture->width, WIDTH);
	assert_int_equal(media_ns, picture->timestamp * 100000ll / 9);
	assert_true(p->shown_count < SHOWN);
	p->shown[p->shown_count] = picture->timestamp;
	p->shown_ns[p->shown_count++] = picture->playout_ns;
	free(picture);
}

static struct path *path_new(void)
{
	struct path *p = calloc(1, sizeof *p);
	static const struct y4m_format format = { .width = WIDTH, .height = HEIGHT, .rate_num = 25, .rate_den = 1 };
	assert_non_null(p);
	p->now_ns = START_NS;
	p->sync_ns = MEDIA_DELAY_NONE;
	p->packetizer.width = WIDTH;
	p->packetizer.height = HEIGHT;
	assert_int_equal(vp9_sender_new(&format, 200000, &p->sender), ERR_OK);
	assert_int_equal(video_receiver_new(&p->tally, &p->receiver), ERR_OK);
	return p;
}

static void path_free(struct path *p)
{
	vp9_sender_free(p->sender);
	video_receiver_free(p->receiver);
	free(p);
}

// One more picture; returns the number of its first packet.
static size_t encode(struct path *p, bool wants_key)
{
	static uint8_t i420[PICTURE];
	for (size_t i = 0; i < PICTURE; i++)
		i420[i] = (uint8_t)((i % WIDTH) * 3 + p->pictures * 5 + i / WIDTH);
	const uint8_t *frame;
	size_t size, first = p->sent;
	bool is_key;
	assert_int_equal(vp9_sender_encode(p->sender, i420, p->pictures * 3600, wants_key, &frame, &size, &is_key), ERR_OK);
	assert_true(size > 0);
	assert_int_equal(is_key, wants_key || p->pictures == 0);
	vp9_packetizer_start(&p->packetizer, frame, size, p->pictures++ * 3600, is_key);
	while (vp9_packetizer_next(&p->packetizer, &p->rtp[p->sent], p->payload[p->sent], &p->size[p->sent])) {
		p->rtp[p->sent].sequence = (uint16_t)(p->sent + 65000);
		p->sent++;
	}
	return first;
}

static void deliver(struct path *p, size_t packet)
{
	video_receiver_insert(p->receiver, &p->rtp[packet], p->payload[packet], p->size[packet], p->now_ns);
}

// `ms` pass, with a look every millisecond.
static void pass(struct path *p, int ms)
{
	for (; ms > 0; ms--) {
		p->now_ns += MEDIA_MS;
		video_receiver_step(p->receiver, p->now_ns, p->sync_ns, show, p);
	}
}

static void in_order(void **state)
{
	(void)state;
	struct path *p = path_new();
	for (int i = 0; i < 50; i++) {
		for (size_t n = encode(p, i == 0); n < p->sent; n++)
			deliver(p, n);
		pass(p, 40);
	}
	pass(p, 200);
	assert_int_equal(p->shown_count, 50);
	for (uint32_t i = 0; i < 50; i++) {
		assert_int_equal(p->shown[i], i * 3600);
		if (i > 25)
			assert_int_equal(p->shown_ns[i] - p->shown_ns[i - 1], PERIOD_NS);
	}
	assert_true(p->shown_ns[0] - START_NS <= 45 * MEDIA_MS);
	struct video_receiver_stats stats;
	video_receiver_get_stats(p->receiver, &stats);
	assert_int_equal(stats.shown, 50);
	assert_int_equal(stats.missed, 0);
	assert_int_equal(stats.lost, 0);
	assert_int_equal(stats.packets, p->sent);
	assert_false(video_receiver_wants_key(p->receiver, p->now_ns));
	path_free(p);
}

static void with_sound(void **state)
{
	(void)state;
	struct path *p = path_new();
	p->sync_ns = (int64_t)(START_NS + 120 * MEDIA_MS); // sound plays 120 ms after its capture
	for (int i = 0; i < 30; i++) {
		for (size_t n = encode(p, i == 0); n < p->sent; n++)
			deliver(p, n);
		pass(p, 40);
	}
	for (uint32_t i = 0; i < p->shown_count; i++)
		assert_int_equal(p->shown_ns[i], START_NS + 120 * MEDIA_MS + i * PERIOD_NS);
	// Sound of a clock that has nothing to do with this one does not freeze the picture.
	p->sync_ns = (int64_t)(START_NS + 3600 * MEDIA_SECOND);
	for (size_t n = encode(p, false); n < p->sent; n++)
		deliver(p, n);
	size_t before = p->shown_count;
	pass(p, 200);
	assert_true(p->shown_count > before);
	path_free(p);
}

// A lost packet is asked for after the allowance, and everything is shown when it comes.
static void asked_for(void **state)
{
	(void)state;
	struct path *p = path_new();
	uint16_t missing[8];
	for (size_t n = encode(p, true); n < p->sent; n++)
		deliver(p, n);
	pass(p, 40);
	size_t lost = encode(p, false);
	for (size_t n = lost + 1; n < p->sent; n++)
		deliver(p, n);
	pass(p, 40);
	for (size_t n = encode(p, false); n < p->sent; n++)
		deliver(p, n);
	assert_int_equal(video_receiver_missing(p->receiver, p->now_ns + 5 * MEDIA_MS, missing, 8), 0);
	pass(p, 15);
	assert_int_equal(video_receiver_missing(p->receiver, p->now_ns, missing, 8), 1);
	assert_int_equal(missing[0], p->rtp[lost].sequence);
	pass(p, 30);
	assert_int_equal(p->shown_count, 1);
	deliver(p, lost);
	pass(p, 1);
	assert_int_equal(video_receiver_missing(p->receiver, p->now_ns, missing, 8), 0);
	pass(p, 100);
	assert_int_equal(p->shown_count, 3);
	struct video_receiver_stats stats;
	video_receiver_get_stats(p->receiver, &stats);
	assert_int_equal(stats.recovered, 1);
	assert_int_equal(stats.lost, 0);
	assert_true(video_receiver_rtt_ns(p->receiver) > 0);
	path_free(p);
}

static void key_frame_asked_for(void **state)
{
	(void)state;
	struct path *p = path_new();
	uint16_t missing[8];
	assert_false(video_receiver_wants_key(p->receiver, p->now_ns)); // nothing has come at all
	for (size_t n = encode(p, true); n < p->sent; n++)
		deliver(p, n);
	pass(p, 50);
	assert_false(video_receiver_wants_key(p->receiver, p->now_ns));
	size_t lost = encode(p, false);
	for (size_t n = encode(p, false); n < p->sent; n++)
		deliver(p, n);
	for (int i = 0; i < 40; i++) {
		assert_false(video_receiver_wants_key(p->receiver, p->now_ns));
		pass(p, 10);
		(void)video_receiver_missing(p->receiver, p->now_ns, missing, 8);
	}
	assert_true(video_receiver_wants_key(p->receiver, p->now_ns));
	assert_false(video_receiver_wants_key(p->receiver, p->now_ns)); // once
	pass(p, 500);
	assert_true(video_receiver_wants_key(p->receiver, p->now_ns)); // and again
	assert_int_equal(p->shown_count, 1);
	for (size_t n = encode(p, true); n < p->sent; n++)
		deliver(p, n);
	pass(p, 100);
	assert_int_equal(p->shown_count, 2);
	assert_false(video_receiver_wants_key(p->receiver, p->now_ns + MEDIA_SECOND));
	struct video_receiver_stats stats;
	video_receiver_get_stats(p->receiver, &stats);
	size_t end = lost; // all packets of that picture
	while (!p->rtp[end].is_marked)
		end++;
	assert_int_equal(stats.lost, end - lost + 1);
	assert_int_equal(stats.key_frames_requested, 2);
	assert_int_equal(tally_get(&p->tally, TALLY_VIDEO_GIVEN_UP), 1);
	path_free(p);
}

static void send_bytes(struct path *p, const uint8_t *frame, size_t size)
{
	vp9_packetizer_start(&p->packetizer, frame, size, p->pictures++ * 3600, true);
	while (vp9_packetizer_next(&p->packetizer, &p->rtp[p->sent], p->payload[p->sent], &p->size[p->sent])) {
		p->rtp[p->sent].sequence = (uint16_t)p->sent;
		deliver(p, p->sent++);
	}
	pass(p, 40);
}

static void hostile(void **state)
{
	(void)state;
	struct path *p = path_new();
	uint8_t huge[100] = { 0x82, 0x49, 0x83, 0x42, 0x2f, 0xff, 0xff, 0xff, 0xf0 }; // 65536 x 65536
	send_bytes(p, huge, sizeof huge);
	assert_int_equal(tally_get(&p->tally, TALLY_VIDEO_REFUSED), 1);
	assert_true(video_receiver_wants_key(p->receiver, p->now_ns));
	uint8_t broken[100] = { 0x82, 0x49, 0x83, 0x42, 0x20, 0x09, 0xf0, 0x05, 0xf0 }; // 160 x 96, then nothing
	send_bytes(p, broken, sizeof broken);
	assert_int_equal(tally_get(&p->tally, TALLY_VIDEO_UNDECODABLE), 1);
	send_bytes(p, (const uint8_t *)"nonsense", 8);
	assert_int_equal(tally_get(&p->tally, TALLY_VIDEO_REFUSED), 2);
	assert_int_equal(p->shown_count, 0);
	// The stream recovers with a good key frame.
	size_t first = encode(p, true);
	for (size_t n = first; n < p->sent; n++) {
		p->rtp[n].sequence = (uint16_t)n;
		deliver(p, n);
	}
	pass(p, 100);
	assert_int_equal(p->shown_count, 1);
	path_free(p);
}

// ---------------------------------------------------------------- places in a recording

static char directory[] = "/tmp/media_video.XXXXXX";

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	DIR *list = opendir(directory);
	if (!list)
		return -1;
	for (struct dirent *entry; (entry = readdir(list));)
		(void)unlinkat(dirfd(list), entry->d_name, 0);
	closedir(list);
	return rmdir(directory);
}

static void put(struct picture_track *track, uint32_t number, uint64_t playout_ns, uint32_t side)
{
	struct picture *picture = picture_new(side, side);
	assert_non_null(picture);
	memset(picture->i420, (int)number, picture_bytes(side, side));
	picture->timestamp = number * 3600;
	picture->capture_ns = number * PERIOD_NS;
	picture->playout_ns = playout_ns;
	assert_int_equal(picture_track_put(track, picture), ERR_OK);
}

static struct y4m_reader *open_recording(const char *name)
{
	char path[256], problem[MEDIA_PROBLEM_BYTES];
	struct y4m_reader *reader;
	snprintf(path, sizeof path, "%s/%s", directory, name);
	if (y4m_reader_open(path, &reader, problem) != ERR_OK)
		fail_msg("%s", problem);
	return reader;
}

static void places(void **state)
{
	(void)state;
	struct tally tally = { 0 };
	struct picture_track *track;
	const struct picture_track_file *files;
	assert_int_equal(picture_track_new(directory, "places", 0, &tally, &track), ERR_OK);
	for (uint32_t n = 0; n < 40; n++) {
		if (n >= 10 && n < 13)
			continue; // never shown: the ninth is repeated
		// Shown up to 15 ms late in turn, and from the 20th on 25 ms later: nothing is repeated or lost for it.
		put(track, n, START_NS + n * PERIOD_NS + n % 4 * 5 * MEDIA_MS + (n >= 20 ? 25 * MEDIA_MS : 0), 16);
	}
	put(track, 41, START_NS + 39 * PERIOD_NS + 40 * MEDIA_MS, 32); // another size: another file
	assert_int_equal(picture_track_finish(track), ERR_OK);
	assert_int_equal(picture_track_files(track, &files), 2);
	assert_int_equal(files[0].pictures, 40);
	assert_int_equal(files[0].repeats, 3);
	assert_int_equal(files[0].format.rate_num, 25);
	assert_int_equal(files[1].pictures, 1);
	picture_track_free(track);
	struct y4m_reader *reader = open_recording("places.y4m");
	for (uint64_t n = 0; n < 40; n++) {
		uint8_t i420[16 * 16 * 3 / 2];
		assert_int_equal(y4m_reader_read(reader, n, i420), ERR_OK);
		assert_int_equal(i420[0], n >= 10 && n < 13 ? 9 : n);
	}
	y4m_reader_free(reader);
	reader = open_recording("places-2.y4m");
	assert_int_equal(y4m_reader_format(reader)->width, 32);
	y4m_reader_free(reader);
	assert_int_equal(tally_get(&tally, TALLY_RECORDING_CROWDED), 0);
	char path[256], line[256];
	snprintf(path, sizeof path, "%s/places.frames", directory);
	FILE *list = fopen(path, "r");
	assert_non_null(list);
	int lines = 0, repeats = 0;
	while (fgets(line, sizeof line, list)) {
		unsigned file, number, timestamp, is_repeat;
		if (sscanf(line, "%u %u %u %*u %*u %u", &file, &number, &timestamp, &is_repeat) != 4)
			continue;
		if (file == 1 && !is_repeat)
			assert_int_equal(timestamp, number * 3600);
		repeats += (int)is_repeat;
		lines++;
	}
	fclose(list);
	assert_int_equal(lines, 41);
	assert_int_equal(repeats, 3);
}

static void rates(void **state)
{
	(void)state;
	static const struct { uint32_t step; uint32_t rate; } rows[] = { { 1500, 60 }, { 3000, 30 }, { 3003, 30 }, { 6000, 15 }, { 7, 25 } };
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct tally tally = { 0 };
		struct picture_track *track;
		const struct picture_track_file *files;
		assert_int_equal(picture_track_new(directory, "rates", 0, &tally, &track), ERR_OK);
		for (uint32_t n = 0; n < 6; n++) {
			struct picture *picture = picture_new(16, 16);
			assert_non_null(picture);
			memset(picture->i420, 0, picture_bytes(16, 16));
			picture->timestamp = n * rows[i].step;
			picture->playout_ns = START_NS + n * rows[i].step * 100000ull / 9;
			assert_int_equal(picture_track_put(track, picture), ERR_OK);
		}
		assert_int_equal(picture_track_finish(track), ERR_OK);
		assert_int_equal(picture_track_files(track, &files), 1);
		assert_int_equal(files[0].format.rate_num, rows[i].rate);
		picture_track_free(track);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order),
		cmocka_unit_test(with_sound),
		cmocka_unit_test(asked_for),
		cmocka_unit_test(key_frame_asked_for),
		cmocka_unit_test(hostile),
		cmocka_unit_test(places),
		cmocka_unit_test(rates),
	};
	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
