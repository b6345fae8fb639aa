// The thread that sends sound: file, Opus, packets, on the capture clock. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_AUDIO_CAPTURE_H
#define CLIENT_ENGINE_MEDIA_AUDIO_CAPTURE_H

#include "client/engine/media/media.h"
#include "client/engine/media/tally.h"

struct audio_capture;

// `options` and `tally` are borrowed and must outlive it; options->audio_path is not NULL.
enum err audio_capture_new(const struct media_options *options, struct tally *tally, struct audio_capture **out,
		char *problem) CHECK_RESULT;
void audio_capture_free(struct audio_capture *capture); // stops
// Sample 0 is captured at `epoch_ns` of the monotonic clock.
enum err audio_capture_start(struct audio_capture *capture, uint64_t epoch_ns) CHECK_RESULT;

#endif
