// The packet path in user space (engine U): admission and copies of datagrams, by the same table and the same code as the
// kernel's programs. One `struct media` for each thread that forwards: the media threads (one per core, each with a socket
// and a ring of its own), and the control thread for what comes over TLS. No lock, no system call before the flush.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_MEDIA_H
#define RELAY_MEDIA_H

#include "base/packet.h"
#include "kernel-bpf/fanout_admit.h"
#include "relay/loop.h"
#include "relay/outbox.h"
#include "relay/table.h"

// A packet for the control thread.
struct media_up {
	enum fanout_counter reason; // FANOUT_up_hop, _foreign, _stream: not admitted yet, its counter not taken.
				    // FANOUT_up_outside: done, but for the TLS receivers of the extent in `mark`
	uint32_t mark;              // up_outside: FANOUT_MARK
	uint64_t received_ns;
	struct loop_address from;
	size_t size;
	uint8_t *bytes;             // may be changed in place; gone after the call
};

struct media {
	struct table_memory *table;
	struct outbox *outbox;             // this thread's own
	struct fanout_counters *counters;  // this thread's own; read by others at any time
	// Called for each, in order. Media threads queue it for the control thread; full: counted there.
	void (*on_up)(void *context, struct media_up *up);
	void *context;
	uint64_t (*clock_ns)(void *context); // monotonic, for the rate limit
};

// Datagrams from the network, unmarked or marked by the kernel's programs. Returns how many were forwarded to somebody.
size_t media_receive(struct media *media, struct loop_datagram *datagrams, size_t count);
// A media or hop packet in a frame of the TLS connection that the handle belongs to (checked by the caller).
size_t media_frame(struct media *media, uint8_t *bytes, size_t size);

#endif
