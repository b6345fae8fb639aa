// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/wav_writer.h"

#include "client/engine/media/outfile.h"

#include <string.h>

enum { HEADER_BYTES = 44, PIECE_SAMPLES = 4800, SAMPLE_BYTES = 2 };
#define STREAM_BYTES 0xFFFFFFFFu // length not known

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

// Twelve hours and more do not fit RIFF's 32 bits: the length then stays at what fits.
static uint32_t data_bytes(const struct wav_writer *writer)
{
	uint64_t bytes = writer->samples * SAMPLE_BYTES;
	uint64_t most = STREAM_BYTES - HEADER_BYTES - 1;
	return writer->is_stream ? STREAM_BYTES : (uint32_t)(bytes < most ? bytes : most & ~1ull);
}

enum err wav_writer_init(struct wav_writer *writer, int descriptor, uint32_t rate, bool is_stream)
{
	*writer = (struct wav_writer){ .descriptor = descriptor, .is_stream = is_stream };
	uint8_t header[HEADER_BYTES] = "RIFF....WAVEfmt \x10\0\0\0\x01\0\x01\0........\x02\0\x10\0data";
	put32(header + 4, is_stream ? STREAM_BYTES : HEADER_BYTES - 8);
	put32(header + 24, rate);
	put32(header + 28, rate * SAMPLE_BYTES);
	put32(header + 40, data_bytes(writer));
	return outfile_write(descriptor, header, sizeof header);
}

enum err wav_writer_write(struct wav_writer *writer, const int16_t *samples, size_t count)
{
	uint8_t bytes[PIECE_SAMPLES * SAMPLE_BYTES];
	while (count > 0) {
		size_t piece = count < PIECE_SAMPLES ? count : PIECE_SAMPLES;
		for (size_t i = 0; i < piece; i++) {
			bytes[2 * i] = (uint8_t)samples[i];
			bytes[2 * i + 1] = (uint8_t)((uint16_t)samples[i] >> 8);
		}
		enum err err = outfile_write(writer->descriptor, bytes, piece * SAMPLE_BYTES);
		if (err != ERR_OK)
			return err;
		writer->samples += piece;
		samples += piece;
		count -= piece;
	}
	return ERR_OK;
}

enum err wav_writer_silence(struct wav_writer *writer, uint64_t count)
{
	static const int16_t zeros[PIECE_SAMPLES];
	while (count > 0) {
		size_t piece = count < PIECE_SAMPLES ? (size_t)count : PIECE_SAMPLES;
		enum err err = wav_writer_write(writer, zeros, piece);
		if (err != ERR_OK)
			return err;
		count -= piece;
	}
	return ERR_OK;
}

enum err wav_writer_flush(struct wav_writer *writer)
{
	if (writer->is_stream)
		return ERR_OK;
	uint8_t length[4];
	put32(length, data_bytes(writer));
	enum err err = outfile_write_at(writer->descriptor, length, 4, 40);
	if (err != ERR_OK)
		return err;
	put32(length, data_bytes(writer) + HEADER_BYTES - 8);
	return outfile_write_at(writer->descriptor, length, 4, 4);
}
