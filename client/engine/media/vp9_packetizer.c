// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/vp9_packetizer.h"

#include "client/engine/media/vp9_payload.h"

#include <string.h>

enum { PIECE_MAX = PACKET_MEDIA_PAYLOAD_MAX - VP9_PAYLOAD_DESCRIPTOR_MAX };

static struct vp9_payload descriptor(const struct vp9_packetizer *p, bool is_start, bool is_end)
{
	return (struct vp9_payload){
		.is_start = is_start,
		.is_end = is_end,
		.is_inter = !p->is_key,
		.picture_id = p->picture_id,
		.tl0picidx = p->tl0picidx,
		.width = p->is_key && is_start ? p->width : 0,
		.height = p->is_key && is_start ? p->height : 0,
	};
}

void vp9_packetizer_start(struct vp9_packetizer *p, const uint8_t *frame, size_t size, uint32_t timestamp, bool is_key)
{
	uint8_t unused[VP9_PAYLOAD_DESCRIPTOR_MAX];
	p->frame = frame;
	p->size = size;
	p->offset = 0;
	p->timestamp = timestamp;
	p->is_key = is_key;
	const struct vp9_payload first = descriptor(p, true, false), other = descriptor(p, false, false);
	size_t first_head = vp9_payload_emit(&first, unused), head = vp9_payload_emit(&other, unused);
	// As few packets as possible, as even as possible. Rounding up may spare the last one of a very large picture.
	size_t count = (size + PIECE_MAX - 1) / PIECE_MAX;
	size_t rest = size + first_head - head; // of what all packets carry beyond `head`
	p->payload_bytes = count ? head + (rest + count - 1) / count : 0;
	p->packets_left = count ? (rest + p->payload_bytes - head - 1) / (p->payload_bytes - head) : 0;
}

bool vp9_packetizer_next(struct vp9_packetizer *p, struct packet_rtp *rtp, uint8_t payload[static PACKET_MEDIA_PAYLOAD_MAX],
			 size_t *size)
{
	if (p->packets_left == 0)
		return false;
	bool is_start = p->offset == 0, is_end = p->packets_left == 1;
	const struct vp9_payload d = descriptor(p, is_start, is_end);
	*rtp = (struct packet_rtp){
		.timestamp = p->timestamp,
		.payload_type = PACKET_PT_VP9,
		.is_marked = is_end,
		.is_frame_start = is_start,
		.is_frame_end = is_end,
		.is_independent = p->is_key,
		.tl0picidx = p->tl0picidx,
	};
	size_t head = vp9_payload_emit(&d, payload);
	size_t piece = is_end ? p->size - p->offset : p->payload_bytes - head;
	memcpy(payload + head, p->frame + p->offset, piece);
	*size = head + piece;
	p->offset += piece;
	if (--p->packets_left == 0) {
		p->picture_id = (p->picture_id + 1) & (VP9_PAYLOAD_PICTURE_IDS - 1);
		p->tl0picidx++;
	}
	return true;
}
