// Opus from the network: a row of payloads through jitter buffer and decoder, with time going on.
// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/audio_receiver.h"

#include <stdlib.h>

enum { SKIP = 3, LATE_SHIFT = 2 };

// control byte | length | payload; control: bits 0 and 1 numbers that are skipped, the others ticks until it comes
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tally tally;
	struct audio_receiver *receiver;
	struct packet_rtp rtp = { .payload_type = PACKET_PT_OPUS };
	uint64_t now = 1000000000000;
	if (audio_receiver_new(&tally, &receiver) != ERR_OK)
		abort();
	for (int packets = 0; size > 2 && packets < 100; packets++) {
		size_t length = data[1] < size - 2 ? data[1] : size - 2;
		rtp.sequence = (uint16_t)(rtp.sequence + 1 + (data[0] & SKIP));
		rtp.timestamp = rtp.sequence * 960u;
		audio_receiver_insert(receiver, &rtp, data + 2, length, now);
		for (int tick = data[0] >> LATE_SHIFT & 7; tick > 0; tick--) {
			int16_t out[MEDIA_AUDIO_TICK];
			int64_t media_ns;
			now += 10000000;
			(void)audio_receiver_pull(receiver, now, MEDIA_DELAY_NONE, out, &media_ns);
		}
		data += 2 + length;
		size -= 2 + length;
	}
	audio_receiver_free(receiver);
	return 0;
}
