// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/vp9_sender.h"

#include <stdlib.h>
#include <time.h>
#include <vpx/vp8cx.h>
#include <vpx/vpx_encoder.h>

// Measured on 640x360 at 600 kbit/s: speed 5 takes 5 ms a picture; 6 takes 2.5 ms and loses 0.4 dB; 4 takes 9 to
// 12 ms, up to 24, for 0.4 to 0.8 dB, which is too dear where several clients share two cores. Key frames at 5
// take 27 ms, at 6 10 ms, and look the same.
enum { SPEED_BEST = 5, SPEED_KEY = 6, SPEED_FASTEST = 8 };
enum { BUSY_PERCENT = 35, CALM_PERCENT = 10, CALM_PICTURES = 250, BUSY_PICTURES = 10 };
enum { BUFFER_MS = 1000, BUFFER_INITIAL_MS = 500, BUFFER_OPTIMAL_MS = 600, SHOOT_PERCENT = 25,
		QUANTIZER_MIN = 2, QUANTIZER_MAX = 56 };
enum { AQ_CYCLIC = 3, TILE_COLUMNS_WIDE = 1, WIDE_PIXELS = 960 };

struct vp9_sender {
	vpx_codec_ctx_t codec;
	bool is_open;
	struct y4m_format format;
	unsigned long duration; // of a picture, 90 kHz
	uint64_t period_ns;
	int speed, speed_now;   // for inter pictures; what the codec is set to
	double busy_ns;         // processor time of a picture, smoothed
	unsigned since_change;  // pictures
};

static int set_controls(struct vp9_sender *s)
{
	vpx_codec_ctx_t *c = &s->codec;
	int failed = vpx_codec_control(c, VP8E_SET_CPUUSED, s->speed_now);
	failed |= vpx_codec_control(c, VP9E_SET_AQ_MODE, AQ_CYCLIC);
	failed |= vpx_codec_control(c, VP9E_SET_TUNE_CONTENT, VP9E_CONTENT_DEFAULT);
	failed |= vpx_codec_control(c, VP9E_SET_NOISE_SENSITIVITY, 0);
	failed |= vpx_codec_control(c, VP9E_SET_FRAME_PARALLEL_DECODING, 0);
	failed |= vpx_codec_control(c, VP9E_SET_GF_CBR_BOOST_PCT, 0);
	failed |= vpx_codec_control(c, VP9E_SET_TILE_COLUMNS, s->format.width >= WIDE_PIXELS ? TILE_COLUMNS_WIDE : 0);
	return failed;
}

static enum err open_codec(struct vp9_sender *s, uint32_t bitrate)
{
	vpx_codec_enc_cfg_t config;
	if (vpx_codec_enc_config_default(vpx_codec_vp9_cx(), &config, 0) != VPX_CODEC_OK)
		return ERR_NOMEM;
	config.g_w = s->format.width;
	config.g_h = s->format.height;
	config.g_timebase = (struct vpx_rational){ 1, MEDIA_VIDEO_CLOCK };
	config.g_threads = 1; // three of us share two cores
	config.g_lag_in_frames = 0;
	config.g_pass = VPX_RC_ONE_PASS;
	config.g_error_resilient = 0; // pictures are decoded in order or not at all, and this costs up to 4 dB
	config.rc_end_usage = VPX_CBR;
	config.rc_target_bitrate = bitrate / 1000;
	config.rc_dropframe_thresh = 0;
	config.rc_resize_allowed = 0;
	config.rc_min_quantizer = QUANTIZER_MIN;
	config.rc_max_quantizer = QUANTIZER_MAX;
	config.rc_buf_sz = BUFFER_MS;
	config.rc_buf_initial_sz = BUFFER_INITIAL_MS;
	config.rc_buf_optimal_sz = BUFFER_OPTIMAL_MS;
	config.rc_overshoot_pct = config.rc_undershoot_pct = SHOOT_PERCENT;
	config.kf_mode = VPX_KF_DISABLED;
	if (vpx_codec_enc_init(&s->codec, vpx_codec_vp9_cx(), &config, 0) != VPX_CODEC_OK)
		return ERR_NOMEM;
	s->is_open = true;
	return set_controls(s) == 0 ? ERR_OK : ERR_USAGE;
}

