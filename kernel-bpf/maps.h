// The programs' maps: the forwarding table of kernel-bpf/fanout.h, which the relay maps into its memory, and what the
// programs keep for themselves. Sizes are set by whoever loads. SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#ifndef KERNEL_BPF_MAPS_H
#define KERNEL_BPF_MAPS_H

#include "kernel-bpf/fanout.h"
#include "kernel-bpf/parse.h"

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#define TABLE_MAP(name, shape)                         \
	struct {                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);      \
		__uint(map_flags, BPF_F_MMAPABLE);     \
		__uint(max_entries, 1);                \
		__type(key, uint32_t);                 \
		__type(value, shape);                  \
	} name SEC(".maps")

TABLE_MAP(config, struct fanout_config);
TABLE_MAP(senders, struct fanout_sender);
TABLE_MAP(windows, struct fanout_window);
TABLE_MAP(blocks, fanout_block);
TABLE_MAP(receivers, struct fanout_receiver); // extent headers among them

#define HISTORY_MAP(name, slot_bytes)                  \
	struct {                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);      \
		__uint(map_flags, BPF_F_MMAPABLE);     \
		__uint(max_entries, 1);                \
		__uint(key_size, sizeof(uint32_t));    \
		__uint(value_size, slot_bytes);        \
	} name SEC(".maps")

HISTORY_MAP(history_small, FANOUT_SMALL_SLOT);
HISTORY_MAP(history_large, FANOUT_LARGE_SLOT);

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct fanout_relay_key);
	__type(value, struct fanout_relay);
} relays SEC(".maps");

struct address {
	uint8_t bytes[16];
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct address);
	__type(value, uint8_t);
} addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct fanout_counters);
} counters SEC(".maps");

// Updating it makes the kernel wait for all running programs: the relay's grace period.
struct grace_inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, uint32_t);
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__array(values, struct grace_inner);
} grace SEC(".maps");

// Where X sends n copies on a device: key = device slot * (FANOUT_XDP_MAX + 1) + n. The map there has n entries, all of
// them this device and the program fanout_egress, so that a broadcast to it is n copies.
struct copies_to_device {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(uint32_t));
	__uint(value_size, sizeof(struct bpf_devmap_val));
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, FANOUT_DEVICES * (FANOUT_XDP_MAX + 1));
	__type(key, uint32_t);
	__array(values, struct copies_to_device);
} sizes SEC(".maps");

// A packet between X's two programs: the first fills it in, the second is run for each copy, in order, on the same CPU,
// before the first has seen FLIGHTS other packets (drivers hand over at most 64 between two flushes).
enum { FLIGHTS = 256 };
struct flight {
	uint32_t id;         // as in the packet's stamp
	uint32_t next, end;  // records that copies are for; `end` is behind the last
	uint32_t skip;       // among them the sender's own
	uint32_t room, sender;
	uint32_t base;       // of the UDP checksum (rewrite.h)
	uint16_t udp_bytes;  // length in the UDP header
	uint8_t header_bytes; // in front of the payload: Ethernet, tag, IP, UDP
	uint8_t check;       // enum check
};

// What a CPU remembers between packets.
struct cpu {
	uint32_t packets;      // seen: every 64th is timed
	uint32_t mtu_lowest;   // of all devices, as of mtu_read_ns
	uint64_t mtu_read_ns;
	uint64_t full_queue;   // a receive queue (pace.h)
	uint64_t full_ns;      // when it was last found full
	uint32_t full_polls;   // how often in sequence
	uint32_t polled;       // `packets` as of the last poll of any queue
	uint32_t next_flight;
	// The packet at hand, until its first copy leaves: that may run a program for another packet.
	struct parse parse;
	struct fanout_packet segment;              // of a train, the one at hand
	uint32_t train_count[FANOUT_SEGMENTS_MAX]; // and their counters
	struct flight flight[FLIGHTS];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct cpu);
} cpus SEC(".maps");

#endif
