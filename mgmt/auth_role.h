// Holds the keys that sign: identity root, issuing CA, tickets. Asks store before it signs. No network.
// SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_AUTH_ROLE_H
#define MGMT_AUTH_ROLE_H

#include "mgmt/role.h"

// Until the supervisor closes the control channel. Returns the exit status.
int auth_role_run(struct role_context *context);

#endif
