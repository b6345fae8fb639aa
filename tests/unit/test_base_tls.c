// TLS without sockets: policy, pins, client certificates, exporter, key updates. SPDX-License-Identifier: Apache-2.0
#include "base/secret.h"
#include "base/tls_conn.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A CA, a server certificate and a client certificate in a temporary folder.
static struct fixture {
	char folder[64], server_pem[96], server_key[96], client_pem[96], client_key[96];
	uint8_t *ca_der;
	size_t ca_size;
	struct token_pins pins; // the server's
} fixture;

static void write_pem(const char *path, X509 *certificate, EVP_PKEY *key)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(certificate ? PEM_write_X509(file, certificate) : PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(file);
}

static X509 *issue(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key, bool is_ca)
{
	X509 *certificate = X509_new();
	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -10);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(issuer ? issuer : certificate));
	X509_EXTENSION *basic = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	X509_add_ext(certificate, basic, -1);
	X509_EXTENSION_free(basic);
	assert_true(X509_sign(certificate, issuer_key ? issuer_key : key, EVP_sha384()) > 0);
	return certificate;
}

static int prepare(void **state)
{
	(void)state;
	fixture = (struct fixture){ 0 };
	strcpy(fixture.folder, "/tmp/test-tls-XXXXXX");
	assert_non_null(mkdtemp(fixture.folder));
	EVP_PKEY *ca_key = EVP_EC_gen("P-384"), *server_key = EVP_EC_gen("P-384"), *client_key = EVP_EC_gen("P-384");
	X509 *ca = issue(ca_key, "ca", NULL, NULL, true);
	X509 *server = issue(server_key, "server", ca, ca_key, false), *client = issue(client_key, "client", ca, ca_key, false);
	snprintf(fixture.server_pem, sizeof(fixture.server_pem), "%s/server.pem", fixture.folder);
	snprintf(fixture.server_key, sizeof(fixture.server_key), "%s/server.key", fixture.folder);
	snprintf(fixture.client_pem, sizeof(fixture.client_pem), "%s/client.pem", fixture.folder);
	snprintf(fixture.client_key, sizeof(fixture.client_key), "%s/client.key", fixture.folder);
	write_pem(fixture.server_pem, server, NULL);
	write_pem(fixture.server_key, NULL, server_key);
	write_pem(fixture.client_pem, client, NULL);
	write_pem(fixture.client_key, NULL, client_key);
	fixture.ca_size = (size_t)i2d_X509(ca, &fixture.ca_der);
	uint8_t *spki = NULL;
	int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(server), &spki);
	secret_sha256(spki, (size_t)size, fixture.pins.pin[1]);
	fixture.pins.count = 2; // the first is a backup that nobody uses
	OPENSSL_free(spki);
	X509_free(ca);
	X509_free(server);
	X509_free(client);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(server_key);
	EVP_PKEY_free(client_key);
	return 0;
}

static int clean(void **state)
{
	(void)state;
	unlink(fixture.server_pem);
	unlink(fixture.server_key);
	unlink(fixture.client_pem);
	unlink(fixture.client_key);
	rmdir(fixture.folder);
	OPENSSL_free(fixture.ca_der);
	return 0;
}

struct pair {
	struct tls_context *server_context, *client_context;
	struct tls_conn *server, *client;
	enum err server_err, client_err;
};

// `piece` bytes at a time, as a network may give them. Returns the bytes moved.
static size_t move(struct tls_conn *from, struct tls_conn *to, size_t piece)
{
	uint8_t bytes[16384];
	size_t moved = 0, n;
	while ((n = tls_conn_take(from, bytes, piece)) > 0) {
		assert_int_equal(tls_conn_feed(to, bytes, n), ERR_OK);
		moved += n;
	}
	return moved;
}

static void shake(struct pair *pair, size_t piece)
{
	pair->server_err = pair->client_err = ERR_AGAIN;
	for (int i = 0; i < 10; i++) {
		if (pair->client_err == ERR_AGAIN)
			pair->client_err = tls_conn_handshake(pair->client);
		move(pair->client, pair->server, piece);
		if (pair->server_err == ERR_AGAIN)
			pair->server_err = tls_conn_handshake(pair->server);
		move(pair->server, pair->client, piece);
	}
}

