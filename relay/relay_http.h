// HTTPS requests to the management server: TLS 1.3, the hybrid groups, and its pinned keys instead of any
// certificate authority. Used by registration and by the manager process, never by the relay itself.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_RELAY_HTTP_H
#define RELAY_RELAY_HTTP_H

#include "base/err.h"
#include "base/token.h"

#include <curl/curl.h>

#include <stdbool.h>
#include <stddef.h>

enum { RELAY_HTTP_PROBLEM_MAX = 1024, RELAY_HTTP_URL_MAX = 512, RELAY_HTTP_PINS_MAX = TOKEN_PINS_MAX * 64 };

struct relay_http_server {
	const char *name;    // server name, also SNI
	const char *address; // to connect to, empty: ask the DNS
	uint16_t port;
	const struct token_pins *pins;
	const char *certificate_path, *key_path; // our own, NULL: none
};

// One request; owned by who made it.
struct relay_http {
	CURL *curl;
	struct curl_slist *headers, *connect_to;
	char error[CURL_ERROR_SIZE];
	const struct token_pins *pins;
};

// `path` starts with a slash. `body` NULL: GET; else POST of JSON, borrowed until the request is done.
enum err relay_http_init(struct relay_http *http, const struct relay_http_server *server, const char *path, const char *body) CHECK_RESULT;
void relay_http_fini(struct relay_http *http);
// Why it failed, one line; with both fingerprints if the server's key is not one of the pinned ones, which is
// ERR_AUTH. ERR_OK after CURLE_OK with a status of 2xx.
enum err relay_http_result(const struct relay_http *http, CURLcode code, char problem[static RELAY_HTTP_PROBLEM_MAX]) CHECK_RESULT;

#endif
