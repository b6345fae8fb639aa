// End-to-end keys of one meeting as one member sees them: the seam that MLS will implement.
//
// Today the keys come from the meeting secret S in the link and from a random run id per sender and join:
//   prk    = HKDF-Extract(salt = meeting id, ikm = S)
//   run    = HKDF-Expand(prk, "huisclos media v1", participant 16 || run id 16), 48 bytes
//   master = HKDF-Expand(run, "huisclos stream v1", SSRC 4 || generation 4), 44 bytes: SRTP key 32, salt 12
// A run id is drawn at every join and process start, so no key ever meets a sequence number twice.
// Announcements: key and nonce from a random 32-byte salt each, so that no (key, nonce) pair repeats.
// The servers see neither S nor anything derived from it. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_E2EE_E2EE_H
#define CLIENT_ENGINE_E2EE_E2EE_H

#include "base/err.h"
#include "base/srtp_box.h"
#include "base/text.h"
#include "base/token.h"

#include <stddef.h>
#include <stdint.h>

enum { E2EE_RUN_BYTES = 16, E2EE_SEAL_OVERHEAD = 32 + 16, E2EE_EPOCH_BITS = 12, E2EE_GENERATION_BITS = 20 };

// MKI of a media packet: epoch mod 4096 in the top 12 bits, generation of the stream's key in the low 20.
static inline uint32_t e2ee_mki(uint32_t epoch, uint32_t generation) { return epoch << E2EE_GENERATION_BITS | (generation & ((1u << E2EE_GENERATION_BITS) - 1)); }

struct e2ee; // keys of one meeting; not thread-safe, owned by the session

struct e2ee_options {
	struct id meeting;
	struct id self;                              // participant
	const uint8_t *secret;                       // S, TOKEN_SECRET_BYTES, copied into locked memory
};

// Draws this run's id.
enum err e2ee_new(const struct e2ee_options *options, struct e2ee **out) CHECK_RESULT;
void e2ee_free(struct e2ee *e2ee);

const uint8_t *e2ee_run(const struct e2ee *e2ee); // own run id, E2EE_RUN_BYTES, announced to the others
uint32_t e2ee_epoch(const struct e2ee *e2ee);     // always 0 until MLS

// Seal for the members: bytes that the relay passes on; out holds size + E2EE_SEAL_OVERHEAD. Bound to meeting and sender.
enum err e2ee_announce_seal(struct e2ee *e2ee, const uint8_t *plain, size_t size, uint8_t *out, size_t *out_size) CHECK_RESULT;
enum err e2ee_announce_open(struct e2ee *e2ee, const struct id *sender, const uint8_t *sealed, size_t size,
			    uint8_t *out, size_t *out_size) CHECK_RESULT;

// SRTP master key and salt of an own stream in the present epoch.
enum err e2ee_send_key(struct e2ee *e2ee, uint32_t ssrc, uint32_t generation, uint8_t master[static SRTP_MASTER_BYTES]) CHECK_RESULT;
// The same for another member's stream, chosen by the packet's MKI. ERR_NOT_FOUND: unknown epoch (hold the packet).
enum err e2ee_receive_key(struct e2ee *e2ee, const struct id *sender, const uint8_t run[static E2EE_RUN_BYTES],
			  uint32_t ssrc, uint32_t mki, uint8_t master[static SRTP_MASTER_BYTES]) CHECK_RESULT;

// Meeting metadata (title and the like), for the opaque blob on TMMS: AES-256-GCM under a key from S.
enum err e2ee_metadata_seal(const struct id *meeting, const uint8_t secret[static TOKEN_SECRET_BYTES], const uint8_t *plain,
			    size_t size, uint8_t *out, size_t *out_size) CHECK_RESULT;
enum err e2ee_metadata_open(const struct id *meeting, const uint8_t secret[static TOKEN_SECRET_BYTES], const uint8_t *sealed,
			    size_t size, uint8_t *out, size_t *out_size) CHECK_RESULT;

#endif
