// HKDF-SHA384, AES-256-GCM, locked memory. SPDX-License-Identifier: Apache-2.0
#include "base/secret.h"
#include "base/text.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
#include <openssl/hmac.h>
#include <string.h>

// HKDF is two lines of HMAC (RFC 5869): an independent computation, since the RFC has no SHA-384 vectors.
static void test_hkdf_against_hmac(void **state)
{
	(void)state;
	uint8_t salt[13], ikm[22], prk[SECRET_PRK_BYTES], expected[64];
	memset(ikm, 0x0b, sizeof(ikm));
	for (size_t i = 0; i < sizeof(salt); i++)
		salt[i] = (uint8_t)i;
	unsigned size = 0;
	HMAC(EVP_sha384(), salt, sizeof(salt), ikm, sizeof(ikm), expected, &size);
	assert_int_equal(secret_extract(salt, sizeof(salt), ikm, sizeof(ikm), prk), ERR_OK);
	assert_memory_equal(prk, expected, SECRET_PRK_BYTES);

	const uint8_t context[] = { 1, 2, 3 };
	uint8_t out[60], first[64], block[64 + 16];
	assert_int_equal(secret_expand(prk, "label", context, sizeof(context), out, sizeof(out)), ERR_OK);
	const uint8_t info[] = { 'l', 'a', 'b', 'e', 'l', 0, 1, 2, 3, 1 };
	HMAC(EVP_sha384(), prk, sizeof(prk), info, sizeof(info), first, &size);
	assert_memory_equal(out, first, 48);
	memcpy(block, first, 48);
	memcpy(block + 48, info, 9);
	block[57] = 2;
	HMAC(EVP_sha384(), prk, sizeof(prk), block, 58, expected, &size);
	assert_memory_equal(out + 48, expected, 12);
}

static void test_expand_bounds(void **state)
{
	(void)state;
	uint8_t prk[SECRET_PRK_BYTES] = { 0 }, out[32], context[300] = { 0 };
	assert_int_equal(secret_expand(prk, "x", context, sizeof(context), out, sizeof(out)), ERR_LIMIT);
	assert_int_equal(secret_expand(prk, "x", NULL, 0, out, sizeof(out)), ERR_OK);
}

static void test_gcm_vector(void **state)
{
	(void)state;
	// McGrew and Viega, test case 16: AES-256, AAD, 60 bytes
	uint8_t key[32], nonce[12], aad[20], plain[60], cipher[76], out[76];
	assert_int_equal(text_hex_parse("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", key, 32), ERR_OK);
	assert_int_equal(text_hex_parse("cafebabefacedbaddecaf888", nonce, 12), ERR_OK);
	assert_int_equal(text_hex_parse("feedfacedeadbeeffeedfacedeadbeefabaddad2", aad, 20), ERR_OK);
	assert_int_equal(text_hex_parse("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
					"b16aedf5aa0de657ba637b39", plain, 60), ERR_OK);
	assert_int_equal(text_hex_parse("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838"
					"c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b", cipher, 76), ERR_OK);
	assert_int_equal(secret_seal(key, nonce, aad, 20, plain, 60, out), ERR_OK);
	assert_memory_equal(out, cipher, 76);
	assert_int_equal(secret_open(key, nonce, aad, 20, cipher, 76, out), ERR_OK);
	assert_memory_equal(out, plain, 60);
	for (size_t i = 0; i < 76; i++) {
		cipher[i] ^= 1;
		assert_int_equal(secret_open(key, nonce, aad, 20, cipher, 76, out), ERR_AUTH);
		cipher[i] ^= 1;
	}
}

static void test_gcm_checks_the_tag_of_nothing(void **state)
{
	(void)state;
	uint8_t key[32] = { 1 }, nonce[12] = { 2 }, tag[16], none[1];
	assert_int_equal(secret_seal(key, nonce, NULL, 0, NULL, 0, tag), ERR_OK);
	assert_int_equal(secret_open(key, nonce, NULL, 0, tag, 16, none), ERR_OK);
	tag[15] ^= 1;
	assert_int_equal(secret_open(key, nonce, NULL, 0, tag, 16, none), ERR_AUTH);
	assert_int_equal(secret_open(key, nonce, NULL, 0, tag, 15, none), ERR_PARSE);
}

static void test_memory(void **state)
{
	(void)state;
	static const uint8_t zeros[5000];
	uint8_t *bytes = secret_alloc(sizeof(zeros));
	assert_non_null(bytes);
	assert_memory_equal(bytes, zeros, sizeof(zeros));
	memset(bytes, 0xaa, sizeof(zeros));
	secret_free(bytes);
	secret_free(NULL);
	assert_null(secret_alloc(SIZE_MAX - 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hkdf_against_hmac), cmocka_unit_test(test_expand_bounds),
		cmocka_unit_test(test_gcm_vector),	  cmocka_unit_test(test_gcm_checks_the_tag_of_nothing),
		cmocka_unit_test(test_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
