// The packet path in user space (engine U): admission and copies of datagrams, by the same table and the same code as the
// kernel's programs. One `struct media` for each thread that forwards: the media threads (one per core, each with a socket
// of its own), and the control thread for what comes over TLS. No lock, no system call before the outbox is flushed.
//
// Copies carry nothing that differs from receiver to receiver, so packets of one sender that go to the same receivers and
// have the same size leave as one train: one message to each receiver, cut into datagrams by the kernel (UDP GSO).
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_MEDIA_H
#define RELAY_MEDIA_H

#include "base/packet.h"
#include "kernel-bpf/fanout_admit.h"
#include "relay/loop.h"
#include "relay/outbox.h"
#include "relay/relay_legs.h"
#include "relay/relay_stats.h"
#include "relay/table.h"

// A packet for the control thread.
struct media_up {
	enum fanout_counter reason; // FANOUT_up_hop, _foreign, _stream: not admitted yet, its counter not taken.
				    // FANOUT_up_outside: done, but for the TLS receivers of the extent in `mark`
	uint32_t mark;              // up_outside: FANOUT_MARK
	bool is_tls;                // it came in a frame; `from` is zeros then
	uint64_t received_ns;       // CLOCK_REALTIME, 0: not known
	struct loop_address from;
	size_t size;
	uint8_t *bytes;             // may be changed in place, but of up_outside, until the outbox is flushed
};

enum { MEDIA_TRAINS = 16, MEDIA_FORWARDED_MAX = 1024 };

// What a sender may have handed up, so that one does not keep the control thread from all others: MEDIA_UPS_PER_S of
// either kind, a quarter of that at once. Up to when it is used.
enum { MEDIA_UPS_PER_S = 2000 };
struct media_allowance {
	uint64_t media_ns, hop_ns;
};

// Packets that leave together.
struct media_train {
	const struct fanout_sender *sender;
	uint32_t first; // extent
	bool is_rest;   // the kernel has served its own part of the extent
	bool is_closed; // nothing fits behind the last one
	size_t count, bytes, segment; // segment: size of all but the last, which may be smaller
	const struct loop_datagram *packet[FANOUT_SEGMENTS_MAX];
};

struct media {
	struct table_memory *table;
	struct outbox *outbox;             // this thread's own
	struct outbox *leg_outbox;         // to other relays; NULL: none
	const struct relay_legs *legs;     // NULL: none
	struct fanout_counters *counters;  // this thread's own; read by others at any time
	struct relay_stats *stats;         // latency
	// Called for each, in order. Media threads queue it for the control thread; full: counted there.
	void (*on_up)(void *context, struct media_up *up);
	void *context;
	uint64_t (*clock_ns)(void *context); // monotonic, for the rate limit
	bool is_writer;                    // the control thread's: `on_up` may change the table
	struct media_allowance *allowance; // by sender's entry, as many as the table has windows; NULL: nobody is limited

	// Its own
	struct media_train train[MEDIA_TRAINS];
	size_t trains;
	uint64_t now_ns;                     // of this batch
	uint64_t pressed_ns;                 // since when every batch was full; 0: the last one was not
	unsigned shed, shed_sum;             // so many of 256 packets that may be shed are
	uint64_t received_ns[MEDIA_FORWARDED_MAX]; // of what was forwarded and has not left yet
	size_t forwarded;
};

// Datagrams from the network, unmarked or marked by the kernel's programs. Their bytes must stay until the outbox is
// flushed. Returns how many were forwarded to somebody.
size_t media_receive(struct media *media, struct loop_datagram *datagrams, size_t count);
// Once for each batch: was there as much as can be taken at once? If that lasts, more comes than can be forwarded: then
// streams that may be shed are, before their counters are taken, the more the more waits (of 256).
void media_note_load(struct media *media, bool is_full, unsigned backlog);
// A media or hop packet in a frame of the TLS connection that the handle belongs to (checked by the caller).
size_t media_frame(struct media *media, uint8_t *bytes, size_t size, uint64_t received_ns);
// What was handed up as up_stream and has a block now: admitted from the beginning and copied to all receivers. Without
// a block it is dropped as stream_limit.
size_t media_forward(struct media *media, struct media_up *up);
// The receivers of an extent that user space serves over TLS have it now, too: its latency counts.
void media_note_forwarded(struct media *media, uint64_t received_ns);
// All that was forwarded has been given to the kernel at `sent_ns` (CLOCK_REALTIME).
void media_sent(struct media *media, uint64_t sent_ns);

#endif
