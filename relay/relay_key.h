// The relay's TLS keys: making them, their pins, the request for a certificate. Used at registration only.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_RELAY_KEY_H
#define RELAY_RELAY_KEY_H

#include "base/err.h"
#include "base/token.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <stddef.h>
#include <stdint.h>

enum { RELAY_KEY_PEM_MAX = 1024, RELAY_KEY_CSR_MAX = 1024, RELAY_KEY_CERTIFICATES_MAX = 16384 };

EVP_PKEY *relay_key_new(void); // ECDSA P-384; NULL on failure
// PKCS#8 PEM, not encrypted: the file's mode protects it.
enum err relay_key_emit(EVP_PKEY *key, uint8_t out[static RELAY_KEY_PEM_MAX], size_t *size) CHECK_RESULT;
// SHA-256 of the SubjectPublicKeyInfo.
enum err relay_key_pin(EVP_PKEY *key, uint8_t pin[static TOKEN_PIN_BYTES]) CHECK_RESULT;
enum err relay_key_certificate_pin(X509 *certificate, uint8_t pin[static TOKEN_PIN_BYTES]) CHECK_RESULT;
// PKCS#10 (RFC 2986) with an empty subject: the issuer knows our name.
enum err relay_key_request(EVP_PKEY *key, uint8_t out[static RELAY_KEY_CSR_MAX], size_t *size) CHECK_RESULT;

// What came back: our key certified by an issuer that the root with this pin certified. Writes the chain, leaf
// first, as PEM. ERR_AUTH if anything does not fit together.
struct relay_key_chain {
	const uint8_t *certificate, *issuer, *root; // DER
	size_t certificate_size, issuer_size, root_size;
	const uint8_t *root_pin;
};
enum err relay_key_check_chain(const struct relay_key_chain *chain, EVP_PKEY *key, uint8_t out[static RELAY_KEY_CERTIFICATES_MAX],
			       size_t *size) CHECK_RESULT;

#endif
