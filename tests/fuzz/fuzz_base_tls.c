// A TLS server without a peer worth the name: bytes from a stranger. SPDX-License-Identifier: Apache-2.0
#include "base/tls_conn.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct tls_context *context;

static void make_context(void)
{
	char path[] = "/tmp/fuzz-tls-XXXXXX";
	int fd = mkstemp(path);
	FILE *file = fdopen(fd, "w");
	EVP_PKEY *key = EVP_EC_gen("P-384");
	X509 *certificate = X509_new();
	X509_set_pubkey(certificate, key);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	if (!file || !X509_sign(certificate, key, EVP_sha384()))
		abort();
	PEM_write_X509(file, certificate);
	PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
	fclose(file);
	struct tls_context_options options = { .is_server = true, .alpn = "x", .certificate_pem = path, .key_pem = path };
	if (tls_context_new(&options, &context))
		abort();
	unlink(path);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_conn *conn;
	uint8_t out[4096];
	if (!context)
		make_context();
	if (tls_conn_new(context, NULL, &conn))
		abort();
	if (!tls_conn_feed(conn, data, size) && !tls_conn_handshake(conn))
		abort(); // no handshake is complete after one flight
	while (tls_conn_take(conn, out, sizeof(out)) > 0)
		continue;
	tls_conn_free(conn);
	return 0;
}
