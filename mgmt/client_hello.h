// The server name of a TLS ClientHello (RFC 8446 4.1.2, RFC 6066 3), read from what has arrived so far. A
// post-quantum hello spans segments, and may span records. SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_CLIENT_HELLO_H
#define MGMT_CLIENT_HELLO_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
	CLIENT_HELLO_NAME_MAX = 253,
	CLIENT_HELLO_MAX = 16384, // with its record headers; ours are below 4 KiB
};

// `name`: the host name in lower case, without a dot at its end. ERR_AGAIN: `needed` bytes or more, counted from
// the start, tell more; ERR_NOT_FOUND: a whole hello without a name; ERR_PARSE: not a ClientHello; ERR_LIMIT:
// larger than any that we would answer.
enum err client_hello_name(const uint8_t *bytes, size_t size, char name[static CLIENT_HELLO_NAME_MAX + 1], size_t *needed) CHECK_RESULT;

#endif
