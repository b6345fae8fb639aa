// Puts VP9 pictures together from packets, in decoding order. A picture is given out when all its packets and
// all pictures before it are there; when a packet is given up, everything up to the next whole key frame goes.
// Not thread-safe. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_VIDEO_ASSEMBLER_H
#define CLIENT_ENGINE_MEDIA_VIDEO_ASSEMBLER_H

#include "base/err.h"
#include "base/packet.h"
#include "client/engine/media/limits.h"
#include "client/engine/media/tally.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct video_assembler;

struct video_frame {
	uint32_t timestamp;
	bool is_key;
	uint64_t complete_ns; // when its last packet came
	bool was_delayed;     // some packet had to be asked for
	size_t size;
	uint8_t *bytes;       // LIMIT_PICTURE_BYTES, of the caller
};

enum err video_assembler_new(struct tally *tally, struct video_assembler **out) CHECK_RESULT;
void video_assembler_free(struct video_assembler *assembler);
void video_assembler_reset(struct video_assembler *a); // forget all packets, wait for a key frame

// `number` is the unwrapped sequence number; the caller has dropped duplicates.
void video_assembler_insert(struct video_assembler *a, int64_t number, const struct packet_rtp *rtp, const uint8_t *payload,
			    size_t size, uint64_t now_ns, bool was_asked);
// The next picture, if it is whole.
bool video_assembler_take(struct video_assembler *a, struct video_frame *out);
// Packets up to `number` will not come, or what was taken could not be decoded (number < 0): go on with a key frame.
void video_assembler_give_up(struct video_assembler *a, int64_t number);
bool video_assembler_needs_key(const struct video_assembler *a);
int64_t video_assembler_next(const struct video_assembler *a); // number needed next, 0: none yet

#endif
