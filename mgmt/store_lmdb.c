// LMDB behind the table. Sync writes to pages that are never changed in place: after a power cut the last
// synced commit is there, whole. SPDX-License-Identifier: Apache-2.0
#include "mgmt/store.h"

#include "base/log.h"
#include "mgmt/config.h"

#include <lmdb.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { ALARM_PERCENT = 80, FULL_PERCENT = 90, DISK_FULL_BYTES = 1 << 18 };

struct lmdb_store {
	struct store store;
	MDB_env *env;
	MDB_dbi dbi;
	bool is_alarmed;
	char path[CONFIG_PATH_MAX];
};

struct lmdb_txn {
	struct store_txn txn;
	MDB_txn *mdb;
	bool is_tight;       // nearly full: may use room in pages, but not take more of them
	size_t pages_before;
};

static enum err failure(int rc)
{
	switch (rc) {
	case MDB_SUCCESS:
		return ERR_OK;
	case MDB_NOTFOUND:
		return ERR_NOT_FOUND;
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_FULL;
	case MDB_PANIC:
		return ERR_CLOSED; // only a new environment helps
	case ENOMEM:
		return ERR_NOMEM;
	case MDB_BAD_VALSIZE:
		return ERR_LIMIT;
	default:
		errno = rc > 0 ? rc : EIO;
		return ERR_IO;
	}
}

static MDB_val value_of(const void *bytes, size_t size)
{
	return (MDB_val){.mv_size = size, .mv_data = (void *)(uintptr_t)bytes};
}

// Bytes in use: pages up to the last one, without those on the free list.
static int used_bytes(struct lmdb_store *store, MDB_txn *txn, uint64_t *used, uint64_t *max)
{
	MDB_envinfo info;
	MDB_stat stat;
	MDB_cursor *cursor;
	int rc = mdb_env_info(store->env, &info);
	if (!rc)
		rc = mdb_env_stat(store->env, &stat);
	if (!rc)
		rc = mdb_cursor_open(txn, 0, &cursor); // 0 is the free list: transaction to (count, pages…)
	if (rc)
		return rc;
	uint64_t free_pages = 0;
	MDB_val key, value;
	while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		size_t count;
		memcpy(&count, value.mv_data, sizeof(count));
		free_pages += count;
	}
	mdb_cursor_close(cursor);
	*used = (info.me_last_pgno + 1 - free_pages) * stat.ms_psize;
	*max = info.me_mapsize;
	return rc == MDB_NOTFOUND ? 0 : rc;
}

// In a transaction of its own: one that writes cannot read the free list.
static int read_usage(struct lmdb_store *store, uint64_t *used, uint64_t *max)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
	if (rc)
		return rc;
	rc = used_bytes(store, txn, used, max);
	mdb_txn_abort(txn);
	return rc;
}

// Is the store so full that it must not grow? The last tenth is kept for transactions that free space, which
// need pages themselves.
static int check_room(struct lmdb_store *store, bool *is_tight)
{
	uint64_t used, max;
	int rc = read_usage(store, &used, &max);
	if (rc)
		return rc;
	bool is_alarming = used >= max / 100 * ALARM_PERCENT;
	if (is_alarming && !store->is_alarmed)
		log_line(LOG_WARNING, "the store is %d %% full (%llu of %llu bytes): raise store-size", ALARM_PERCENT,
			 (unsigned long long)used, (unsigned long long)max);
	store->is_alarmed = is_alarming;
	*is_tight = used >= max / 100 * FULL_PERCENT;
	return 0;
}

static size_t pages_of(struct lmdb_txn *txn)
{
	MDB_stat stat = {0};
	mdb_stat(txn->mdb, ((struct lmdb_store *)txn->txn.store)->dbi, &stat);
	return stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
}

static void lmdb_close(struct store *store)
{
	struct lmdb_store *s = (struct lmdb_store *)store;
	mdb_env_close(s->env);
	free(s);
}

static enum err lmdb_begin(struct store *store, enum store_mode mode, struct store_txn **out)
{
	struct lmdb_store *s = (struct lmdb_store *)store;
	struct lmdb_txn *txn = calloc(1, sizeof(*txn));
	if (!txn)
		return ERR_NOMEM;
	txn->txn = (struct store_txn){.store = store, .mode = mode};
	int rc = mode == STORE_GROW ? check_room(s, &txn->is_tight) : 0;
	if (!rc)
		rc = mdb_txn_begin(s->env, NULL, mode == STORE_READ ? MDB_RDONLY : 0, &txn->mdb);
	if (rc) {
		free(txn);
		return failure(rc);
	}
	if (txn->is_tight)
		txn->pages_before = pages_of(txn);
	*out = &txn->txn;
	return ERR_OK;
}

static void lmdb_abort(struct store_txn *txn)
{
	struct lmdb_txn *t = (struct lmdb_txn *)txn;
	mdb_txn_abort(t->mdb);
	free(t);
}

// LMDB says EIO when a write came out short, which is what the last one before ENOSPC does.
static bool is_disk_full(const struct lmdb_store *store)
{
	struct statvfs info;
	return statvfs(store->path, &info) == 0 && (uint64_t)info.f_bavail * info.f_frsize < DISK_FULL_BYTES;
}

static enum err lmdb_commit(struct store_txn *txn)
{
	struct lmdb_txn *t = (struct lmdb_txn *)txn;
	if (t->is_tight && pages_of(t) > t->pages_before) {
		lmdb_abort(txn);
		return ERR_FULL;
	}
	int rc = mdb_txn_commit(t->mdb);
	if (rc == EIO && is_disk_full((struct lmdb_store *)txn->store))
		rc = ENOSPC;
	free(t);
	return failure(rc);
}

