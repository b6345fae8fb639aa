// The forwarding table: all that the relay, its loader and the programs in the kernel agree on.
//
//   handle ─► sender[index] ─ stream[low byte of SSRC] ─► block[n] ─► receiver[first] = extent header
//                │                    │                                receiver[first + 1 …] = one copy each
//                └─► window[index]    └─► history slots
//
// User space writes, one thread; the programs and the relay's media threads read. What is published is never
// changed: a new extent is written beside the old one, the block is flipped to it by one store, and the old
// one is used again only after a grace period in which everyone has let go of it. So a reader that has loaded
// block[n] once holds a consistent list, also in X's egress program, which runs later.
//
// The table is memory-mapped BPF arrays, or plain shared memory where there is no BPF. All numbers are in host byte
// order but those called _be. SPDX-License-Identifier: Apache-2.0
#ifndef KERNEL_BPF_FANOUT_H
#define KERNEL_BPF_FANOUT_H

#include <stdint.h>

enum {
	FANOUT_STREAMS = 16,        // of a sender; the low byte of an SSRC is below it
	FANOUT_WINDOW_SLOTS = 1024, // replay window
	FANOUT_XDP_MAX = 256,       // receivers of a packet that X multiplies
	FANOUT_DEVICES = 32,        // devices with a program attached; 0 is none
	FANOUT_SEGMENTS_MAX = 64,   // of a GSO or GRO train
	FANOUT_PACKET_BYTES = 1200, // largest datagram that is forwarded
	FANOUT_HEAD_BYTES = 40,     // of it are read: hop header and RTP header
	FANOUT_SMALL_BYTES = 304, FANOUT_LARGE_BYTES = 1200, // what a slot of either class of history takes
	FANOUT_NOWHERE = 0xffff,
};

// Who multiplies: nobody in the kernel (U), tcx programs (T), native XDP (X).
enum fanout_engine { FANOUT_USER = 0, FANOUT_TCX = 1, FANOUT_XDP = 2, FANOUT_ENGINES = 3 };

// ---------------------------------------------------------------- map "config", one entry

struct fanout_config {
	uint16_t port_be;       // media of clients
	uint16_t relay_port_be; // legs of other relays; 0: none
	uint32_t is_enabled;    // 0: the programs pass everything to user space
	// By device slot. X transmits there with its egress program; T by ifindex.
	uint32_t ifindex[FANOUT_DEVICES];
	uint16_t mtu[FANOUT_DEVICES]; // of the IP packet
	// Overload: once a receive queue was full at so many polls in sequence, of 64 packets each, the streams that may be
	// shed are, until it is empty. 0: never.
	uint32_t shed_after;
};

// ---------------------------------------------------------------- map "senders": by the index in the handle

enum { // fanout_stream.flags
	FANOUT_STREAM_MAY_SHED = 1, // video: dropped before sound when there is too much
};

// History of a stream: first slot, number of slots as a power of two, class. One 64-bit store; 0: none.
#define FANOUT_HISTORY(first, log2, is_large) ((uint64_t)(first) << 32 | (uint64_t)(is_large) << 8 | (uint64_t)(log2) | 1ull << 16)
#define FANOUT_HISTORY_FIRST(h) ((uint32_t)((h) >> 32))
#define FANOUT_HISTORY_LOG2(h) ((uint32_t)(h) & 0xff)
#define FANOUT_HISTORY_IS_LARGE(h) ((uint32_t)(h) >> 8 & 1)

struct fanout_stream {
	uint32_t block;    // 0: unknown stream, user space decides
	uint16_t position; // hint: which record of the block's extent (from 0) is the sender's own; FANOUT_NOWHERE
	uint16_t newest;   // highest sequence number, written by whoever forwards
	uint64_t history;  // FANOUT_HISTORY
	uint64_t packets, bytes; // forwarded, each counted once; added to atomically
	uint32_t flags;
	uint32_t congested; // packets that arrived with ECN "congestion experienced"
};

