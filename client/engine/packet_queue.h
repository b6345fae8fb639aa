// What the media threads hand to the session thread. Bounded; never blocks a media thread for longer than a
// copy takes. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_PACKET_QUEUE_H
#define CLIENT_ENGINE_PACKET_QUEUE_H

#include "base/err.h"
#include "base/hop.h"
#include "base/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PACKET_QUEUE_MAX = 1024 };

enum packet_queue_kind {
	PACKET_QUEUE_MEDIA,     // stream, rtp, payload
	PACKET_QUEUE_KEY_FRAME, // rtp.ssrc
	PACKET_QUEUE_MISSING,   // rtp.ssrc, sequences
};

struct packet_queue_item {
	enum packet_queue_kind kind;
	uint8_t stream;
	struct packet_rtp rtp;
	size_t size; // bytes of payload, or number of sequences
	union {
		uint8_t payload[PACKET_MEDIA_PAYLOAD_MAX];
		uint16_t sequences[HOP_NACK_MAX];
	};
};

struct packet_queue;

enum err packet_queue_new(struct packet_queue **out) CHECK_RESULT;
void packet_queue_free(struct packet_queue *queue);
int packet_queue_descriptor(const struct packet_queue *queue); // readable after a wake, and a push of anything but media
void packet_queue_wake(struct packet_queue *queue);
void packet_queue_settle(struct packet_queue *queue); // makes the descriptor unreadable; call before popping

// What does not fit is dropped and counted. Media is seen by who waits after packet_queue_wake: a burst is pushed whole.
void packet_queue_push_media(struct packet_queue *queue, uint8_t stream, const struct packet_rtp *rtp,
			     const uint8_t *payload, size_t size);
void packet_queue_push_key_frame(struct packet_queue *queue, uint32_t ssrc);
void packet_queue_push_missing(struct packet_queue *queue, uint32_t ssrc, const uint16_t *sequences, size_t count);
bool packet_queue_pop(struct packet_queue *queue, struct packet_queue_item *out);
uint64_t packet_queue_dropped(struct packet_queue *queue);

#endif
