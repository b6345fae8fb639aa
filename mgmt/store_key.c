// SPDX-License-Identifier: Apache-2.0
#include "mgmt/store_key.h"

#include <string.h>

static void append(struct store_key *key, const void *bytes, size_t size)
{
	memcpy(key->bytes + key->size, bytes, size);
	key->size += size;
}

struct store_key store_key_prefix(enum store_key_kind kind)
{
	struct store_key key = {.size = 1};
	key.bytes[0] = (uint8_t)kind;
	return key;
}

struct store_key store_key_id(enum store_key_kind kind, const struct id *id)
{
	struct store_key key = store_key_prefix(kind);
	append(&key, id->bytes, TEXT_ID_BYTES);
	return key;
}

struct store_key store_key_ids(enum store_key_kind kind, const struct id *first, const struct id *second)
{
	struct store_key key = store_key_id(kind, first);
	append(&key, second->bytes, TEXT_ID_BYTES);
	return key;
}

struct store_key store_key_hash(enum store_key_kind kind, const uint8_t hash[static TOKEN_PIN_BYTES])
{
	struct store_key key = store_key_prefix(kind);
	append(&key, hash, TOKEN_PIN_BYTES);
	return key;
}

struct store_key store_key_user_device(const struct id *user, const uint8_t pin[static TOKEN_PIN_BYTES])
{
	struct store_key key = store_key_id(STORE_KEY_USER_DEVICE, user);
	append(&key, pin, TOKEN_PIN_BYTES);
	return key;
}

struct store_key store_key_name(enum store_key_kind kind, const char *name)
{
	struct store_key key = store_key_prefix(kind);
	for (; *name && key.size < STORE_KEY_MAX; name++) {
		uint8_t c = (uint8_t)*name;
		key.bytes[key.size++] = c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
	}
	return key;
}

struct store_key store_key_event(uint64_t sequence)
{
	struct store_key key = store_key_prefix(STORE_KEY_EVENT);
	for (int shift = 56; shift >= 0; shift -= 8)
		key.bytes[key.size++] = (uint8_t)(sequence >> shift);
	return key;
}

struct id store_key_first_id(const struct store_key *key)
{
	struct id id = {0};
	if (key->size >= 1 + TEXT_ID_BYTES)
		memcpy(id.bytes, key->bytes + 1, TEXT_ID_BYTES);
	return id;
}

struct id store_key_second_id(const struct store_key *key)
{
	struct id id = {0};
	if (key->size >= 1 + 2 * TEXT_ID_BYTES)
		memcpy(id.bytes, key->bytes + 1 + TEXT_ID_BYTES, TEXT_ID_BYTES);
	return id;
}

uint64_t store_key_sequence(const struct store_key *key)
{
	uint64_t sequence = 0;
	for (size_t i = 1; i < key->size && i <= 8; i++)
		sequence = sequence << 8 | key->bytes[i];
	return sequence;
}

const uint8_t *store_key_last_hash(const struct store_key *key)
{
	return key->bytes + key->size - TOKEN_PIN_BYTES;
}
