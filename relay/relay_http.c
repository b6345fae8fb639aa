// SPDX-License-Identifier: Apache-2.0
#include "relay/relay_http.h"

#include "base/tls_conn.h"
#include "relay/relay_key.h"

#include <openssl/pem.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { CONNECT_TIMEOUT_S = 10 };

static bool is_v6_literal(const char *text) { return strchr(text, ':') != NULL; }

// curl's form: sha256//BASE64;sha256//BASE64
static void emit_pins(const struct token_pins *pins, char out[static RELAY_HTTP_PINS_MAX])
{
	size_t at = 0;
	for (size_t i = 0; i < pins->count; i++) {
		unsigned char text[64];
		EVP_EncodeBlock(text, pins->pin[i], TOKEN_PIN_BYTES);
		at += (size_t)snprintf(out + at, RELAY_HTTP_PINS_MAX - at, "%ssha256//%s", i ? ";" : "", (char *)text);
	}
}

static bool set_route(struct relay_http *http, const struct relay_http_server *server, const char *path)
{
	char text[RELAY_HTTP_URL_MAX];
	const char *open = is_v6_literal(server->name) ? "[" : "", *close = *open ? "]" : "";
	snprintf(text, sizeof(text), "https://%s%s%s:%u%s", open, server->name, close, server->port, path);
	if (curl_easy_setopt(http->curl, CURLOPT_URL, text) != CURLE_OK)
		return false;
	if (!*server->address)
		return true;
	bool is_v6 = is_v6_literal(server->address);
	snprintf(text, sizeof(text), "::%s%s%s:%u", is_v6 ? "[" : "", server->address, is_v6 ? "]" : "", server->port);
	http->connect_to = curl_slist_append(NULL, text);
	return http->connect_to && curl_easy_setopt(http->curl, CURLOPT_CONNECT_TO, http->connect_to) == CURLE_OK;
}

// The pins are all the trust there is: stricter than any authority, so the usual checks are off.
static bool set_trust(struct relay_http *http, const struct relay_http_server *server)
{
	char pins[RELAY_HTTP_PINS_MAX];
	CURL *curl = http->curl;
	if (server->pins->count == 0)
		return false;
	emit_pins(server->pins, pins);
	bool done = curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, pins) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_TLS13_CIPHERS, TLS_CONN_CIPHERSUITES) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_SSL_EC_CURVES, TLS_CONN_GROUPS) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_CERTINFO, 1L) == CURLE_OK; // to name a wrong key
	if (!done || !server->certificate_path)
		return done;
	return curl_easy_setopt(curl, CURLOPT_SSLCERT, server->certificate_path) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_SSLKEY, server->key_path) == CURLE_OK;
}

static bool set_body(struct relay_http *http, const char *body)
{
	if (!body)
		return true;
	http->headers = curl_slist_append(NULL, "Content-Type: application/json");
	return http->headers && curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, http->headers) == CURLE_OK &&
	       curl_easy_setopt(http->curl, CURLOPT_POSTFIELDS, body) == CURLE_OK;
}

enum err relay_http_init(struct relay_http *http, const struct relay_http_server *server, const char *path, const char *body)
{
	*http = (struct relay_http){ .curl = curl_easy_init(), .pins = server->pins };
	CURL *curl = http->curl;
	bool done = curl && curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*") == CURLE_OK && curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->error) == CURLE_OK && set_route(http, server, path) &&
		    set_trust(http, server) && set_body(http, body);
	if (done)
		return ERR_OK;
	relay_http_fini(http);
	return ERR_NOMEM;
}

void relay_http_fini(struct relay_http *http)
{
	curl_easy_cleanup(http->curl);
	curl_slist_free_all(http->headers);
	curl_slist_free_all(http->connect_to);
	*http = (struct relay_http){ 0 };
}

// The fingerprint of the key that the server showed, out of curl's certificate information.
static bool seen_pin(CURL *curl, uint8_t pin[static TOKEN_PIN_BYTES])
{
	struct curl_certinfo *info = NULL;
	if (curl_easy_getinfo(curl, CURLINFO_CERTINFO, &info) != CURLE_OK || !info || info->num_of_certs < 1)
		return false;
	for (struct curl_slist *row = info->certinfo[0]; row; row = row->next) {
		if (strncasecmp(row->data, "Cert:", 5) != 0)
			continue;
		BIO *bio = BIO_new_mem_buf(row->data + 5, -1);
		X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
		bool is_seen = certificate && !relay_key_certificate_pin(certificate, pin);
		X509_free(certificate);
		BIO_free(bio);
		return is_seen;
	}
	return false;
}

static void describe_wrong_pin(const struct relay_http *http, char problem[static RELAY_HTTP_PROBLEM_MAX])
{
	uint8_t pin[TOKEN_PIN_BYTES];
	char text[TEXT_BASE64_SIZE(TOKEN_PIN_BYTES)] = "(unknown)";
	if (seen_pin(http->curl, pin))
		text_base64_emit(pin, sizeof(pin), text);
	size_t at = (size_t)snprintf(problem, RELAY_HTTP_PROBLEM_MAX,
				     "the management server shows another key than the pinned one: seen %s, expected", text);
	for (size_t i = 0; i < http->pins->count && at < RELAY_HTTP_PROBLEM_MAX; i++) {
		text_base64_emit(http->pins->pin[i], TOKEN_PIN_BYTES, text);
		at += (size_t)snprintf(problem + at, RELAY_HTTP_PROBLEM_MAX - at, "%s %s", i ? " or" : "", text);
	}
}

enum err relay_http_result(const struct relay_http *http, CURLcode code, char problem[static RELAY_HTTP_PROBLEM_MAX])
{
	long status = 0;
	if (code == CURLE_SSL_PINNEDPUBKEYNOTMATCH) {
		describe_wrong_pin(http, problem);
		return ERR_AUTH;
	}
	if (code != CURLE_OK) {
		snprintf(problem, RELAY_HTTP_PROBLEM_MAX, "the management server cannot be reached: %s",
			 http->error[0] ? http->error : curl_easy_strerror(code));
		return code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_IO;
	}
	(void)curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200 && status < 300)
		return ERR_OK;
	snprintf(problem, RELAY_HTTP_PROBLEM_MAX, "the management server refused: status %ld", status);
	return status == 401 || status == 403 ? ERR_DENIED : ERR_IO;
}
