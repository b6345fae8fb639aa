// YUV4MPEG2, 8-bit 4:2:0, written to a file or FIFO in whole pictures. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_Y4M_WRITER_H
#define CLIENT_ENGINE_MEDIA_Y4M_WRITER_H

#include "base/err.h"
#include "client/engine/media/y4m_reader.h"

#include <stdbool.h>
#include <stdint.h>

struct y4m_writer {
	int descriptor; // owned by the caller, who opened it
	bool is_stream;
	struct y4m_format format;
	uint64_t pictures; // written
	uint64_t bytes;    // of whole pictures, header included
};

enum err y4m_writer_init(struct y4m_writer *writer, int descriptor, bool is_stream,
		const struct y4m_format *format) CHECK_RESULT;
// Packed I420. After a failure a file is cut back to its last whole picture.
enum err y4m_writer_write(struct y4m_writer *writer, const uint8_t *i420) CHECK_RESULT;

#endif
