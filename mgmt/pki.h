// The organisation's keys and certificates, in STATE/pki:
//
//   root.key root.pem      identity root, 10 years; the key is meant to be moved off the box
//   ca.key                 key of the issuing CA
//   backup.key             the TLS key that comes next; only its pin is used
//   ticket.key             Ed25519
//   front/                 all that the front role may read:
//     ca.pem                 issuing CA, 90 days, signed by the root
//     server.key server.pem  TLS of tmms: leaf, then issuing CA; 90 days
//
// Clients pin keys, not certificates: renewal with the same key changes nothing for them.
// SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_PKI_H
#define MGMT_PKI_H

#include "base/err.h"
#include "base/token.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <stdbool.h>

#define PKI_FRONT "front"
#define PKI_SERVER_KEY PKI_FRONT "/server.key"
#define PKI_SERVER_CERTIFICATE PKI_FRONT "/server.pem"
#define PKI_ISSUER PKI_FRONT "/ca.pem"

struct pki {
	X509 *root, *issuer;
	EVP_PKEY *issuer_key;
	uint8_t *ticket_key; // secret_alloc, TOKEN_ED25519_BYTES
	uint8_t ticket_public[TOKEN_ED25519_BYTES];
	uint8_t pin[TOKEN_PIN_BYTES], backup_pin[TOKEN_PIN_BYTES], root_pin[TOKEN_PIN_BYTES];
};

// Make all of it in `directory`, whole or not at all; ERR_EXISTS if it is there. Problems are said in the log.
enum err pki_make(const char *directory, const char *server_name) CHECK_RESULT;
// Sign issuing CA and server certificate anew, with the same keys, where less than 30 days are left or the
// server's name changed. `is_renewed`: something was.
enum err pki_renew(const char *directory, const char *server_name, bool *is_renewed) CHECK_RESULT;
enum err pki_load(const char *directory, struct pki *out) CHECK_RESULT;
void pki_free(struct pki *pki);
// First certificate of a file of `directory`, for who needs no key.
enum err pki_load_certificate(const char *directory, const char *name, X509 **out) CHECK_RESULT;

#endif
