// SPDX-License-Identifier: Apache-2.0
#include "relay/room.h"

#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024, FIRST_INDEX = 1, LAST_INDEX = (1 << 24) - 1 }; // an SSRC has 24 bits for the index

struct rooms {
	struct room_limits limits;
	size_t count, member_count;
	uint8_t key[PACKET_TAG_KEY_BYTES]; // meeting ids are drawn by clients: they shall not choose their bucket
	struct room *bucket[BUCKETS];
	uint32_t last_number;
	struct room *changed, *changed_last;
};

struct rooms *rooms_new(const struct room_limits *limits)
{
	struct rooms *rooms = calloc(1, sizeof(*rooms));
	if (!rooms)
		return NULL;
	rooms->limits = *limits;
	secret_random(rooms->key, sizeof(rooms->key));
	return rooms;
}

void rooms_free(struct rooms *rooms) { free(rooms); }

size_t rooms_count(const struct rooms *rooms) { return rooms->count; }
size_t rooms_member_count(const struct rooms *rooms) { return rooms->member_count; }

static size_t bucket_of(const struct rooms *rooms, const struct id *meeting)
{
	return packet_siphash(rooms->key, meeting->bytes, sizeof(meeting->bytes)) % BUCKETS;
}

struct room *rooms_find(const struct rooms *rooms, const struct id *meeting)
{
	struct room *room = rooms->bucket[bucket_of(rooms, meeting)];
	while (room && !text_id_equal(&room->meeting, meeting))
		room = room->next;
	return room;
}

struct room *rooms_next(const struct rooms *rooms, const struct room *previous)
{
	size_t bucket = 0;
	if (previous) {
		if (previous->next)
			return previous->next;
		bucket = bucket_of(rooms, &previous->meeting) + 1;
	}
	while (bucket < BUCKETS && !rooms->bucket[bucket])
		bucket++;
	return bucket < BUCKETS ? rooms->bucket[bucket] : NULL;
}

static struct room *room_new(struct rooms *rooms, const struct id *meeting)
{
	struct room *room = calloc(1, sizeof(*room));
	if (!room)
		return NULL;
	room->meeting = *meeting;
	if (++rooms->last_number == 0)
		rooms->last_number++;
	room->number = rooms->last_number;
	room->next_index = FIRST_INDEX;
	secret_random(&room->incarnation, sizeof(room->incarnation));
	struct room **bucket = &rooms->bucket[bucket_of(rooms, meeting)];
	room->next = *bucket;
	*bucket = room;
	rooms->count++;
	return room;
}

void rooms_change(struct rooms *rooms, struct room *room)
{
	if (room->is_changed)
		return;
	room->is_changed = true;
	room->next_changed = NULL;
	if (rooms->changed)
		rooms->changed_last->next_changed = room;
	else
		rooms->changed = room;
	rooms->changed_last = room;
}

struct room *rooms_take_changed(struct rooms *rooms)
{
	struct room *room = rooms->changed;
	if (!room)
		return NULL;
	rooms->changed = room->next_changed;
	room->is_changed = false;
	return room;
}

static void leave_changed(struct rooms *rooms, struct room *room)
{
	struct room *previous = NULL, *at = rooms->changed;
	if (!room->is_changed)
		return;
	for (; at != room; at = at->next_changed)
		previous = at;
	if (previous)
		previous->next_changed = room->next_changed;
	else
		rooms->changed = room->next_changed;
	if (rooms->changed_last == room)
		rooms->changed_last = previous;
}

static void room_free(struct rooms *rooms, struct room *room)
{
	leave_changed(rooms, room);
	struct room **at = &rooms->bucket[bucket_of(rooms, &room->meeting)];
	while (*at != room)
		at = &(*at)->next;
	*at = room->next;
	rooms->count--;
	free(room->member);
	free(room);
}

static enum err room_reserve(struct room *room)
{
	if (room->count < room->capacity)
		return ERR_OK;
	size_t capacity = room->capacity ? room->capacity * 2 : 4;
	struct member **grown = realloc(room->member, capacity * sizeof(struct member *));
	if (!grown)
		return ERR_NOMEM;
	room->member = grown;
	room->capacity = capacity;
	return ERR_OK;
}

enum err rooms_join(struct rooms *rooms, const struct id *meeting, const struct id *participant, struct member **out)
{
	struct room *room = rooms_find(rooms, meeting);
	if (rooms->member_count >= rooms->limits.members || (!room && rooms->count >= rooms->limits.rooms) ||
	    (room && (room->count >= rooms->limits.members_per_room || room->next_index > LAST_INDEX)))
		return ERR_FULL;
	struct member *member = calloc(1, sizeof(*member));
	if (!member)
		return ERR_NOMEM;
	if (!room)
		room = room_new(rooms, meeting);
	if (!room || room_reserve(room)) {
		free(member);
		if (room && room->count == 0)
			room_free(rooms, room);
		return ERR_NOMEM;
	}
	member->room = room;
	member->index = room->next_index++;
	member->participant = *participant;
	member->path = HOP_PATH_TLS;
	room->member[room->count++] = member;
	rooms->member_count++;
	*out = member;
	return ERR_OK;
}

