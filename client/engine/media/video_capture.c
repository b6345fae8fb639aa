// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/video_capture.h"

#include "base/log.h"
#include "client/engine/media/timebase.h"
#include "client/engine/media/vp9_packetizer.h"
#include "client/engine/media/vp9_sender.h"
#include "client/engine/media/y4m_reader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

// Packets leave four at a time, a millisecond apart: an ordinary picture at once, a key frame within some 10 ms,
// in trains that the kernel can send as one. However large, a picture has left before half its time is over.
enum { TRAIN_PACKETS = 4, SLOW_STREAM_SKIPS = 10 };
#define TRAIN_GAP_NS MEDIA_MS
#define KEY_FRAME_GAP_NS (300 * MEDIA_MS) // requests that come sooner after a key frame wait

struct video_capture {
	const struct media_options *options; // borrowed
	struct tally *tally;                 // borrowed
	struct y4m_reader *source;
	struct vp9_sender *vp9;
	struct vp9_packetizer packetizer;
	uint8_t *i420;
	uint64_t epoch_ns;
	uint64_t last_key_ns;
	uint64_t lag;   // pictures by which a FIFO that is too slow has fallen behind its own rate
	unsigned skips; // in a row
	pthread_t thread;
	bool is_running;
	atomic_bool is_stopping, is_key_wanted;
};

enum err video_capture_new(const struct media_options *options, struct tally *tally, struct video_capture **out,
		char *problem)
{
	struct video_capture *c = calloc(1, sizeof *c);
	if (!c)
		return ERR_NOMEM;
	c->options = options;
	c->tally = tally;
	enum err err = y4m_reader_open(options->video_path, &c->source, problem);
	if (err == ERR_OK) {
		const struct y4m_format *format = y4m_reader_format(c->source);
		c->packetizer.width = (uint16_t)format->width;
		c->packetizer.height = (uint16_t)format->height;
		c->i420 = malloc(y4m_picture_bytes(format));
		err = c->i420 ? vp9_sender_new(format,
				options->video_bitrate ? options->video_bitrate : VP9_SENDER_BITRATE, &c->vp9)
			      : ERR_NOMEM;
		if (err != ERR_OK)
			snprintf(problem, MEDIA_PROBLEM_BYTES, "the VP9 encoder does not start: %s", err_text(err));
	}
	if (err != ERR_OK) {
		video_capture_free(c);
		return err;
	}
	*out = c;
	return ERR_OK;
}

static uint64_t picture_time(const struct video_capture *c, uint64_t number, uint64_t clock)
{
	const struct y4m_format *format = y4m_reader_format(c->source);
	// Exact for years: number * clock * rate_den stays far below 2^128.
	return (uint64_t)((unsigned __int128)number * clock * format->rate_den / format->rate_num);
}

static void end_burst(const struct video_capture *c)
{
	if (c->options->on_burst)
		c->options->on_burst(c->options->context);
}

static void send_packets(struct video_capture *c, uint64_t now_ns)
{
	struct packet_rtp rtp;
	uint8_t payload[PACKET_MEDIA_PAYLOAD_MAX];
	size_t size, sent = 0;
	size_t trains = c->packetizer.packets_left / TRAIN_PACKETS + 1;
	uint64_t gap = picture_time(c, 1, MEDIA_SECOND) / 2 / trains;
	if (gap > TRAIN_GAP_NS)
		gap = TRAIN_GAP_NS;
	while (vp9_packetizer_next(&c->packetizer, &rtp, payload, &size)) {
		if (sent > 0 && sent % TRAIN_PACKETS == 0) {
			end_burst(c);
			timebase_sleep_until_ns(now_ns + sent / TRAIN_PACKETS * gap);
		}
		c->options->on_packet(c->options->context, PACKET_STREAM_VIDEO, &rtp, payload, size);
		sent++;
	}
	end_burst(c);
}

