// Cuts an encoded picture into RTP payloads of equal size, the last one shorter: so they can leave as one train. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_VP9_PACKETIZER_H
#define CLIENT_ENGINE_MEDIA_VP9_PACKETIZER_H

#include "base/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vp9_packetizer {
	uint16_t picture_id; // of the next picture
	uint8_t tl0picidx;
	uint16_t width, height;
	// The picture in work.
	const uint8_t *frame; // borrowed
	size_t size, offset;
	uint32_t timestamp;
	bool is_key;
	size_t payload_bytes; // of each packet but the last
	size_t packets_left;
};

// A picture; `frame` must stay until its last packet was taken.
void vp9_packetizer_start(struct vp9_packetizer *p, const uint8_t *frame, size_t size, uint32_t timestamp, bool is_key);
// The next packet: false when there is none. SSRC and sequence number are left zero.
bool vp9_packetizer_next(struct vp9_packetizer *p, struct packet_rtp *rtp, uint8_t payload[static PACKET_MEDIA_PAYLOAD_MAX],
			 size_t *size);

#endif