void rooms_leave(struct rooms *rooms, struct member *member)
{
	struct room *room = member->room;
	size_t at = 0;
	while (room->member[at] != member)
		at++;
	room->count--;
	memmove(&room->member[at], &room->member[at + 1], (room->count - at) * sizeof(struct member *));
	rooms->member_count--;
	if (room->count == 0)
		room_free(rooms, room);
	for (size_t i = 0; i < member->stream_count; i++) {
		free(member->stream[i]->asked);
		free(member->stream[i]);
	}
	free(member->unwanted);
	free(member->announcement);
	free(member);
}

struct member *room_find_index(const struct room *room, uint32_t index)
{
	size_t low = 0, high = room->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (room->member[middle]->index == index)
			return room->member[middle];
		if (room->member[middle]->index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

struct member *room_find_participant(const struct room *room, const struct id *participant)
{
	for (size_t i = 0; i < room->count; i++) {
		if (text_id_equal(&room->member[i]->participant, participant))
			return room->member[i];
	}
	return NULL;
}

enum err room_announce(struct member *member, const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	if (!copy)
		return ERR_NOMEM;
	if (size > 0)
		memcpy(copy, bytes, size);
	free(member->announcement);
	member->announcement = copy;
	member->announcement_size = size;
	return ERR_OK;
}

struct room_stream *room_stream_find(const struct member *member, uint8_t stream)
{
	for (size_t i = 0; i < member->stream_count; i++) {
		if (member->stream[i]->stream == stream)
			return member->stream[i];
	}
	return NULL;
}

struct room_stream *room_stream_make(struct member *member, uint8_t stream)
{
	struct room_stream *found = room_stream_find(member, stream);
	if (found || member->stream_count == CONTROL_STREAMS_MAX)
		return found;
	found = calloc(1, sizeof(*found));
	if (!found)
		return NULL;
	found->stream = stream;
	member->stream[member->stream_count++] = found;
	return found;
}

// ---------------------------------------------------------------- subscriptions

// Where the SSRC is among the unwanted, or where it would be.
static uint32_t position_of(const struct member *member, uint32_t ssrc)
{
	uint32_t low = 0, high = member->unwanted_count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (member->unwanted[middle] < ssrc)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool room_is_wanted(const struct member *member, uint32_t ssrc)
{
	uint32_t at = position_of(member, ssrc);
	return at == member->unwanted_count || member->unwanted[at] != ssrc;
}

static enum err reserve_unwanted(struct member *member)
{
	if (member->unwanted_count == ROOM_UNWANTED_MAX)
		return ERR_LIMIT;
	if (member->unwanted_count < member->unwanted_capacity)
		return ERR_OK;
	uint32_t capacity = member->unwanted_capacity ? member->unwanted_capacity * 2 : 8;
	uint32_t *grown = realloc(member->unwanted, capacity * sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	member->unwanted = grown;
	member->unwanted_capacity = capacity;
	return ERR_OK;
}

bool room_want(struct member *member, uint32_t ssrc, bool is_wanted, enum err *err)
{
	*err = ERR_OK;
	if (room_is_wanted(member, ssrc) == is_wanted)
		return false;
	uint32_t at = position_of(member, ssrc);
	if (is_wanted) {
		member->unwanted_count--;
		memmove(&member->unwanted[at], &member->unwanted[at + 1], (member->unwanted_count - at) * sizeof(uint32_t));
		return true;
	}
	*err = reserve_unwanted(member);
	if (*err)
		return false;
	memmove(&member->unwanted[at + 1], &member->unwanted[at], (member->unwanted_count - at) * sizeof(uint32_t));
	member->unwanted[at] = ssrc;
	member->unwanted_count++;
	return true;
}

void room_forget_wishes(struct room *room, uint32_t index)
{
	for (size_t i = 0; i < room->count; i++) {
		struct member *member = room->member[i];
		uint32_t first = position_of(member, packet_ssrc(index, 0)), end = first;
		while (end < member->unwanted_count && packet_ssrc_index(member->unwanted[end]) == index)
			end++;
		if (end == first)
			continue;
		memmove(&member->unwanted[first], &member->unwanted[end], (member->unwanted_count - end) * sizeof(uint32_t));
		member->unwanted_count -= end - first;
	}
}
