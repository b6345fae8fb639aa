// Registration of a relay with its management server, by the link that the administrator made there.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_RELAY_ENROL_H
#define RELAY_RELAY_ENROL_H

#include "base/err.h"
#include "relay/registration.h"

#include <stdbool.h>

enum { RELAY_ENROL_PROBLEM_MAX = 1200 };

// Makes keys, asks for a certificate, stores the registration. ERR_USAGE: not such a link. On failure nothing is
// changed and `problem` is one line for people.
enum err relay_enrol(const char *state_directory, const char *link, bool is_forced, struct registration *out,
		     char problem[static RELAY_ENROL_PROBLEM_MAX]) CHECK_RESULT;

// The management server's answer to a request for registration.
enum { RELAY_ENROL_DER_MAX = 4096 };
struct relay_enrol_answer {
	struct id relay;
	char name[TOKEN_NAME_MAX + 1];
	uint8_t ticket_key[TOKEN_ED25519_BYTES];
	uint8_t certificate[RELAY_ENROL_DER_MAX], issuer[RELAY_ENROL_DER_MAX], root[RELAY_ENROL_DER_MAX];
	size_t certificate_size, issuer_size, root_size;
};
enum err relay_enrol_answer_parse(const char *json, size_t size, struct relay_enrol_answer *out) CHECK_RESULT;

#endif
