// SPDX-License-Identifier: Apache-2.0
#include "client/engine/credentials.h"

#include "base/secret.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <string.h>

static X509 *decode(const struct credentials_der *der)
{
	const uint8_t *at = der->bytes;
	X509 *certificate = d2i_X509(NULL, &at, (long)der->size);
	if (certificate && at != der->bytes + der->size) {
		X509_free(certificate);
		certificate = NULL;
	}
	return certificate;
}

static bool has_pin(X509 *certificate, const uint8_t *pin)
{
	uint8_t *der = NULL, seen[TOKEN_PIN_BYTES];
	int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
	if (size <= 0)
		return false;
	secret_sha256(der, (size_t)size, seen);
	OPENSSL_free(der);
	return memcmp(seen, pin, sizeof(seen)) == 0;
}

static bool has_key(X509 *certificate, const uint8_t *key)
{
	uint8_t seen[TOKEN_ED25519_BYTES];
	size_t size = sizeof(seen);
	EVP_PKEY *public = X509_get0_pubkey(certificate);
	return public && EVP_PKEY_id(public) == EVP_PKEY_ED25519 && EVP_PKEY_get_raw_public_key(public, seen, &size) == 1 &&
	       size == sizeof(seen) && memcmp(seen, key, size) == 0;
}

// `issuer` may sign certificates, and signed this one.
static bool is_signed_by(X509 *certificate, X509 *issuer)
{
	return X509_check_issued(issuer, certificate) == X509_V_OK && X509_check_ca(issuer) > 0 &&
	       X509_verify(certificate, X509_get0_pubkey(issuer)) == 1;
}

enum err credentials_check(const struct credentials_der *certificate_der, const struct credentials_der *issuer_der,
			   const struct credentials_der *root_der, const uint8_t root_pin[static TOKEN_PIN_BYTES],
			   const uint8_t device_key[static TOKEN_ED25519_BYTES], char problem[static HOME_PROBLEM_MAX])
{
	X509 *certificate = decode(certificate_der), *issuer = decode(issuer_der), *root = decode(root_der);
	const char *what = NULL;
	if (!certificate || !issuer || !root)
		what = "the server sent a certificate that cannot be read";
	else if (!has_pin(root, root_pin))
		what = "the server's identity root is not the one that the link names";
	else if (!is_signed_by(issuer, root))
		what = "the server's issuing CA is not signed by its identity root";
	else if (!is_signed_by(certificate, issuer))
		what = "the device certificate is not signed by the server's issuing CA";
	else if (!has_key(certificate, device_key))
		what = "the device certificate is for another key";
	X509_free(certificate);
	X509_free(issuer);
	X509_free(root);
	ERR_clear_error();
	if (!what)
		return ERR_OK;
	snprintf(problem, HOME_PROBLEM_MAX, "%s", what);
	return ERR_AUTH;
}

static enum err save_bio(const struct home *home, const char *file, BIO *bio, bool is_encoded, char *problem)
{
	char *bytes = NULL;
	long size = bio ? BIO_get_mem_data(bio, &bytes) : 0;
	if (!is_encoded || size <= 0) {
		snprintf(problem, HOME_PROBLEM_MAX, "%s could not be encoded", file);
		return ERR_CRYPTO;
	}
	enum err err = home_write(home, file, bytes, (size_t)size, problem);
	secret_wipe(bytes, (size_t)size);
	return err;
}

enum err credentials_save_key(const struct home *home, const uint8_t private_key[static TOKEN_ED25519_BYTES],
			      char problem[static HOME_PROBLEM_MAX])
{
	BIO *bio = BIO_new(BIO_s_secmem());
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key, TOKEN_ED25519_BYTES);
	bool is_encoded = bio && key && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
	enum err err = save_bio(home, CREDENTIALS_KEY_FILE, bio, is_encoded, problem);
	EVP_PKEY_free(key);
	BIO_free(bio);
	return err;
}

enum err credentials_save_chain(const struct home *home, const struct credentials_der *certificate_der,
				const struct credentials_der *issuer_der, char problem[static HOME_PROBLEM_MAX])
{
	BIO *bio = BIO_new(BIO_s_mem());
	X509 *certificate = decode(certificate_der), *issuer = decode(issuer_der);
	bool is_encoded = bio && certificate && issuer && PEM_write_bio_X509(bio, certificate) == 1 &&
			  PEM_write_bio_X509(bio, issuer) == 1;
	enum err err = save_bio(home, CREDENTIALS_CERTIFICATE_FILE, bio, is_encoded, problem);
	X509_free(certificate);
	X509_free(issuer);
	BIO_free(bio);
	return err;
}

// There is no terminal to ask for a passphrase on, and no file of ours has one.
static int no_passphrase(char *buffer, int size, int is_writing, void *context)
{
	(void)buffer, (void)size, (void)is_writing, (void)context;
	return -1;
}

enum err credentials_load_key(const struct home *home, uint8_t private_key[static TOKEN_ED25519_BYTES],
			      char problem[static HOME_PROBLEM_MAX])
{
	char *pem, path[HOME_PATH_MAX];
	size_t size, key_size = TOKEN_ED25519_BYTES;
	enum err err = home_read(home, CREDENTIALS_KEY_FILE, &pem, &size, problem);
	if (err)
		return err;
	BIO *bio = BIO_new_mem_buf(pem, (int)size);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	bool is_ours = key && EVP_PKEY_id(key) == EVP_PKEY_ED25519 &&
		       EVP_PKEY_get_raw_private_key(key, private_key, &key_size) == 1 && key_size == TOKEN_ED25519_BYTES;
	EVP_PKEY_free(key);
	BIO_free(bio);
	home_free(pem, size);
	ERR_clear_error();
	if (is_ours)
		return ERR_OK;
	if (home_path(home, CREDENTIALS_KEY_FILE, path) == ERR_OK)
		snprintf(problem, HOME_PROBLEM_MAX, "%.400s is damaged: not an Ed25519 key", path);
	return ERR_PARSE;
}
