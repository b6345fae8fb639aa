// What the ways of receiving share. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_MEDIA_PORT_PRIVATE_H
#define RELAY_MEDIA_PORT_PRIVATE_H

#include "relay/media_port.h"

enum { MEDIA_PORT_SEGMENTS = 64 }; // of a train that the kernel puts together

// The datagrams of a train, or the one there is; returns how many.
size_t media_port_split(const struct loop_datagram *whole, size_t segment, struct loop_datagram *out);
// By sendmmsg, which beats io_uring at sending datagrams, with trains and without.
size_t media_port_send(struct media_port *port, bool is_leg, struct mmsghdr *messages, size_t count);
unsigned media_port_backlog(struct media_port *port);

#endif
