// Datagrams that can leave as one train: of one picture of one stream, of equal size, the last one may be shorter. Sound
// never waits for anything and goes alone. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_TRANSPORT_TRAIN_H
#define CLIENT_ENGINE_TRANSPORT_TRAIN_H

#include "base/packet.h"
#include "client/engine/transport/datagram.h"

#include <stdbool.h>

struct train {
	uint8_t stream;
	uint32_t timestamp;
	size_t count;
	size_t size, segment_bytes;
	uint8_t bytes[DATAGRAM_TRAIN_MAX * PACKET_MAX_BYTES];
};

// May a datagram of `size` bytes go behind what is there? Always if nothing is.
bool train_takes(const struct train *train, uint8_t stream, uint32_t timestamp, size_t size);
// Where the next datagram is built; room for PACKET_MAX_BYTES.
uint8_t *train_end(struct train *train);
// It was built, and train_takes() had said yes to it.
void train_add(struct train *train, uint8_t stream, uint32_t timestamp, size_t size);
void train_clear(struct train *train);

#endif