enum { // fanout_sender.flags
	FANOUT_SENDER_HAS_ADDRESS = 1, // `peer` was proven; always set for TLS
	FANOUT_SENDER_IS_TLS = 2,      // packets come in frames: nothing on UDP is at home
	FANOUT_SENDER_MAY_SEND = 4,
};

struct fanout_sender {
	uint32_t handle; // of type media; 0: the entry is free
	uint32_t index;  // participant: SSRC = index << 8 | stream
	uint32_t room;   // equals that of every receiver of its streams, never 0
	uint32_t flags;
	uint64_t tag_key[2];   // little-endian words
	uint8_t peer[16];      // IPv6, or IPv4 mapped; zeros for TLS
	uint16_t peer_port_be; // 0 for TLS
	uint16_t reserved;
	uint32_t ns_per_kib;   // rate limit: what 1,024 bytes of UDP payload cost; 0: none
	uint64_t rate_used_ns; // up to when the allowance is used; written by whoever forwards
	struct fanout_stream stream[FANOUT_STREAMS];
};

// ---------------------------------------------------------------- map "windows": same index as senders

// The last senders are those of TLS paths: nothing of theirs is at home on UDP, so they have no window.

// 1,024 slots; a counter is accepted if a compare-and-swap raises slot[counter mod 1024]. Zeros at first; counter 0 is
// never accepted.
struct fanout_window {
	uint32_t slot[FANOUT_WINDOW_SLOTS];
};

// ---------------------------------------------------------------- map "relays": legs of other relays (hash)

// Packets that arrive at relay_port are looked up in the part of `senders` that belongs to the relay they come from:
// index = base + index in the handle, if that is below count.
struct fanout_relay_key {
	uint8_t address[16];
	uint16_t port_be, zero;
};
struct fanout_relay {
	uint32_t base, count;
};

// ---------------------------------------------------------------- map "blocks": who receives

// Index of the extent's first record in "receivers"; 0: empty, nobody receives. Entry 0 is unused. As wide as the kernel
// spaces the entries of a mapped array.
typedef uint64_t fanout_block;

enum { // fanout_extent.flags
	FANOUT_EXTENT_TCX = 1,  // T may multiply
	FANOUT_EXTENT_XDP = 2,  // X may: all records are in the kernel, on device `device`, at most FANOUT_XDP_MAX + 1
	FANOUT_EXTENT_MIXED = 4, // both IPv4 and IPv6 among those in the kernel
	// Some IPv4 receiver is reached by `lo`. What did not come that way has no route in it, and IPv4 takes it for a forgery.
	FANOUT_EXTENT_LOOPBACK = 8,
};
enum { FANOUT_LOOPBACK_IFINDEX = 1 };

// The first record of an extent. Records: IPv4 in the kernel, IPv6 in the kernel, then those that user space serves
// (TLS, devices without a program, next hop unknown).
struct fanout_extent {
	uint32_t room;
	uint16_t count, in_kernel, ipv4; // records; the first in_kernel, of which the first ipv4
	uint16_t flags;
	uint8_t device;     // FANOUT_EXTENT_XDP: where all leave
	uint8_t generation; // raised with each use of these records
	uint16_t reserved;
	uint64_t unused[6];
};

enum { // fanout_receiver.family
	FANOUT_OUTSIDE = 0, // user space delivers
	FANOUT_IPV4 = 4,
	FANOUT_IPV6 = 6,
};
enum { // fanout_receiver.flags
	FANOUT_RECEIVER_LOOKUP = 1, // next hop not known any more: bpf_fib_lookup for each copy
	FANOUT_RECEIVER_RELAY = 2,  // another relay: sent from relay_port
};

