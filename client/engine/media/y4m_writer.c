// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/y4m_writer.h"

#include "client/engine/media/outfile.h"

#include <stdio.h>
#include <unistd.h>

static const char frame_line[] = "FRAME\n";

enum err y4m_writer_init(struct y4m_writer *writer, int descriptor, bool is_stream, const struct y4m_format *format)
{
	*writer = (struct y4m_writer){ .descriptor = descriptor, .is_stream = is_stream, .format = *format };
	char header[Y4M_HEADER_MAX];
	int size = snprintf(header, sizeof header, "YUV4MPEG2 W%u H%u F%u:%u Ip A1:1 C420jpeg\n", format->width,
			format->height,
			    format->rate_num, format->rate_den);
	writer->bytes = (uint64_t)size;
	return outfile_write(descriptor, header, (size_t)size);
}

enum err y4m_writer_write(struct y4m_writer *writer, const uint8_t *i420)
{
	size_t size = y4m_picture_bytes(&writer->format);
	enum err err = outfile_write(writer->descriptor, frame_line, sizeof frame_line - 1);
	if (err == ERR_OK)
		err = outfile_write(writer->descriptor, i420, size);
	if (err == ERR_OK) {
		writer->pictures++;
		writer->bytes += sizeof frame_line - 1 + size;
	} else if (!writer->is_stream && ftruncate(writer->descriptor, (off_t)writer->bytes) != 0) {
		return ERR_IO; // cannot happen before the write itself failed: nothing better is left to do
	}
	return err;
}
