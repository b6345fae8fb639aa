// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/picture_track.h"

#include "client/engine/media/outfile.h"
#include "client/engine/media/y4m_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EARLY = 4, LIST_BYTES = 65536, LINE_MAX_BYTES = 128, GAP_SECONDS = 60, RATE_DEFAULT = 25 };

struct picture_track {
	const char *directory, *base; // borrowed
	uint64_t wall_offset_ns;
	struct tally *tally; // borrowed

	struct y4m_writer writer;
	int descriptor; // of the Y4M file, -1: none open
	int list;       // of the .frames file, -1: none yet
	char lines[LIST_BYTES];
	size_t lines_size;

	struct picture *early[EARLY]; // until the rate is known
	size_t early_count;
	struct picture *pending;      // its repeats are not known yet
	int64_t slot;                 // of pending
	uint64_t start_ns;            // play-out of slot 0
	double period_ns;
	struct picture_track_file file[LIMIT_RECORDING_FILES];
	size_t file_count;
};

enum err picture_track_new(const char *directory, const char *base, uint64_t wall_offset_ns,
		struct tally *tally, struct picture_track **out)
{
	struct picture_track *t = calloc(1, sizeof *t);
	if (!t)
		return ERR_NOMEM;
	t->directory = directory;
	t->base = base;
	t->wall_offset_ns = wall_offset_ns;
	t->tally = tally;
	t->descriptor = t->list = -1;
	*out = t;
	return ERR_OK;
}

void picture_track_free(struct picture_track *track)
{
	if (!track)
		return;
	for (size_t i = 0; i < track->early_count; i++)
		free(track->early[i]);
	free(track->pending);
	if (track->descriptor >= 0)
		close(track->descriptor);
	if (track->list >= 0)
		close(track->list);
	free(track);
}

size_t picture_track_files(const struct picture_track *track, const struct picture_track_file **files)
{
	*files = track->file;
	return track->file_count;
}

static struct picture_track_file *file_now(struct picture_track *t)
{
	return &t->file[t->file_count - 1];
}

enum err picture_track_flush(struct picture_track *t)
{
	if (t->lines_size == 0)
		return ERR_OK;
	enum err err = outfile_write(t->list, t->lines, t->lines_size);
	t->lines_size = 0;
	return err;
}

static enum err open_list(struct picture_track *t)
{
	static const char head[] = "# file picture rtp_timestamp capture_ns playout_ns repeat\n";
	char path[PATH_MAX];
	bool is_stream;
	snprintf(path, sizeof path, "%s/%s.frames", t->directory, t->base);
	enum err err = outfile_open(path, &t->list, &is_stream);
	return err == ERR_OK ? outfile_write(t->list, head, sizeof head - 1) : err;
}

static enum err list_picture(struct picture_track *t, const struct picture *p, uint64_t playout_ns, bool is_repeat)
{
	if (t->lines_size + LINE_MAX_BYTES > sizeof t->lines) {
		enum err err = picture_track_flush(t);
		if (err != ERR_OK)
			return err;
	}
	t->lines_size += (size_t)snprintf(t->lines + t->lines_size, LINE_MAX_BYTES,
			"%zu %" PRIu64 " %u %" PRIu64 " %" PRIu64 " %d\n",
					  t->file_count, t->writer.pictures - 1, p->timestamp, p->capture_ns,
					  playout_ns + t->wall_offset_ns, is_repeat);
	return ERR_OK;
}

static enum err write_picture(struct picture_track *t, const struct picture *p, uint64_t playout_ns, bool is_repeat)
{
	enum err err = y4m_writer_write(&t->writer, p->i420);
	if (err == ERR_OK)
		err = list_picture(t, p, playout_ns, is_repeat);
	if (err == ERR_OK) {
		file_now(t)->pictures++;
		file_now(t)->repeats += is_repeat;
	}
	return err;
}

// The pending picture, then repeats of it up to `slot`.
static enum err write_pending(struct picture_track *t, int64_t slot)
{
	enum err err = write_picture(t, t->pending, t->pending->playout_ns, false);
	for (int64_t s = t->slot + 1; s < slot && err == ERR_OK; s++)
		err = write_picture(t, t->pending, t->start_ns + (uint64_t)((double)s * t->period_ns), true);
	free(t->pending);
	t->pending = NULL;
	return err;
}

// Pictures per second from the smallest distance of the first pictures.
static uint32_t find_rate(const struct picture_track *t)
{
	static const uint32_t usual[] = { 5, 10, 12, 15, 20, 24, 25, 30, 50, 60 };
	uint32_t least = UINT32_MAX;
	for (size_t i = 1; i < t->early_count; i++) {
		uint32_t step = t->early[i]->timestamp - t->early[i - 1]->timestamp;
		if (step > 0 && step < least)
			least = step;
	}
	for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
		if (fabs(least * (double)usual[i] / MEDIA_VIDEO_CLOCK - 1) < 0.03)
			return usual[i];
	return RATE_DEFAULT;
}

