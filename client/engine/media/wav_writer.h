// A 16-bit mono WAV file that is valid at every moment: its header is corrected at each flush, and names only
// samples that are already in the file. A FIFO gets a header without lengths, as players of streams expect.
// Writes never block longer than a FIFO's reader needs. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_WAV_WRITER_H
#define CLIENT_ENGINE_MEDIA_WAV_WRITER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wav_writer {
	int descriptor;   // owned by the caller, who opened it
	uint64_t samples; // written
	bool is_stream;
};

// Writes the header. ERR_FULL or ERR_IO (errno says why).
enum err wav_writer_init(struct wav_writer *writer, int descriptor, uint32_t rate, bool is_stream) CHECK_RESULT;
enum err wav_writer_write(struct wav_writer *writer, const int16_t *samples, size_t count) CHECK_RESULT;
enum err wav_writer_silence(struct wav_writer *writer, uint64_t count) CHECK_RESULT;
// Correct the header.
enum err wav_writer_flush(struct wav_writer *writer) CHECK_RESULT;

#endif