// One copy: all that is put in front of the payload. One cache line.
struct fanout_receiver {
	uint8_t next_hop[6], own[6]; // MAC addresses
	uint16_t vlan_be;            // tag control information that X puts in, 0: none (T sends to the VLAN device)
	uint8_t family;              // FANOUT_IPV4 …
	uint8_t device;              // slot in config, 0: none (user space)
	uint8_t source[16], destination[16]; // IPv4: in the first four bytes, the rest zeros
	uint16_t source_port_be, destination_port_be;
	uint32_t room;
	uint32_t member; // participant index of the receiver, 24 bits
	uint16_t sum;    // folded one's complement sum, in network order, of addresses and ports above
	uint8_t traffic_class; // DSCP << 2 | ECN of this leg
	uint8_t flags;
};
_Static_assert(sizeof(struct fanout_receiver) == 64 && sizeof(struct fanout_extent) == 64, "one cache line");

// A packet that the kernel has multiplied and that user space is to give to the records that it serves: skb mark.
enum { FANOUT_MARK_MAGIC = 0x5, FANOUT_EXTENT_BITS = 20 };
#define FANOUT_MARK(first, generation) ((uint32_t)FANOUT_MARK_MAGIC << 28 | (uint32_t)(generation) << 20 | (first))
#define FANOUT_MARK_IS(mark) ((mark) >> 28 == FANOUT_MARK_MAGIC)
#define FANOUT_MARK_FIRST(mark) ((mark) & ((1u << FANOUT_EXTENT_BITS) - 1))
#define FANOUT_MARK_GENERATION(mark) ((uint8_t)((mark) >> 20))

// ---------------------------------------------------------------- maps "history_small", "history_large"

// Slot of sequence s: first + (s mod slots). The lock is odd while somebody writes; who finds it odd leaves the packet
// out (counted). Readers read lock, bytes, lock. The datagram begins with its hop header.
struct fanout_slot {
	uint32_t lock;
	uint32_t ssrc, timestamp; // ssrc 0: empty
	uint16_t sequence, size;
	uint8_t bytes[];
};
enum { FANOUT_SMALL_SLOT = 16 + FANOUT_SMALL_BYTES, FANOUT_LARGE_SLOT = 16 + FANOUT_LARGE_BYTES };

// ---------------------------------------------------------------- map "addresses" (hash)

// The machine's own addresses (16 bytes, IPv4 mapped): a packet that is refused is dropped only if it was for us. What
// is forwarded has a tag that nobody makes for another.

// ---------------------------------------------------------------- verdicts and counters

// X(name, explanation). Refused: dropped and counted. Names are those of relay_stats.h.
#define FANOUT_DROPS(X)                                                                               \
	X(packet_malformed, "datagrams and frames that are too short, too long or of an unknown type") \
	X(handle_unknown, "packets whose handle is nobody's, or somebody's former one")               \
	X(address_foreign, "packets with a handle of another address or connection")                  \
	X(tag_wrong, "packets with a wrong tag")                                                      \
	X(counter_replayed, "packets whose counter was seen before or is too old")                    \
	X(rtp_malformed, "media with an RTP header of another shape than ours")                       \
	X(ssrc_foreign, "media for a stream of somebody else")                                        \
	X(send_not_allowed, "media from participants without the right to send")                      \
	X(stream_limit, "media of more streams than a participant may have")                          \
	X(media_repeated, "media packets that a sender sent again though they had arrived")           \
	X(rate_limit, "media beyond a sender's allowed rate")                                         \
	X(overload_shed, "video dropped because more packets came than the processor could serve")                 \
	X(room_foreign, "copies not made because the receiver is in another room")                    \
	X(neighbour_unknown, "copies not made because the next hop is unknown")                       \
	X(redirect_failed, "copies that the kernel could not queue")

