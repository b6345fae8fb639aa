// SPDX-License-Identifier: Apache-2.0
#include "client/engine/transport/train.h"

bool train_takes(const struct train *train, uint8_t stream, uint32_t timestamp, size_t size)
{
	if (train->count == 0)
		return true;
	return stream != PACKET_STREAM_AUDIO && stream == train->stream && timestamp == train->timestamp &&
	       train->count < DATAGRAM_TRAIN_MAX && size <= train->segment_bytes &&
	       train->size == train->count * train->segment_bytes; // none was shorter yet
}

uint8_t *train_end(struct train *train)
{
	return train->bytes + train->size;
}

void train_add(struct train *train, uint8_t stream, uint32_t timestamp, size_t size)
{
	if (train->count++ == 0) {
		train->stream = stream;
		train->timestamp = timestamp;
		train->segment_bytes = size;
	}
	train->size += size;
}

void train_clear(struct train *train)
{
	train->count = train->size = train->segment_bytes = 0;
}
