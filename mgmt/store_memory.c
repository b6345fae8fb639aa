// A sorted array behind the table, for tests: a write transaction works on a copy that commit puts in place.
// SPDX-License-Identifier: Apache-2.0
#include "mgmt/store.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	struct store_key key;
	uint8_t *value;
	size_t size;
};

struct table {
	struct entry *entries;
	size_t count, capacity;
	uint64_t bytes;
};

struct memory_store {
	struct store store;
	struct table table;
	uint64_t bytes_max;
};

struct memory_txn {
	struct store_txn txn;
	struct table table; // a copy when writing, else the store's own
};

static int compare(const struct store_key *a, const struct store_key *b)
{
	int order = memcmp(a->bytes, b->bytes, a->size < b->size ? a->size : b->size);
	return order ? order : a->size < b->size ? -1 : a->size > b->size;
}

// Index of the first entry that is not less than `key`.
static size_t lower_bound(const struct table *table, const struct store_key *key)
{
	size_t low = 0, high = table->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare(&table->entries[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct entry *find(const struct table *table, const struct store_key *key)
{
	size_t i = lower_bound(table, key);
	return i < table->count && compare(&table->entries[i].key, key) == 0 ? &table->entries[i] : NULL;
}

static void table_clear(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->entries[i].value);
	free(table->entries);
	*table = (struct table){0};
}

static enum err table_set(struct table *table, const struct store_key *key, struct wire_view value)
{
	uint8_t *bytes = malloc(value.size + 1);
	if (!bytes)
		return ERR_NOMEM;
	memcpy(bytes, value.bytes, value.size);
	struct entry *old = find(table, key);
	if (old) {
		free(old->value);
		table->bytes += value.size - old->size;
		old->value = bytes;
		old->size = value.size;
		return ERR_OK;
	}
	if (table->count == table->capacity) {
		size_t capacity = table->capacity ? 2 * table->capacity : 16;
		struct entry *entries = reallocarray(table->entries, capacity, sizeof(*entries));
		if (!entries) {
			free(bytes);
			return ERR_NOMEM;
		}
		table->entries = entries;
		table->capacity = capacity;
	}
	size_t i = lower_bound(table, key);
	memmove(&table->entries[i + 1], &table->entries[i], (table->count - i) * sizeof(struct entry));
	table->entries[i] = (struct entry){*key, bytes, value.size};
	table->count++;
	table->bytes += key->size + value.size;
	return ERR_OK;
}

static enum err table_copy(const struct table *from, struct table *to)
{
	*to = (struct table){0};
	for (size_t i = 0; i < from->count; i++) {
		enum err err = table_set(to, &from->entries[i].key, (struct wire_view){from->entries[i].value, from->entries[i].size});
		if (err) {
			table_clear(to);
			return err;
		}
	}
	return ERR_OK;
}

static void memory_close(struct store *store)
{
	table_clear(&((struct memory_store *)store)->table);
	free(store);
}

static enum err memory_begin(struct store *store, enum store_mode mode, struct store_txn **out)
{
	struct memory_store *s = (struct memory_store *)store;
	if (mode == STORE_GROW && s->table.bytes >= s->bytes_max / 10 * 9)
		return ERR_FULL;
	struct memory_txn *txn = calloc(1, sizeof(*txn));
	if (!txn)
		return ERR_NOMEM;
	txn->txn = (struct store_txn){.store = store, .mode = mode};
	if (mode == STORE_READ) {
		txn->table = s->table;
	} else if (table_copy(&s->table, &txn->table)) {
		free(txn);
		return ERR_NOMEM;
	}
	*out = &txn->txn;
	return ERR_OK;
}

static enum err memory_commit(struct store_txn *txn)
{
	struct memory_txn *t = (struct memory_txn *)txn;
	struct memory_store *s = (struct memory_store *)txn->store;
	if (txn->mode != STORE_READ) {
		table_clear(&s->table);
		s->table = t->table;
	}
	free(t);
	return ERR_OK;
}

static void memory_abort(struct store_txn *txn)
{
	if (txn->mode != STORE_READ)
		table_clear(&((struct memory_txn *)txn)->table);
	free(txn);
}

static enum err memory_get(struct store_txn *txn, const struct store_key *key, struct wire_view *value)
{
	const struct entry *entry = find(&((struct memory_txn *)txn)->table, key);
	if (!entry)
		return ERR_NOT_FOUND;
	*value = (struct wire_view){entry->value, entry->size};
	return ERR_OK;
}

static enum err memory_put(struct store_txn *txn, const struct store_key *key, struct wire_view value)
{
	return table_set(&((struct memory_txn *)txn)->table, key, value);
}

static enum err memory_remove(struct store_txn *txn, const struct store_key *key)
{
	struct table *table = &((struct memory_txn *)txn)->table;
	struct entry *entry = find(table, key);
	if (!entry)
		return ERR_NOT_FOUND;
	free(entry->value);
	table->bytes -= entry->key.size + entry->size;
	size_t i = (size_t)(entry - table->entries);
	memmove(entry, entry + 1, (table->count - i - 1) * sizeof(*entry));
	table->count--;
	return ERR_OK;
}

static bool has_prefix(const struct entry *entry, const struct store_key *prefix)
{
	return entry->key.size >= prefix->size && memcmp(entry->key.bytes, prefix->bytes, prefix->size) == 0;
}

static enum err memory_next(struct store_txn *txn, const struct store_key *prefix, struct store_key *key, struct wire_view *value)
{
	const struct table *table = &((struct memory_txn *)txn)->table;
	const struct store_key *from = key->size < prefix->size ? prefix : key;
	size_t i = lower_bound(table, from);
	if (from == key && i < table->count && compare(&table->entries[i].key, key) == 0)
		i++;
	if (i >= table->count || !has_prefix(&table->entries[i], prefix))
		return ERR_NOT_FOUND;
	*key = table->entries[i].key;
	*value = (struct wire_view){table->entries[i].value, table->entries[i].size};
	return ERR_OK;
}

static enum err memory_last(struct store_txn *txn, const struct store_key *prefix, struct store_key *key)
{
	const struct table *table = &((struct memory_txn *)txn)->table;
	struct store_key beyond = *prefix;
	beyond.bytes[beyond.size - 1]++;
	size_t i = lower_bound(table, &beyond);
	if (i == 0 || !has_prefix(&table->entries[i - 1], prefix))
		return ERR_NOT_FOUND;
	*key = table->entries[i - 1].key;
	return ERR_OK;
}

static enum err memory_usage(struct store *store, uint64_t *used, uint64_t *max)
{
	*used = ((struct memory_store *)store)->table.bytes;
	*max = ((struct memory_store *)store)->bytes_max;
	return ERR_OK;
}

static const struct store_ops ops = {
	.close = memory_close,
	.begin = memory_begin,
	.commit = memory_commit,
	.abort = memory_abort,
	.get = memory_get,
	.put = memory_put,
	.remove = memory_remove,
	.next = memory_next,
	.last = memory_last,
	.usage = memory_usage,
};

enum err store_memory_open(const struct store_options *options, struct store **out)
{
	struct memory_store *store = calloc(1, sizeof(*store));
	if (!store)
		return ERR_NOMEM;
	store->store.ops = &ops;
	store->bytes_max = options->size_bytes;
	*out = &store->store;
	return ERR_OK;
}
