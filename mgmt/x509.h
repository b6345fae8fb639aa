// X.509 v3 certificates as this PKI signs them (RFC 5280). SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_X509_H
#define MGMT_X509_H

#include "base/err.h"
#include "base/token.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <stddef.h>
#include <stdint.h>

enum x509_profile {
	X509_ROOT,   // signs issuing CAs only
	X509_ISSUER, // signs everything else, no further CA
	X509_SERVER, // of tmms: serverAuth
	X509_DEVICE, // of a client: clientAuth
	X509_RELAY,  // clientAuth towards tmms, serverAuth towards clients
};

struct x509_options {
	enum x509_profile profile;
	const char *common_name;
	const char *alternative_name; // "DNS:…" or "URI:…"; NULL: none
	EVP_PKEY *subject_key;
	const X509 *issuer; // NULL: self-signed
	EVP_PKEY *issuer_key;
	unsigned days;
};

// Valid from an hour ago, so that clocks may differ.
enum err x509_sign(const struct x509_options *options, X509 **out) CHECK_RESULT;
// SHA-256 of the SubjectPublicKeyInfo.
enum err x509_key_pin(EVP_PKEY *key, uint8_t pin[static TOKEN_PIN_BYTES]) CHECK_RESULT;
// DER into `bytes`; ERR_LIMIT if it does not fit.
enum err x509_emit(const X509 *certificate, uint8_t *bytes, size_t capacity, size_t *size) CHECK_RESULT;
// A PKCS#10 request that is signed with its own key, which must be ECDSA P-256 or P-384, or Ed25519. The
// caller frees the key. Names and extensions of the request are not looked at.
enum err x509_request_key(const uint8_t *der, size_t size, EVP_PKEY **out) CHECK_RESULT;
enum err x509_ed25519_key(const uint8_t public_key[static TOKEN_ED25519_BYTES], EVP_PKEY **out) CHECK_RESULT;
// Unix seconds.
uint64_t x509_expires(const X509 *certificate);

#endif
