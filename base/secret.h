// Random bytes, wiping, locked memory, key derivation (HKDF-SHA384, RFC 5869) and AES-256-GCM.
// SPDX-License-Identifier: Apache-2.0
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SECRET_KEY_BYTES = 32, SECRET_NONCE_BYTES = 12, SECRET_TAG_BYTES = 16, SECRET_PRK_BYTES = 48, SECRET_SHA256_BYTES = 32 };

// From the kernel's generator; ends the process if that fails, since nothing safe can follow.
void secret_random(void *out, size_t size);
void secret_wipe(void *bytes, size_t size);
// Constant time.
bool secret_equal(const void *a, const void *b, size_t size);

// Zeroed memory that is not swapped and not in core dumps; wiped by secret_free. NULL without memory.
void *secret_alloc(size_t size);
void secret_free(void *bytes); // NULL is fine

void secret_sha256(const void *bytes, size_t size, uint8_t out[static SECRET_SHA256_BYTES]);

enum err secret_extract(const uint8_t *salt, size_t salt_size, const uint8_t *ikm, size_t ikm_size,
			uint8_t prk[static SECRET_PRK_BYTES]) CHECK_RESULT;
// info = label, a zero byte, context. At most 255 * 48 bytes out.
enum err secret_expand(const uint8_t prk[static SECRET_PRK_BYTES], const char *label, const uint8_t *context,
		       size_t context_size, uint8_t *out, size_t out_size) CHECK_RESULT;

// AES-256-GCM; `out` holds size + SECRET_TAG_BYTES. The caller guarantees that a (key, nonce) pair is used once.
enum err secret_seal(const uint8_t key[static SECRET_KEY_BYTES], const uint8_t nonce[static SECRET_NONCE_BYTES],
		     const uint8_t *aad, size_t aad_size, const uint8_t *plain, size_t size, uint8_t *out) CHECK_RESULT;
// `size` counts ciphertext with tag; out holds size - SECRET_TAG_BYTES. ERR_AUTH leaves nothing in out.
enum err secret_open(const uint8_t key[static SECRET_KEY_BYTES], const uint8_t nonce[static SECRET_NONCE_BYTES],
		     const uint8_t *aad, size_t aad_size, const uint8_t *cipher, size_t size, uint8_t *out) CHECK_RESULT;

#endif
