// Jitter buffer, decoder and concealment of one audio stream: packets in at any time, 10 ms of sound out at each
// tick. After NetEQ: the delay follows how late packets come; a missing frame is rebuilt from the FEC copy in
// the next packet, or made up; the delay changes by single pitch periods. A late packet does not move the
// play-out: sound keeps its place in time and only the missing frame is made up.
//
// Not thread-safe; `now` is always the monotonic clock. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_AUDIO_RECEIVER_H
#define CLIENT_ENGINE_MEDIA_AUDIO_RECEIVER_H

#include "base/err.h"
#include "base/packet.h"
#include "client/engine/media/arrivals.h"
#include "client/engine/media/limits.h"
#include "client/engine/media/tally.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct audio_receiver;

enum err audio_receiver_new(struct tally *tally, struct audio_receiver **out) CHECK_RESULT;
void audio_receiver_free(struct audio_receiver *receiver);

void audio_receiver_insert(struct audio_receiver *r, const struct packet_rtp *rtp, const uint8_t *payload,
		size_t size, uint64_t now_ns);

// What of the stream plays at `now`. False: nothing is due (`out` is silence). `*media_ns` is the time of its
// first sample on the sender's capture clock. `floor_ns`: least delay, so that pictures can keep up,
// or MEDIA_DELAY_NONE.
bool audio_receiver_pull(struct audio_receiver *r, uint64_t now_ns, int64_t floor_ns,
		int16_t out[static MEDIA_AUDIO_TICK], int64_t *media_ns);

// Sequence numbers to ask for: only those that can come before their time. `rtt_ns`: the way to the sender and
// back as other streams measured it, 0: unknown.
size_t audio_receiver_missing(struct audio_receiver *r, uint64_t now_ns, uint64_t rtt_ns, uint16_t *out, size_t capacity);

// Local time minus capture clock of what plays; MEDIA_DELAY_NONE while nothing does.
int64_t audio_receiver_delay_ns(const struct audio_receiver *r);
const struct arrivals *audio_receiver_arrivals(const struct audio_receiver *r);
// Samples played from packets (FEC copies included), and made up.
void audio_receiver_samples(const struct audio_receiver *r, uint64_t *played, uint64_t *concealed);

#endif
