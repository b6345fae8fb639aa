// Opus packets of one stream that wait for their time, in order of their timestamps.
// SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_AUDIO_BUFFER_H
#define CLIENT_ENGINE_MEDIA_AUDIO_BUFFER_H

#include "base/packet.h"
#include "client/engine/media/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct audio_packet {
	int64_t timestamp; // unwrapped, 48 kHz
	int samples;
	bool has_voice, has_fec; // has_fec: carries a copy of the frame before
	size_t size;
	uint8_t bytes[PACKET_MEDIA_PAYLOAD_MAX];
};

struct audio_buffer {
	struct audio_packet slot[LIMIT_AUDIO_PACKETS];
	uint8_t order[LIMIT_AUDIO_PACKETS]; // slots by rising timestamp; then the free ones
	size_t count;
};

void audio_buffer_init(struct audio_buffer *b);
// Length and FEC of an Opus packet (RFC 6716 section 3), 0 samples if it is not one. Sets samples and has_fec.
void audio_buffer_inspect(struct audio_packet *packet);
// Copies. False if a packet of that timestamp is there; when full the oldest one goes and `*has_dropped` is set.
bool audio_buffer_insert(struct audio_buffer *b, const struct audio_packet *packet, bool *has_dropped);
const struct audio_packet *audio_buffer_first(const struct audio_buffer *b); // NULL: empty
void audio_buffer_drop_first(struct audio_buffer *b);

#endif
