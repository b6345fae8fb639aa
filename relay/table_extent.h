// Which receiver records are free: runs of any length, found in constant time, joined again with their neighbours when
// they are given back. Record 0 is never given out. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_TABLE_EXTENT_H
#define RELAY_TABLE_EXTENT_H

#include "base/err.h"

#include <stdint.h>

enum { TABLE_EXTENT_BINS = 84 }; // by length: four for each power of two

struct table_extents {
	uint32_t records;
	uint32_t free_records;
	uint32_t *run;         // of a free run: its length, at its first and at its last record; elsewhere 0
	uint32_t *next, *prev; // in the run's bin. Of a run in use they are the owner's, at its first record
	uint8_t *generation;   // of the extent that begins here
	uint32_t bin[TABLE_EXTENT_BINS];
	uint64_t bin_used[2];
};

// ERR_NOMEM, or ERR_LIMIT for more records than a mark can name. table_extent_fini also after a failure.
enum err table_extent_init(struct table_extents *extents, uint32_t records) CHECK_RESULT;
void table_extent_fini(struct table_extents *extents);

// The first of `count` records in a row; 0: there is no such run. Its generation is raised.
uint32_t table_extent_take(struct table_extents *extents, uint32_t count);
void table_extent_give(struct table_extents *extents, uint32_t first, uint32_t count);

#endif
