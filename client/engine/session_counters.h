// What went wrong with a session's packets and messages: each drop has a name and a count.
// SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_SESSION_COUNTERS_H
#define CLIENT_ENGINE_SESSION_COUNTERS_H

#include <stdint.h>

// name, why it is counted
#define COUNTERS(X)                                                                                   \
	/* media that came */                                                                         \
	X(media_malformed)       /* not the RTP header that we speak */                               \
	X(media_own)             /* our own SSRC came back */                                         \
	X(unknown_sender)        /* held for a second, no announcement told whose it is */            \
	X(unknown_epoch)         /* held for a second, no key for its epoch */                        \
	X(hold_full)             /* more to be held than there is room for */                         \
	X(decrypt_failed)        /* tag does not verify under the key that its MKI names */           \
	X(replayed)              /* seen before, or too old to tell */                                \
	X(old_generation)        /* of a key that is gone */                                          \
	X(stream_limit)          /* more streams of one member than we keep contexts for */           \
	/* members */                                                                                 \
	X(member_limit)          /* more members than we keep */                                      \
	X(run_replayed)          /* an announcement of a run that is over */                          \
	X(announcement_failed)   /* does not open, or is malformed: not of this meeting's members */  \
	/* hop packets and datagrams that came */                                                     \
	X(datagram_malformed)    /* too short, too long, or of no known type */                       \
	X(hop_unauthentic)       /* tag or SRTCP authentication is wrong */                           \
	X(hop_unexpected)        /* authentic, but not for a client, or about a stream not ours */    \
	X(nack_unanswered)       /* asked for a packet that is no longer kept */                      \
	X(nack_refused)          /* asked for more packets than we send */                            \
	/* control connection */                                                                      \
	X(message_malformed)     /* the connection is closed then */                                  \
	X(message_unexpected)    /* well formed, but not for a client or not now */                   \
	/* what we send */                                                                            \
	X(queue_full)            /* the session lags behind the media threads */                      \
	X(no_path)               /* not connected, or UDP only and not there yet */                   \
	X(tls_congested)         /* the connection takes no more */                                   \
	X(udp_refused)           /* the system refused a datagram */                                  \
	X(protect_failed)        /* the crypto library refused */                                     \
	X(nack_sent)             /* not a drop: packets asked for */                                  \
	X(nack_answered)         /* not a drop: packets sent again */                                 \
	/* the caller */                                                                              \
	X(events_dropped)        /* the caller does not fetch its events */

enum counter {
#define COUNTER_ENUM(name) COUNTER_##name,
	COUNTERS(COUNTER_ENUM)
#undef COUNTER_ENUM
	COUNTER_COUNT
};

struct session_counters {
	uint64_t value[COUNTER_COUNT];
};

static inline void session_counters_add(struct session_counters *counters, enum counter counter, uint64_t count)
{
	counters->value[counter] += count;
}

const char *session_counters_name(enum counter counter);

#endif
