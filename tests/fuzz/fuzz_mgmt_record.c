// Records of the store: the first byte says of which type; what parses is emitted as the same bytes.
// SPDX-License-Identifier: Apache-2.0
#include "mgmt/record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static union record record;
	static uint8_t bytes[RECORD_MAX];
	size_t emitted;
	if (size < 1 || size > RECORD_MAX)
		return 0;
	enum record_type type = data[0] % RECORD_TYPES;
	if (record_parse(type, data + 1, size - 1, &record))
		return 0;
	if (record_emit(type, &record, bytes, &emitted) || emitted != size - 1 || memcmp(bytes, data + 1, emitted) != 0)
		abort();
	return 0;
}