static enum err send_picture(struct video_capture *c, uint64_t number)
{
	uint64_t timestamp = picture_time(c, number, MEDIA_VIDEO_CLOCK), now = timebase_now_ns();
	bool wants_key = number == 0 || c->last_key_ns == 0;
	if (!wants_key && now - c->last_key_ns >= KEY_FRAME_GAP_NS)
		wants_key = atomic_exchange(&c->is_key_wanted, false);
	const uint8_t *frame = NULL;
	size_t size = 0;
	bool is_key = false;
	enum err err = vp9_sender_encode(c->vp9, c->i420, timestamp, wants_key, &frame, &size, &is_key);
	if (err != ERR_OK)
		return err;
	if (size == 0) {
		tally_add(c->tally, TALLY_CAPTURE_PICTURE_SKIPPED, 1);
		return ERR_OK;
	}
	if (is_key)
		c->last_key_ns = now;
	vp9_packetizer_start(&c->packetizer, frame, size, (uint32_t)timestamp, is_key);
	send_packets(c, timebase_now_ns());
	return ERR_OK;
}

static enum err read_picture(struct video_capture *c, uint64_t number)
{
	enum err err;
	do {
		err = y4m_reader_read(c->source, number - c->lag, c->i420);
	} while (err == ERR_AGAIN && !atomic_load(&c->is_stopping));
	return err;
}

// The first picture, from `number` on, whose time is not over: late ones are skipped, never delayed.
static uint64_t skip_missed(struct video_capture *c, uint64_t number)
{
	uint64_t now = timebase_now_ns(), first = number;
	while (now > c->epoch_ns + picture_time(c, number + 1, MEDIA_SECOND))
		number++;
	tally_add(c->tally, TALLY_CAPTURE_PICTURE_SKIPPED, number - first);
	return number;
}

// True if another picture must be read instead. A FIFO that cannot keep up is not chased for ever: what it
// gives is then sent with the time at which it came.
static bool is_skipped(struct video_capture *c, uint64_t *number)
{
	uint64_t due = skip_missed(c, *number);
	if (due == *number) {
		c->skips = 0;
		return false;
	}
	vp9_sender_hurry(c->vp9);
	if (y4m_reader_is_stream(c->source) && ++c->skips > SLOW_STREAM_SKIPS) {
		c->lag += due - *number;
		*number = due;
		return false;
	}
	*number = due;
	return true;
}

static void report_end(struct video_capture *c, enum err err)
{
	if (err == ERR_CLOSED) {
		log_line(LOG_NOTICE, "pictures are not sent any more: %s came to its end", c->options->video_path);
		return;
	}
	tally_add(c->tally, TALLY_CAPTURE_FAILED, 1);
	log_line(LOG_ERROR, "pictures are not sent any more: %s: %s", c->options->video_path,
		 y4m_reader_problem(c->source)[0] ? y4m_reader_problem(c->source) : err_text(err));
}

static void *run(void *argument)
{
	struct video_capture *c = argument;
	uint64_t number = 0;
	enum err err = ERR_OK;
	while (err == ERR_OK) {
		// Read ahead of time: a slow disk or FIFO then costs no latency.
		err = read_picture(c, number);
		timebase_sleep_until_ns(c->epoch_ns + picture_time(c, number, MEDIA_SECOND));
		if (atomic_load(&c->is_stopping))
			return NULL;
		if (err != ERR_OK)
			break;
		if (is_skipped(c, &number))
			continue;
		err = send_picture(c, number++);
	}
	report_end(c, err);
	return NULL;
}

enum err video_capture_start(struct video_capture *capture, uint64_t epoch_ns)
{
	capture->epoch_ns = epoch_ns;
	if (pthread_create(&capture->thread, NULL, run, capture) != 0)
		return ERR_NOMEM;
	capture->is_running = true;
	return ERR_OK;
}

void video_capture_force_key_frame(struct video_capture *capture)
{
	atomic_store(&capture->is_key_wanted, true);
}

void video_capture_free(struct video_capture *capture)
{
	if (!capture)
		return;
	atomic_store(&capture->is_stopping, true);
	if (capture->is_running)
		pthread_join(capture->thread, NULL);
	vp9_sender_free(capture->vp9);
	y4m_reader_free(capture->source);
	free(capture->i420);
	free(capture);
}
