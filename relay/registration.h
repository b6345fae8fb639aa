// What a relay knows once it is registered: who it is, its keys, and how to find and trust its management
// server. A directory "registration" in the state directory, put in place in one step:
//
//   relay.json   {"relay","name","ticket_key","root","tmms":{"name","address","port","pins":[..]}}
//   tls.key      private key of the TLS certificate (ECDSA P-384, PEM), tls.pem the certificate and its issuer
//   backup.key   private key whose pin clients hold besides; for the day when tls.key must go
//   issuer.der, root.der
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_REGISTRATION_H
#define RELAY_REGISTRATION_H

#include "base/err.h"
#include "base/token.h"

#include <limits.h>
#include <stdbool.h>

enum { REGISTRATION_PATH_MAX = 320, REGISTRATION_PROBLEM_MAX = 512 };

struct registration {
	struct id relay;
	char name[TOKEN_NAME_MAX + 1]; // under which clients address this relay (SNI)
	uint8_t ticket_key[TOKEN_ED25519_BYTES];
	uint8_t root[TOKEN_PIN_BYTES]; // SHA-256 of the identity root's SubjectPublicKeyInfo
	struct {
		char name[TOKEN_NAME_MAX + 1];
		char address[TOKEN_ADDRESS_MAX + 1]; // empty: ask the DNS
		uint16_t port;
		struct token_pins pins;
	} tmms;
	// made from the state directory when loaded
	char certificate_path[REGISTRATION_PATH_MAX], key_path[REGISTRATION_PATH_MAX];
};

struct registration_bytes {
	const uint8_t *bytes;
	size_t size;
};

struct registration_files {
	const struct registration *registration;
	struct registration_bytes key_pem, backup_pem, certificate_pem; // leaf, then issuer
	struct registration_bytes issuer_der, root_der;
};

bool registration_exists(const char *state_directory);
// ERR_NOT_FOUND if there is none. `problem` is one line for people.
enum err registration_load(const char *state_directory, struct registration *out, char problem[static REGISTRATION_PROBLEM_MAX]) CHECK_RESULT;
// ERR_EXISTS if there is one and not `is_forced`. All or nothing, on the disk when it returns.
enum err registration_store(const char *state_directory, const struct registration_files *files, bool is_forced,
			    char problem[static REGISTRATION_PROBLEM_MAX]) CHECK_RESULT;

#endif
