// Opus as RFC 7587 carries it: 20 ms a packet, constant bit rate, no DTX (packet sizes would betray speech),
// in-band FEC. One packet of the codec is one RTP payload. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_OPUS_SENDER_H
#define CLIENT_ENGINE_MEDIA_OPUS_SENDER_H

#include "base/err.h"
#include "client/engine/media/limits.h"

#include <stddef.h>
#include <stdint.h>

enum {
	OPUS_SENDER_BITRATE = 48000,
	OPUS_SENDER_BITRATE_MIN = 6000,
	OPUS_SENDER_BITRATE_MAX = 256000,
	OPUS_SENDER_PACKET_MAX = 1000,
	OPUS_SENDER_LOOKAHEAD = 312, // samples by which the decoded sound is late
};

struct opus_sender;

enum err opus_sender_new(uint32_t bitrate, struct opus_sender **out) CHECK_RESULT;
void opus_sender_free(struct opus_sender *sender);
enum err opus_sender_encode(struct opus_sender *sender, const int16_t samples[static MEDIA_AUDIO_FRAME],
			    uint8_t packet[static OPUS_SENDER_PACKET_MAX], size_t *size) CHECK_RESULT;

#endif
