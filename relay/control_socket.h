// The UNIX socket of tcsctl: one line with a request, one JSON document as the answer, end. Who may connect may also switch
// engines.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_CONTROL_SOCKET_H
#define RELAY_CONTROL_SOCKET_H

#include "base/err.h"
#include "relay/engine.h"
#include "relay/tcs_status.h"

#include <stddef.h>

struct relay;
struct control_socket;

enum { CONTROL_SOCKET_REQUEST_MAX = 64, CONTROL_SOCKET_CLIENTS_MAX = 16 };

// `listener`: SOCK_STREAM, its own from here on.
enum err control_socket_open(struct relay *relay, int listener, struct control_socket **out) CHECK_RESULT;
void control_socket_close(struct control_socket *control);
void control_socket_accept(struct control_socket *control);

// "status", or "engine xdp": what is asked, and what is to be changed before.
struct control_socket_request {
	enum tcs_status_kind kind;
	enum engine_wish wish; // ENGINE_WISHES: stay
};
// A request without its line feed: ERR_PARSE if there is no such.
enum err control_socket_request_parse(const char *line, size_t size, struct control_socket_request *out) CHECK_RESULT;

#endif
