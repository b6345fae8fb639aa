// Files and FIFOs that recordings go to: whole writes or a clear failure, no hang on a reader that stalls.
// SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_OUTFILE_H
#define CLIENT_ENGINE_MEDIA_OUTFILE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OUTFILE_STALL_MS = 5000 }; // a FIFO whose reader takes nothing for so long has failed

// Creates or empties a file; an existing FIFO is opened as it is. ERR_AGAIN: a FIFO that nobody reads yet.
enum err outfile_open(const char *path, int *descriptor, bool *is_stream) CHECK_RESULT;
// All bytes, or ERR_FULL (no space, quota, size limit), ERR_CLOSED (no reader any more), ERR_TIMEOUT, ERR_IO.
enum err outfile_write(int descriptor, const void *bytes, size_t size) CHECK_RESULT;
enum err outfile_write_at(int descriptor, const void *bytes, size_t size, uint64_t offset) CHECK_RESULT;
// Replace the file `path` by `text` in one step.
enum err outfile_replace(const char *path, const char *text, size_t size) CHECK_RESULT;
// Block the signals that writing can raise; errors are returned instead.
void outfile_block_signals(void);

#endif
