// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/vp9_packetizer.h"

#include "client/engine/media/vp9_payload.h"

#include <string.h>

enum { PIECE_MAX = PACKET_MEDIA_PAYLOAD_MAX - VP9_PAYLOAD_DESCRIPTOR_MAX };

void vp9_packetizer_start(struct vp9_packetizer *p, const uint8_t *frame, size_t size, uint32_t timestamp, bool is_key)
{
	p->frame = frame;
	p->size = size;
	p->offset = 0;
	p->timestamp = timestamp;
	p->is_key = is_key;
	p->packets_left = (size + PIECE_MAX - 1) / PIECE_MAX;
}

bool vp9_packetizer_next(struct vp9_packetizer *p, struct packet_rtp *rtp, uint8_t payload[static PACKET_MEDIA_PAYLOAD_MAX],
			 size_t *size)
{
	if (p->packets_left == 0)
		return false;
	size_t piece = (p->size - p->offset + p->packets_left - 1) / p->packets_left;
	bool is_start = p->offset == 0, is_end = p->packets_left == 1;
	struct vp9_payload descriptor = {
		.is_start = is_start,
		.is_end = is_end,
		.is_inter = !p->is_key,
		.picture_id = p->picture_id,
		.tl0picidx = p->tl0picidx,
		.width = p->is_key && is_start ? p->width : 0,
		.height = p->is_key && is_start ? p->height : 0,
	};
	*rtp = (struct packet_rtp){
		.timestamp = p->timestamp,
		.payload_type = PACKET_PT_VP9,
		.is_marked = is_end,
		.is_frame_start = is_start,
		.is_frame_end = is_end,
		.is_independent = p->is_key,
		.tl0picidx = p->tl0picidx,
	};
	size_t head = vp9_payload_emit(&descriptor, payload);
	memcpy(payload + head, p->frame + p->offset, piece);
	*size = head + piece;
	p->offset += piece;
	if (--p->packets_left == 0) {
		p->picture_id = (p->picture_id + 1) & (VP9_PAYLOAD_PICTURE_IDS - 1);
		p->tl0picidx++;
	}
	return true;
}