enum err vp9_sender_new(const struct y4m_format *format, uint32_t bitrate, struct vp9_sender **out)
{
	struct vp9_sender *s = calloc(1, sizeof *s);
	if (!s)
		return ERR_NOMEM;
	s->format = *format;
	s->duration = (unsigned long)((uint64_t)MEDIA_VIDEO_CLOCK * format->rate_den / format->rate_num);
	s->period_ns = MEDIA_SECOND * format->rate_den / format->rate_num;
	s->speed = s->speed_now = SPEED_BEST;
	enum err err = open_codec(s, bitrate);
	if (err != ERR_OK) {
		vp9_sender_free(s);
		return err;
	}
	*out = s;
	return ERR_OK;
}

void vp9_sender_free(struct vp9_sender *sender)
{
	if (!sender)
		return;
	if (sender->is_open)
		vpx_codec_destroy(&sender->codec);
	free(sender);
}

static uint64_t thread_time_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * MEDIA_SECOND + (uint64_t)t.tv_nsec;
}

// Faster settings soon when pictures take too long, better ones only after a long calm.
static void adapt_speed(struct vp9_sender *s, uint64_t spent_ns)
{
	s->busy_ns += ((double)spent_ns - s->busy_ns) / 8;
	s->since_change++;
	double percent = 100 * s->busy_ns / (double)s->period_ns;
	if (percent > BUSY_PERCENT && s->speed < SPEED_FASTEST && s->since_change >= BUSY_PICTURES) {
		s->speed++;
		s->since_change = 0;
	} else if (percent < CALM_PERCENT && s->speed > SPEED_BEST && s->since_change >= CALM_PICTURES) {
		s->speed--;
		s->since_change = 0;
	}
}

void vp9_sender_hurry(struct vp9_sender *sender)
{
	if (sender->speed < SPEED_FASTEST && sender->since_change >= BUSY_PICTURES) {
		sender->speed++;
		sender->since_change = 0;
	}
}

static void use_speed(struct vp9_sender *s, int speed)
{
	if (speed != s->speed_now && vpx_codec_control(&s->codec, VP8E_SET_CPUUSED, speed) == VPX_CODEC_OK)
		s->speed_now = speed;
}

enum err vp9_sender_encode(struct vp9_sender *s, uint8_t *i420, uint64_t timestamp, bool wants_key, const uint8_t **frame,
			   size_t *size, bool *is_key)
{
	vpx_image_t image;
	if (!vpx_img_wrap(&image, VPX_IMG_FMT_I420, s->format.width, s->format.height, 1, i420))
		return ERR_USAGE;
	uint64_t start = thread_time_ns();
	use_speed(s, wants_key && s->speed < SPEED_KEY ? SPEED_KEY : s->speed);
	if (vpx_codec_encode(&s->codec, &image, (vpx_codec_pts_t)timestamp, s->duration, wants_key ? VPX_EFLAG_FORCE_KF : 0,
			     VPX_DL_REALTIME) != VPX_CODEC_OK)
		return ERR_IO;
	vpx_codec_iter_t iterator = NULL;
	const vpx_codec_cx_pkt_t *packet;
	*size = 0;
	while ((packet = vpx_codec_get_cx_data(&s->codec, &iterator))) {
		if (packet->kind != VPX_CODEC_CX_FRAME_PKT)
			continue;
		*frame = packet->data.frame.buf;
		*size = packet->data.frame.sz;
		*is_key = packet->data.frame.flags & VPX_FRAME_IS_KEY;
	}
	if (!wants_key)
		adapt_speed(s, thread_time_ns() - start);
	return ERR_OK;
}
