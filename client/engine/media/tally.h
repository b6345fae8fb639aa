// Counters of the media engine: every packet, picture or frame that is dropped has a reason here.
// SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_TALLY_H
#define CLIENT_ENGINE_MEDIA_TALLY_H

#include <stdatomic.h>
#include <stdint.h>

#define TALLY_LIST(X)                                                                                 \
	X(PARTICIPANT_UNKNOWN, "participant_unknown")         /* packet of an index nobody has */      \
	X(STREAM_UNKNOWN, "stream_unknown")                   /* stream number or payload type */      \
	X(DUPLICATE, "duplicate")                             /* packet came before */                 \
	X(SEQUENCE_JUMP, "sequence_jump")                     /* far from all others, not believed */  \
	X(AUDIO_MALFORMED, "audio_malformed")                 /* not an Opus packet */                 \
	X(AUDIO_LATE, "audio_late")                           /* its time was over */                  \
	X(AUDIO_OVERFLOW, "audio_overflow")                   /* buffer full, oldest dropped */        \
	X(AUDIO_JUMP, "audio_timestamp_jump")                 /* sender's clock jumped; dropped or restarted */ \
	X(AUDIO_UNDECODABLE, "audio_undecodable")             /* libopus refused it */                 \
	X(VIDEO_MALFORMED, "video_malformed")                 /* RFC 9628 descriptor */                \
	X(VIDEO_LATE, "video_late")                           /* packet of a picture given up */       \
	X(VIDEO_OVERFLOW, "video_overflow")                   /* too many packets without a picture */ \
	X(VIDEO_GIVEN_UP, "video_given_up")                   /* missing packet never came in time */  \
	X(VIDEO_SKIPPED_TO_KEY, "video_skipped_to_key")       /* packets before a key frame dropped */ \
	X(VIDEO_REFUSED, "video_refused")                     /* header: size, profile, superframe */  \
	X(VIDEO_UNDECODABLE, "video_undecodable")             /* libvpx refused it */                  \
	X(PICTURE_LATE, "picture_late")                       /* replaced by a newer one before shown */ \
	X(RECORDING_BEHIND, "recording_behind")               /* disk too slow: not recorded */        \
	X(RECORDING_STOPPED, "recording_stopped")             /* disk full or failed */                \
	X(RECORDING_CROWDED, "recording_crowded")             /* two pictures for one place in the file */ \
	X(PARTICIPANT_LIMIT, "participant_limit")             /* nobody could be forgotten for a newcomer */ \
	X(NO_MEMORY, "no_memory")                             /* packet of a stream that could not be set up */ \
	X(CAPTURE_PICTURE_SKIPPED, "capture_picture_skipped") /* own picture not sent: too late */     \
	X(CAPTURE_AUDIO_SKIPPED, "capture_audio_skipped")     /* own 20 ms not sent: too late */       \
	X(CAPTURE_FAILED, "capture_failed")                   /* own source or encoder failed */

enum tally_reason {
#define TALLY_ENUM(name, text) TALLY_##name,
	TALLY_LIST(TALLY_ENUM)
#undef TALLY_ENUM
	TALLY_REASONS
};

struct tally {
	_Atomic uint64_t count[TALLY_REASONS];
};

const char *tally_name(enum tally_reason reason);

static inline void tally_add(struct tally *tally, enum tally_reason reason, uint64_t count)
{
	atomic_fetch_add_explicit(&tally->count[reason], count, memory_order_relaxed);
}

static inline uint64_t tally_get(const struct tally *tally, enum tally_reason reason)
{
	return atomic_load_explicit(&tally->count[reason], memory_order_relaxed);
}

#endif
