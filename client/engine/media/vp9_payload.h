// RTP payload of VP9: the payload descriptor of RFC 9628 section 4.2. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_VP9_PAYLOAD_H
#define CLIENT_ENGINE_MEDIA_VP9_PAYLOAD_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VP9_PAYLOAD_DESCRIPTOR_MAX = 16, VP9_PAYLOAD_PICTURE_IDS = 1 << 15 };

struct vp9_payload {
	bool is_start, is_end;   // of the layer frame
	bool is_inter;           // depends on earlier pictures
	uint16_t picture_id;     // 15 bits
	uint8_t temporal_id, spatial_id, tl0picidx;
	bool is_switching_point, is_inter_layer;
	uint16_t width, height;  // of the lowest spatial layer, 0 without a scalability structure
};

// Strict: what our profile does not use is refused: no picture id, or one of 7 bits (ERR_PARSE); flexible
// mode and spatial layers (ERR_VERSION). `*used` is the descriptor's length; an empty rest is ERR_PARSE.
enum err vp9_payload_parse(const uint8_t *bytes, size_t size, struct vp9_payload *out, size_t *used) CHECK_RESULT;
// Non-flexible mode, one spatial layer; a scalability structure if width is given. Returns the length.
size_t vp9_payload_emit(const struct vp9_payload *payload, uint8_t out[static VP9_PAYLOAD_DESCRIPTOR_MAX]);

#endif
