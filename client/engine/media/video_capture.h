// The thread that sends pictures: file or FIFO, VP9, paced packets, on the capture clock.
// SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_VIDEO_CAPTURE_H
#define CLIENT_ENGINE_MEDIA_VIDEO_CAPTURE_H

#include "client/engine/media/media.h"
#include "client/engine/media/tally.h"

struct video_capture;

// `options` and `tally` are borrowed and must outlive it; options->video_path is not NULL.
enum err video_capture_new(const struct media_options *options, struct tally *tally, struct video_capture **out,
		char *problem) CHECK_RESULT;
void video_capture_free(struct video_capture *capture); // stops
// Picture 0 is captured at `epoch_ns` of the monotonic clock.
enum err video_capture_start(struct video_capture *capture, uint64_t epoch_ns) CHECK_RESULT;
void video_capture_force_key_frame(struct video_capture *capture); // any thread

#endif
