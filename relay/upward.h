// What the packet path leaves to the control thread: feedback, packets from new addresses, new streams, and receivers
// on TLS. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_UPWARD_H
#define RELAY_UPWARD_H

#include "relay/media.h"

struct relay;

// One packet that a media thread, or the control thread's own `relay->media`, handed up. Control thread only. Its bytes
// stay until the outbox is flushed.
void upward_receive(struct relay *relay, struct media_up *up);

// Count a packet that is refused here by the reason that the packet path would have given.
void upward_drop(struct relay *relay, enum fanout_counter reason);

#endif
