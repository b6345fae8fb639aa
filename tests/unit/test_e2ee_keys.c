// Keys, announcements and metadata of e2ee.h. SPDX-License-Identifier: Apache-2.0
#include "base/secret.h"
#include "client/engine/e2ee/announcement.h"
#include "client/engine/e2ee/e2ee.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct id meeting = { { 1, 2, 3 } }, other_meeting = { { 9 } }, alice = { { 0xa1 } }, bob = { { 0xb0 } };
static const uint8_t secret[TOKEN_SECRET_BYTES] = { 7, 7, 7 }, other_secret[TOKEN_SECRET_BYTES] = { 8 };

static struct e2ee *make(const struct id *in, const struct id *self, const uint8_t *with)
{
	struct e2ee *e2ee;
	const struct e2ee_options options = { .meeting = *in, .self = *self, .secret = with };
	assert_int_equal(e2ee_new(&options, &e2ee), ERR_OK);
	return e2ee;
}

static void test_two_members_agree(void **state)
{
	(void)state;
	struct e2ee *a = make(&meeting, &alice, secret), *b = make(&meeting, &bob, secret);
	uint8_t sent[SRTP_MASTER_BYTES], received[SRTP_MASTER_BYTES];
	assert_int_equal(e2ee_send_key(a, 0x501, 3, sent), ERR_OK);
	assert_int_equal(e2ee_receive_key(b, &alice, e2ee_run(a), 0x501, e2ee_mki(0, 3), received), ERR_OK);
	assert_memory_equal(sent, received, sizeof(sent));
	e2ee_free(a);
	e2ee_free(b);
}

// Everything that a key is bound to changes it.
static void test_keys_are_separate(void **state)
{
	(void)state;
	struct e2ee *a = make(&meeting, &alice, secret), *b = make(&meeting, &bob, secret);
	struct e2ee *foreign = make(&other_meeting, &bob, secret), *wrong = make(&meeting, &bob, other_secret);
	uint8_t base[SRTP_MASTER_BYTES], keys[7][SRTP_MASTER_BYTES], run[E2EE_RUN_BYTES];
	memcpy(run, e2ee_run(a), sizeof(run));
	assert_int_equal(e2ee_send_key(a, 0x501, 3, base), ERR_OK);
	assert_int_equal(e2ee_receive_key(b, &bob, run, 0x501, 3, keys[0]), ERR_OK);
	assert_int_equal(e2ee_receive_key(b, &alice, run, 0x500, 3, keys[1]), ERR_OK);
	assert_int_equal(e2ee_receive_key(b, &alice, run, 0x501, 4, keys[2]), ERR_OK);
	assert_int_equal(e2ee_receive_key(foreign, &alice, run, 0x501, 3, keys[3]), ERR_OK);
	assert_int_equal(e2ee_receive_key(wrong, &alice, run, 0x501, 3, keys[4]), ERR_OK);
	run[15] ^= 1;
	assert_int_equal(e2ee_receive_key(b, &alice, run, 0x501, 3, keys[5]), ERR_OK);
	assert_int_equal(e2ee_receive_key(b, &alice, e2ee_run(b), 0x501, 3, keys[6]), ERR_OK);
	for (size_t i = 0; i < 7; i++) {
		assert_memory_not_equal(base, keys[i], SRTP_MASTER_BYTES);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(keys[i], keys[j], SRTP_MASTER_BYTES);
	}
	e2ee_free(a);
	e2ee_free(b);
	e2ee_free(foreign);
	e2ee_free(wrong);
}

// The derivation is a wire format: RFC 5869 with SHA-384 as written in e2ee.h, computed here step by step.
static void test_derivation_is_as_documented(void **state)
{
	(void)state;
	struct e2ee *a = make(&meeting, &alice, secret);
	uint8_t prk[SECRET_PRK_BYTES], run[SECRET_PRK_BYTES], master[SRTP_MASTER_BYTES], expected[SRTP_MASTER_BYTES];
	uint8_t context[32], stream[8] = { 0, 0, 5, 1, 0, 0, 0, 3 };
	assert_int_equal(secret_extract(meeting.bytes, 16, secret, sizeof(secret), prk), ERR_OK);
	memcpy(context, alice.bytes, 16);
	memcpy(context + 16, e2ee_run(a), 16);
	assert_int_equal(secret_expand(prk, "huisclos media v1", context, sizeof(context), run, sizeof(run)), ERR_OK);
	assert_int_equal(secret_expand(run, "huisclos stream v1", stream, sizeof(stream), expected, sizeof(expected)), ERR_OK);
	assert_int_equal(e2ee_send_key(a, 0x501, 3, master), ERR_OK);
	assert_memory_equal(master, expected, sizeof(master));
	e2ee_free(a);
}

static void test_runs_and_limits(void **state)
{
	(void)state;
	struct e2ee *a = make(&meeting, &alice, secret), *again = make(&meeting, &alice, secret);
	uint8_t master[SRTP_MASTER_BYTES];
	assert_memory_not_equal(e2ee_run(a), e2ee_run(again), E2EE_RUN_BYTES);
	assert_int_equal(e2ee_send_key(a, 0x501, (1u << 20) - 1, master), ERR_OK);
	assert_int_equal(e2ee_send_key(a, 0x501, 1u << 20, master), ERR_LIMIT);
	assert_int_equal(e2ee_receive_key(a, &bob, e2ee_run(again), 0x501, e2ee_mki(1, 0), master), ERR_NOT_FOUND);
	e2ee_free(a);
	e2ee_free(again);
}

