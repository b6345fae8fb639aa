// What the two ways of receiving share. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_MEDIA_PORT_PRIVATE_H
#define RELAY_MEDIA_PORT_PRIVATE_H

#include "relay/media_port.h"

enum {
	MEDIA_PORT_SEGMENTS = 128, // of a train: what comes from a card has 64 at most, from a virtual machine or a veth twice that
	MEDIA_PORT_TRAIN_BYTES = 65536,
	// Own address, receive time, mark, size of segments: 120 bytes of control data.
	MEDIA_PORT_CONTROL_BYTES = 144,
};

struct media_port_told {
	const struct sockaddr_in6 *from;
	struct msghdr *control; // only its control data is looked at
	uint8_t *bytes;
	size_t size;
	bool is_leg;
};

// The datagrams of a message, a train or the one there is; returns how many, MEDIA_PORT_SEGMENTS at most.
size_t media_port_tell(const struct media_port_told *told, struct loop_datagram *out);
size_t media_port_send(struct media_port *port, bool is_leg, struct mmsghdr *messages, size_t count);
unsigned media_port_backlog(struct media_port *port);

enum err media_port_mmsg_open(const struct media_port *sockets, struct media_port **out) CHECK_RESULT;
enum err media_port_uring_open(const struct media_port *sockets, struct media_port **out) CHECK_RESULT;

#endif
