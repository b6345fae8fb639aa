// The description of a recording as JSON. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_RECORDING_TEXT_H
#define CLIENT_ENGINE_MEDIA_RECORDING_TEXT_H

#include "client/engine/media/media.h"
#include "client/engine/media/picture_track.h"
#include "client/engine/media/recording.h"

#include <stddef.h>
#include <stdint.h>

struct recording_text {
	char base[TEXT_UUID_SIZE];
	char runs[RECORDING_RUNS][RECORDING_RUN_TEXT];
	size_t run_count;
	uint64_t samples;                            // in the WAV, 0: there is none
	uint64_t sound_playout_ns, sound_capture_ns; // of sample 0, Unix ns
	const struct picture_track_file *files;
	size_t file_count;
	struct media_stream_stats stats[RECORDING_STREAMS];
	size_t stat_count;
	enum err problem; // why it ended early
};

// Allocated text, NULL without memory.
char *recording_text_emit(const struct recording_text *text, size_t *size);

#endif
