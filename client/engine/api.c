// SPDX-License-Identifier: Apache-2.0
#include "client/engine/api.h"

#include "base/secret.h"
#include "base/tls_conn.h"
#include "client/engine/api_answer.h"
#include "client/engine/pins.h"

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_TIMEOUT_S = 10, REQUEST_TIMEOUT_S = 30, URL_MAX = 1024, PIN_TEXT_BYTES = 64,
       BASE64_SIZE = (TOKEN_PIN_BYTES + 2) / 3 * 4 + 1 };

struct api {
	CURL *curl;
	struct curl_slist *headers, *connect_to;
	char server[TOKEN_NAME_MAX + 1];
	uint16_t port;
	struct token_pins pins;
	const atomic_bool *is_cancelled;
	bool has_seen_pin, is_pin_wrong, is_too_large;
	uint8_t seen_pin[TOKEN_PIN_BYTES];
	uint8_t channel[API_CHANNEL_BYTES];
	char curl_problem[CURL_ERROR_SIZE];
	struct api_answer answer;
};

static void curl_init_once(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

// Runs inside the handshake, so that a server with a wrong key sees neither our certificate nor a request. It is also
// where its fingerprint can be had. CURLOPT_PINNEDPUBLICKEY would look only after the handshake.
static int verify_pin(X509_STORE_CTX *store, void *context)
{
	struct api *api = context;
	uint8_t *der = NULL;
	X509 *certificate = X509_STORE_CTX_get0_cert(store);
	int size = certificate ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der) : -1;
	api->has_seen_pin = size > 0;
	if (size > 0)
		secret_sha256(der, (size_t)size, api->seen_pin);
	OPENSSL_free(der);
	api->is_pin_wrong = !api->has_seen_pin || !tls_pins_contain(&api->pins, api->seen_pin);
	if (api->is_pin_wrong)
		X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
	return !api->is_pin_wrong;
}

static CURLcode on_ssl_context(CURL *curl, void *ssl, void *context)
{
	(void)curl;
	SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(ssl, verify_pin, context);
	return CURLE_OK;
}

// The first header line comes when the connection is there and while curl still tells which one it is.
static size_t on_header(char *line, size_t size, size_t count, void *context)
{
	struct api *api = context;
	struct curl_tlssessioninfo *info = NULL;
	(void)line;
	if (curl_easy_getinfo(api->curl, CURLINFO_TLS_SSL_PTR, &info) != CURLE_OK || !info || !info->internals ||
	    info->backend != CURLSSLBACKEND_OPENSSL)
		return 0;
	if (SSL_export_keying_material(info->internals, api->channel, sizeof(api->channel), API_CHANNEL_EXPORTER,
				       sizeof(API_CHANNEL_EXPORTER) - 1, NULL, 0, 0) != 1)
		return 0;
	return size * count;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
	struct api *api = context;
	size_t more = size * count;
	if (more > API_ANSWER_MAX - api->answer.size) {
		api->is_too_large = true;
		return 0;
	}
	char *body = realloc(api->answer.body, api->answer.size + more + 1);
	if (!body)
		return 0;
	memcpy(body + api->answer.size, bytes, more);
	api->answer.body = body;
	api->answer.size += more;
	body[api->answer.size] = 0;
	return more;
}

static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct api *api = context;
	(void)a, (void)b, (void)c, (void)d;
	return api->is_cancelled && atomic_load(api->is_cancelled);
}

// "sha256//BASE64;sha256//BASE64", with padding as curl wants it.
static void emit_pins(const struct token_pins *pins, char *out)
{
	for (size_t i = 0; i < pins->count; i++) {
		unsigned char text[BASE64_SIZE];
		EVP_EncodeBlock(text, pins->pin[i], TOKEN_PIN_BYTES);
		out += sprintf(out, "%ssha256//%s", i ? ";" : "", (char *)text);
	}
}

static bool set_tls(struct api *api, const struct api_options *options)
{
	CURL *curl = api->curl;
	char pins[TOKEN_PINS_MAX * PIN_TEXT_BYTES];
	emit_pins(&api->pins, pins);
	// The pins take the place of certificate authorities and names: whoever holds a pinned key is the server, and
	// nobody else is, whatever certificates say.
	return !curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L) && !curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L) &&
	       !curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, pins) &&
	       !curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, on_ssl_context) &&
	       !curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, api) &&
	       !curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3 | (long)CURL_SSLVERSION_MAX_TLSv1_3) &&
	       !curl_easy_setopt(curl, CURLOPT_SSL_EC_CURVES, TLS_CONN_GROUPS) &&
	       !curl_easy_setopt(curl, CURLOPT_TLS13_CIPHERS, TLS_CONN_CIPHERSUITES) &&
	       !curl_easy_setopt(curl, CURLOPT_SSL_SESSIONID_CACHE, 0L) &&
	       (!options->certificate_path || (!curl_easy_setopt(curl, CURLOPT_SSLCERT, options->certificate_path) &&
					       !curl_easy_setopt(curl, CURLOPT_SSLKEY, options->key_path)));
}

static bool set_http(struct api *api)
{
	CURL *curl = api->curl;
	return !curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https") &&
	       !curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
	       !curl_easy_setopt(curl, CURLOPT_HTTPHEADER, api->headers) &&
	       !curl_easy_setopt(curl, CURLOPT_CONNECT_TO, api->connect_to) &&
	       !curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S) &&
	       !curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)REQUEST_TIMEOUT_S) &&
	       !curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) && !curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L) &&
	       !curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, api->curl_problem) &&
	       !curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header) && !curl_easy_setopt(curl, CURLOPT_HEADERDATA, api) &&
	       !curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) &&
	       !curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body) && !curl_easy_setopt(curl, CURLOPT_WRITEDATA, api) &&
	       !curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress) && !curl_easy_setopt(curl, CURLOPT_XFERINFODATA, api) &&
	       !curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

