// An organisation's keys as a test makes them: root, issuer, and a registered relay in a state directory.
// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_FAKE_RELAY_PKI_H
#define TESTS_FAKE_RELAY_PKI_H

#include "base/token.h"
#include "relay/registration.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

struct relay_pki {
	EVP_PKEY *root_key, *issuer_key;
	X509 *root, *issuer;
	uint8_t ticket_private[TOKEN_ED25519_BYTES];
	struct registration registration; // as stored
	uint8_t relay_pin[TOKEN_PIN_BYTES];
};

// Asserts that all goes well. `directory` exists.
void relay_pki_make(struct relay_pki *pki, const char *directory);
void relay_pki_free(struct relay_pki *pki);
// A certificate for `key`; issuer NULL: self-signed.
X509 *relay_pki_sign(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key);
size_t relay_pki_der(X509 *certificate, uint8_t *out, size_t capacity);
// A fresh directory under TMPDIR or /tmp; remove it with relay_pki_remove.
void relay_pki_directory(char out[static 64]);
void relay_pki_remove(const char *directory);

#endif
