// Tickets and links: what parses is emitted as an equal object. SPDX-License-Identifier: Apache-2.0
#include "base/token.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t public_key[TOKEN_ED25519_BYTES] = { 1 };
	struct token_ticket ticket;
	struct token_link link, same;
	char text[TOKEN_LINK_MAX + 16], once[TOKEN_LINK_MAX], twice[TOKEN_LINK_MAX];
	if (!token_ticket_verify(data, size, public_key, &ticket))
		abort(); // nobody can sign for this key
	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (token_link_parse(text, &link))
		return 0;
	if (token_link_emit(&link, once) || token_link_parse(once, &same) || token_link_emit(&same, twice) || strcmp(once, twice) != 0)
		abort();
	return 0;
}
