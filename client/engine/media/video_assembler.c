// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/video_assembler.h"

#include "client/engine/media/vp9_payload.h"

#include <stdlib.h>
#include <string.h>

struct slot {
	int64_t number; // 0: empty
	uint32_t timestamp;
	bool is_start, is_end, is_key, was_asked;
	uint64_t arrival_ns;
	size_t size;
	uint8_t bytes[PACKET_MEDIA_PAYLOAD_MAX];
};

struct video_assembler {
	struct tally *tally;  // borrowed
	bool needs_key;
	int64_t next;         // what comes before is done with
	int64_t highest;      // that came
	struct slot slot[LIMIT_PICTURE_PACKETS]; // by number mod their count
};

enum err video_assembler_new(struct tally *tally, struct video_assembler **out)
{
	struct video_assembler *a = calloc(1, sizeof *a);
	if (!a)
		return ERR_NOMEM;
	a->tally = tally;
	a->needs_key = true;
	*out = a;
	return ERR_OK;
}

void video_assembler_free(struct video_assembler *assembler)
{
	free(assembler);
}

void video_assembler_reset(struct video_assembler *a)
{
	for (size_t i = 0; i < LIMIT_PICTURE_PACKETS; i++)
		a->slot[i].number = 0;
	a->next = a->highest = 0;
	a->needs_key = true;
}

static struct slot *slot_of(struct video_assembler *a, int64_t number)
{
	struct slot *s = &a->slot[number % LIMIT_PICTURE_PACKETS];
	return s->number == number ? s : NULL;
}

// Empty all slots before `number`; those with packets in them count as `reason`.
static void advance(struct video_assembler *a, int64_t number, enum tally_reason reason)
{
	uint64_t dropped = 0;
	int64_t from = number - a->next > LIMIT_PICTURE_PACKETS ? number - LIMIT_PICTURE_PACKETS : a->next;
	for (int64_t n = from; n < number; n++) {
		struct slot *s = slot_of(a, n);
		if (s) {
			s->number = 0;
			dropped++;
		}
	}
	a->next = number;
	if (reason < TALLY_REASONS)
		tally_add(a->tally, reason, dropped);
}

// Make room for `number`; true if it can be stored.
static bool make_room(struct video_assembler *a, int64_t number)
{
	if (a->next == 0)
		a->next = a->highest = number;
	if (number < a->next) {
		// Before the first key frame was found, what came first says nothing about where it began.
		if (!a->needs_key || number <= a->highest - LIMIT_PICTURE_PACKETS) {
			tally_add(a->tally, TALLY_VIDEO_LATE, 1);
			return false;
		}
		a->next = number;
	}
	if (number >= a->next + LIMIT_PICTURE_PACKETS) {
		advance(a, number - LIMIT_PICTURE_PACKETS + 1, TALLY_VIDEO_OVERFLOW);
		a->needs_key = true;
	}
	return true;
}

void video_assembler_insert(struct video_assembler *a, int64_t number, const struct packet_rtp *rtp, const uint8_t *payload,
			    size_t size, uint64_t now_ns, bool was_asked)
{
	struct vp9_payload descriptor;
	size_t head;
	if (size > PACKET_MEDIA_PAYLOAD_MAX || vp9_payload_parse(payload, size, &descriptor, &head) != ERR_OK) {
		tally_add(a->tally, TALLY_VIDEO_MALFORMED, 1);
		return;
	}
	if (!make_room(a, number))
		return;
	struct slot *s = &a->slot[number % LIMIT_PICTURE_PACKETS];
	s->number = number;
	s->timestamp = rtp->timestamp;
	s->is_start = descriptor.is_start;
	s->is_end = descriptor.is_end;
	s->is_key = !descriptor.is_inter;
	s->was_asked = was_asked;
	s->arrival_ns = now_ns;
	s->size = size - head;
	memcpy(s->bytes, payload + head, s->size);
	if (number > a->highest)
		a->highest = number;
}

// Number behind the last packet of the picture that starts at `first`; 0 if it is not whole, -1 if it never can be.
static int64_t find_end(struct video_assembler *a, int64_t first)
{
	const struct slot *start = slot_of(a, first), *s;
	size_t bytes = 0;
	if (!start)
		return 0;
	if (!start->is_start)
		return -1;
	for (int64_t n = first; (s = slot_of(a, n)); n++) {
		bytes += s->size;
		if ((n > first && s->is_start) || s->timestamp != start->timestamp || bytes > LIMIT_PICTURE_BYTES)
			return -1;
		if (s->is_end)
			return n + 1;
	}
	return 0;
}

static void copy_out(struct video_assembler *a, int64_t end, struct video_frame *out)
{
	const struct slot *s = slot_of(a, a->next);
	out->timestamp = s ? s->timestamp : 0;
	out->is_key = s && s->is_key;
	out->complete_ns = 0;
	out->was_delayed = false;
	out->size = 0;
	for (int64_t n = a->next; n < end && (s = slot_of(a, n)); n++) {
		memcpy(out->bytes + out->size, s->bytes, s->size);
		out->size += s->size;
		out->was_delayed |= s->was_asked;
		if (s->arrival_ns > out->complete_ns)
			out->complete_ns = s->arrival_ns;
	}
	advance(a, end, TALLY_REASONS); // used, not dropped
}

// The newest whole key frame ahead.
static bool find_key(struct video_assembler *a, int64_t *first, int64_t *end)
{
	for (int64_t n = a->highest; n >= a->next; n--) {
		const struct slot *s = slot_of(a, n);
		if (!s || !s->is_start || !s->is_key)
			continue;
		*end = find_end(a, n);
		if (*end > 0) {
			*first = n;
			return true;
		}
	}
	return false;
}

bool video_assembler_take(struct video_assembler *a, struct video_frame *out)
{
	int64_t end = a->needs_key ? 0 : find_end(a, a->next), first;
	if (end < 0)
		a->needs_key = true;
	if (end <= 0) {
		if (a->next == 0 || !find_key(a, &first, &end))
			return false;
		advance(a, first, TALLY_VIDEO_SKIPPED_TO_KEY);
		a->needs_key = false;
	}
	copy_out(a, end, out);
	return true;
}

void video_assembler_give_up(struct video_assembler *a, int64_t number)
{
	if (number < 0) {
		a->needs_key = true;
	} else if (number >= a->next && !a->needs_key) {
		tally_add(a->tally, TALLY_VIDEO_GIVEN_UP, 1);
		a->needs_key = true;
	}
}

bool video_assembler_needs_key(const struct video_assembler *a)
{
	return a->needs_key;
}

int64_t video_assembler_next(const struct video_assembler *a)
{
	return a->next;
}
