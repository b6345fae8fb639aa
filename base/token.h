// What TMMS hands out: join tickets, and the links by which people and relays find and trust it.
// SPDX-License-Identifier: Apache-2.0
#ifndef BASE_TOKEN_H
#define BASE_TOKEN_H

#include "base/err.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOKEN_ED25519_BYTES = 32, TOKEN_SIGNATURE_BYTES = 64, TOKEN_KEY_ID_BYTES = 8, TOKEN_PIN_BYTES = 32, TOKEN_SECRET_BYTES = 32 };

// --- Join ticket: TMMS signs, TCS verifies offline. Fixed size.
//   version 1 | key id 8 | serial 16 | relay 16 | meeting 16 | participant 16 | device key 32 | rights 4 |
//   issued 8 | join_before 8 | rejoin_until 8 | Ed25519 signature 64 over "huisclos ticket v1" and all before
enum { TOKEN_TICKET_VERSION = 1, TOKEN_TICKET_BYTES = 1 + 8 + 16 * 4 + 32 + 4 + 8 * 3 + 64 };

enum token_right { TOKEN_RIGHT_SEND = 1, TOKEN_RIGHT_RECEIVE = 2, TOKEN_RIGHT_HOST = 4 };

struct token_ticket {
	uint8_t key_id[TOKEN_KEY_ID_BYTES]; // first bytes of SHA-256 of the ticket key
	struct id serial;
	struct id relay;
	struct id meeting;
	struct id participant;
	uint8_t device_key[TOKEN_ED25519_BYTES]; // Ed25519 public key
	uint32_t rights;                         // enum token_right
	uint64_t issued, join_before, rejoin_until; // Unix seconds
};

void token_key_id(const uint8_t public_key[static TOKEN_ED25519_BYTES], uint8_t out[static TOKEN_KEY_ID_BYTES]);
enum err token_ticket_sign(const struct token_ticket *ticket, const uint8_t private_key[static TOKEN_ED25519_BYTES],
			   uint8_t out[static TOKEN_TICKET_BYTES]) CHECK_RESULT;
// Signature and shape only: ERR_PARSE, ERR_VERSION, ERR_AUTH. Dates, relay and device are the caller's checks.
enum err token_ticket_verify(const uint8_t *bytes, size_t size, const uint8_t public_key[static TOKEN_ED25519_BYTES],
			     struct token_ticket *out) CHECK_RESULT;

// Raw Ed25519 (RFC 8032), for the join proof and the like.
enum err token_ed25519_generate(uint8_t private_key[static TOKEN_ED25519_BYTES], uint8_t public_key[static TOKEN_ED25519_BYTES]) CHECK_RESULT;
enum err token_ed25519_public(const uint8_t private_key[static TOKEN_ED25519_BYTES], uint8_t public_key[static TOKEN_ED25519_BYTES]) CHECK_RESULT;
enum err token_ed25519_sign(const uint8_t private_key[static TOKEN_ED25519_BYTES], const uint8_t *message, size_t size,
			    uint8_t signature[static TOKEN_SIGNATURE_BYTES]) CHECK_RESULT;
enum err token_ed25519_verify(const uint8_t public_key[static TOKEN_ED25519_BYTES], const uint8_t *message, size_t size,
			      const uint8_t signature[static TOKEN_SIGNATURE_BYTES]) CHECK_RESULT;

// --- Links. Everything after '#' stays with the reader: a browser does not send it.
//   enrolment of a user   https://NAME[:PORT]/enrol#a=ADDRESS&t=TOKEN&p=PIN&p=PIN&r=PIN&r=PIN&o=ROOT
//   enrolment of a relay  https://NAME[:PORT]/relay#a=ADDRESS&t=TOKEN&p=PIN&p=PIN&o=ROOT
//   meeting               https://NAME[:PORT]/m/MEETING#s=SECRET
// NAME is TMMS's server name (SNI); a= the address to connect to, if the name is not in the DNS; p= pins of
// TMMS (SHA-256 of SubjectPublicKeyInfo: key in use, backup), r= of the relays, o= SHA-256 of the identity
// root's SubjectPublicKeyInfo. Secrets, tokens and pins are base64url.
enum token_link_kind { TOKEN_LINK_ENROL, TOKEN_LINK_RELAY, TOKEN_LINK_MEETING };
enum { TOKEN_NAME_MAX = 253, TOKEN_ADDRESS_MAX = 64, TOKEN_PINS_MAX = 8, TOKEN_LINK_MAX = 2048, TOKEN_PORT_DEFAULT = 443 };

struct token_pins {
	size_t count;
	uint8_t pin[TOKEN_PINS_MAX][TOKEN_PIN_BYTES];
};

struct token_link {
	enum token_link_kind kind;
	char name[TOKEN_NAME_MAX + 1];
	uint16_t port;
	char address[TOKEN_ADDRESS_MAX + 1]; // IPv4 or IPv6, empty: ask the DNS
	uint8_t token[TOKEN_SECRET_BYTES];   // one-time, ENROL and RELAY
	struct token_pins server_pins;       // at least one for ENROL and RELAY
	struct token_pins relay_pins;        // ENROL
	uint8_t root[TOKEN_PIN_BYTES];       // ENROL and RELAY
	struct id meeting;                   // MEETING
	uint8_t secret[TOKEN_SECRET_BYTES];  // MEETING: the meeting secret S
};

// Strict: unknown, missing or repeated fields are ERR_PARSE.
enum err token_link_parse(const char *text, struct token_link *out) CHECK_RESULT;
enum err token_link_emit(const struct token_link *link, char out[static TOKEN_LINK_MAX]) CHECK_RESULT;

#endif
