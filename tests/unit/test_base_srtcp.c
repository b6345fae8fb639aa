// SRTCP, held against libsrtp. SPDX-License-Identifier: Apache-2.0
#include "base/srtcp.h"

#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <srtp2/srtp.h>

#include <cmocka.h>

enum { SSRC = 0x010203ff, PACKET_MAX = 400 };

static uint8_t master[SRTP_MASTER_BYTES];
static struct srtcp ours;
static srtp_t theirs;

static int setup(void **state)
{
	(void)state;
	secret_random(master, sizeof(master));
	srtp_policy_t policy = { .ssrc = { .type = ssrc_specific, .value = SSRC }, .key = master, .window_size = 1024 };
	srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtp);
	srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtcp);
	return srtp_box_library_init() || srtcp_init(&ours, SSRC, master) || srtp_create(&theirs, &policy) != srtp_err_status_ok;
}

static int teardown(void **state)
{
	(void)state;
	return srtp_dealloc(theirs) != srtp_err_status_ok;
}

// A receiver report with something behind it.
static void make(uint8_t *packet, size_t size)
{
	secret_random(packet, size);
	memcpy(packet, "\x80\xc9\x00\x01\x01\x02\x03\xff", SRTCP_HEADER_BYTES);
}

static const size_t sizes[] = { 8, 12, 28, 31, 33, 200, 360 };
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

static void libsrtp_opens_what_we_send(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIZES; i++) {
		uint8_t plain[PACKET_MAX], packet[PACKET_MAX];
		size_t size = sizes[i];
		make(plain, size);
		memcpy(packet, plain, size);
		assert_int_equal(srtcp_protect(&ours, packet, &size), ERR_OK);
		assert_int_equal(size, sizes[i] + SRTCP_OVERHEAD);
		int n = (int)size;
		assert_int_equal(srtp_unprotect_rtcp(theirs, packet, &n), srtp_err_status_ok);
		assert_int_equal(n, sizes[i]);
		assert_memory_equal(packet, plain, sizes[i]);
	}
}

static void we_open_what_libsrtp_sends(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIZES; i++) {
		uint8_t plain[PACKET_MAX], packet[PACKET_MAX];
		int n = (int)sizes[i];
		make(plain, sizes[i]);
		memcpy(packet, plain, sizes[i]);
		assert_int_equal(srtp_protect_rtcp(theirs, packet, &n), srtp_err_status_ok);
		size_t size = (size_t)n;
		assert_int_equal(srtcp_unprotect(&ours, packet, &size), ERR_OK);
		assert_int_equal(size, sizes[i]);
		assert_memory_equal(packet, plain, sizes[i]);
	}
}

static void every_changed_byte_is_noticed(void **state)
{
	(void)state;
	struct srtcp receiver = ours;
	uint8_t packet[PACKET_MAX], copy[PACKET_MAX];
	size_t size = 40;
	make(packet, size);
	assert_int_equal(srtcp_protect(&ours, packet, &size), ERR_OK);
	for (size_t i = 0; i < size; i++) {
		size_t n = size;
		memcpy(copy, packet, size);
		copy[i] ^= 1;
		assert_int_not_equal(srtcp_unprotect(&receiver, copy, &n), ERR_OK);
	}
	for (size_t n = 0; n < size; n++) {
		size_t cut = n;
		memcpy(copy, packet, size);
		assert_int_not_equal(srtcp_unprotect(&receiver, copy, &cut), ERR_OK);
	}
	assert_int_equal(srtcp_unprotect(&receiver, packet, &size), ERR_OK); // none of them used it up
}

// Sent in order, received as in the rows; each twice.
static void the_window_lets_everything_pass_once(void **state)
{
	(void)state;
	static const struct {
		uint32_t index;
		enum err wanted;
	} rows[] = { { 1, ERR_OK },   { 3, ERR_OK },   { 2, ERR_OK },       { 64, ERR_OK },  { 65, ERR_OK },  { 66, ERR_OK },
		     { 130, ERR_OK }, { 4, ERR_OK },   { 131, ERR_OK },     { 5, ERR_OK },   { 300, ERR_OK }, { 172, ERR_REPLAY },
		     { 173, ERR_OK }, { 299, ERR_OK }, { 6, ERR_REPLAY },   { 364, ERR_OK }, { 300, ERR_REPLAY }, { 236, ERR_REPLAY },
		     { 237, ERR_OK }, { 491, ERR_OK }, { 364, ERR_REPLAY }, { 619, ERR_OK }, { 491, ERR_REPLAY }, { 618, ERR_OK } };
	enum { LAST = 620 };
	static uint8_t packet[LAST][PACKET_MAX];
	struct srtcp receiver = ours;
	size_t size = 0;
	for (uint32_t i = 1; i < LAST; i++) {
		size = 28;
		make(packet[i], size);
		assert_int_equal(srtcp_protect(&ours, packet[i], &size), ERR_OK);
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t copy[PACKET_MAX];
		for (int time = 0; time < 2; time++) {
			size_t n = size;
			memcpy(copy, packet[rows[i].index], size);
			enum err wanted = time == 0 ? rows[i].wanted : ERR_REPLAY;
			if (srtcp_unprotect(&receiver, copy, &n) != wanted)
				fail_msg("row %zu, index %u, time %d", i, rows[i].index, time);
		}
	}
}

static void no_index_is_used_twice(void **state)
{
	(void)state;
	uint8_t packet[PACKET_MAX];
	size_t size = 28;
	make(packet, size);
	ours.index = 0x7ffffffe;
	assert_int_equal(srtcp_protect(&ours, packet, &size), ERR_OK);
	size = 28;
	make(packet, size);
	assert_int_equal(srtcp_protect(&ours, packet, &size), ERR_LIMIT);
	packet[7] ^= 1; // another SSRC
	assert_int_equal(srtcp_protect(&ours, packet, &size), ERR_PARSE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(libsrtp_opens_what_we_send),
		TEST(we_open_what_libsrtp_sends),
		TEST(every_changed_byte_is_noticed),
		TEST(the_window_lets_everything_pass_once),
		TEST(no_index_is_used_twice),
	};
	return cmocka_run_group_tests_name("base_srtcp", tests, NULL, NULL);
}
