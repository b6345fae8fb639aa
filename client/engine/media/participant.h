// One other member of the meeting: sound, pictures and recording, kept over new joins of the same participant.
// SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_PARTICIPANT_H
#define CLIENT_ENGINE_MEDIA_PARTICIPANT_H

#include "base/err.h"
#include "base/packet.h"
#include "base/text.h"
#include "client/engine/media/media.h"
#include "client/engine/media/tally.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct participant;

enum { PARTICIPANT_STREAMS = 2 };

// `options` (callbacks, recording directory) and `tally` are borrowed.
enum err participant_new(const struct id *id, const struct media_options *options, struct tally *tally,
		struct participant **out) CHECK_RESULT;
void participant_free(struct participant *participant); // stops its worker, closes its recording; NULL is fine
const struct id *participant_id(const struct participant *p);

// The participant is here under this index; another index or epoch than before starts its streams anew.
void participant_bind(struct participant *p, uint32_t index, uint64_t capture_epoch_ns, const char *run_text);
void participant_unbind(struct participant *p); // left
bool participant_has_index(struct participant *p, uint32_t index);
bool participant_is_here(struct participant *p);

// `now_ns`: monotonic.
void participant_receive(struct participant *p, const struct packet_rtp *rtp, const uint8_t *payload,
		size_t size, uint64_t now_ns);
// Every 10 ms, `tick_ns` being exact multiples: plays sound out, asks for what is missing. `round_trip_ns`: to the relay and
// back, 0: not known; what is learnt by asking is believed more.
void participant_tick(struct participant *p, uint64_t tick_ns, uint64_t round_trip_ns);
size_t participant_stats(struct participant *p, struct media_stream_stats out[static PARTICIPANT_STREAMS]);
void participant_publish(struct participant *p); // figures into the recording's description

#endif
