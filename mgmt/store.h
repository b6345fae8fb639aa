// An ordered key-value store behind a table of operations. store_lmdb.c and store_memory.c fill the table;
// everything else uses the functions below, which add records to it. SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_STORE_H
#define MGMT_STORE_H

#include "base/err.h"
#include "mgmt/record.h"
#include "mgmt/store_key.h"
#include "mgmt/wire.h"

#include <stdbool.h>
#include <stdint.h>

enum store_mode {
	STORE_READ,
	STORE_WRITE, // may free space: works when the store is full
	STORE_GROW,  // adds: ERR_FULL at commit, or before, if it would take of the last tenth of the store
};

struct store_ops;
struct store { // backends embed this at their start
	const struct store_ops *ops;
};
struct store_txn {
	struct store *store;
	enum store_mode mode;
};

struct store_options {
	const char *path; // directory, must exist
	uint64_t size_bytes;
};

// One transaction at a time. Values are borrowed until the next write or the end of the transaction. ERR_FULL:
// neither store nor disk has room; ERR_IO: it cannot be written or read; ERR_CRYPTO is never returned.
struct store_ops {
	void (*close)(struct store *store);
	enum err (*begin)(struct store *store, enum store_mode mode, struct store_txn **out) CHECK_RESULT;
	enum err (*commit)(struct store_txn *txn) CHECK_RESULT; // synced when it returns; ends the transaction in any case
	void (*abort)(struct store_txn *txn);
	enum err (*get)(struct store_txn *txn, const struct store_key *key, struct wire_view *value) CHECK_RESULT;
	enum err (*put)(struct store_txn *txn, const struct store_key *key, struct wire_view value) CHECK_RESULT;
	enum err (*remove)(struct store_txn *txn, const struct store_key *key) CHECK_RESULT;
	// The first entry whose key starts with `prefix` and is greater than *key (from the start if *key is shorter
	// than the prefix). ERR_NOT_FOUND at the end.
	enum err (*next)(struct store_txn *txn, const struct store_key *prefix, struct store_key *key, struct wire_view *value) CHECK_RESULT;
	// The last entry whose key starts with `prefix`.
	enum err (*last)(struct store_txn *txn, const struct store_key *prefix, struct store_key *key) CHECK_RESULT;
	enum err (*usage)(struct store *store, uint64_t *used_bytes, uint64_t *max_bytes) CHECK_RESULT;
};

// Problems are said in the log. In the process that uses it: not across fork.
enum err store_lmdb_open(const struct store_options *options, struct store **out) CHECK_RESULT;
enum err store_memory_open(const struct store_options *options, struct store **out) CHECK_RESULT; // path unused
void store_close(struct store *store);

enum err store_begin(struct store *store, enum store_mode mode, struct store_txn **out) CHECK_RESULT;
enum err store_commit(struct store_txn *txn) CHECK_RESULT;
void store_abort(struct store_txn *txn);
enum err store_usage(struct store *store, uint64_t *used_bytes, uint64_t *max_bytes) CHECK_RESULT;

// `out` is the struct of `type`. ERR_PARSE, ERR_VERSION: the record is damaged or of a later release.
enum err store_get(struct store_txn *txn, const struct store_key *key, enum record_type type, void *out) CHECK_RESULT;
enum err store_put(struct store_txn *txn, const struct store_key *key, enum record_type type, const void *record) CHECK_RESULT;
// ERR_NOT_FOUND if there was none.
enum err store_remove(struct store_txn *txn, const struct store_key *key) CHECK_RESULT;
bool store_has(struct store_txn *txn, const struct store_key *key);
enum err store_next(struct store_txn *txn, const struct store_key *prefix, struct store_key *key, enum record_type type,
		    void *out) CHECK_RESULT;
enum err store_last(struct store_txn *txn, const struct store_key *prefix, struct store_key *key) CHECK_RESULT;
uint32_t store_count(struct store_txn *txn, const struct store_key *prefix);

#endif
