// Taking part in a meeting from the command line. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_CLI_JOIN_H
#define CLIENT_CLI_JOIN_H

#include "client/cli/arguments.h"

// Until the meeting ends, the time is over, or SIGINT, SIGTERM or SIGHUP comes. Returns the exit status.
int join_run(const struct arguments *arguments);

#endif
