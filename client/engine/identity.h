// Who this device is and which servers it trusts: the file identity.json of a home. An identity is there from
// the moment this file is, and the last one that enrolment writes. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_IDENTITY_H
#define CLIENT_ENGINE_IDENTITY_H

#include "base/token.h"
#include "client/engine/home.h"

enum { IDENTITY_NAME_MAX = 128 };

struct identity {
	struct id user, device;
	char name[IDENTITY_NAME_MAX + 1];
	char server[TOKEN_NAME_MAX + 1];
	char address[TOKEN_ADDRESS_MAX + 1]; // empty: ask the DNS
	uint16_t port;
	struct token_pins server_pins, relay_pins;
	uint8_t root[TOKEN_PIN_BYTES]; // SHA-256 of the identity root's SubjectPublicKeyInfo
};

enum err identity_parse(const char *json, size_t size, struct identity *out) CHECK_RESULT;
// ERR_NOT_FOUND: not enrolled.
enum err identity_load(const struct home *home, struct identity *out, char problem[static HOME_PROBLEM_MAX]) CHECK_RESULT;
enum err identity_save(const struct home *home, const struct identity *identity, char problem[static HOME_PROBLEM_MAX]) CHECK_RESULT;

#endif
