// Hop control between the relay and its clients: keepalives, key frame requests, retransmission.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_FEEDBACK_H
#define RELAY_FEEDBACK_H

#include "base/hop.h"

struct member;
struct relay;
struct flow;

#define FEEDBACK_PLI_PAUSE_NS 250000000u  // between key frame requests for one stream,
#define FEEDBACK_PLI_NS 1000000000u       // one a second on average,
#define FEEDBACK_PLI_BURST_NS 4000000000u // four in a row
#define FEEDBACK_NACK_PAUSE_NS 20000000u  // between requests for one packet
#define FEEDBACK_RETRANSMIT_NS 1000000u   // a receiver's allowance: 1,000 packets a second,
#define FEEDBACK_RETRANSMIT_BURST_NS 200000000u // 200 at once
#define FEEDBACK_KEEPALIVE_NS 5000000000u // the longest time in which no packet from a socket goes to an address

// A hop packet from the flow's own address, tag and counter checked. Opened in place.
void feedback_receive(struct relay *relay, struct flow *flow, uint8_t *bytes, size_t size);

// A message of the relay's own to a member.
void feedback_send(struct relay *relay, const struct member *member, enum hop_path path, const struct hop_message *message);

// Copies made by programs in the kernel do not keep neighbour entries fresh; this does.
void feedback_tick(struct relay *relay, const struct member *member, uint64_t now_ns);

#endif
