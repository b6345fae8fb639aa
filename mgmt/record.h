// Values in the store: a version byte, then fields. SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_RECORD_H
#define MGMT_RECORD_H

#include "base/err.h"
#include "base/text.h"
#include "base/token.h"
#include "mgmt/request.h"
#include "mgmt/wire.h"

#include <stddef.h>
#include <stdint.h>

enum { RECORD_VERSION = 1, RECORD_MAX = REQUEST_BLOB_MAX + 256 };

enum record_type {
	RECORD_USER,
	RECORD_DEVICE,
	RECORD_TOKEN,
	RECORD_RELAY,
	RECORD_MEETING,
	RECORD_MEMBER,
	RECORD_EVENT,
	RECORD_REFERENCE, // index entries: the id of the object
	RECORD_TYPES
};

struct record_user { char name[REQUEST_NAME_MAX + 1]; char mail[REQUEST_MAIL_MAX + 1]; uint64_t created; };
struct record_device { struct id device; struct id user; uint8_t key[TOKEN_ED25519_BYTES]; uint8_t state; uint64_t created; };
// Stored under the SHA-256 of the token, deleted when it is used.
struct record_token { uint8_t subject; struct id id; uint64_t expires; };
struct record_relay {
	char name[REQUEST_HOST_MAX + 1];
	char address[REQUEST_ADDRESS_MAX + 1];
	uint16_t port;
	uint8_t state; // pending until it enrolled
	uint8_t pin[TOKEN_PIN_BYTES], backup_pin[TOKEN_PIN_BYTES];
	uint64_t created;
};
struct record_meeting { struct id owner; struct id relay; uint64_t created, expires; uint8_t state; struct wire_view blob; };
struct record_member { uint64_t joined; };
struct record_event { uint8_t kind; struct id meeting; struct id participant; uint64_t until; };
struct record_reference { struct id id; };

union record {
	struct record_user user;
	struct record_device device;
	struct record_token token;
	struct record_relay relay;
	struct record_meeting meeting;
	struct record_member member;
	struct record_event event;
	struct record_reference reference;
};

// `bytes` holds RECORD_MAX.
enum err record_emit(enum record_type type, const void *record, uint8_t *bytes, size_t *size) CHECK_RESULT;
// `out` is the struct of `type`; views borrow from `bytes`. ERR_VERSION: written by a later release.
enum err record_parse(enum record_type type, const uint8_t *bytes, size_t size, void *out) CHECK_RESULT;

#endif
