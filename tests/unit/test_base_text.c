// Hex, base64url, UUIDs, numbers, printable text. SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

static void test_hex(void **state)
{
	(void)state;
	uint8_t bytes[3];
	char text[TEXT_HEX_SIZE(3)];
	assert_int_equal(text_hex_parse("00aBff", bytes, 3), ERR_OK);
	text_hex_emit(bytes, 3, text);
	assert_string_equal(text, "00abff");
	static const char *const bad[] = { "", "00abf", "00abfff", "00abfg", "00abf ", "0x00ab" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(text_hex_parse(bad[i], bytes, 3), ERR_PARSE);
}

static void test_base64_vectors(void **state)
{
	(void)state;
	// RFC 4648 section 10, without padding
	static const char *const rows[][2] = { { "", "" },	   { "f", "Zg" },	{ "fo", "Zm8" },    { "foo", "Zm9v" },
					       { "foob", "Zm9vYg" }, { "fooba", "Zm9vYmE" }, { "foobar", "Zm9vYmFy" } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[16];
		uint8_t bytes[8];
		size_t size;
		text_base64_emit((const uint8_t *)rows[i][0], strlen(rows[i][0]), text);
		assert_string_equal(text, rows[i][1]);
		assert_int_equal(text_base64_parse(text, strlen(text), bytes, sizeof(bytes), &size), ERR_OK);
		assert_int_equal(size, strlen(rows[i][0]));
		assert_memory_equal(bytes, rows[i][0], size);
	}
}

static void test_base64_refuses(void **state)
{
	(void)state;
	uint8_t bytes[8];
	size_t size;
	static const char *const bad[] = { "Z", "Zg==", "Zh", "Zm9", "Zm9v+", "Zm 9", "Zm9vY/Fy" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(text_base64_parse(bad[i], strlen(bad[i]), bytes, sizeof(bytes), &size), ERR_PARSE);
	assert_int_equal(text_base64_parse("Zm9vYmFyZm9v", 12, bytes, sizeof(bytes), &size), ERR_LIMIT);
	assert_int_equal(text_base64_parse("Zm9vYmFyZm8", 11, bytes, sizeof(bytes), &size), ERR_OK);
}

static void test_uuid(void **state)
{
	(void)state;
	struct id id;
	char text[TEXT_UUID_SIZE];
	assert_int_equal(text_id_parse("00112233-4455-6677-8899-aAbBcCdDeEfF", &id), ERR_OK);
	text_id_emit(&id, text);
	assert_string_equal(text, "00112233-4455-6677-8899-aabbccddeeff");
	static const char *const bad[] = { "", "00112233-4455-6677-8899-aabbccddeef", "00112233-4455-6677-8899-aabbccddeeff0",
					   "0011223304455-6677-8899-aabbccddeeff", "00112233-4455-6677-8899-aabbccddee-f" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(text_id_parse(bad[i], &id), ERR_PARSE);
}

static void test_numbers(void **state)
{
	(void)state;
	uint64_t v;
	assert_int_equal(text_u64_parse("18446744073709551615", 0, UINT64_MAX, &v), ERR_OK);
	assert_true(v == UINT64_MAX);
	assert_int_equal(text_u64_parse("18446744073709551616", 0, UINT64_MAX, &v), ERR_LIMIT);
	assert_int_equal(text_u64_parse("7", 8, 9, &v), ERR_LIMIT);
	static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "0x1", "1e3" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(text_u64_parse(bad[i], 0, UINT64_MAX, &v), ERR_PARSE);
}

static void test_printable(void **state)
{
	(void)state;
	static const char *const good[] = { "", "Ada", "Zo\xc3\xab", "\xe6\x9d\x8e", "\xf0\x9f\x98\x80 hi" };
	static const char *const bad[] = { "\x1b[2J", "a\nb", "\x7f", "\xc2\x9b", "\xc3", "\xc0\xaf", "\xed\xa0\x80",
					   "\xf4\x90\x80\x80", "\xe2\x80\xaegpj.exe", "\xe2\x80\xa8", "\xe2\x80\x8b", "\xff" };
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(text_is_printable(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(text_is_printable(bad[i], strlen(bad[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hex),  cmocka_unit_test(test_base64_vectors), cmocka_unit_test(test_base64_refuses),
		cmocka_unit_test(test_uuid), cmocka_unit_test(test_numbers),	    cmocka_unit_test(test_printable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
