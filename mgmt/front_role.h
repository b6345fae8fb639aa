// Ends TLS and says who is at the other end; passes plaintext on to http without looking at it.
// SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_FRONT_ROLE_H
#define MGMT_FRONT_ROLE_H

#include "mgmt/role.h"

// Until the supervisor closes the control channel. Returns the exit status.
int front_role_run(struct role_context *context);

#endif