static void open_pair(struct pair *pair, const char *client_alpn, const struct token_pins *pins, bool has_certificate)
{
	struct tls_context_options server = { .is_server = true, .alpn = "test/1", .certificate_pem = fixture.server_pem,
					      .key_pem = fixture.server_key, .client_ca_der = fixture.ca_der, .client_ca_der_size = fixture.ca_size };
	struct tls_context_options client = { .alpn = client_alpn, .pins = pins, .certificate_pem = has_certificate ? fixture.client_pem : NULL,
					      .key_pem = fixture.client_key };
	assert_int_equal(tls_context_new(&server, &pair->server_context), ERR_OK);
	assert_int_equal(tls_context_new(&client, &pair->client_context), ERR_OK);
	assert_int_equal(tls_conn_new(pair->server_context, NULL, &pair->server), ERR_OK);
	assert_int_equal(tls_conn_new(pair->client_context, "server.example", &pair->client), ERR_OK);
}

static void close_pair(struct pair *pair)
{
	tls_conn_free(pair->server);
	tls_conn_free(pair->client);
	tls_context_free(pair->server_context);
	tls_context_free(pair->client_context);
}

static void test_handshake_and_data(void **state)
{
	(void)state;
	struct pair pair;
	open_pair(&pair, "test/1", &fixture.pins, true);
	uint8_t early[1];
	size_t n;
	assert_int_equal(tls_conn_read(pair.client, early, 1, &n), ERR_AGAIN);
	shake(&pair, 7);
	assert_int_equal(pair.client_err, ERR_OK);
	assert_int_equal(pair.server_err, ERR_OK);
	assert_string_equal(tls_conn_group(pair.server), "X25519MLKEM768");

	uint8_t a[32], b[32], c[32], *der;
	assert_int_equal(tls_conn_export(pair.client, "EXPORTER-x", (const uint8_t *)"\0", 1, a, 32), ERR_OK);
	assert_int_equal(tls_conn_export(pair.server, "EXPORTER-x", (const uint8_t *)"\0", 1, b, 32), ERR_OK);
	assert_int_equal(tls_conn_export(pair.server, "EXPORTER-x", (const uint8_t *)"\1", 1, c, 32), ERR_OK);
	assert_memory_equal(a, b, 32);
	assert_memory_not_equal(a, c, 32);
	assert_int_equal(tls_conn_peer_certificate(pair.server, &der, &n), ERR_OK);
	free(der);

	static uint8_t sent[50000], received[50000];
	secret_random(sent, sizeof(sent));
	assert_int_equal(tls_conn_write(pair.client, sent, sizeof(sent)), ERR_OK);
	move(pair.client, pair.server, 1000);
	size_t got = 0;
	while (tls_conn_read(pair.server, received + got, sizeof(received) - got, &n) == ERR_OK)
		got += n;
	assert_int_equal(got, sizeof(sent));
	assert_memory_equal(sent, received, sizeof(sent));
	tls_conn_close(pair.client);
	move(pair.client, pair.server, 1000);
	assert_int_equal(tls_conn_read(pair.server, received, 1, &n), ERR_CLOSED);
	close_pair(&pair);
}

static void test_no_certificate_is_let_in_unnamed(void **state)
{
	(void)state;
	struct pair pair;
	uint8_t *der;
	size_t size;
	open_pair(&pair, "test/1", &fixture.pins, false);
	shake(&pair, 16384);
	assert_int_equal(pair.server_err, ERR_OK);
	assert_int_equal(tls_conn_peer_certificate(pair.server, &der, &size), ERR_NOT_FOUND);
	close_pair(&pair);
}

