// SPDX-License-Identifier: Apache-2.0
#include "base/secret.h"

#include "base/log.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

void secret_random(void *out, size_t size)
{
	uint8_t *at = out;
	while (size > 0) {
		ssize_t got = getrandom(at, size, 0);
		if (got <= 0) {
			log_line(LOG_ERROR, "the kernel gives no random bytes: stopping");
			abort();
		}
		at += got;
		size -= (size_t)got;
	}
}

void secret_wipe(void *bytes, size_t size) { OPENSSL_cleanse(bytes, size); }

bool secret_equal(const void *a, const void *b, size_t size) { return CRYPTO_memcmp(a, b, size) == 0; }

// Own pages for each secret: the size stands in front, so that free can wipe and unmap all of it.
enum { HEADER_BYTES = 16 };

static size_t mapping_size(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	return (size + HEADER_BYTES + page - 1) / page * page;
}

void *secret_alloc(size_t size)
{
	if (size > SIZE_MAX / 2)
		return NULL;
	size_t mapped = mapping_size(size);
	uint8_t *at = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	// Best effort: a process over its lock limit still gets memory that stays out of core dumps.
	if (mlock(at, mapped) != 0)
		log_line(LOG_DEBUG, "a secret could not be locked in memory");
	(void)madvise(at, mapped, MADV_DONTDUMP);
	memcpy(at, &size, sizeof(size));
	return at + HEADER_BYTES;
}

void secret_free(void *bytes)
{
	if (!bytes)
		return;
	uint8_t *at = (uint8_t *)bytes - HEADER_BYTES;
	size_t size;
	memcpy(&size, at, sizeof(size));
	size_t mapped = mapping_size(size);
	secret_wipe(at, mapped);
	munmap(at, mapped);
}

void secret_sha256(const void *bytes, size_t size, uint8_t out[static SECRET_SHA256_BYTES])
{
	if (EVP_Q_digest(NULL, "SHA256", NULL, bytes, size, out, NULL) != 1) {
		log_line(LOG_ERROR, "SHA-256 is not available: stopping");
		abort();
	}
}

struct hkdf_input {
	int mode;
	const uint8_t *key, *salt, *info;
	size_t key_size, salt_size, info_size;
};

static enum err hkdf(const struct hkdf_input *in, uint8_t *out, size_t out_size)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	EVP_KDF_free(kdf);
	if (!context)
		return ERR_CRYPTO;
	int mode = in->mode;
	char digest[] = "SHA384";
	OSSL_PARAM params[6], *p = params;
	*p++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)in->key, in->key_size);
	if (in->salt_size > 0)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)in->salt, in->salt_size);
	if (in->info_size > 0)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)in->info, in->info_size);
	*p = OSSL_PARAM_construct_end();
	int done = EVP_KDF_derive(context, out, out_size, params);
	EVP_KDF_CTX_free(context);
	return done == 1 ? ERR_OK : ERR_CRYPTO;
}

enum err secret_extract(const uint8_t *salt, size_t salt_size, const uint8_t *ikm, size_t ikm_size,
			uint8_t prk[static SECRET_PRK_BYTES])
{
	struct hkdf_input in = { .mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY, .key = ikm, .key_size = ikm_size,
				 .salt = salt, .salt_size = salt_size };
	return hkdf(&in, prk, SECRET_PRK_BYTES);
}

enum err secret_expand(const uint8_t prk[static SECRET_PRK_BYTES], const char *label, const uint8_t *context,
		       size_t context_size, uint8_t *out, size_t out_size)
{
	uint8_t info[256];
	size_t label_size = strlen(label) + 1;
	if (label_size + context_size > sizeof(info))
		return ERR_LIMIT;
	memcpy(info, label, label_size);
	if (context_size > 0)
		memcpy(info + label_size, context, context_size);
	struct hkdf_input in = { .mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY, .key = prk, .key_size = SECRET_PRK_BYTES,
				 .info = info, .info_size = label_size + context_size };
	return hkdf(&in, out, out_size);
}

// Both directions in one place; never EVP_Cipher(), which skips the tag on empty input.
static int gcm(EVP_CIPHER_CTX *context, bool is_sealing, const uint8_t *key, const uint8_t *nonce, const uint8_t *aad,
	       size_t aad_size)
{
	int n;
	return EVP_CipherInit_ex2(context, EVP_aes_256_gcm(), key, nonce, is_sealing, NULL) == 1 &&
	       (aad_size == 0 || EVP_CipherUpdate(context, NULL, &n, aad, (int)aad_size) == 1);
}

enum err secret_seal(const uint8_t key[static SECRET_KEY_BYTES], const uint8_t nonce[static SECRET_NONCE_BYTES],
		     const uint8_t *aad, size_t aad_size, const uint8_t *plain, size_t size, uint8_t *out)
{
	if (size > INT32_MAX || aad_size > INT32_MAX)
		return ERR_LIMIT;
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int n;
	bool done = context && gcm(context, true, key, nonce, aad, aad_size) &&
		    (size == 0 || EVP_CipherUpdate(context, out, &n, plain, (int)size) == 1) &&
		    EVP_CipherFinal_ex(context, out + size, &n) == 1 &&
		    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, SECRET_TAG_BYTES, out + size) == 1;
	EVP_CIPHER_CTX_free(context);
	return done ? ERR_OK : ERR_CRYPTO;
}

enum err secret_open(const uint8_t key[static SECRET_KEY_BYTES], const uint8_t nonce[static SECRET_NONCE_BYTES],
		     const uint8_t *aad, size_t aad_size, const uint8_t *cipher, size_t size, uint8_t *out)
{
	if (size < SECRET_TAG_BYTES)
		return ERR_PARSE;
	if (size > INT32_MAX || aad_size > INT32_MAX)
		return ERR_LIMIT;
	size_t plain = size - SECRET_TAG_BYTES;
	uint8_t tag[SECRET_TAG_BYTES], end[SECRET_TAG_BYTES];
	memcpy(tag, cipher + plain, sizeof(tag));
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int n;
	if (!context || !gcm(context, false, key, nonce, aad, aad_size) ||
	    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, SECRET_TAG_BYTES, tag) != 1) {
		EVP_CIPHER_CTX_free(context);
		return ERR_CRYPTO;
	}
	bool done = (plain == 0 || EVP_CipherUpdate(context, out, &n, cipher, (int)plain) == 1) &&
		    EVP_CipherFinal_ex(context, end, &n) == 1;
	EVP_CIPHER_CTX_free(context);
	if (!done && plain > 0)
		secret_wipe(out, plain);
	return done ? ERR_OK : ERR_AUTH;
}
