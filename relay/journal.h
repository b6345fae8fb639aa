// What must survive a restart of the relay: ended meetings, removed participants, and the tickets that were
// once admitted (whose devices may come back). Kept in memory and in an append-only file of checksummed
// records; a torn last record is ignored. Expired entries are kept for two more days, since clocks are set back
// too; then they go from memory within the hour, and from the file when it is opened.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_JOURNAL_H
#define RELAY_JOURNAL_H

#include "base/err.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

enum journal_kind {
	JOURNAL_ENDED = 1,   // first: meeting
	JOURNAL_REMOVED = 2, // first: meeting, second: participant
	JOURNAL_ADMITTED = 3, // first: ticket's serial
};

struct journal_entry {
	enum journal_kind kind;
	struct id first, second;
	uint64_t until; // Unix seconds
};

// Admitted tickets leave room for the orders: members can make many of the ones, nobody of the others.
enum { JOURNAL_RECORD_BYTES = 64, JOURNAL_PROBLEM_MAX = 384, JOURNAL_KEEP_S = 2 * 86400, JOURNAL_ENTRIES_MAX = 1 << 18,
       JOURNAL_ADMITTED_MAX = JOURNAL_ENTRIES_MAX / 2 };
#define JOURNAL_FILE "journal"

struct journal;

// Reads and compacts `directory`/journal. On failure `problem` says which file and why.
enum err journal_open(const char *directory, uint64_t now_s, struct journal **out, char problem[static JOURNAL_PROBLEM_MAX]) CHECK_RESULT;
void journal_close(struct journal *journal);

// Remember and write; an entry that is there already only has its date moved on. ERR_LIMIT: too many entries, not
// remembered. ERR_FULL (the disk) or ERR_IO: remembered until the next restart only (logged).
enum err journal_add(struct journal *journal, const struct journal_entry *entry, uint64_t now_s) CHECK_RESULT;
bool journal_has(const struct journal *journal, enum journal_kind kind, const struct id *first, const struct id *second,
		 uint64_t now_s);
// The file, for whoever writes it through to the disk (the manager process: it would keep media waiting),
// and whether anything was added since somebody said that he does.
int journal_descriptor(const struct journal *journal);
bool journal_is_unsynced(const struct journal *journal);
void journal_set_synced(struct journal *journal);

// One record of the file.
void journal_record_emit(const struct journal_entry *entry, uint8_t out[static JOURNAL_RECORD_BYTES]);
enum err journal_record_parse(const uint8_t bytes[static JOURNAL_RECORD_BYTES], struct journal_entry *out) CHECK_RESULT;

#endif
