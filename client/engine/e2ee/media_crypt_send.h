// End-to-end protection of what this member sends: one SRTP context per stream and generation.
//
// The sequence starts at 0 in each generation and a new generation comes before it would wrap, so that the
// ROC is always 0. All streams draw their generations from one counter that lives as long as the run id: no
// (run, SSRC, generation) is ever used for two contexts, whatever indices a relay hands out.
// Not thread-safe; owned by the session. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_E2EE_MEDIA_CRYPT_SEND_H
#define CLIENT_ENGINE_E2EE_MEDIA_CRYPT_SEND_H

#include "base/err.h"
#include "base/packet.h"
#include "client/engine/e2ee/e2ee.h"

#include <stddef.h>
#include <stdint.h>

enum { MEDIA_CRYPT_SEND_GENERATION = 1 << 16, MEDIA_CRYPT_SEND_STREAMS = 16, MEDIA_CRYPT_SEND_HISTORY_MS = 1000 };

struct media_crypt_send;

// `e2ee` is borrowed. `generation_packets`: packets in one generation, at most MEDIA_CRYPT_SEND_GENERATION.
enum err media_crypt_send_new(struct e2ee *e2ee, uint32_t generation_packets, struct media_crypt_send **out) CHECK_RESULT;
void media_crypt_send_free(struct media_crypt_send *send);

// The participant index that the relay gave. Contexts go on if it is the same as before.
void media_crypt_send_set_index(struct media_crypt_send *send, uint32_t index);

// Build a datagram in `bytes` (room for PACKET_MAX_BYTES), complete but for the hop header. SSRC and sequence of
// `rtp` are filled in here. ERR_LIMIT: payload or number of streams too large, or all generations used up.
enum err media_crypt_send_seal(struct media_crypt_send *send, uint8_t stream, const struct packet_rtp *rtp,
			       const uint8_t *payload, size_t payload_size, uint64_t now_ms,
			       uint8_t *bytes, size_t *size) CHECK_RESULT;

// The same datagram again, byte for byte after the hop header. ERR_NOT_FOUND once it is older than a second.
enum err media_crypt_send_again(struct media_crypt_send *send, uint32_t ssrc, uint16_t sequence, uint64_t now_ms,
				uint8_t *bytes, size_t *size) CHECK_RESULT;

#endif
