// Receiver of one video stream: reassembly, decoding in order, play-out on the sender's capture clock.
// insert, missing and the getters may be called by any thread; step belongs to one worker, which decodes
// without holding the lock. `now` is always the monotonic clock. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_VIDEO_RECEIVER_H
#define CLIENT_ENGINE_MEDIA_VIDEO_RECEIVER_H

#include "base/err.h"
#include "base/packet.h"
#include "client/engine/media/arrivals.h"
#include "client/engine/media/picture.h"
#include "client/engine/media/tally.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct video_receiver;

struct video_receiver_stats {
	uint64_t packets, bytes, lost, recovered;
	double bitrate;
	uint64_t shown, missed; // pictures; missed: places in time where none came
	uint64_t key_frames_requested;
	uint32_t width, height;
};

enum err video_receiver_new(struct tally *tally, struct video_receiver **out) CHECK_RESULT;
void video_receiver_free(struct video_receiver *receiver);

// True if the worker should look.
bool video_receiver_insert(struct video_receiver *r, const struct packet_rtp *rtp, const uint8_t *payload,
		size_t size, uint64_t now_ns);

// A picture's time has come; `picture` is the callee's, with timestamp and playout_ns (monotonic) set.
typedef void video_receiver_show(void *context, struct picture *picture, int64_t media_ns);

// Decode what is whole, show what is due. `sync_ns`: delay of the participant's sound. Returns when to
// call again if nothing arrives.
uint64_t video_receiver_step(struct video_receiver *r, uint64_t now_ns, int64_t sync_ns,
		video_receiver_show *show, void *context);

size_t video_receiver_missing(struct video_receiver *r, uint64_t now_ns, uint16_t *out, size_t capacity);
// The way to the sender and back, as packets that were asked for have shown; 0: not known.
uint64_t video_receiver_rtt_ns(struct video_receiver *r);
// Whether to ask for a key frame now; counts as asked.
bool video_receiver_wants_key(struct video_receiver *r, uint64_t now_ns);
// Delay that most of the pictures need, or MEDIA_DELAY_NONE.
int64_t video_receiver_needed_ns(struct video_receiver *r);
void video_receiver_get_stats(struct video_receiver *r, struct video_receiver_stats *out);

#endif
