// Counters and the latency histogram. Every dropped packet, message or connection has one named reason: those of the
// packet path are in kernel-bpf/fanout.h, the others here.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_RELAY_STATS_H
#define RELAY_RELAY_STATS_H

#include "kernel-bpf/fanout.h"

#include <stddef.h>
#include <stdint.h>

// X(name, explanation). Drops first: what was refused and why.
#define RELAY_STATS_DROPS(X)                                                                                   \
	X(address_refused, "packets from addresses that the relay does not send to")                           \
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
	X(subscribe_limit, "unwanted streams that were not noted because the client had named too many")       \
	X(subscribe_coalesced, "subscriptions that waited for the next tick because there were too many")      \
	X(table_full, "packets and changes of receivers that waited because the forwarding table was full")    \
	X(up_dropped, "packets for the control thread that it had no room for")                                \
	X(up_rate, "packets for the control thread beyond a sender's allowance")                               \
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
// The packet path's: those below FANOUT_UPS_FIRST are drops, those from FANOUT_COUNTS_FIRST on counts.
const char *relay_stats_fanout_name(enum fanout_counter counter);
const char *relay_stats_fanout_text(enum fanout_counter counter);

// `count` packets that took this long from the kernel's receive timestamp until after transmission.
void relay_stats_latency(struct relay_stats *stats, uint64_t ns, uint64_t count);
// Add another thread's figures, which may grow meanwhile.
void relay_stats_sum(struct relay_stats *stats, const struct relay_stats *other);
// Upper bound of the bucket below which `per_mille` of all packets were; 0 without any.
uint64_t relay_stats_percentile_ns(const struct relay_stats *stats, unsigned per_mille);

#endif
