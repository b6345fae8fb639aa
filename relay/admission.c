// SPDX-License-Identifier: Apache-2.0
#include "relay/admission.h"

#include "base/log.h"
#include "base/secret.h"

#include <string.h>

void admission_proof_input(const uint8_t exporter[static ADMISSION_EXPORTER_BYTES], const uint8_t *ticket, size_t ticket_size,
			   uint8_t out[static ADMISSION_PROOF_INPUT_BYTES])
{
	size_t context = sizeof(CONTROL_JOIN_CONTEXT) - 1;
	memcpy(out, CONTROL_JOIN_CONTEXT, context);
	memcpy(out + context, exporter, ADMISSION_EXPORTER_BYTES);
	secret_sha256(ticket, ticket_size, out + context + ADMISSION_EXPORTER_BYTES);
}

static bool is_proven(const struct admission_request *request, const struct token_ticket *ticket)
{
	uint8_t input[ADMISSION_PROOF_INPUT_BYTES];
	admission_proof_input(request->exporter, request->join->ticket, request->join->ticket_size, input);
	return !token_ed25519_verify(ticket->device_key, input, sizeof(input), request->join->proof);
}

// A first join needs the near date; who was admitted with this ticket before may come back until the far one.
static bool is_in_time(const struct admission *admission, const struct admission_request *request,
		       const struct token_ticket *ticket)
{
	uint64_t now_s = request->now_s;
	if (now_s > ticket->rejoin_until)
		return false;
	// Also if our clock was set back meanwhile, and the ticket seems to come from the future.
	if ((request->join->flags & CONTROL_JOIN_AGAIN) &&
	    journal_has(admission->journal, JOURNAL_ADMITTED, &ticket->serial, NULL, now_s))
		return true;
	return ticket->issued <= now_s + ADMISSION_SKEW_S && now_s <= ticket->join_before;
}

enum control_end admission_check(const struct admission *admission, const struct admission_request *request,
				 struct token_ticket *ticket)
{
	const struct control_join *join = request->join;
	if (token_ticket_verify(join->ticket, join->ticket_size, admission->ticket_key, ticket) ||
	    !text_id_equal(&ticket->relay, &admission->relay) || !is_proven(request, ticket))
		return CONTROL_END_TICKET;
	if (journal_has(admission->journal, JOURNAL_ENDED, &ticket->meeting, NULL, request->now_s))
		return CONTROL_END_CLOSED;
	if (journal_has(admission->journal, JOURNAL_REMOVED, &ticket->meeting, &ticket->participant, request->now_s))
		return CONTROL_END_REMOVED;
	if (!is_in_time(admission, request, ticket))
		return CONTROL_END_EXPIRED;
	return (enum control_end)0;
}

void admission_remember(const struct admission *admission, const struct token_ticket *ticket, uint64_t now_s)
{
	struct journal_entry entry = { .kind = JOURNAL_ADMITTED, .first = ticket->serial, .until = ticket->rejoin_until };
	if (journal_add(admission->journal, &entry, now_s))
		log_line(LOG_WARNING, "a ticket was admitted but not noted; its owner may need a new one to come back");
}