static bool set_lists(struct api *api, const char *address)
{
	char text[TOKEN_NAME_MAX + TOKEN_ADDRESS_MAX + 16];
	api->headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (!api->headers)
		return false;
	if (!address || !*address)
		return true;
	bool is_v6 = strchr(address, ':');
	snprintf(text, sizeof(text), "::%s%s%s:%u", is_v6 ? "[" : "", address, is_v6 ? "]" : "", api->port);
	api->connect_to = curl_slist_append(NULL, text);
	return api->connect_to;
}

enum err api_open(const struct api_options *options, struct api **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct api *api = calloc(1, sizeof(*api));
	if (!api)
		return ERR_NOMEM;
	pthread_once(&once, curl_init_once);
	snprintf(api->server, sizeof(api->server), "%s", options->server);
	api->port = options->port;
	api->pins = *options->pins;
	api->is_cancelled = options->is_cancelled;
	api->curl = curl_easy_init();
	if (!api->curl || !set_lists(api, options->address) || !set_tls(api, options) || !set_http(api)) {
		api_close(api);
		return ERR_NOMEM;
	}
	*out = api;
	return ERR_OK;
}

void api_close(struct api *api)
{
	if (!api)
		return;
	curl_easy_cleanup(api->curl);
	curl_slist_free_all(api->headers);
	curl_slist_free_all(api->connect_to);
	free(api->answer.body);
	free(api);
}

static enum err transfer_failed(const struct api *api, CURLcode code, char *problem)
{
	if (api->is_pin_wrong && api->has_seen_pin) {
		pins_mismatch(api->server, &api->pins, api->seen_pin, problem, API_PROBLEM_MAX);
		return ERR_AUTH;
	}
	// What curl says may quote the server.
	bool is_telling = api->curl_problem[0] && text_is_printable(api->curl_problem, strlen(api->curl_problem));
	const char *why = is_telling ? api->curl_problem : curl_easy_strerror(code);
	if (api->is_too_large)
		why = "the answer is too large";
	snprintf(problem, API_PROBLEM_MAX, "%.200s:%u: %s", api->server, api->port, why);
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		return ERR_TIMEOUT;
	case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
		return ERR_AUTH;
	case CURLE_WRITE_ERROR:
		return api->is_too_large ? ERR_LIMIT : ERR_IO;
	default:
		return ERR_IO;
	}
}

static enum err check_status(const struct api *api, char *problem)
{
	char text[API_ANSWER_ERROR_MAX + 1];
	long status = api->answer.status;
	if (status >= 200 && status < 300)
		return ERR_OK;
	if (api_answer_error(api->answer.body, api->answer.size, text) == ERR_OK)
		snprintf(problem, API_PROBLEM_MAX, "%s: %s", api->server, text);
	else
		snprintf(problem, API_PROBLEM_MAX, "%s answered with status %ld", api->server, status);
	switch (status) {
	case 401:
	case 403:
		return ERR_DENIED;
	case 404:
		return ERR_NOT_FOUND;
	case 409:
		return ERR_EXISTS;
	case 410:
		return ERR_EXPIRED;
	case 503:
		return ERR_AGAIN;
	default:
		return ERR_IO;
	}
}

static bool set_request(struct api *api, const char *path, const char *body)
{
	char url[URL_MAX];
	if (snprintf(url, sizeof(url), "https://%s:%u%s", api->server, api->port, path) >= (int)sizeof(url) ||
	    curl_easy_setopt(api->curl, CURLOPT_URL, url))
		return false;
	if (!body)
		return !curl_easy_setopt(api->curl, CURLOPT_HTTPGET, 1L);
	return !curl_easy_setopt(api->curl, CURLOPT_POST, 1L) &&
	       !curl_easy_setopt(api->curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body)) &&
	       !curl_easy_setopt(api->curl, CURLOPT_POSTFIELDS, body);
}

enum err api_request(struct api *api, const char *path, const char *body, struct api_answer *out,
		     char problem[static API_PROBLEM_MAX])
{
	free(api->answer.body);
	api->answer = (struct api_answer){ .body = calloc(1, 1) };
	api->is_pin_wrong = api->is_too_large = false;
	api->curl_problem[0] = 0;
	if (!api->answer.body || !set_request(api, path, body)) {
		snprintf(problem, API_PROBLEM_MAX, "%s", err_text(ERR_NOMEM));
		return ERR_NOMEM;
	}
	CURLcode code = curl_easy_perform(api->curl);
	if (code != CURLE_OK)
		return transfer_failed(api, code, problem);
	(void)curl_easy_getinfo(api->curl, CURLINFO_RESPONSE_CODE, &api->answer.status);
	*out = api->answer;
	return check_status(api, problem);
}

enum err api_channel(struct api *api, uint8_t channel[static API_CHANNEL_BYTES], char problem[static API_PROBLEM_MAX])
{
	struct api_answer answer;
	enum err err = api_request(api, "/v1/health", NULL, &answer, problem);
	if (!err)
		memcpy(channel, api->channel, API_CHANNEL_BYTES);
	return err;
}

const uint8_t *api_last_channel(const struct api *api)
{
	return api->channel;
}
