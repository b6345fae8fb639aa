// SPDX-License-Identifier: Apache-2.0
#include "relay/journal.h"

#include "base/cursor.h"
#include "base/log.h"
#include "base/packet.h"
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUCKETS = 4096, HOUR_S = 3600, CHECK_BYTES = 16, PADDING_BYTES = 7,
       CHECKED_BYTES = JOURNAL_RECORD_BYTES - CHECK_BYTES };
static const struct id nobody;

struct node {
	struct journal_entry entry;
	struct node *next;
};

struct journal {
	int file;
	size_t count, admitted;
	uint64_t swept_hour; // hours since 1970 when expired entries were last looked for
	bool is_failing; // said once
	bool is_unsynced;
	uint8_t key[PACKET_TAG_KEY_BYTES];
	struct node *bucket[BUCKETS];
};

// kind 1 | zero 7 | until 8 | first 16 | second 16 | SHA-256 of all before, its first 16
void journal_record_emit(const struct journal_entry *entry, uint8_t out[static JOURNAL_RECORD_BYTES])
{
	static const uint8_t padding[PADDING_BYTES];
	uint8_t digest[SECRET_SHA256_BYTES];
	struct cursor c = cursor_writer(out, JOURNAL_RECORD_BYTES);
	cursor_write_u8(&c, (uint8_t)entry->kind);
	cursor_write_bytes(&c, padding, sizeof(padding));
	cursor_write_u64(&c, entry->until);
	cursor_write_bytes(&c, entry->first.bytes, TEXT_ID_BYTES);
	cursor_write_bytes(&c, entry->second.bytes, TEXT_ID_BYTES);
	secret_sha256(out, CHECKED_BYTES, digest);
	cursor_write_bytes(&c, digest, CHECK_BYTES);
}

enum err journal_record_parse(const uint8_t bytes[static JOURNAL_RECORD_BYTES], struct journal_entry *out)
{
	uint8_t digest[SECRET_SHA256_BYTES];
	secret_sha256(bytes, CHECKED_BYTES, digest);
	if (memcmp(digest, bytes + CHECKED_BYTES, CHECK_BYTES) != 0)
		return ERR_AUTH;
	struct cursor c = cursor_reader(bytes, CHECKED_BYTES);
	out->kind = (enum journal_kind)cursor_read_u8(&c);
	cursor_read_view(&c, PADDING_BYTES);
	out->until = cursor_read_u64(&c);
	cursor_read_bytes(&c, out->first.bytes, TEXT_ID_BYTES);
	cursor_read_bytes(&c, out->second.bytes, TEXT_ID_BYTES);
	if (out->kind < JOURNAL_ENDED || out->kind > JOURNAL_ADMITTED)
		return ERR_PARSE;
	return cursor_finish(&c);
}

static struct node **find(const struct journal *journal, const struct journal_entry *entry)
{
	uint8_t input[1 + 2 * TEXT_ID_BYTES] = { (uint8_t)entry->kind };
	memcpy(input + 1, entry->first.bytes, TEXT_ID_BYTES);
	memcpy(input + 1 + TEXT_ID_BYTES, entry->second.bytes, TEXT_ID_BYTES);
	size_t bucket = packet_siphash(journal->key, input, sizeof(input)) % BUCKETS;
	struct node **at = (struct node **)(uintptr_t)&journal->bucket[bucket];
	while (*at && ((*at)->entry.kind != entry->kind || !text_id_equal(&(*at)->entry.first, &entry->first) ||
		       !text_id_equal(&(*at)->entry.second, &entry->second)))
		at = &(*at)->next;
	return at;
}

static bool is_over(const struct journal_entry *entry, uint64_t now_s)
{
	return entry->until < now_s && now_s - entry->until > JOURNAL_KEEP_S;
}

static void sweep(struct journal *journal, uint64_t now_s)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct node **at = &journal->bucket[i]; *at;) {
			struct node *node = *at;
			if (!is_over(&node->entry, now_s)) {
				at = &node->next;
				continue;
			}
			*at = node->next;
			journal->count--;
			journal->admitted -= node->entry.kind == JOURNAL_ADMITTED;
			free(node);
		}
	}
	journal->swept_hour = now_s / HOUR_S;
}

// ERR_EXISTS if nothing new was said.
static enum err remember(struct journal *journal, const struct journal_entry *entry)
{
	struct node **at = find(journal, entry);
	if (*at) {
		if ((*at)->entry.until >= entry->until)
			return ERR_EXISTS;
		(*at)->entry.until = entry->until;
		return ERR_OK;
	}
	if (journal->count == JOURNAL_ENTRIES_MAX || (entry->kind == JOURNAL_ADMITTED && journal->admitted == JOURNAL_ADMITTED_MAX))
		return ERR_LIMIT;
	*at = calloc(1, sizeof(**at));
	if (!*at)
		return ERR_NOMEM;
	(*at)->entry = *entry;
	journal->count++;
	journal->admitted += entry->kind == JOURNAL_ADMITTED;
	return ERR_OK;
}

