// The ClientHello parser of the mux, on hellos that OpenSSL makes and on damaged ones.
// SPDX-License-Identifier: Apache-2.0
#include "mgmt/client_hello.h"

#include <openssl/ssl.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint8_t hello[CLIENT_HELLO_MAX];
static size_t hello_size;
static char name[CLIENT_HELLO_NAME_MAX + 1];
static size_t needed;

// What a client with these groups and this name sends first.
static void make_hello(const char *server_name, const char *groups)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	assert_non_null(context);
	assert_int_equal(SSL_CTX_set1_groups_list(context, groups), 1);
	SSL *ssl = SSL_new(context);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL_set_bio(ssl, in, out);
	if (server_name)
		assert_int_equal(SSL_set_tlsext_host_name(ssl, server_name), 1);
	SSL_connect(ssl);
	int n = BIO_read(out, hello, sizeof(hello));
	assert_true(n > 0);
	hello_size = (size_t)n;
	SSL_free(ssl);
	SSL_CTX_free(context);
}

static enum err parse(size_t size)
{
	// An exact copy, so that the sanitizers see a byte too many.
	uint8_t *copy = malloc(size + !size);
	assert_non_null(copy);
	memcpy(copy, hello, size);
	memset(name, '#', sizeof(name));
	enum err err = client_hello_name(copy, size, name, &needed);
	free(copy);
	return err;
}

static void names_are_found(void **state)
{
	(void)state;
	make_hello("tmms.example", "X25519MLKEM768:SecP384r1MLKEM1024");
	assert_true(hello_size > 1400); // does not fit one segment
	assert_int_equal(parse(hello_size), ERR_OK);
	assert_string_equal(name, "tmms.example");
	make_hello("TCS.Example", "X25519");
	assert_int_equal(parse(hello_size), ERR_OK);
	assert_string_equal(name, "tcs.example");
	make_hello(NULL, "X25519");
	assert_int_equal(parse(hello_size), ERR_NOT_FOUND);
}

// However little has come: more is needed, and never less than would change the verdict.
static void every_prefix_waits(void **state)
{
	(void)state;
	make_hello("tmms.example", "X25519MLKEM768");
	for (size_t size = 0; size < hello_size; size++) {
		assert_int_equal(parse(size), ERR_AGAIN);
		assert_in_range(needed, size + 1, hello_size);
	}
	assert_int_equal(parse(5), ERR_AGAIN);
	assert_int_equal(needed, hello_size); // one record, so the rest at once
}

// The same hello cut into records of a few bytes each.
static void hellos_may_span_records(void **state)
{
	(void)state;
	make_hello("tmms.example", "X25519");
	static uint8_t cut[CLIENT_HELLO_MAX];
	size_t size = 0;
	for (size_t at = 5; at < hello_size; at += 7) {
		size_t part = hello_size - at < 7 ? hello_size - at : 7;
		const uint8_t header[5] = {22, 3, 1, 0, (uint8_t)part};
		memcpy(cut + size, header, 5);
		memcpy(cut + size + 5, hello + at, part);
		size += 5 + part;
	}
	memcpy(hello, cut, size);
	hello_size = size;
	assert_int_equal(parse(hello_size), ERR_OK);
	assert_string_equal(name, "tmms.example");
	for (size_t prefix = 0; prefix < hello_size; prefix++) {
		assert_int_equal(parse(prefix), ERR_AGAIN);
		assert_true(needed > prefix);
	}
}

static void what_follows_is_not_looked_at(void **state)
{
	(void)state;
	make_hello("tmms.example", "X25519");
	memset(hello + hello_size, 0xff, 100);
	assert_int_equal(parse(hello_size + 100), ERR_OK);
	assert_string_equal(name, "tmms.example");
}

static void others_are_refused_at_once(void **state)
{
	(void)state;
	static const char *const first[] = {"GET / HTTP/1.1\r\n", "SSH-2.0-OpenSSH\r\n", "\x16\x02", "\x15\x03\x01", "\x16\x03\x01\x00\x05\x02",
					    "\x80\x2e\x01\x03\x01"};
	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		size_t size = i == 4 ? 6 : strlen(first[i]);
		memcpy(hello, first[i], size);
		assert_int_equal(parse(size), ERR_PARSE);
	}
	memcpy(hello, "\x16\x03\x01\x00\x00", 5); // an empty fragment could go on for ever
	assert_int_equal(parse(5), ERR_PARSE);
	memcpy(hello, "\x16\x03\x01\x40\x00", 5);
	assert_int_equal(parse(5), ERR_LIMIT);
	memcpy(hello, "\x16\x03\x01\x02\x00\x01\x00\xff\xff", 9);
	assert_int_equal(parse(9), ERR_LIMIT);
}

// One bit flipped anywhere: a verdict, and a name only if it is one.
static void damaged_hellos_do_no_harm(void **state)
{
	(void)state;
	make_hello("tmms.example", "X25519");
	for (size_t bit = 0; bit < hello_size * 8; bit++) {
		hello[bit / 8] ^= (uint8_t)(1u << bit % 8);
		enum err err = parse(hello_size);
		if (!err)
			assert_true(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-._") == strlen(name) && name[0]);
		hello[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

// 253 characters are a name, an empty list or a name of NUL is none.
static void bad_names_are_refused(void **state)
{
	(void)state;
	make_hello("aaaaaaaaaaaa", "X25519");
	uint8_t *at = memmem(hello, hello_size, "aaaaaaaaaaaa", 12);
	assert_non_null(at);
	at[3] = '\0';
	assert_int_equal(parse(hello_size), ERR_PARSE);
	at[3] = '/';
	assert_int_equal(parse(hello_size), ERR_PARSE);
	at[3] = 'a';
	at[11] = '.';
	assert_int_equal(parse(hello_size), ERR_OK);
	assert_string_equal(name, "aaaaaaaaaaa");
	at[-3] = 1; // another type of name
	assert_int_equal(parse(hello_size), ERR_PARSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_found),
		cmocka_unit_test(every_prefix_waits),
		cmocka_unit_test(hellos_may_span_records),
		cmocka_unit_test(what_follows_is_not_looked_at),
		cmocka_unit_test(others_are_refused_at_once),
		cmocka_unit_test(damaged_hellos_do_no_harm),
		cmocka_unit_test(bad_names_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
