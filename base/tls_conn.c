// SPDX-License-Identifier: Apache-2.0
#include "base/tls_conn.h"

#include "base/cursor.h"
#include "base/log.h"
#include "base/secret.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALPN_MAX = 32, PROBLEM_MAX = 160, RECORD_BYTES = 16384 };

struct tls_context {
	SSL_CTX *ssl;
	bool is_server;
	struct token_pins pins;
	uint8_t alpn[ALPN_MAX + 1]; // wire form: length, name
};

struct tls_conn {
	SSL *ssl;
	BIO *in, *out; // owned by ssl
	const struct tls_context *context;
	uint64_t records; // written under the present key
	uint64_t reads, updates; // data read, and how often the peer changed its key
	bool is_pin_wrong, is_done, has_seen_pin;
	uint8_t seen_pin[TOKEN_PIN_BYTES]; // a refused certificate is gone afterwards, its pin is for the message
	char problem[PROBLEM_MAX];
};

bool tls_pins_contain(const struct token_pins *pins, const uint8_t pin[static TOKEN_PIN_BYTES])
{
	for (size_t i = 0; i < pins->count; i++) {
		if (memcmp(pins->pin[i], pin, TOKEN_PIN_BYTES) == 0)
			return true;
	}
	return false;
}

static enum err certificate_pin(X509 *certificate, uint8_t pin[static TOKEN_PIN_BYTES])
{
	uint8_t *der = NULL;
	int size = certificate ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der) : -1;
	if (size <= 0)
		return ERR_NOT_FOUND;
	secret_sha256(der, (size_t)size, pin);
	OPENSSL_free(der);
	return ERR_OK;
}