static void test_wrong_pin(void **state)
{
	(void)state;
	struct pair pair;
	struct token_pins pins = fixture.pins;
	uint8_t seen[TOKEN_PIN_BYTES];
	pins.pin[1][0] ^= 1;
	open_pair(&pair, "test/1", &pins, false);
	shake(&pair, 16384);
	assert_int_equal(pair.client_err, ERR_AUTH);
	assert_int_not_equal(pair.server_err, ERR_OK);
	assert_string_equal(tls_conn_problem(pair.client), "the server's key is not one of the pinned keys");
	assert_int_equal(tls_conn_peer_pin(pair.client, seen), ERR_OK);
	assert_memory_equal(seen, fixture.pins.pin[1], sizeof(seen));
	close_pair(&pair);
	struct tls_context_options unpinned = { .alpn = "test/1" };
	assert_int_equal(tls_context_new(&unpinned, &pair.client_context), ERR_USAGE);
}

static void test_foreign_client_certificate(void **state)
{
	(void)state;
	struct pair pair;
	struct fixture mine = fixture;
	EVP_PKEY *key = EVP_EC_gen("P-384");
	X509 *self = issue(key, "stranger", NULL, NULL, false);
	write_pem(mine.client_pem, self, NULL);
	write_pem(mine.client_key, NULL, key);
	X509_free(self);
	EVP_PKEY_free(key);
	open_pair(&pair, "test/1", &fixture.pins, true);
	shake(&pair, 16384);
	assert_int_equal(pair.server_err, ERR_AUTH);
	close_pair(&pair);
	prepare(NULL); // the folder before stays empty of use: its files are removed below
	unlink(mine.server_pem), unlink(mine.server_key), unlink(mine.client_pem), unlink(mine.client_key), rmdir(mine.folder);
	OPENSSL_free(mine.ca_der);
}

static void test_wrong_protocol(void **state)
{
	(void)state;
	struct pair pair;
	open_pair(&pair, "test/2", &fixture.pins, false);
	shake(&pair, 16384);
	assert_int_equal(pair.server_err, ERR_VERSION);
	assert_int_equal(pair.client_err, ERR_VERSION);
	close_pair(&pair);
}

// A plain OpenSSL client with what our server must refuse.
static enum err server_verdict(int version, const char *groups)
{
	struct pair pair;
	open_pair(&pair, "test/1", &fixture.pins, false);
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_max_proto_version(context, version);
	assert_int_equal(SSL_CTX_set1_groups_list(context, groups), 1);
	SSL *ssl = SSL_new(context);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL_set_bio(ssl, in, out);
	SSL_set_connect_state(ssl);
	assert_int_not_equal(SSL_do_handshake(ssl), 1);
	uint8_t bytes[4096];
	int n = BIO_read(out, bytes, sizeof(bytes));
	assert_true(n > 0);
	assert_int_equal(tls_conn_feed(pair.server, bytes, (size_t)n), ERR_OK);
	enum err err = tls_conn_handshake(pair.server);
	SSL_free(ssl);
	SSL_CTX_free(context);
	close_pair(&pair);
	return err;
}

static void test_downgrades_refused(void **state)
{
	(void)state;
	assert_int_equal(server_verdict(TLS1_3_VERSION, "X25519:P-256:P-384"), ERR_VERSION); // no post-quantum group
	assert_int_equal(server_verdict(TLS1_2_VERSION, "X25519"), ERR_VERSION);
}

// The bytes of a raw client's connection, both ways.
static void exchange(BIO *in, BIO *out, struct tls_conn *server)
{
	uint8_t bytes[16384];
	int n;
	size_t m;
	while ((n = BIO_read(out, bytes, sizeof(bytes))) > 0)
		assert_int_equal(tls_conn_feed(server, bytes, (size_t)n), ERR_OK);
	enum err err = tls_conn_handshake(server);
	assert_true(err == ERR_OK || err == ERR_AGAIN);
	while ((m = tls_conn_take(server, bytes, sizeof(bytes))) > 0)
		assert_int_equal(BIO_write(in, bytes, (int)m), (int)m);
}

static void count_update(int is_written, int version, int type, const void *bytes, size_t size, SSL *ssl, void *argument)
{
	(void)version, (void)ssl;
	size_t *updates = argument;
	*updates += !is_written && type == SSL3_RT_HANDSHAKE && size > 0 && *(const uint8_t *)bytes == SSL3_MT_KEY_UPDATE;
}

