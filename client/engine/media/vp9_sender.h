// VP9 encoder for live pictures: constant bit rate, no look-ahead, key frames only when asked for, one layer.
// It spends the processor time it is allowed: the speed setting follows how long pictures take.
// SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_VP9_SENDER_H
#define CLIENT_ENGINE_MEDIA_VP9_SENDER_H

#include "base/err.h"
#include "client/engine/media/y4m_reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VP9_SENDER_BITRATE = 600000, VP9_SENDER_BITRATE_MIN = 50000, VP9_SENDER_BITRATE_MAX = 20000000 };

struct vp9_sender;

enum err vp9_sender_new(const struct y4m_format *format, uint32_t bitrate, struct vp9_sender **out) CHECK_RESULT;
void vp9_sender_free(struct vp9_sender *sender);
// Packed I420; timestamp on the 90 kHz clock, rising. `*frame` is borrowed until the next call; `*size` is 0
// if the encoder made nothing of this picture.
enum err vp9_sender_encode(struct vp9_sender *sender, uint8_t *i420, uint64_t timestamp, bool wants_key,
		const uint8_t **frame,
			   size_t *size, bool *is_key) CHECK_RESULT;
// Pictures come too late although encoding itself is quick: the machine is busy. Take less of it.
void vp9_sender_hurry(struct vp9_sender *sender);

#endif
