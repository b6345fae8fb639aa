// What TMMS answers, parsed. Everything in it is untrusted. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_API_ANSWER_H
#define CLIENT_ENGINE_API_ANSWER_H

#include "base/token.h"
#include "client/engine/credentials.h"
#include "client/engine/identity.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { API_ANSWER_ERROR_MAX = 255, API_ANSWER_BLOB_MAX = 8192, API_ANSWER_MEETINGS_MAX = 10000 };

// {"error"}: printable text only.
enum err api_answer_error(const char *json, size_t size, char out[static API_ANSWER_ERROR_MAX + 1]) CHECK_RESULT;

struct api_answer_enrol {
	struct id user, device;
	char name[IDENTITY_NAME_MAX + 1];
	struct credentials_der certificate, issuer, root;
};
enum err api_answer_enrol(const char *json, size_t size, struct api_answer_enrol *out) CHECK_RESULT;

struct api_answer_blob {
	size_t size;
	uint8_t bytes[API_ANSWER_BLOB_MAX];
};

struct api_answer_ticket {
	uint8_t ticket[TOKEN_TICKET_BYTES];
	struct id participant; // as the ticket says
	struct id relay;
	char relay_name[TOKEN_NAME_MAX + 1];
	char relay_address[TOKEN_ADDRESS_MAX + 1]; // may be empty
	uint16_t relay_port;
	struct api_answer_blob blob;
};
// ERR_AUTH if the ticket is for another meeting, relay or device than was asked for. Its signature is the relay's
// to check: the client does not know the key.
enum err api_answer_ticket(const char *json, size_t size, const struct id *meeting,
			   const uint8_t device_key[static TOKEN_ED25519_BYTES], struct api_answer_ticket *out) CHECK_RESULT;

struct api_answer_meeting {
	struct id meeting;
	uint64_t expires;
	bool is_open, is_owner;
	struct api_answer_blob blob;
};
// Calls on_meeting for each; stops at the first malformed one.
enum err api_answer_meetings(const char *json, size_t size,
			     enum err (*on_meeting)(void *context, const struct api_answer_meeting *meeting), void *context) CHECK_RESULT;

#endif
