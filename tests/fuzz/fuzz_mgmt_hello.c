// The ClientHello parser: whatever comes, and however little of it, the verdict is sane and does not change for
// the better when bytes are missing. SPDX-License-Identifier: Apache-2.0
#include "mgmt/client_hello.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[CLIENT_HELLO_NAME_MAX + 1], half_name[CLIENT_HELLO_NAME_MAX + 1];
	size_t needed, half_needed;
	enum err err = client_hello_name(data, size, name, &needed);
	enum err half = client_hello_name(data, size / 2, half_name, &half_needed);
	if (!err && (name[0] == '\0' || strlen(name) > CLIENT_HELLO_NAME_MAX))
		abort();
	if (err == ERR_AGAIN && (needed <= size || needed > CLIENT_HELLO_MAX))
		abort();
	// A verdict on the first half is a verdict on the whole.
	if (half != ERR_AGAIN && half != err)
		abort();
	return 0;
}
