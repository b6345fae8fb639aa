// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/audio_buffer.h"

#include <opus/opus.h>
#include <string.h>

void audio_buffer_init(struct audio_buffer *b)
{
	b->count = 0;
	for (size_t i = 0; i < LIMIT_AUDIO_PACKETS; i++)
		b->order[i] = (uint8_t)i;
}

void audio_buffer_inspect(struct audio_packet *packet)
{
	opus_int16 sizes[48];
	packet->samples = 0;
	packet->has_fec = false;
	if (packet->size == 0 || packet->size > sizeof packet->bytes)
		return;
	// opus_packet_parse checks every length inside the packet.
	int frames = opus_packet_parse(packet->bytes, (opus_int32)packet->size, NULL, NULL, sizes, NULL);
	int samples = frames > 0 ? frames * opus_packet_get_samples_per_frame(packet->bytes, MEDIA_AUDIO_RATE) : 0;
	if (samples <= 0 || samples > LIMIT_AUDIO_PACKET_SAMPLES)
		return;
	packet->samples = samples;
	packet->has_fec = opus_packet_has_lbrr(packet->bytes, (opus_int32)packet->size) == 1;
}

bool audio_buffer_insert(struct audio_buffer *b, const struct audio_packet *packet, bool *has_dropped)
{
	size_t at = b->count;
	while (at > 0 && b->slot[b->order[at - 1]].timestamp > packet->timestamp)
		at--;
	if (at > 0 && b->slot[b->order[at - 1]].timestamp == packet->timestamp)
		return false;
	*has_dropped = b->count == LIMIT_AUDIO_PACKETS;
	if (*has_dropped) {
		audio_buffer_drop_first(b);
		at -= at > 0;
	}
	uint8_t slot = b->order[b->count];
	memmove(&b->order[at + 1], &b->order[at], b->count - at);
	b->order[at] = slot;
	b->slot[slot] = *packet;
	b->count++;
	return true;
}

const struct audio_packet *audio_buffer_first(const struct audio_buffer *b)
{
	return b->count ? &b->slot[b->order[0]] : NULL;
}

void audio_buffer_drop_first(struct audio_buffer *b)
{
	uint8_t slot = b->order[0];
	memmove(&b->order[0], &b->order[1], --b->count);
	b->order[b->count] = slot;
}
