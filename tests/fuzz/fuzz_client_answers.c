// What a management server may answer. SPDX-License-Identifier: Apache-2.0
#include "client/engine/api_answer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static enum err on_meeting(void *context, const struct api_answer_meeting *meeting)
{
	size_t *count = context;
	if (meeting->blob.size > sizeof(meeting->blob.bytes))
		abort();
	(*count)++;
	return ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct api_answer_enrol enrol;
	static struct api_answer_ticket ticket;
	const struct id meeting = { { 2 } };
	const uint8_t key[TOKEN_ED25519_BYTES] = { 4 };
	const char *json = (const char *)bytes;
	char error[API_ANSWER_ERROR_MAX + 1], problem[HOME_PROBLEM_MAX];
	size_t count = 0;
	if (api_answer_error(json, size, error) == ERR_OK && !text_is_printable(error, strlen(error)))
		abort();
	if (api_answer_enrol(json, size, &enrol) == ERR_OK &&
	    credentials_check(&enrol.certificate, &enrol.issuer, &enrol.root, key, key, problem) == ERR_OK)
		abort(); // no root has this pin
	if (api_answer_ticket(json, size, &meeting, key, &ticket) == ERR_OK && ticket.relay_port == 0)
		abort();
	(void)!api_answer_meetings(json, size, on_meeting, &count);
	return 0;
}
