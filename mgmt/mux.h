// One TCP port for two servers: peeks at each connection's ClientHello, never reads, and hands the connection to
// the server of that name. docs/protocol.md section 5. SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_MUX_H
#define MGMT_MUX_H

#include "base/err.h"
#include "mgmt/mux_config.h"

enum mux_counter {
	MUX_ACCEPTED,
	MUX_PASSED_TMMS, // passed to route 0, 1
	MUX_PASSED_TCS,
	MUX_DROP_TIMEOUT,
	MUX_DROP_CLOSED, // by the peer, before its hello was whole
	MUX_DROP_NOT_TLS,
	MUX_DROP_TOO_LONG,
	MUX_DROP_NO_NAME,
	MUX_DROP_UNKNOWN_NAME,
	MUX_DROP_SERVER_AWAY,
	MUX_DROP_TOO_MANY,
	MUX_DROP_TOO_MANY_OF_ADDRESS,
	MUX_DROP_NO_DESCRIPTOR,
	MUX_COUNTERS
};

struct mux;

// Opens the port. Problems are said in the log.
enum err mux_open(const struct mux_config *config, struct mux **out) CHECK_RESULT;
void mux_close(struct mux *mux);
// Until SIGTERM or SIGINT; SIGUSR1 logs the counters. The signals must be blocked.
enum err mux_run(struct mux *mux) CHECK_RESULT;

#endif
