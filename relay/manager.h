// The manager process: the relay's only contact with its management server, so that the relay itself never
// parses HTTP or JSON from the network. Keeps the event stream open, sends reports, passes orders on.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_MANAGER_H
#define RELAY_MANAGER_H

#include "base/err.h"

struct manager_options {
	const char *state_directory;
	const char *engine; // the loop's name, for reports
	int socket;         // to the relay, SOCK_SEQPACKET
	int journal;        // written through to the disk on request
};

// Returns when the relay closes its end of the socket.
enum err manager_run(const struct manager_options *options) CHECK_RESULT;

#endif
