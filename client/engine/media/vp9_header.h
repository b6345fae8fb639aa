// What a VP9 frame says about itself before anything is decoded: the beginning of the uncompressed header
// (VP9 bitstream specification 6.2), so that no decoder is asked for absurd sizes.
// SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_VP9_HEADER_H
#define CLIENT_ENGINE_MEDIA_VP9_HEADER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vp9_header {
	bool is_key;
	bool shows_existing;    // no new picture, an old one is shown
	uint32_t width, height; // 0: those of a reference
};

// ERR_PARSE: not VP9. ERR_VERSION: another profile than 0, or a superframe. ERR_LIMIT: larger than LIMIT_WIDTH
// x LIMIT_HEIGHT.
enum err vp9_header_parse(const uint8_t *bytes, size_t size, struct vp9_header *out) CHECK_RESULT;

#endif
