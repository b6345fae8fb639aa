// VP9 decoder that refuses what is too large before it decodes. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_VP9_RECEIVER_H
#define CLIENT_ENGINE_MEDIA_VP9_RECEIVER_H

#include "base/err.h"
#include "client/engine/media/picture.h"

#include <stddef.h>
#include <stdint.h>

struct vp9_receiver;

enum err vp9_receiver_new(struct vp9_receiver **out) CHECK_RESULT;
void vp9_receiver_free(struct vp9_receiver *receiver);
// `*picture` is the caller's. ERR_DENIED: refused before decoding; ERR_PARSE: libvpx cannot decode it, or not
// 8-bit 4:2:0 of even size; ERR_AGAIN: decoded, but it shows nothing.
enum err vp9_receiver_decode(struct vp9_receiver *receiver, const uint8_t *frame, size_t size,
		struct picture **picture) CHECK_RESULT;

#endif
