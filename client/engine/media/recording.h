// What one participant was heard and seen to do, on disk: DIR/UUID.wav (48 kHz mono, continuous from the first
// play-out, silence where nothing was due), DIR/UUID.y4m and DIR/UUID.frames (picture_track.h), and UUID.json,
// which describes them. Files are valid at every moment up to the last flush, one second ago at most. Files
// that exist as FIFOs are written to.
//
// A thread of its own writes; a disk that is too slow costs recorded sound and pictures (counted), never the
// meeting. When the disk is full the recording ends with one line in the log. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_RECORDING_H
#define CLIENT_ENGINE_MEDIA_RECORDING_H

#include "base/err.h"
#include "base/text.h"
#include "client/engine/media/limits.h"
#include "client/engine/media/media.h"
#include "client/engine/media/picture.h"
#include "client/engine/media/tally.h"

#include <stddef.h>
#include <stdint.h>

struct recording;

enum { RECORDING_RUNS = 16, RECORDING_RUN_TEXT = 64, RECORDING_STREAMS = 2 };

// `tally` is borrowed. Files are made when there is something to write.
enum err recording_new(const char *directory, const struct id *participant, struct tally *tally,
		struct recording **out) CHECK_RESULT;
void recording_free(struct recording *recording); // writes what waits, closes; NULL is fine

// All callable by any thread; none blocks on the disk.
void recording_run(struct recording *r, const char *run_text);
// 10 ms from `playout_ns` (monotonic, schedule of the ticks); `capture_ns`: Unix ns at the sender.
void recording_sound(struct recording *r, uint64_t playout_ns, uint64_t capture_ns,
		const int16_t samples[static MEDIA_AUDIO_TICK]);
// Takes the picture; its playout_ns is monotonic.
void recording_picture(struct recording *r, struct picture *picture);
// Figures for the description.
void recording_figures(struct recording *r, const struct media_stream_stats *stats, size_t count);

#endif
