// End-to-end opening of what other members send.
//
// The key follows from the packet alone: SSRC -> participant index -> participant and its announced run ->
// (run, SSRC, MKI). There is no trial decryption. Of a stream the present generation and the one before are
// kept; a newer one is taken up only by a packet that authenticates under it. Packets of a sender without
// announcement, or of an unknown epoch, wait for a second in a bounded buffer.
//
// Replay protection outlives what a relay says about who is where: contexts belong to (participant, run,
// SSRC) and stay while that run is current, or else nothing as old is opened any more; and a run that was
// replaced is never taken up again.
// Not thread-safe; owned by the session. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_E2EE_MEDIA_CRYPT_RECEIVE_H
#define CLIENT_ENGINE_E2EE_MEDIA_CRYPT_RECEIVE_H

#include "base/err.h"
#include "base/packet.h"
#include "client/engine/session_counters.h"
#include "client/engine/e2ee/e2ee.h"

#include <stddef.h>
#include <stdint.h>

enum {
	MEDIA_CRYPT_RECEIVE_MEMBERS = 512,
	MEDIA_CRYPT_RECEIVE_STREAMS = 16, // of one member; those of its earlier indices make room for new ones
	MEDIA_CRYPT_RECEIVE_RUNS = 32,    // replaced runs remembered of one member
	MEDIA_CRYPT_RECEIVE_HELD = 256,
	MEDIA_CRYPT_RECEIVE_HOLD_MS = 1000,
};

struct media_crypt_receive;

struct media_crypt_receive_options {
	struct e2ee *e2ee;         // borrowed
	struct session_counters *counters; // borrowed
	// An opened packet, borrowed for the call. `arrival_ns` as it was handed in.
	void (*on_media)(void *context, const struct packet_rtp *rtp, const uint8_t *payload, size_t size, uint64_t arrival_ns);
	void *context;
};

enum err media_crypt_receive_new(const struct media_crypt_receive_options *options, struct media_crypt_receive **out) CHECK_RESULT;
void media_crypt_receive_free(struct media_crypt_receive *receive);

// Own index: packets that claim it are dropped.
void media_crypt_receive_set_self(struct media_crypt_receive *receive, uint32_t index);
// `participant` at `index` announced `run`. ERR_REPLAY: that run is over; ERR_LIMIT: too many members. Both are
// counted.
enum err media_crypt_receive_member(struct media_crypt_receive *receive, uint32_t index, const struct id *participant,
				    const uint8_t run[static E2EE_RUN_BYTES]) CHECK_RESULT;
// Open what was held for the sender at `index`.
void media_crypt_receive_release(struct media_crypt_receive *receive, uint32_t index, uint64_t now_ms);
// Wherever it was: nothing of it is opened until it is announced again.
void media_crypt_receive_gone(struct media_crypt_receive *receive, const struct id *participant);
// After a reconnect nobody is anywhere until the relay says so again.
void media_crypt_receive_forget_indices(struct media_crypt_receive *receive);

// A media datagram; `bytes` (size at most PACKET_MAX_BYTES) is changed in place. Calls on_media or counts why not.
void media_crypt_receive_packet(struct media_crypt_receive *receive, uint8_t *bytes, size_t size, uint64_t arrival_ns, uint64_t now_ms);
// Drop what was held for too long. Returns milliseconds until there is more to drop, -1: nothing is held.
int media_crypt_receive_expire(struct media_crypt_receive *receive, uint64_t now_ms);

#endif
