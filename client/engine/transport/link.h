// The control connection: TLS over a connected socket, cut into frames of RFC 4571.
// SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_TRANSPORT_LINK_H
#define CLIENT_ENGINE_TRANSPORT_LINK_H

#include "base/err.h"
#include "base/tls_conn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What may wait for the network. Sound has room of its own behind the pictures: when they pile up they are dropped,
// and what is said stays fresh.
enum { LINK_PICTURES_BYTES = 32 * 1024, LINK_CONGESTED_BYTES = 64 * 1024 };

struct link;

// `context` must outlive it; takes the socket, also on failure.
enum err link_new(struct tls_context *context, const char *server_name, int fd, struct link **out) CHECK_RESULT;
void link_free(struct link *link);

int link_descriptor(const struct link *link);
short link_events(const struct link *link); // what to poll for

// Move bytes both ways. Calls on_frame for each whole frame, `body` borrowed and writable; stops and returns what
// on_frame returns unless that is ERR_OK. ERR_AGAIN: all done for now; ERR_CLOSED: the peer ended it; others as
// tls_conn_handshake says, ERR_PARSE for an empty frame.
enum err link_pump(struct link *link, enum err (*on_frame)(void *context, uint8_t *body, size_t size), void *context) CHECK_RESULT;
// Send what waits, without reading.
void link_flush(struct link *link);

bool link_is_ready(const struct link *link); // handshake done
// More than `limit_bytes` wait, though the socket was given all that it takes.
bool link_is_congested(struct link *link, size_t limit_bytes);
enum err link_send(struct link *link, const uint8_t *body, size_t size) CHECK_RESULT;
// Say good-bye (close_notify) as far as the socket takes it.
void link_close(struct link *link);

struct tls_conn *link_tls(struct link *link); // for exporter, pins and problems

#endif
