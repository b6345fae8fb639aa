// The packet path: what becomes of one datagram, from UDP or in a frame. Decides and fills the outbox; makes
// no system call. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_FORWARD_H
#define RELAY_FORWARD_H

#include "base/hop.h"
#include "relay/loop.h"

struct relay;
struct tcs_session;
struct member;

struct forward_source {
	enum hop_path path;
	const struct loop_address *address; // UDP
	const struct tcs_session *session;  // TLS
};

// `bytes` is a whole datagram and stays until the outbox is flushed; hop packets are opened in place. Returns
// how many copies went out.
size_t forward_packet(struct relay *relay, const struct forward_source *source, uint8_t *bytes, size_t size);

// One packet to one member, on the path where it receives. False if there is no room for it.
bool forward_to(struct relay *relay, const struct member *member, const uint8_t *bytes, size_t size);

#endif
