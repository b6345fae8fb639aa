// YUV4MPEG2 header lines: whatever is accepted is within the limits. SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/y4m_reader.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct y4m_format f;
	char problem[MEDIA_PROBLEM_BYTES] = "";
	if (y4m_reader_parse((const char *)data, size, &f, problem) != ERR_OK) {
		if (problem[0] == 0)
			abort();
		return 0;
	}
	if (f.width % 2 || f.height % 2 || f.width > LIMIT_WIDTH || f.height > LIMIT_HEIGHT || f.width < LIMIT_SIDE_MIN ||
	    f.height < LIMIT_SIDE_MIN || f.rate_num < f.rate_den || f.rate_den == 0 || f.rate_num / f.rate_den > LIMIT_FPS)
		abort();
	return 0;
}
