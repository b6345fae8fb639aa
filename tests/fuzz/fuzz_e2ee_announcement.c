// SPDX-License-Identifier: Apache-2.0
#include "client/engine/e2ee/announcement.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct announcement announcement, again;
	uint8_t out[ANNOUNCEMENT_MAX_BYTES];
	size_t out_size;
	if (announcement_parse(bytes, size, &announcement) != ERR_OK)
		return 0;
	if (announcement.name[0] && !text_is_printable(announcement.name, strlen(announcement.name)))
		abort();
	announcement_emit(&announcement, out, &out_size);
	if (announcement_parse(out, out_size, &again) != ERR_OK || memcmp(announcement.run, again.run, sizeof(again.run)) != 0 ||
	    announcement.capture_epoch_ns != again.capture_epoch_ns || strcmp(announcement.name, again.name) != 0)
		abort();
	return 0;
}
