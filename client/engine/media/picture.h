// A decoded picture: packed I420, as Y4M stores it. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_PICTURE_H
#define CLIENT_ENGINE_MEDIA_PICTURE_H

#include <stddef.h>
#include <stdint.h>

struct picture {
	uint32_t width, height; // even
	uint32_t timestamp;     // RTP
	uint64_t capture_ns;    // sender's capture, Unix ns
	uint64_t playout_ns;    // shown here, Unix ns
	uint8_t i420[];
};

static inline size_t picture_bytes(uint32_t width, uint32_t height)
{
	return (size_t)width * height * 3 / 2;
}

// NULL without memory. Released with free().
struct picture *picture_new(uint32_t width, uint32_t height);

#endif
