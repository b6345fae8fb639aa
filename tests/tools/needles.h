// Many byte strings searched at once in memory and files: the one search of the leak scan and of its positive
// control. Each needle is 16 bytes; what is longer is put in as several. SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_TOOLS_NEEDLES_H
#define TESTS_TOOLS_NEEDLES_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { NEEDLE_BYTES = 16, NEEDLE_HASH_BITS = 16, NEEDLE_FILTER_BITS = 22 };

enum needle_kind { NEEDLE_KEY, NEEDLE_PLAINTEXT, NEEDLE_KINDS };

struct needle {
	uint8_t bytes[NEEDLE_BYTES];
	enum needle_kind kind;
	const char *what; // borrowed: "meeting secret", "VP9 payload"
	uint32_t next;    // in its hash chain, index + 1
};

struct needles {
	struct needle *list;
	size_t count, capacity;
	uint32_t *chains;  // index + 1 by hash
	uint64_t *filter;  // most places of a haystack end here
};

static inline void needles_fini(struct needles *set)
{
	free(set->list);
	free(set->chains);
	free(set->filter);
	*set = (struct needles){};
}

static inline enum err needles_init(struct needles *set)
{
	*set = (struct needles){
		.chains = calloc(1u << NEEDLE_HASH_BITS, sizeof(*set->chains)),
		.filter = calloc((1u << NEEDLE_FILTER_BITS) / 64, sizeof(*set->filter)),
	};
	if (set->chains && set->filter)
		return ERR_OK;
	needles_fini(set);
	return ERR_NOMEM;
}

static inline uint64_t needles_hash(const uint8_t *bytes)
{
	uint64_t v;
	memcpy(&v, bytes, sizeof(v));
	return v * 0x9e3779b97f4a7c15u;
}

// True of bytes that could stand in any memory by chance: padding, silence, counters. They prove nothing.
static inline bool needles_is_dull(const uint8_t bytes[static NEEDLE_BYTES])
{
	bool seen[256] = {};
	int different = 0;
	for (int i = 0; i < NEEDLE_BYTES; i++) {
		different += !seen[bytes[i]];
		seen[bytes[i]] = true;
	}
	return different < 11;
}

static inline enum err needles_add(struct needles *set, const uint8_t bytes[static NEEDLE_BYTES], enum needle_kind kind, const char *what)
{
	if (set->count == set->capacity) {
		size_t capacity = set->capacity ? set->capacity * 2 : 1024;
		struct needle *list = realloc(set->list, capacity * sizeof(*list));
		if (!list)
			return ERR_NOMEM;
		set->list = list;
		set->capacity = capacity;
	}
	uint64_t hash = needles_hash(bytes);
	uint32_t *chain = &set->chains[hash >> (64 - NEEDLE_HASH_BITS)];
	uint32_t bit = (uint32_t)(hash >> (64 - NEEDLE_FILTER_BITS));
	struct needle *needle = &set->list[set->count++];
	*needle = (struct needle){ .kind = kind, .what = what, .next = *chain };
	memcpy(needle->bytes, bytes, NEEDLE_BYTES);
	*chain = (uint32_t)set->count;
	set->filter[bit / 64] |= UINT64_C(1) << bit % 64;
	return ERR_OK;
}

// Every 16-byte piece of a secret, step by step, so that no half of it goes unseen; the last piece ends with it.
static inline enum err needles_add_secret(struct needles *set, const uint8_t *bytes, size_t size, const char *what)
{
	enum err err = ERR_OK;
	for (size_t at = 0; err == ERR_OK && at + NEEDLE_BYTES <= size; at += NEEDLE_BYTES)
		err = needles_add(set, bytes + at, NEEDLE_KEY, what);
	if (err == ERR_OK && size > NEEDLE_BYTES && size % NEEDLE_BYTES)
		err = needles_add(set, bytes + size - NEEDLE_BYTES, NEEDLE_KEY, what);
	return err;
}

struct needles_hits {
	uint64_t of_kind[NEEDLE_KINDS]; // places, not needles
	uint64_t bytes;                 // searched
	const struct needle *first;     // the first one found, NULL: none
	uint64_t first_offset;
};

// Adds what it finds in `haystack`, which begins at `offset` of its file or memory, to `hits`.
static inline void needles_search(const struct needles *set, const uint8_t *haystack, size_t size, uint64_t offset,
				  struct needles_hits *hits)
{
	for (size_t at = 0; at + NEEDLE_BYTES <= size; at++) {
		uint64_t hash = needles_hash(haystack + at);
		uint32_t bit = (uint32_t)(hash >> (64 - NEEDLE_FILTER_BITS));
		if (!(set->filter[bit / 64] >> bit % 64 & 1))
			continue;
		for (uint32_t i = set->chains[hash >> (64 - NEEDLE_HASH_BITS)]; i; i = set->list[i - 1].next) {
			const struct needle *needle = &set->list[i - 1];
			if (memcmp(needle->bytes, haystack + at, NEEDLE_BYTES) != 0)
				continue;
			hits->of_kind[needle->kind]++;
			if (!hits->first) {
				hits->first = needle;
				hits->first_offset = offset + at;
			}
		}
	}
	hits->bytes += size;
}

#endif
