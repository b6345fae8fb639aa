// A self-signed certificate for a fake server. SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_FAKE_CLIENT_CERTIFICATE_H
#define TESTS_FAKE_CLIENT_CERTIFICATE_H

#include "base/token.h"

enum { CLIENT_CERTIFICATE_PATH_MAX = 256 };

// Writes DIRECTORY/NAME.crt and .key; false if that fails.
bool client_certificate_make(const char *directory, const char *name, char certificate[static CLIENT_CERTIFICATE_PATH_MAX],
			     char key[static CLIENT_CERTIFICATE_PATH_MAX], struct token_pins *pins);

#endif
