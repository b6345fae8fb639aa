// The connection to one server behind the mux. SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_MUX_ROUTE_H
#define MGMT_MUX_ROUTE_H

#include "base/err.h"

struct mux_link {
	const char *socket; // path, borrowed
	int fd;             // -1: not connected
};

// Pass `fd` on with one byte. Connects when needed, and anew if the server was restarted. Never waits:
// ERR_CLOSED: nobody listens; ERR_AGAIN: the server lags.
enum err mux_route_pass(struct mux_link *link, int fd) CHECK_RESULT;
void mux_route_close(struct mux_link *link);

#endif