// A client's whole judgement of a server: its key is one of the pins.
static int verify_pin(X509_STORE_CTX *store, void *argument)
{
	(void)argument;
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_conn *conn = SSL_get_app_data(ssl);
	conn->has_seen_pin = !certificate_pin(X509_STORE_CTX_get0_cert(store), conn->seen_pin);
	if (conn->has_seen_pin && tls_pins_contain(&conn->context->pins, conn->seen_pin))
		return 1;
	conn->is_pin_wrong = true;
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
	return 0;
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size, const unsigned char *in,
		       unsigned int in_size, void *argument)
{
	(void)ssl;
	const struct tls_context *context = argument;
	struct cursor c = cursor_reader(in, in_size);
	while (cursor_left(&c) > 0) {
		size_t size = cursor_read_u8(&c);
		const uint8_t *name = cursor_read_view(&c, size);
		if (name && size == context->alpn[0] && memcmp(name, context->alpn + 1, size) == 0) {
			*out = name;
			*out_size = (unsigned char)size;
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static enum err set_policy(struct tls_context *context)
{
	SSL_CTX *ssl = context->ssl;
	SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_clear_mode(ssl, SSL_MODE_AUTO_RETRY); // back after each record: tls_conn_read counts key updates
	bool done = SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) == 1 &&
		    SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) == 1 &&
		    SSL_CTX_set_ciphersuites(ssl, TLS_CONN_CIPHERSUITES) == 1 &&
		    SSL_CTX_set1_groups_list(ssl, TLS_CONN_GROUPS) == 1 && SSL_CTX_set_num_tickets(ssl, 0) == 1;
	return done ? ERR_OK : ERR_CRYPTO;
}

static enum err set_alpn(struct tls_context *context, const char *alpn)
{
	size_t size = strlen(alpn);
	if (size == 0 || size > ALPN_MAX)
		return ERR_USAGE;
	context->alpn[0] = (uint8_t)size;
	memcpy(context->alpn + 1, alpn, size);
	if (context->is_server)
		SSL_CTX_set_alpn_select_cb(context->ssl, select_alpn, context);
	else if (SSL_CTX_set_alpn_protos(context->ssl, context->alpn, (unsigned)size + 1) != 0)
		return ERR_CRYPTO;
	return ERR_OK;
}

static enum err set_identity(struct tls_context *context, const struct tls_context_options *options)
{
	if (!options->certificate_pem)
		return context->is_server ? ERR_USAGE : ERR_OK;
	if (SSL_CTX_use_certificate_chain_file(context->ssl, options->certificate_pem) != 1) {
		log_line(LOG_ERROR, "%s: not a readable certificate", options->certificate_pem);
		return ERR_USAGE;
	}
	if (SSL_CTX_use_PrivateKey_file(context->ssl, options->key_pem, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(context->ssl) != 1) {
		log_line(LOG_ERROR, "%s: not the readable private key of %s", options->key_pem, options->certificate_pem);
		return ERR_USAGE;
	}
	return ERR_OK;
}

static enum err set_client_ca(struct tls_context *context, const uint8_t *der, size_t size)
{
	X509 *ca = d2i_X509(NULL, &der, (long)size);
	X509_STORE *store = SSL_CTX_get_cert_store(context->ssl);
	bool done = ca && X509_STORE_add_cert(store, ca) == 1 &&
		    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1 && // our issuing CA is not a root
		    SSL_CTX_add_client_CA(context->ssl, ca) == 1;
	X509_free(ca);
	SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, NULL);
	return done ? ERR_OK : ERR_USAGE;
}

static enum err set_trust(struct tls_context *context, const struct tls_context_options *options)
{
	if (context->is_server)
		return options->client_ca_der ? set_client_ca(context, options->client_ca_der, options->client_ca_der_size) : ERR_OK;
	if (!options->pins || options->pins->count == 0)
		return ERR_USAGE; // without a pin there is nobody to trust
	context->pins = *options->pins;
	SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(context->ssl, verify_pin, NULL);
	return ERR_OK;
}

enum err tls_context_new(const struct tls_context_options *options, struct tls_context **out)
{
	struct tls_context *context = calloc(1, sizeof(*context));
	if (!context)
		return ERR_NOMEM;
	context->is_server = options->is_server;
	context->ssl = SSL_CTX_new(options->is_server ? TLS_server_method() : TLS_client_method());
	enum err err = context->ssl ? set_policy(context) : ERR_CRYPTO;
	if (!err)
		err = set_alpn(context, options->alpn);
	if (!err)
		err = set_identity(context, options);
	if (!err)
		err = set_trust(context, options);
	ERR_clear_error();
	if (err) {
		tls_context_free(context);
		return err;
	}
	*out = context;
	return ERR_OK;
}

void tls_context_free(struct tls_context *context)
{
	if (!context)
		return;
	SSL_CTX_free(context->ssl);
	free(context);
}

static void on_message(int is_written, int version, int type, const void *bytes, size_t size, SSL *ssl, void *argument)
{
	(void)version;
	(void)ssl;
	struct tls_conn *conn = argument;
	if (!is_written && type == SSL3_RT_HANDSHAKE && size > 0 && *(const uint8_t *)bytes == SSL3_MT_KEY_UPDATE)
		conn->updates++;
}

enum err tls_conn_new(struct tls_context *context, const char *server_name, struct tls_conn **out)
{
	struct tls_conn *conn = calloc(1, sizeof(*conn));
	if (!conn)
		return ERR_NOMEM;
	conn->context = context;
	conn->ssl = SSL_new(context->ssl);
	conn->in = BIO_new(BIO_s_mem());
	conn->out = BIO_new(BIO_s_mem());
	if (!conn->ssl || !conn->in || !conn->out ||
	    (server_name && SSL_set_tlsext_host_name(conn->ssl, server_name) != 1)) {
		BIO_free(conn->in);
		BIO_free(conn->out);
		SSL_free(conn->ssl);
		free(conn);
		return ERR_NOMEM;
	}
	SSL_set_bio(conn->ssl, conn->in, conn->out);
	SSL_set_app_data(conn->ssl, conn);
	SSL_set_msg_callback(conn->ssl, on_message);
	SSL_set_msg_callback_arg(conn->ssl, conn);
	if (context->is_server)
		SSL_set_accept_state(conn->ssl);
	else
		SSL_set_connect_state(conn->ssl);
	*out = conn;
	return ERR_OK;
}

void tls_conn_free(struct tls_conn *conn)
{
	if (!conn)
		return;
	SSL_free(conn->ssl);
	free(conn);
}

enum err tls_conn_feed(struct tls_conn *conn, const uint8_t *bytes, size_t size)
{
	if (size > TLS_CONN_NEED_MAX || BIO_ctrl_pending(conn->in) > TLS_CONN_NEED_MAX - size)
		return ERR_LIMIT;
	if (size > 0 && BIO_write(conn->in, bytes, (int)size) != (int)size)
		return ERR_NOMEM;
	return ERR_OK;
}

size_t tls_conn_take(struct tls_conn *conn, uint8_t *bytes, size_t capacity)
{
	int n = BIO_read(conn->out, bytes, capacity > INT32_MAX ? INT32_MAX : (int)capacity);
	return n > 0 ? (size_t)n : 0;
}

size_t tls_conn_has_output(const struct tls_conn *conn) { return BIO_ctrl_pending(conn->out); }

// What the caller can do about a failed handshake.
static enum err classify(const struct tls_conn *conn, int reason)
{
	if (conn->is_pin_wrong)
		return ERR_AUTH;
	switch (reason) {
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
	case SSL_R_BAD_SIGNATURE:
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
	case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
		return ERR_AUTH;
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_NO_SHARED_CIPHER:
	case SSL_R_NO_SUITABLE_KEY_SHARE:
	case SSL_R_NO_SUITABLE_GROUPS:
	case SSL_R_NO_APPLICATION_PROTOCOL:
	case SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL:
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
	case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
	case SSL_R_TLSV13_ALERT_MISSING_EXTENSION:
		return ERR_VERSION;
	default:
		return ERR_PARSE;
	}
}

static enum err fail(struct tls_conn *conn, int result)
{
	int kind = SSL_get_error(conn->ssl, result);
	if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
		return ERR_AGAIN;
	if (kind == SSL_ERROR_ZERO_RETURN)
		return ERR_CLOSED;
	unsigned long error = ERR_peek_last_error();
	const char *reason = conn->is_pin_wrong ? "the server's key is not one of the pinned keys" : ERR_reason_error_string(error);
	snprintf(conn->problem, sizeof(conn->problem), "%s", reason ? reason : "connection broken");
	enum err err = error ? classify(conn, ERR_GET_REASON(error)) : ERR_CLOSED;
	ERR_clear_error();
	return err;
}

enum err tls_conn_handshake(struct tls_conn *conn)
{
	if (conn->is_done)
		return ERR_OK;
	ERR_clear_error();
	int result = SSL_do_handshake(conn->ssl);
	if (result != 1)
		return fail(conn, result);
	const unsigned char *alpn;
	unsigned size;
	SSL_get0_alpn_selected(conn->ssl, &alpn, &size);
	if (size == 0) {
		snprintf(conn->problem, sizeof(conn->problem), "the peer named no application protocol");
		return ERR_VERSION;
	}
	conn->is_done = true;
	return ERR_OK;
}

const char *tls_conn_problem(const struct tls_conn *conn) { return conn->problem[0] ? conn->problem : "no problem"; }

enum err tls_conn_read(struct tls_conn *conn, uint8_t *bytes, size_t capacity, size_t *size)
{
	*size = 0;
	for (;;) {
		size_t before = BIO_ctrl_pending(conn->in);
		ERR_clear_error();
		int result = SSL_read_ex(conn->ssl, bytes, capacity, size);
		if (result == 1) {
			conn->reads++;
			return ERR_OK;
		}
		enum err err = fail(conn, result);
		if (conn->updates > TLS_CONN_UPDATES_SPARE + conn->reads / TLS_CONN_READS_PER_UPDATE) {
			snprintf(conn->problem, sizeof(conn->problem), "the peer changes its key all the time");
			return ERR_LIMIT;
		}
		if (err != ERR_AGAIN || BIO_ctrl_pending(conn->in) == before)
			return err; // else a record without data was taken, and there may be more
	}
}

enum err tls_conn_write(struct tls_conn *conn, const uint8_t *bytes, size_t size)
{
	if (size == 0)
		return ERR_OK;
	conn->records += (size + RECORD_BYTES - 1) / RECORD_BYTES;
	if (conn->records > TLS_CONN_RECORDS_PER_KEY) {
		conn->records = 0;
		if (SSL_key_update(conn->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1)
			return ERR_CRYPTO;
	}
	ERR_clear_error();
	size_t written;
	int result = SSL_write_ex(conn->ssl, bytes, size, &written);
	if (result == 1)
		return ERR_OK; // the memory BIO takes everything: no partial writes
	enum err err = fail(conn, result);
	return err == ERR_AGAIN ? ERR_CLOSED : err; // before the handshake, or broken
}

void tls_conn_close(struct tls_conn *conn)
{
	ERR_clear_error();
	if (conn->is_done)
		(void)SSL_shutdown(conn->ssl);
	ERR_clear_error();
}

enum err tls_conn_export(struct tls_conn *conn, const char *label, const uint8_t *context, size_t context_size,
			 uint8_t *out, size_t size)
{
	if (!conn->is_done)
		return ERR_AGAIN;
	int done = SSL_export_keying_material(conn->ssl, out, size, label, strlen(label), context, context_size, context != NULL);
	ERR_clear_error();
	return done == 1 ? ERR_OK : ERR_CRYPTO;
}

enum err tls_conn_peer_certificate(struct tls_conn *conn, uint8_t **der, size_t *size)
{
	X509 *certificate = SSL_get0_peer_certificate(conn->ssl);
	if (!certificate || SSL_get_verify_result(conn->ssl) != X509_V_OK)
		return ERR_NOT_FOUND;
	unsigned char *encoded = NULL;
	int n = i2d_X509(certificate, &encoded);
	if (n <= 0)
		return ERR_NOMEM;
	*der = malloc((size_t)n);
	if (*der) {
		memcpy(*der, encoded, (size_t)n);
		*size = (size_t)n;
	}
	OPENSSL_free(encoded);
	return *der ? ERR_OK : ERR_NOMEM;
}

enum err tls_conn_peer_pin(struct tls_conn *conn, uint8_t pin[static TOKEN_PIN_BYTES])
{
	if (!conn->has_seen_pin)
		return certificate_pin(SSL_get0_peer_certificate(conn->ssl), pin);
	memcpy(pin, conn->seen_pin, TOKEN_PIN_BYTES);
	return ERR_OK;
}

const char *tls_conn_group(const struct tls_conn *conn)
{
	const char *name = SSL_get0_group_name(conn->ssl);
	return name ? name : "none";
}
