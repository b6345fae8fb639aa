// TLS 1.3 without sockets: bytes in, bytes out, so that every loop can drive it.
//
// TLS 1.3 only; groups X25519MLKEM768 and SecP384r1MLKEM1024; TLS_AES_256_GCM_SHA384; no tickets, no 0-RTT,
// no renegotiation; keys are updated every TLS_CONN_RECORDS_PER_KEY records. A client has pins and checks
// them and nothing else about the server's certificate; without a pin it does not connect.
// SPDX-License-Identifier: Apache-2.0
#ifndef BASE_TLS_CONN_H
#define BASE_TLS_CONN_H

#include "base/err.h"
#include "base/token.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_CONN_GROUPS "X25519MLKEM768:SecP384r1MLKEM1024"
#define TLS_CONN_CIPHERSUITES "TLS_AES_256_GCM_SHA384"
enum { TLS_CONN_RECORDS_PER_KEY = 1 << 20, TLS_CONN_NEED_MAX = 1 << 18,
       // A peer's key updates: so many, and one more for each so many reads. They cost much and weigh little.
       TLS_CONN_UPDATES_SPARE = 16, TLS_CONN_READS_PER_UPDATE = 1 << 10 };

struct tls_context; // certificate, key, policy; shared by connections, must outlive them
struct tls_conn;

struct tls_context_options {
	bool is_server;
	const char *alpn;             // required: the one protocol spoken, or refused
	const char *certificate_pem;  // path of chain, leaf first; NULL for a client without one
	const char *key_pem;          // path
	// Server: DER of the CA that client certificates must chain to; NULL: clients show none. A client that
	// shows none is let in (see tls_conn_peer_certificate); one that shows a bad one is not.
	const uint8_t *client_ca_der;
	size_t client_ca_der_size;
	const struct token_pins *pins; // client: required, copied
};

// ERR_USAGE names the wrong file in the log.
enum err tls_context_new(const struct tls_context_options *options, struct tls_context **out) CHECK_RESULT;
void tls_context_free(struct tls_context *context);

// `server_name` (client: SNI; server: NULL) is borrowed for the call.
enum err tls_conn_new(struct tls_context *context, const char *server_name, struct tls_conn **out) CHECK_RESULT;
void tls_conn_free(struct tls_conn *conn);

// Hand in what the network gave. All of it is taken, or ERR_LIMIT if the reader lags by TLS_CONN_NEED_MAX bytes.
enum err tls_conn_feed(struct tls_conn *conn, const uint8_t *bytes, size_t size) CHECK_RESULT;
// Take ciphertext for the network; 0 when there is none.
size_t tls_conn_take(struct tls_conn *conn, uint8_t *bytes, size_t capacity);
size_t tls_conn_has_output(const struct tls_conn *conn); // bytes waiting to be taken

// ERR_OK when done, ERR_AGAIN while it needs the network, else it failed (an alert may wait to be taken):
// ERR_AUTH pin or certificate, ERR_VERSION no common version, group or protocol, ERR_CLOSED, ERR_PARSE.
enum err tls_conn_handshake(struct tls_conn *conn) CHECK_RESULT;
// The last failure in OpenSSL's words, for the log.
const char *tls_conn_problem(const struct tls_conn *conn);

// ERR_AGAIN without data; ERR_CLOSED after the peer's close_notify; ERR_LIMIT: it floods us with key updates.
enum err tls_conn_read(struct tls_conn *conn, uint8_t *bytes, size_t capacity, size_t *size) CHECK_RESULT;
// Takes all of it into memory; the caller bounds what it queues by tls_conn_has_output.
enum err tls_conn_write(struct tls_conn *conn, const uint8_t *bytes, size_t size) CHECK_RESULT;
void tls_conn_close(struct tls_conn *conn); // queues close_notify

// After the handshake.
enum err tls_conn_export(struct tls_conn *conn, const char *label, const uint8_t *context, size_t context_size,
			 uint8_t *out, size_t size) CHECK_RESULT;
// DER of the verified client certificate, allocated with malloc; ERR_NOT_FOUND if it showed none.
enum err tls_conn_peer_certificate(struct tls_conn *conn, uint8_t **der, size_t *size) CHECK_RESULT;
// Pin of whatever certificate the peer showed: for messages that name both fingerprints.
enum err tls_conn_peer_pin(struct tls_conn *conn, uint8_t pin[static TOKEN_PIN_BYTES]) CHECK_RESULT;
const char *tls_conn_group(const struct tls_conn *conn); // "X25519MLKEM768"

bool tls_pins_contain(const struct token_pins *pins, const uint8_t pin[static TOKEN_PIN_BYTES]);

#endif
