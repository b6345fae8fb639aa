// Counters and the latency histogram. Every dropped packet, message or connection has one named reason here.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_RELAY_STATS_H
#define RELAY_RELAY_STATS_H

#include <stddef.h>
#include <stdint.h>

// X(name, explanation). Drops first: what was refused and why.
#define RELAY_STATS_DROPS(X)                                                                                   \
	X(packet_malformed, "datagrams and frames that are too short, too long or of an unknown type")         \
	X(handle_unknown, "packets whose handle is nobody's, or somebody's former one")                        \
	X(address_foreign, "packets with a handle of another address or connection")                           \
	X(address_refused, "packets from addresses that the relay does not send to")                           \
	X(tag_wrong, "packets with a wrong tag")                                                               \
	X(counter_replayed, "packets whose counter was seen before or is too old")                             \
	X(rtp_malformed, "media with an RTP header of another shape than ours")                                \
	X(ssrc_foreign, "media for a stream of somebody else")                                                 \
	X(send_not_allowed, "media from participants without the right to send")                               \
	X(stream_limit, "media of more streams than a participant may have")                                   \
	X(media_repeated, "media packets that a sender sent again though they had arrived")                     \
	X(hop_wrong, "hop messages that do not authenticate or do not parse")                                  \
	X(hop_replayed, "hop messages seen before")                                                            \
	X(hop_unexpected, "hop messages that a client has no reason to send")                                  \
	X(challenge_rate, "path challenges not sent because there were too many")                              \
	X(challenge_size, "path challenges not sent because they would be larger than what came")              \
	X(response_wrong, "answers to path challenges with a wrong or old cookie")                             \
	X(feedback_unknown, "feedback for a stream that nobody here sends")                                    \
	X(pli_coalesced, "key frame requests within 250 ms of the one before, or many in a row")               \
	X(nack_outside, "requests for packets that are older than the history or were not sent yet")           \
	X(nack_coalesced, "requests to a sender within 20 ms of the one before")                               \
	X(nack_rate, "retransmissions beyond a receiver's allowance")                                          \
	X(send_refused, "datagrams that the kernel did not take")                                              \
	X(media_queue_full, "media not sent to slow receivers on a TLS path")                                  \
	X(client_slow, "connections closed because the client does not read")                                  \
	X(handshake_limit, "connections refused because too many handshakes were unfinished")                  \
	X(connection_limit, "connections refused because their address or IPv6 network (/64) has too many")    \
	X(session_limit, "connections refused because the relay is full")                                      \
	X(handshake_failed, "TLS handshakes that failed")                                                      \
	X(handshake_timeout, "connections without a valid JOIN within 10 s")                                   \
	X(tls_broken, "connections closed for a TLS error or a flood of key updates")                          \
	X(session_timeout, "sessions silent for 15 s")                                                         \
	X(frame_malformed, "sessions closed for a malformed frame or message")                                 \
	X(message_unexpected, "sessions closed for a message out of order")                                    \
	X(join_ticket, "joins refused: ticket not authentic, foreign, or proof wrong")                         \
	X(join_expired, "joins refused: the ticket's time is over")                                            \
	X(join_closed, "joins refused: the meeting has ended")                                                 \
	X(join_removed, "joins refused: participant was removed")                                              \
	X(join_full, "joins refused: meeting or relay full")                                                   \
	X(manager_malformed, "messages of the manager process that were not understood")                       \
	X(report_skipped, "reports to the manager process that it had no room for")                            \
	X(passed_malformed, "messages on the mux socket without a TCP connection")                             \
	X(request_malformed, "requests on the control socket that were not understood")

// What was done.
#define RELAY_STATS_COUNTS(X)                                                                                  \
	X(datagrams_received, "datagrams from the network")                                                    \
	X(datagrams_sent, "datagrams given to the network")                                                    \
	X(bytes_received, "bytes in them")                                                                     \
	X(bytes_sent, "bytes in them")                                                                         \
	X(media_received, "media packets accepted, on either path")                                            \
	X(media_forwarded, "copies of them handed to receivers, on either path")                               \
	X(media_retransmitted, "copies sent again from the history")                                           \
	X(challenges_sent, "path challenges")                                                                  \
	X(addresses_moved, "sessions whose UDP address was set or moved")                                      \
	X(sessions_joined, "participants that joined")                                                         \
	X(sessions_ended, "participants that left or were dropped")

#define RELAY_STATS_NAME(name, text) STATS_##name,
enum relay_stats_counter { RELAY_STATS_DROPS(RELAY_STATS_NAME) STATS_DROPS, STATS_BEFORE_COUNTS = STATS_DROPS - 1,
			   RELAY_STATS_COUNTS(RELAY_STATS_NAME) STATS_COUNTERS };
#undef RELAY_STATS_NAME

// Logarithmic with sixteen steps an octave: at most 6 % wrong, from 1 ns to 18 minutes.
enum { RELAY_STATS_STEP_BITS = 4, RELAY_STATS_BUCKETS = 40 << RELAY_STATS_STEP_BITS };

struct relay_stats {
	uint64_t counter[STATS_COUNTERS];
	uint64_t latency[RELAY_STATS_BUCKETS];
	uint64_t latency_count, latency_max_ns;
};

static inline void relay_stats_add(struct relay_stats *stats, enum relay_stats_counter counter, uint64_t n)
{
	stats->counter[counter] += n;
}

const char *relay_stats_name(enum relay_stats_counter counter);
const char *relay_stats_text(enum relay_stats_counter counter);

// `count` packets that took this long from the kernel's receive timestamp until after transmission.
void relay_stats_latency(struct relay_stats *stats, uint64_t ns, uint64_t count);
// Upper bound of the bucket below which `per_mille` of all packets were; 0 without any.
uint64_t relay_stats_percentile_ns(const struct relay_stats *stats, unsigned per_mille);

#endif
