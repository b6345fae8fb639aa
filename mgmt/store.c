// SPDX-License-Identifier: Apache-2.0
#include "mgmt/store.h"

void store_close(struct store *store)
{
	if (store)
		store->ops->close(store);
}

enum err store_begin(struct store *store, enum store_mode mode, struct store_txn **out)
{
	return store->ops->begin(store, mode, out);
}

enum err store_commit(struct store_txn *txn)
{
	return txn->store->ops->commit(txn);
}

void store_abort(struct store_txn *txn)
{
	if (txn)
		txn->store->ops->abort(txn);
}

enum err store_usage(struct store *store, uint64_t *used_bytes, uint64_t *max_bytes)
{
	return store->ops->usage(store, used_bytes, max_bytes);
}

enum err store_get(struct store_txn *txn, const struct store_key *key, enum record_type type, void *out)
{
	struct wire_view value;
	enum err err = txn->store->ops->get(txn, key, &value);
	return err ? err : record_parse(type, value.bytes, value.size, out);
}

enum err store_put(struct store_txn *txn, const struct store_key *key, enum record_type type, const void *record)
{
	uint8_t bytes[RECORD_MAX];
	struct wire_view value = {.bytes = bytes};
	enum err err = record_emit(type, record, bytes, &value.size);
	return err ? err : txn->store->ops->put(txn, key, value);
}

enum err store_remove(struct store_txn *txn, const struct store_key *key)
{
	return txn->store->ops->remove(txn, key);
}

bool store_has(struct store_txn *txn, const struct store_key *key)
{
	struct wire_view value;
	return txn->store->ops->get(txn, key, &value) == ERR_OK;
}

enum err store_next(struct store_txn *txn, const struct store_key *prefix, struct store_key *key, enum record_type type, void *out)
{
	struct wire_view value;
	enum err err = txn->store->ops->next(txn, prefix, key, &value);
	return err ? err : record_parse(type, value.bytes, value.size, out);
}

enum err store_last(struct store_txn *txn, const struct store_key *prefix, struct store_key *key)
{
	return txn->store->ops->last(txn, prefix, key);
}

uint32_t store_count(struct store_txn *txn, const struct store_key *prefix)
{
	struct store_key key = {0};
	struct wire_view value;
	uint32_t count = 0;
	while (txn->store->ops->next(txn, prefix, &key, &value) == ERR_OK)
		count++;
	return count;
}