static enum err open_file(struct picture_track *t, const struct picture *first, uint32_t rate)
{
	char path[PATH_MAX];
	bool is_stream;
	struct y4m_format format = { .width = first->width, .height = first->height, .rate_num = rate, .rate_den = 1 };
	struct picture_track_file next = { .format = format, .capture_ns = first->capture_ns,
					   .playout_ns = first->playout_ns + t->wall_offset_ns };
	if (t->file_count == LIMIT_RECORDING_FILES)
		return ERR_LIMIT;
	if (t->file_count == 0)
		snprintf(next.name, sizeof next.name, "%s.y4m", t->base);
	else
		snprintf(next.name, sizeof next.name, "%s-%zu.y4m", t->base, t->file_count + 1);
	snprintf(path, sizeof path, "%s/%s", t->directory, next.name);
	enum err err = outfile_open(path, &t->descriptor, &is_stream);
	if (err != ERR_OK)
		return err;
	err = y4m_writer_init(&t->writer, t->descriptor, is_stream, &format);
	if (err == ERR_OK && t->list < 0)
		err = open_list(t);
	t->file[t->file_count++] = next;
	t->period_ns = (double)MEDIA_SECOND / rate;
	t->start_ns = first->playout_ns;
	return err;
}

// Place of a picture in the file. Being up to one place early or late is kept rather than corrected: else a
// play-out that falls between two places would repeat and drop pictures in turn.
static int64_t place(const struct picture_track *t, uint64_t playout_ns)
{
	double exact = ((double)playout_ns - (double)t->start_ns) / t->period_ns;
	int64_t next = t->slot + 1;
	return fabs(exact - (double)next) <= 1.0 ? next : (int64_t)floor(exact + 0.5);
}

static enum err put_timed(struct picture_track *t, struct picture *picture)
{
	if (!t->pending) {
		t->pending = picture;
		t->slot = 0;
		return ERR_OK;
	}
	int64_t slot = place(t, picture->playout_ns);
	if (slot <= t->slot) {
		tally_add(t->tally, TALLY_RECORDING_CROWDED, 1);
		free(picture);
		return ERR_OK;
	}
	enum err err = write_pending(t, slot);
	t->pending = picture;
	t->slot = slot;
	return err;
}

static enum err end_file(struct picture_track *t)
{
	enum err err = t->pending ? write_pending(t, t->slot) : ERR_OK;
	if (t->descriptor >= 0 && close(t->descriptor) != 0 && err == ERR_OK)
		err = ERR_IO;
	t->descriptor = -1;
	return err;
}

// Enough early pictures came: open the file and write them.
static enum err begin_file(struct picture_track *t)
{
	enum err err = t->early_count ? open_file(t, t->early[0], find_rate(t)) : ERR_OK;
	if (err == ERR_AGAIN)
		return err;
	size_t count = t->early_count;
	t->early_count = 0;
	for (size_t i = 0; i < count; i++) {
		if (err == ERR_OK)
			err = put_timed(t, t->early[i]);
		else
			free(t->early[i]);
	}
	return err;
}

static bool is_same_size(const struct picture *a, const struct picture *b)
{
	return a->width == b->width && a->height == b->height;
}

static enum err put_early(struct picture_track *t, struct picture *picture)
{
	if (t->early_count > 0 && (t->early_count == EARLY || !is_same_size(t->early[0], picture))) {
		enum err err = begin_file(t);
		if (err == ERR_OK)
			return picture_track_put(t, picture);
		if (err != ERR_AGAIN)
			free(picture);
		return err;
	}
	t->early[t->early_count++] = picture;
	return ERR_OK;
}

enum err picture_track_put(struct picture_track *t, struct picture *picture)
{
	if (t->descriptor < 0)
		return put_early(t, picture);
	bool is_gap = picture->playout_ns > t->start_ns + (uint64_t)((double)t->slot * t->period_ns) + GAP_SECONDS * MEDIA_SECOND;
	if (t->pending && (is_gap || !is_same_size(t->pending, picture))) {
		enum err err = end_file(t);
		if (err != ERR_OK) {
			free(picture);
			return err;
		}
		return put_early(t, picture);
	}
	return put_timed(t, picture);
}

enum err picture_track_finish(struct picture_track *t)
{
	enum err err = t->descriptor < 0 ? begin_file(t) : ERR_OK;
	if (err == ERR_OK)
		err = end_file(t);
	enum err listed = picture_track_flush(t);
	return err != ERR_OK ? err : listed;
}
