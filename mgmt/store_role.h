// Holds the store and answers what http and auth ask of it. No network, no keys.
// SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_STORE_ROLE_H
#define MGMT_STORE_ROLE_H

#include "mgmt/role.h"

// Until the supervisor closes the control channel. Returns the exit status.
int store_role_run(struct role_context *context);

#endif