// The server writes more records than one key is good for; the raw client at the other end sees the new key.
static void expect_update_after_many_records(SSL *ssl, BIO *in, BIO *out, struct tls_conn *server)
{
	uint8_t bytes[512] = { 0 };
	size_t updates = 0, got = 0;
	SSL_set_msg_callback(ssl, count_update);
	SSL_set_msg_callback_arg(ssl, &updates);
	for (size_t i = 0; i < TLS_CONN_RECORDS_PER_KEY + 512; i++) {
		assert_int_equal(tls_conn_write(server, bytes, 1), ERR_OK);
		if (i % 512 != 511)
			continue;
		exchange(in, out, server);
		for (int n; (n = SSL_read(ssl, bytes, sizeof(bytes))) > 0;)
			got += (size_t)n;
	}
	assert_int_equal(got, TLS_CONN_RECORDS_PER_KEY + 512);
	assert_int_equal(updates, 1);
	SSL_set_msg_callback(ssl, NULL);
}

// Some key updates are good manners, a flood of them is refused before all of it was worked through.
static void test_key_updates(void **state)
{
	(void)state;
	struct pair pair;
	uint8_t byte;
	size_t n;
	open_pair(&pair, "test/1", &fixture.pins, false);
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	assert_int_equal(SSL_CTX_set1_groups_list(context, TLS_CONN_GROUPS), 1);
	assert_int_equal(SSL_CTX_set_alpn_protos(context, (const uint8_t *)"\6test/1", 7), 0);
	SSL *ssl = SSL_new(context);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL_set_bio(ssl, in, out);
	SSL_set_connect_state(ssl);
	while (SSL_do_handshake(ssl) != 1)
		exchange(in, out, pair.server);
	exchange(in, out, pair.server);
	for (int i = 0; i < TLS_CONN_UPDATES_SPARE; i++) {
		assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		assert_int_equal(SSL_write(ssl, "x", 1), 1);
		exchange(in, out, pair.server);
		assert_int_equal(tls_conn_read(pair.server, &byte, 1, &n), ERR_OK);
		assert_int_equal(byte, 'x');
		assert_int_equal(tls_conn_write(pair.server, &byte, 1), ERR_OK);
		exchange(in, out, pair.server);
		assert_int_equal(SSL_read(ssl, &byte, 1), 1);
	}
	expect_update_after_many_records(ssl, in, out, pair.server);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(ssl), 1);
	}
	exchange(in, out, pair.server);
	assert_int_equal(tls_conn_read(pair.server, &byte, 1, &n), ERR_LIMIT);
	SSL_free(ssl);
	SSL_CTX_free(context);
	close_pair(&pair);
}

static void test_garbage(void **state)
{
	(void)state;
	for (int i = 0; i < 200; i++) {
		struct pair pair;
		uint8_t bytes[300];
		open_pair(&pair, "test/1", &fixture.pins, false);
		secret_random(bytes, sizeof(bytes));
		if (i % 2)
			memcpy(bytes, "\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03", 11);
		assert_int_equal(tls_conn_feed(pair.server, bytes, sizeof(bytes)), ERR_OK);
		assert_int_not_equal(tls_conn_handshake(pair.server), ERR_OK);
		close_pair(&pair);
	}
	struct pair pair;
	static uint8_t many[TLS_CONN_NEED_MAX];
	open_pair(&pair, "test/1", &fixture.pins, false);
	assert_int_equal(tls_conn_feed(pair.server, many, sizeof(many)), ERR_OK);
	assert_int_equal(tls_conn_feed(pair.server, many, 1), ERR_LIMIT);
	close_pair(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake_and_data),	   cmocka_unit_test(test_no_certificate_is_let_in_unnamed),
		cmocka_unit_test(test_wrong_pin),		   cmocka_unit_test(test_foreign_client_certificate),
		cmocka_unit_test(test_wrong_protocol),		   cmocka_unit_test(test_downgrades_refused),
		cmocka_unit_test(test_key_updates),		   cmocka_unit_test(test_garbage),
	};
	return cmocka_run_group_tests(tests, prepare, clean);
}
