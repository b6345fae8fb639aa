// Speaks HTTP with those whom front let in, and asks store and auth. No keys, no files.
// SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_HTTP_ROLE_H
#define MGMT_HTTP_ROLE_H

#include "mgmt/role.h"

// Until the supervisor closes the control channel. Returns the exit status.
int http_role_run(struct role_context *context);

#endif
