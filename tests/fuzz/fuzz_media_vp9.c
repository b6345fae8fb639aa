// VP9 from the network: a row of payloads, each behind one byte that says what its RTP header was, through
// descriptor, reassembly, header check and decoder. SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/limits.h"
#include "client/engine/media/video_receiver.h"

#include <stdlib.h>

enum { TIME_SHIFT = 2, SKIP = 1, MARKED = 2, LENGTH_BYTES = 2 };

static void show(void *context, struct picture *picture, int64_t media_ns)
{
	(void)context;
	(void)media_ns;
	if (picture->width > 1920 || picture->height > 1080)
		abort();
	free(picture);
}

// control byte | length 2 | payload; control: bit 0 a number is skipped, bit 1 marker, the others add to the time
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tally tally;
	struct video_receiver *receiver;
	struct packet_rtp rtp = { .payload_type = PACKET_PT_VP9 };
	uint64_t now = 1000000000000;
	uint16_t missing[8];
	if (video_receiver_new(&tally, &receiver) != ERR_OK)
		abort();
	while (size > 1 + LENGTH_BYTES) {
		size_t length = (size_t)data[1] << 8 | data[2];
		if (length > size - 1 - LENGTH_BYTES)
			length = size - 1 - LENGTH_BYTES;
		rtp.sequence = (uint16_t)(rtp.sequence + 1 + (data[0] & SKIP));
		rtp.timestamp += 3600u * (data[0] >> TIME_SHIFT);
		rtp.is_marked = data[0] & MARKED;
		video_receiver_insert(receiver, &rtp, data + 1 + LENGTH_BYTES, length, now);
		data += 1 + LENGTH_BYTES + length;
		size -= 1 + LENGTH_BYTES + length;
		now += 20000000;
		video_receiver_step(receiver, now, MEDIA_DELAY_NONE, show, NULL);
		(void)video_receiver_missing(receiver, now, missing, 8);
	}
	video_receiver_step(receiver, now + 1000000000, MEDIA_DELAY_NONE, show, NULL);
	video_receiver_free(receiver);
	return 0;
}
