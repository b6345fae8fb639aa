// A management server in this process for tests of the client's HTTPS: TLS by base/tls_conn, one answer a request,
// with knobs for what goes wrong. SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_FAKE_CLIENT_TMMS_H
#define TESTS_FAKE_CLIENT_TMMS_H

#include "base/token.h"

#include <stdatomic.h>

enum { CLIENT_TMMS_CHANNEL_BYTES = 32, CLIENT_TMMS_REQUEST_MAX = 65536 };

struct client_tmms;

struct client_tmms_knobs {
	atomic_int closes_after;   // so many answers the connection is closed; 0: never
	atomic_int status;         // of answers to anything but GET /v1/health
	atomic_bool is_silent;     // no answers at all
	const char *body;          // of those answers
};

// `directory` for certificate and key; NULL on failure.
struct client_tmms *client_tmms_start(const char *directory);
void client_tmms_stop(struct client_tmms *tmms);
uint16_t client_tmms_port(const struct client_tmms *tmms);
const struct token_pins *client_tmms_pins(const struct client_tmms *tmms);
struct client_tmms_knobs *client_tmms_knobs(struct client_tmms *tmms);
int client_tmms_requests(struct client_tmms *tmms); // so far, health included
int client_tmms_connections(struct client_tmms *tmms);
// The last request as it came, and the channel value of the connection that it came on.
void client_tmms_last(struct client_tmms *tmms, char request[static CLIENT_TMMS_REQUEST_MAX], uint8_t channel[static CLIENT_TMMS_CHANNEL_BYTES]);

#endif