// Not for the kernel: passed to user space, which decides.
#define FANOUT_UPS(X)                                                                                 \
	X(up_hop, "hop control packets")                                                              \
	X(up_foreign, "good tag from a new address: a path challenge follows")                        \
	X(up_stream, "streams that have no block yet")                                                \
	X(up_user, "rooms that user space serves")                                                    \
	X(up_outside, "packets multiplied in the kernel that also go to receivers outside of it")     \
	X(up_fragment, "IP fragments")                                                                \
	X(up_options, "IPv4 options or IPv6 extension headers")                                       \
	X(up_length, "lengths of frame, IP and UDP header that do not agree")                         \
	X(up_checksum, "IPv4 packets without UDP checksum for IPv6 receivers")                        \
	X(up_mtu, "packets larger than the MTU of a receiver's device")                               \
	X(up_train, "GSO or GRO trains of several blocks, of unequal verdicts or odd shape")          \
	X(up_xdp, "packets that X leaves to T")

// Done.
#define FANOUT_COUNTS(X)                                                                              \
	X(media_received, "media packets accepted, on either path")                                   \
	X(media_forwarded, "copies of them handed to receivers, on either path")                      \
	X(bytes_forwarded, "bytes in them")                                                           \
	X(trains, "GSO or GRO trains multiplied whole")                                               \
	X(train_packets, "packets in them")                                                           \
	X(history_skipped, "packets not kept for retransmission")

#define FANOUT_NAME(name, text) FANOUT_##name,
// An admission's outcome is one of drops and ups, or FANOUT_FORWARD.
enum fanout_counter {
	FANOUT_DROPS(FANOUT_NAME) FANOUT_UPS_FIRST, FANOUT_BEFORE_UPS = FANOUT_UPS_FIRST - 1,
	FANOUT_UPS(FANOUT_NAME) FANOUT_COUNTS_FIRST, FANOUT_BEFORE_COUNTS = FANOUT_COUNTS_FIRST - 1,
	FANOUT_COUNTS(FANOUT_NAME) FANOUT_COUNTERS,
	FANOUT_FORWARD = 255,
};
#undef FANOUT_NAME

// Map "counters", per CPU, one entry.
enum { FANOUT_LATENCY_BUCKETS = 24 }; // bucket b: below 2^b * 64 ns
struct fanout_counters {
	uint64_t counter[FANOUT_COUNTERS];
	// One packet of 64: from the program's start until its last copy was handed over.
	uint64_t latency[FANOUT_LATENCY_BUCKETS];
};

// ---------------------------------------------------------------- what the loader hands over

// One message per item on the loader's socket: this header, the descriptors as SCM_RIGHTS. Ends with LOADER_DONE or
// LOADER_FAILED. No descriptor of a program is ever among them.
enum loader_item {
	LOADER_MAP = 1,    // one descriptor, `map`
	LOADER_DEVICE = 2, // `device`; up to two descriptors: links of the tcx and of the XDP program, as `engines` says
	LOADER_DONE = 3,
	LOADER_FAILED = 4, // `text` says why
	LOADER_POLL = 5,   // one descriptor: link of the program that sees overload; or none, and `text` says why
};
enum loader_map { // `grace`: an array of maps of one entry; `grace_inner`: what is put there to wait for all readers
	LOADER_MAP_CONFIG, LOADER_MAP_SENDERS, LOADER_MAP_WINDOWS, LOADER_MAP_BLOCKS, LOADER_MAP_RECEIVERS,
	LOADER_MAP_HISTORY_SMALL, LOADER_MAP_HISTORY_LARGE, LOADER_MAP_RELAYS, LOADER_MAP_ADDRESSES, LOADER_MAP_COUNTERS,
	LOADER_MAP_GRACE, LOADER_MAP_GRACE_INNER, LOADER_MAPS
};
struct loader_message {
	uint32_t item;
	uint32_t map, entries; // LOADER_MAP
	uint32_t device, ifindex, engines; // LOADER_DEVICE: slot; bit 1 << enum fanout_engine
	uint32_t ring;         // transmit ring of the device in packets, 0: not known
	char name[16];         // of the device
	char text[256];        // of a failure, or why a device lacks an engine; empty: nothing to say
};

#endif
