// WAV headers: whatever is accepted lies within the file. SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/wav_reader.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wav_format format;
	char problem[MEDIA_PROBLEM_BYTES] = "";
	if (wav_reader_parse(data, size, size, &format, problem) != ERR_OK) {
		if (problem[0] == 0 || strlen(problem) >= sizeof problem)
			abort();
		return 0;
	}
	if (format.frames == 0 || format.data_offset + format.frames * format.channels * 2 > size)
		abort();
	return 0;
}
