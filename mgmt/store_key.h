// Every key of the store is built here: one byte that says what it is, then fields of fixed size, or one text
// at the end. SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_STORE_KEY_H
#define MGMT_STORE_KEY_H

#include "base/text.h"
#include "base/token.h"

#include <stddef.h>
#include <stdint.h>

enum { STORE_KEY_MAX = 300 }; // LMDB takes 511

struct store_key {
	size_t size;
	uint8_t bytes[STORE_KEY_MAX];
};

// kind, then what follows it; values are of the record type in brackets
enum store_key_kind {
	STORE_KEY_USER = 'u',          // user [USER]
	STORE_KEY_USER_NAME = 'n',     // folded name [REFERENCE to the user]
	STORE_KEY_DEVICE = 'd',        // SPKI pin [DEVICE]
	STORE_KEY_USER_DEVICE = 'D',   // user, SPKI pin [REFERENCE to the device]
	STORE_KEY_TOKEN = 't',         // SHA-256 of the token [TOKEN]
	STORE_KEY_RELAY = 'r',         // relay [RELAY]
	STORE_KEY_RELAY_NAME = 'q',    // name [REFERENCE to the relay]
	STORE_KEY_RELAY_PIN = 'p',     // SPKI pin [REFERENCE to the relay]
	STORE_KEY_MEETING = 'm',       // meeting [MEETING]
	STORE_KEY_MEMBER = 'M',        // meeting, user [MEMBER]
	STORE_KEY_USER_MEETING = 'U',  // user, meeting [REFERENCE to the meeting]
	STORE_KEY_EVENT = 'e',         // sequence, big-endian [EVENT]
};

struct store_key store_key_prefix(enum store_key_kind kind);
struct store_key store_key_id(enum store_key_kind kind, const struct id *id);
struct store_key store_key_ids(enum store_key_kind kind, const struct id *first, const struct id *second);
struct store_key store_key_hash(enum store_key_kind kind, const uint8_t hash[static TOKEN_PIN_BYTES]);
struct store_key store_key_user_device(const struct id *user, const uint8_t pin[static TOKEN_PIN_BYTES]);
// ASCII letters are folded, so that "Ada" and "ada" are one name.
struct store_key store_key_name(enum store_key_kind kind, const char *name);
struct store_key store_key_event(uint64_t sequence);

// The second id of a two-id key, the sequence of an event key.
struct id store_key_second_id(const struct store_key *key);
struct id store_key_first_id(const struct store_key *key);
uint64_t store_key_sequence(const struct store_key *key);
// The 32 bytes at the end of a key of a device or token.
const uint8_t *store_key_last_hash(const struct store_key *key);

#endif