static void test_announcement_tamper(void **state)
{
	(void)state;
	struct e2ee *a = make(&meeting, &alice, secret), *b = make(&meeting, &bob, secret);
	struct e2ee *foreign = make(&other_meeting, &bob, secret), *wrong = make(&meeting, &bob, other_secret);
	uint8_t sealed[64 + E2EE_SEAL_OVERHEAD], again[64 + E2EE_SEAL_OVERHEAD], plain[64];
	size_t size, again_size, plain_size;
	const uint8_t text[] = "who I am";
	assert_int_equal(e2ee_announce_seal(a, text, sizeof(text), sealed, &size), ERR_OK);
	assert_int_equal(size, sizeof(text) + E2EE_SEAL_OVERHEAD);
	assert_int_equal(e2ee_announce_open(b, &alice, sealed, size, plain, &plain_size), ERR_OK);
	assert_int_equal(plain_size, sizeof(text));
	assert_memory_equal(plain, text, sizeof(text));
	for (size_t i = 0; i < size; i++) {
		sealed[i] ^= 1;
		assert_int_equal(e2ee_announce_open(b, &alice, sealed, size, plain, &plain_size), ERR_AUTH);
		sealed[i] ^= 1;
	}
	for (size_t cut = 0; cut < size; cut++)
		assert_int_not_equal(e2ee_announce_open(b, &alice, sealed, cut, plain, &plain_size), ERR_OK);
	assert_int_equal(e2ee_announce_open(b, &bob, sealed, size, plain, &plain_size), ERR_AUTH);
	assert_int_equal(e2ee_announce_open(foreign, &alice, sealed, size, plain, &plain_size), ERR_AUTH);
	assert_int_equal(e2ee_announce_open(wrong, &alice, sealed, size, plain, &plain_size), ERR_AUTH);
	assert_int_equal(e2ee_announce_seal(a, text, sizeof(text), again, &again_size), ERR_OK);
	assert_memory_not_equal(sealed, again, 32); // a new salt, so a new key and nonce
	e2ee_free(a);
	e2ee_free(b);
	e2ee_free(foreign);
	e2ee_free(wrong);
}

static void test_metadata(void **state)
{
	(void)state;
	uint8_t sealed[64 + E2EE_SEAL_OVERHEAD], plain[64];
	size_t size, plain_size;
	const uint8_t text[] = "a title";
	assert_int_equal(e2ee_metadata_seal(&meeting, secret, text, sizeof(text), sealed, &size), ERR_OK);
	assert_int_equal(e2ee_metadata_open(&meeting, secret, sealed, size, plain, &plain_size), ERR_OK);
	assert_memory_equal(plain, text, plain_size);
	assert_int_equal(e2ee_metadata_open(&meeting, other_secret, sealed, size, plain, &plain_size), ERR_AUTH);
	assert_int_equal(e2ee_metadata_open(&other_meeting, secret, sealed, size, plain, &plain_size), ERR_AUTH);
	assert_int_equal(e2ee_metadata_open(&meeting, secret, sealed, E2EE_SEAL_OVERHEAD - 1, plain, &plain_size), ERR_PARSE);
	// A title is no announcement, even from a participant with the meeting's id.
	struct e2ee *a = make(&meeting, &alice, secret);
	assert_int_equal(e2ee_announce_open(a, &meeting, sealed, size, plain, &plain_size), ERR_AUTH);
	e2ee_free(a);
}

static void test_announcement_codec(void **state)
{
	(void)state;
	struct announcement in = { .run = { 1, 2, 3 }, .capture_epoch_ns = 0x1122334455667788u, .name = "Zoë" }, out;
	uint8_t bytes[ANNOUNCEMENT_MAX_BYTES + 1];
	size_t size;
	announcement_emit(&in, bytes, &size);
	assert_int_equal(size, 1 + 16 + 8 + 2 + 4);
	assert_int_equal(announcement_parse(bytes, size, &out), ERR_OK);
	assert_memory_equal(&in, &out, sizeof(in));
	for (size_t cut = 0; cut < size; cut++)
		assert_int_equal(announcement_parse(bytes, cut, &out), ERR_PARSE);
	bytes[size] = 0;
	assert_int_equal(announcement_parse(bytes, size + 1, &out), ERR_PARSE);
	bytes[0] = 2;
	assert_int_equal(announcement_parse(bytes, size, &out), ERR_VERSION);
	bytes[0] = 1;
	bytes[size - 1] = '\n'; // breaks the UTF-8, and would break a line
	assert_int_equal(announcement_parse(bytes, size, &out), ERR_OK);
	assert_string_equal(out.name, "");
	memset(in.name, 'x', ANNOUNCEMENT_NAME_MAX);
	announcement_emit(&in, bytes, &size);
	assert_int_equal(size, ANNOUNCEMENT_MAX_BYTES);
	assert_int_equal(announcement_parse(bytes, size, &out), ERR_OK);
	assert_int_equal(strlen(out.name), ANNOUNCEMENT_NAME_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_members_agree), cmocka_unit_test(test_keys_are_separate),
		cmocka_unit_test(test_derivation_is_as_documented), cmocka_unit_test(test_runs_and_limits),
		cmocka_unit_test(test_announcement_tamper), cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_announcement_codec),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
