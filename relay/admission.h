// Who may join: ticket, proof of the device key, dates, ended meetings, removed participants. Needs nothing
// but the ticket key and the journal, so joining goes on while the management server is away.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_ADMISSION_H
#define RELAY_ADMISSION_H

#include "base/control.h"
#include "base/token.h"
#include "relay/journal.h"

enum { ADMISSION_EXPORTER_BYTES = 32, ADMISSION_SKEW_S = 300 }; // TMMS's clock may be ahead of ours by this

struct admission {
	uint8_t ticket_key[TOKEN_ED25519_BYTES];
	struct id relay;
	struct journal *journal; // borrowed
};

struct admission_request {
	const struct control_join *join;
	uint8_t exporter[ADMISSION_EXPORTER_BYTES]; // of the connection that it came on
	uint64_t now_s;
};

// 0 if the ticket's owner may come in, else why not. Changes nothing.
enum control_end admission_check(const struct admission *admission, const struct admission_request *request,
				 struct token_ticket *ticket) CHECK_RESULT;
// The owner came in: from now on the ticket is good for coming back.
void admission_remember(const struct admission *admission, const struct token_ticket *ticket, uint64_t now_s);

// What the proof of a JOIN is made over.
enum { ADMISSION_PROOF_INPUT_BYTES = sizeof(CONTROL_JOIN_CONTEXT) - 1 + ADMISSION_EXPORTER_BYTES + 32 };
void admission_proof_input(const uint8_t exporter[static ADMISSION_EXPORTER_BYTES], const uint8_t *ticket, size_t ticket_size,
			   uint8_t out[static ADMISSION_PROOF_INPUT_BYTES]);

#endif