static MDB_dbi dbi_of(struct store_txn *txn)
{
	return ((struct lmdb_store *)txn->store)->dbi;
}

static enum err lmdb_get(struct store_txn *txn, const struct store_key *key, struct wire_view *value)
{
	MDB_val k = value_of(key->bytes, key->size), v;
	int rc = mdb_get(((struct lmdb_txn *)txn)->mdb, dbi_of(txn), &k, &v);
	if (!rc)
		*value = (struct wire_view){v.mv_data, v.mv_size};
	return failure(rc);
}

static enum err lmdb_put(struct store_txn *txn, const struct store_key *key, struct wire_view value)
{
	MDB_val k = value_of(key->bytes, key->size), v = value_of(value.bytes, value.size);
	return failure(mdb_put(((struct lmdb_txn *)txn)->mdb, dbi_of(txn), &k, &v, 0));
}

static enum err lmdb_remove(struct store_txn *txn, const struct store_key *key)
{
	MDB_val k = value_of(key->bytes, key->size);
	return failure(mdb_del(((struct lmdb_txn *)txn)->mdb, dbi_of(txn), &k, NULL));
}

static bool has_prefix(const MDB_val *key, const struct store_key *prefix)
{
	return key->mv_size >= prefix->size && key->mv_size <= STORE_KEY_MAX &&
	       memcmp(key->mv_data, prefix->bytes, prefix->size) == 0;
}

static enum err take_key(const MDB_val *k, const struct store_key *prefix, struct store_key *key)
{
	if (!has_prefix(k, prefix))
		return ERR_NOT_FOUND;
	key->size = k->mv_size;
	memcpy(key->bytes, k->mv_data, k->mv_size);
	return ERR_OK;
}

static enum err lmdb_next(struct store_txn *txn, const struct store_key *prefix, struct store_key *key, struct wire_view *value)
{
	const struct store_key *from = key->size < prefix->size ? prefix : key;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(((struct lmdb_txn *)txn)->mdb, dbi_of(txn), &cursor);
	if (rc)
		return failure(rc);
	MDB_val k = value_of(from->bytes, from->size), v;
	rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
	if (!rc && from == key && k.mv_size == key->size && memcmp(k.mv_data, key->bytes, key->size) == 0)
		rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
	mdb_cursor_close(cursor);
	if (rc)
		return failure(rc);
	*value = (struct wire_view){v.mv_data, v.mv_size};
	return take_key(&k, prefix, key);
}

static enum err lmdb_last(struct store_txn *txn, const struct store_key *prefix, struct store_key *key)
{
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(((struct lmdb_txn *)txn)->mdb, dbi_of(txn), &cursor);
	if (rc)
		return failure(rc);
	struct store_key beyond = *prefix;
	beyond.bytes[beyond.size - 1]++; // the kinds are ASCII letters
	MDB_val k = value_of(beyond.bytes, beyond.size), v;
	rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
	rc = mdb_cursor_get(cursor, &k, &v, rc ? MDB_LAST : MDB_PREV);
	mdb_cursor_close(cursor);
	return rc ? failure(rc) : take_key(&k, prefix, key);
}

static enum err lmdb_usage(struct store *store, uint64_t *used, uint64_t *max)
{
	struct lmdb_store *s = (struct lmdb_store *)store;
	int dead;
	mdb_reader_check(s->env, &dead); // a tool that was killed while it read would keep old pages from being used again
	return failure(read_usage(s, used, max));
}

static const struct store_ops ops = {
	.close = lmdb_close,
	.begin = lmdb_begin,
	.commit = lmdb_commit,
	.abort = lmdb_abort,
	.get = lmdb_get,
	.put = lmdb_put,
	.remove = lmdb_remove,
	.next = lmdb_next,
	.last = lmdb_last,
	.usage = lmdb_usage,
};

static int open_database(struct lmdb_store *store)
{
	MDB_txn *txn;
	int dead = 0;
	int rc = mdb_reader_check(store->env, &dead);
	if (rc)
		return rc;
	if (dead > 0)
		log_line(LOG_NOTICE, "the store had %d readers that no longer live", dead);
	rc = mdb_txn_begin(store->env, NULL, 0, &txn);
	if (rc)
		return rc;
	rc = mdb_dbi_open(txn, NULL, 0, &store->dbi);
	if (rc) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

enum err store_lmdb_open(const struct store_options *options, struct store **out)
{
	struct lmdb_store *store = calloc(1, sizeof(*store));
	if (!store)
		return ERR_NOMEM;
	store->store.ops = &ops;
	snprintf(store->path, sizeof(store->path), "%s", options->path);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int rc = mdb_env_create(&store->env);
	if (rc)
		goto fail_create;
	rc = mdb_env_set_mapsize(store->env, options->size_bytes / page * page);
	if (!rc)
		rc = mdb_env_open(store->env, options->path, MDB_NOTLS, 0600);
	if (!rc)
		rc = open_database(store);
	if (rc)
		goto fail_open;
	*out = &store->store;
	return ERR_OK;
fail_open:
	mdb_env_close(store->env);
fail_create:
	log_line(LOG_ERROR, "cannot open the store in %s: %s", options->path, mdb_strerror(rc));
	free(store);
	return failure(rc);
}
