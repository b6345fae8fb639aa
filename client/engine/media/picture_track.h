// The pictures of a recording: constant-rate Y4M files and the list that says what each picture in them is.
//
// A picture stands at the place of its play-out; where none was shown the last one is repeated. A change of
// size, or a pause of more than a minute, goes on in a new file: UUID.y4m, UUID-2.y4m, and so on. UUID.frames
// has a line for each picture in them: file, number in it, RTP timestamp, capture and play-out (Unix ns), and 1
// for a repeat. Used by one thread. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_PICTURE_TRACK_H
#define CLIENT_ENGINE_MEDIA_PICTURE_TRACK_H

#include "base/err.h"
#include "client/engine/media/limits.h"
#include "client/engine/media/picture.h"
#include "client/engine/media/tally.h"
#include "client/engine/media/y4m_reader.h"

#include <stddef.h>
#include <stdint.h>

struct picture_track;

struct picture_track_file { // what became of one file
	char name[64];
	struct y4m_format format;
	uint64_t pictures, repeats;
	uint64_t capture_ns, playout_ns; // of the first picture, Unix ns
};

// `directory` and `base` (the UUID) are borrowed. `wall_offset_ns` is added to monotonic times for people.
enum err picture_track_new(const char *directory, const char *base, uint64_t wall_offset_ns,
		struct tally *tally, struct picture_track **out) CHECK_RESULT;
void picture_track_free(struct picture_track *track); // does not write
// Takes the picture, unless ERR_AGAIN: a FIFO that nobody reads yet. Other failures are final.
enum err picture_track_put(struct picture_track *track, struct picture *picture) CHECK_RESULT;
enum err picture_track_flush(struct picture_track *track) CHECK_RESULT; // list of pictures to the disk
enum err picture_track_finish(struct picture_track *track) CHECK_RESULT; // the last picture
size_t picture_track_files(const struct picture_track *track, const struct picture_track_file **files);

#endif
