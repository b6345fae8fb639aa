// Requests to TMMS over HTTPS (docs/protocol.md section 1). Blocks; one thread at a time.
// SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_API_H
#define CLIENT_ENGINE_API_H

#include "base/err.h"
#include "base/token.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { API_PROBLEM_MAX = 512, API_CHANNEL_BYTES = 32, API_ANSWER_MAX = 4 << 20 };
#define API_CHANNEL_EXPORTER "EXPORTER-huisclos-channel-v1"

struct api_options {
	const char *server;              // name, for SNI and the Host header; all strings are copied
	const char *address;             // where to connect to instead, NULL or empty: ask the DNS
	uint16_t port;
	const struct token_pins *pins;   // of the server; copied
	const char *certificate_path;    // PEM; NULL: no client certificate
	const char *key_path;
	const atomic_bool *is_cancelled; // borrowed, may be NULL: gives up the request in hand
};

struct api;

struct api_answer {
	long status; // HTTP
	size_t size;
	char *body; // NUL behind it; owned by the api until the next request
};

enum err api_open(const struct api_options *options, struct api **out) CHECK_RESULT;
void api_close(struct api *api);

// `body` NULL: GET, else POST of this JSON. ERR_OK for every answer with status 2xx. Otherwise `problem` says why:
// ERR_AUTH wrong pin, ERR_DENIED 401 and 403, ERR_NOT_FOUND 404, ERR_EXISTS 409, ERR_EXPIRED 410, ERR_AGAIN 503,
// ERR_TIMEOUT, ERR_IO everything else.
enum err api_request(struct api *api, const char *path, const char *body, struct api_answer *out,
		     char problem[static API_PROBLEM_MAX]) CHECK_RESULT;

// The channel value of the connection that the next request will use (it makes one). Compare afterwards with
// api_last_channel(): a request that had to use another connection must be made anew.
enum err api_channel(struct api *api, uint8_t channel[static API_CHANNEL_BYTES], char problem[static API_PROBLEM_MAX]) CHECK_RESULT;
// Channel value of the connection that the last request used.
const uint8_t *api_last_channel(const struct api *api);

#endif
