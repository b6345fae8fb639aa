// SPDX-License-Identifier: Apache-2.0
#include "relay/relay_key.h"

#include "base/secret.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include <stdbool.h>
#include <string.h>

EVP_PKEY *relay_key_new(void) { return EVP_EC_gen("P-384"); }

// What was written into a memory BIO.
static enum err take(BIO *bio, bool is_written, uint8_t *out, size_t capacity, size_t *size)
{
	size_t n = is_written ? BIO_ctrl_pending(bio) : 0;
	enum err err = n == 0 ? ERR_CRYPTO : n > capacity ? ERR_LIMIT : ERR_OK;
	if (!err)
		*size = (size_t)BIO_read(bio, out, (int)n);
	BIO_free(bio);
	return err;
}

enum err relay_key_emit(EVP_PKEY *key, uint8_t out[static RELAY_KEY_PEM_MAX], size_t *size)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	return take(bio, bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1, out, RELAY_KEY_PEM_MAX, size);
}

static enum err digest_of(int der_size, uint8_t *der, uint8_t pin[static TOKEN_PIN_BYTES])
{
	if (der_size <= 0)
		return ERR_CRYPTO;
	secret_sha256(der, (size_t)der_size, pin);
	OPENSSL_free(der);
	return ERR_OK;
}

enum err relay_key_pin(EVP_PKEY *key, uint8_t pin[static TOKEN_PIN_BYTES])
{
	uint8_t *der = NULL;
	int size = i2d_PUBKEY(key, &der);
	return digest_of(size, der, pin);
}

enum err relay_key_certificate_pin(X509 *certificate, uint8_t pin[static TOKEN_PIN_BYTES])
{
	uint8_t *der = NULL;
	int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
	return digest_of(size, der, pin);
}

enum err relay_key_request(EVP_PKEY *key, uint8_t out[static RELAY_KEY_CSR_MAX], size_t *size)
{
	X509_REQ *request = X509_REQ_new();
	bool is_made = request && X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1 && X509_REQ_set_pubkey(request, key) == 1 &&
		       X509_REQ_sign(request, key, EVP_sha384()) > 0;
	BIO *bio = BIO_new(BIO_s_mem());
	is_made = is_made && bio && i2d_X509_REQ_bio(bio, request) == 1;
	X509_REQ_free(request);
	return take(bio, is_made, out, RELAY_KEY_CSR_MAX, size);
}

static X509 *parse(const uint8_t *der, size_t size)
{
	const uint8_t *end = der;
	X509 *certificate = d2i_X509(NULL, &end, (long)size);
	if (certificate && end != der + size) {
		X509_free(certificate);
		return NULL;
	}
	return certificate;
}

static bool is_signed_by(X509 *certificate, X509 *issuer)
{
	EVP_PKEY *key = X509_get0_pubkey(issuer);
	return key && X509_verify(certificate, key) == 1;
}

enum err relay_key_check_chain(const struct relay_key_chain *chain, EVP_PKEY *key, uint8_t out[static RELAY_KEY_CERTIFICATES_MAX],
			       size_t *size)
{
	uint8_t pin[TOKEN_PIN_BYTES];
	X509 *leaf = parse(chain->certificate, chain->certificate_size);
	X509 *issuer = parse(chain->issuer, chain->issuer_size), *root = parse(chain->root, chain->root_size);
	bool is_good = leaf && issuer && root && X509_check_private_key(leaf, key) == 1 && is_signed_by(leaf, issuer) &&
		       is_signed_by(issuer, root) && !relay_key_certificate_pin(root, pin) &&
		       secret_equal(pin, chain->root_pin, sizeof(pin));
	enum err err = ERR_AUTH;
	if (is_good) {
		BIO *bio = BIO_new(BIO_s_mem());
		err = take(bio, bio && PEM_write_bio_X509(bio, leaf) == 1 && PEM_write_bio_X509(bio, issuer) == 1, out,
			   RELAY_KEY_CERTIFICATES_MAX, size);
	}
	X509_free(leaf);
	X509_free(issuer);
	X509_free(root);
	return err;
}
