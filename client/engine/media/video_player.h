// The worker that decodes and shows one remote video stream, with what it needs to be recorded and measured.
// SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_VIDEO_PLAYER_H
#define CLIENT_ENGINE_MEDIA_VIDEO_PLAYER_H

#include "base/err.h"
#include "client/engine/media/media.h"
#include "client/engine/media/recording.h"
#include "client/engine/media/tally.h"
#include "client/engine/media/video_receiver.h"

#include <stdint.h>

struct video_player;

// `tally` and `recording` (NULL: not recorded) are borrowed. `epoch_ns`: the sender's capture epoch, Unix ns.
enum err video_player_new(struct tally *tally, struct recording *recording, uint64_t epoch_ns,
		struct video_player **out) CHECK_RESULT;
void video_player_free(struct video_player *player); // stops the worker; NULL is fine

// Any thread.
void video_player_receive(struct video_player *p, const struct packet_rtp *rtp, const uint8_t *payload,
		size_t size, uint64_t now_ns);
void video_player_sync(struct video_player *p, int64_t sound_delay_ns); // or MEDIA_DELAY_NONE
struct video_receiver *video_player_receiver(struct video_player *p);   // borrowed
void video_player_stats(struct video_player *p, struct media_stream_stats *out); // all but participant and SSRC

#endif