// A half record would put all later ones out of step: cut it off again.
static enum err append(struct journal *journal, const struct journal_entry *entry)
{
	uint8_t record[JOURNAL_RECORD_BYTES];
	journal_record_emit(entry, record);
	ssize_t written = write(journal->file, record, sizeof(record));
	if (written == (ssize_t)sizeof(record)) {
		journal->is_failing = false;
		journal->is_unsynced = true;
		return ERR_OK;
	}
	int error = written < 0 ? errno : ENOSPC;
	struct stat status;
	if (written > 0 && fstat(journal->file, &status) == 0 &&
	    ftruncate(journal->file, status.st_size / JOURNAL_RECORD_BYTES * JOURNAL_RECORD_BYTES) != 0)
		error = errno;
	if (!journal->is_failing)
		log_line(LOG_ERROR, "the journal cannot be written, entries last until the next restart only: %s", strerror(error));
	journal->is_failing = true;
	return error == ENOSPC || error == EDQUOT ? ERR_FULL : ERR_IO;
}

enum err journal_add(struct journal *journal, const struct journal_entry *entry, uint64_t now_s)
{
	if (journal->swept_hour != now_s / HOUR_S)
		sweep(journal, now_s);
	enum err err = remember(journal, entry);
	if (err == ERR_LIMIT)
		return err;
	if (err == ERR_EXISTS)
		return ERR_OK;
	enum err written = append(journal, entry);
	return err ? err : written;
}

bool journal_has(const struct journal *journal, enum journal_kind kind, const struct id *first, const struct id *second,
		 uint64_t now_s)
{
	struct journal_entry wanted = { .kind = kind, .first = *first, .second = second ? *second : nobody };
	struct node *const *at = find(journal, &wanted);
	return *at && (*at)->entry.until >= now_s;
}

int journal_descriptor(const struct journal *journal) { return journal->file; }
bool journal_is_unsynced(const struct journal *journal) { return journal->is_unsynced; }
void journal_set_synced(struct journal *journal) { journal->is_unsynced = false; }

// ---------------------------------------------------------------- the file

static enum err read_all(struct journal *journal, int file, uint64_t now_s, const char *path)
{
	uint8_t record[JOURNAL_RECORD_BYTES];
	size_t damaged = 0, have = 0;
	for (;;) {
		ssize_t got = read(file, record + have, sizeof(record) - have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return ERR_IO;
		if (got == 0)
			break;
		have += (size_t)got;
		if (have < sizeof(record))
			continue;
		have = 0;
		struct journal_entry entry;
		enum err err = journal_record_parse(record, &entry);
		if (!err && !is_over(&entry, now_s))
			err = remember(journal, &entry);
		if (err == ERR_NOMEM)
			return err;
		damaged += err == ERR_AUTH || err == ERR_PARSE;
	}
	if (damaged + (have > 0) > 0)
		log_line(LOG_WARNING, "%s: %zu damaged records ignored%s", path, damaged, have ? ", and an unfinished last one" : "");
	return ERR_OK;
}

static enum err write_all(const struct journal *journal)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (const struct node *node = journal->bucket[i]; node; node = node->next) {
			uint8_t record[JOURNAL_RECORD_BYTES];
			journal_record_emit(&node->entry, record);
			if (write(journal->file, record, sizeof(record)) != (ssize_t)sizeof(record))
				return ERR_IO;
		}
	}
	return fsync(journal->file) == 0 ? ERR_OK : ERR_IO;
}

// The compacted file takes the old one's place in one step.
static enum err rewrite(struct journal *journal, int directory)
{
	journal->file = openat(directory, JOURNAL_FILE ".new", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (journal->file < 0)
		return ERR_IO;
	enum err err = write_all(journal);
	if (!err && (renameat(directory, JOURNAL_FILE ".new", directory, JOURNAL_FILE) != 0 || fsync(directory) != 0))
		err = ERR_IO;
	return err;
}

enum err journal_open(const char *directory, uint64_t now_s, struct journal **out, char problem[static JOURNAL_PROBLEM_MAX])
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/" JOURNAL_FILE, directory);
	int old = -1, folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct journal *journal = calloc(1, sizeof(*journal));
	enum err err = !journal ? ERR_NOMEM : folder < 0 ? ERR_IO : ERR_OK;
	if (journal)
		journal->file = -1;
	if (!err) {
		secret_random(journal->key, sizeof(journal->key));
		journal->swept_hour = now_s / HOUR_S;
		old = openat(folder, JOURNAL_FILE, O_RDONLY | O_CLOEXEC);
		err = old >= 0 ? read_all(journal, old, now_s, path) : errno == ENOENT ? ERR_OK : ERR_IO;
	}
	if (!err)
		err = rewrite(journal, folder);
	if (err) {
		snprintf(problem, JOURNAL_PROBLEM_MAX, "%.300s: %s", path, err == ERR_IO ? strerror(errno) : err_text(err));
		journal_close(journal);
	} else {
		*out = journal;
	}
	if (old >= 0)
		close(old);
	if (folder >= 0)
		close(folder);
	return err;
}

void journal_close(struct journal *journal)
{
	if (!journal)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while (journal->bucket[i]) {
			struct node *node = journal->bucket[i];
			journal->bucket[i] = node->next;
			free(node);
		}
	}
	if (journal->file >= 0)
		close(journal->file);
	free(journal);
}
