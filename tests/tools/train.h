// A captured UDP payload is one datagram, or a train of them (GSO). SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_TOOLS_TRAIN_H
#define TESTS_TOOLS_TRAIN_H

#include "base/packet.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

// The size of each datagram but the last, which may be shorter; `size` if there is one only. The next one begins where
// the handle comes again before something that looks like our RTP header.
static inline size_t train_segment_bytes(const uint8_t *bytes, size_t size)
{
	struct packet_rtp rtp;
	for (size_t at = PACKET_MEDIA_MIN_BYTES; at <= PACKET_MAX_BYTES && at + PACKET_MEDIA_MIN_BYTES <= size; at++) {
		if (memcmp(bytes, bytes + at, 4) == 0 && packet_rtp_parse(bytes + at, PACKET_MEDIA_MIN_BYTES, &rtp) == ERR_OK)
			return at;
	}
	return size;
}

#endif
