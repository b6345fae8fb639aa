// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/opus_sender.h"

#include <opus/opus.h>
#include <stdlib.h>

enum { COMPLEXITY = 7, EXPECTED_LOSS_PERCENT = 10 };

struct opus_sender {
	OpusEncoder *encoder;
};

static int configure(OpusEncoder *encoder, uint32_t bitrate)
{
	int failed = opus_encoder_ctl(encoder, OPUS_SET_BITRATE((opus_int32)bitrate));
	failed |= opus_encoder_ctl(encoder, OPUS_SET_VBR(0));
	failed |= opus_encoder_ctl(encoder, OPUS_SET_DTX(0));
	failed |= opus_encoder_ctl(encoder, OPUS_SET_COMPLEXITY(COMPLEXITY));
	failed |= opus_encoder_ctl(encoder, OPUS_SET_SIGNAL(OPUS_SIGNAL_VOICE));
	// FEC exists in the SILK layer only: an expected loss makes the encoder use it and spend bits on it.
	failed |= opus_encoder_ctl(encoder, OPUS_SET_INBAND_FEC(1));
	failed |= opus_encoder_ctl(encoder, OPUS_SET_PACKET_LOSS_PERC(EXPECTED_LOSS_PERCENT));
	return failed;
}

enum err opus_sender_new(uint32_t bitrate, struct opus_sender **out)
{
	struct opus_sender *sender = calloc(1, sizeof *sender);
	if (!sender)
		return ERR_NOMEM;
	int code;
	// Not VOIP: its high-pass filter would change the wave form.
	sender->encoder = opus_encoder_create(MEDIA_AUDIO_RATE, 1, OPUS_APPLICATION_AUDIO, &code);
	if (!sender->encoder || configure(sender->encoder, bitrate) != OPUS_OK) {
		opus_sender_free(sender);
		return ERR_NOMEM;
	}
	*out = sender;
	return ERR_OK;
}

void opus_sender_free(struct opus_sender *sender)
{
	if (!sender)
		return;
	if (sender->encoder)
		opus_encoder_destroy(sender->encoder);
	free(sender);
}

enum err opus_sender_encode(struct opus_sender *sender, const int16_t samples[static MEDIA_AUDIO_FRAME],
			    uint8_t packet[static OPUS_SENDER_PACKET_MAX], size_t *size)
{
	int made = opus_encode(sender->encoder, samples, MEDIA_AUDIO_FRAME, packet, OPUS_SENDER_PACKET_MAX);
	if (made <= 0)
		return ERR_IO;
	*size = (size_t)made;
	return ERR_OK;
}
