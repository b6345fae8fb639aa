// The parent of the roles: makes their channels, starts them in order, brings back one that died, stops all.
// SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_SUPERVISOR_H
#define MGMT_SUPERVISOR_H

#include "mgmt/config.h"

// Until SIGTERM or SIGINT. Returns the exit status: 1 if a role could not start, which has said why.
int supervisor_run(const struct config *config);

#endif
