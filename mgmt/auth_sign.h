// What auth signs, and what must hold before it does. Asking store is a function, so that tests can answer.
// SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_AUTH_SIGN_H
#define MGMT_AUTH_SIGN_H

#include "mgmt/pki.h"
#include "mgmt/request.h"

#include <stdint.h>

enum { AUTH_SIGN_JOIN_S = 120, AUTH_SIGN_REJOIN_S = 24 * 3600, AUTH_SIGN_DEVICE_DAYS = 365, AUTH_SIGN_RELAY_DAYS = 365 };
#define AUTH_SIGN_ENROL_CONTEXT "huisclos enrol v1"

struct auth_sign {
	struct pki pki;
	// Views of the reply stay valid until the next call.
	enum err (*ask)(void *context, struct request *request, struct reply *reply);
	void *context;
	uint8_t certificate[REQUEST_CERTIFICATE_MAX], issuer[REQUEST_CERTIFICATE_MAX], root[REQUEST_CERTIFICATE_MAX];
	uint8_t ticket[TOKEN_TICKET_BYTES];
};

// Answer a request of http; views of `reply` borrow from `auth`, or from what ask() gave.
void auth_sign_answer(struct auth_sign *auth, const struct request *request, struct reply *reply);

#endif
