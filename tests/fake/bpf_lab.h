// The programs with a small table of their own, in a network namespace that ends with the process. Tests write the table
// by hand: it is the contract that is tested, not the relay's writer. SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_FAKE_BPF_LAB_H
#define TESTS_FAKE_BPF_LAB_H

#include "base/packet.h"
#include "kernel-bpf/fanout.h"
#include "tests/fake/bpf_frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	BPF_LAB_SENDERS = 64, BPF_LAB_BLOCKS = 16, BPF_LAB_RECEIVERS = 4096, BPF_LAB_SLOTS = 256,
	BPF_LAB_PORT = 3480, BPF_LAB_RELAY_PORT = 3481,
	BPF_LAB_ROOM = 7, BPF_LAB_SENDER = 5, // index of the entry in use, participant index is BPF_LAB_MEMBER
	BPF_LAB_MEMBER = 0x1234, BPF_LAB_BLOCK = 3, BPF_LAB_FIRST = 100,
};

struct bpf_lab {
	struct fanout_bpf *programs;
	struct fanout_config *config;
	struct fanout_sender *sender;
	struct fanout_window *window;
	fanout_block *block;
	struct fanout_receiver *receiver;
	uint8_t *small, *large;
	struct fanout_counters counted; // as of the last bpf_lab_mark
	uint32_t count;                 // counter of the last datagram made
};

// False: no privileges or no kernel for it, `why` says which. A new network namespace with `lo` up.
bool bpf_lab_open(struct bpf_lab *lab, const char **why);
void bpf_lab_close(struct bpf_lab *lab);
// An empty table, and a sender of room BPF_LAB_ROOM at 10.0.0.9 port 4000 whose stream 0 leads to BPF_LAB_BLOCK.
void bpf_lab_reset(struct bpf_lab *lab);

// A device of the namespace takes a slot; X can send up to `copies` of a packet there.
bool bpf_lab_device(struct bpf_lab *lab, uint8_t slot, const char *name, uint32_t copies);
// Or exactly so many.
bool bpf_lab_copies(struct bpf_lab *lab, uint8_t slot, const char *name, uint32_t copies);

const uint8_t *bpf_lab_key(void);
// The sender's own flow to the relay: 10.0.0.9:4000 to 10.0.0.1:3480, or the same over IPv6 (fd00::9 to fd00::1).
struct bpf_flow bpf_lab_flow(uint8_t family);
// Let a sender be at home where the flow comes from.
void bpf_lab_at_home(struct fanout_sender *sender, const struct bpf_flow *flow);
void bpf_lab_mapped(uint8_t family, const uint8_t *address, uint8_t out[static 16]);
// The address that the flow goes to is the machine's own.
void bpf_lab_own(struct bpf_lab *lab, const struct bpf_flow *flow);
// Both, for the sender of bpf_lab_reset.
void bpf_lab_move(struct bpf_lab *lab, const struct bpf_flow *flow);
// A media datagram of that sender under the next counter; `stream` below 256.
void bpf_lab_datagram(struct bpf_lab *lab, uint8_t stream, uint16_t sequence, uint8_t *out, size_t size);
void bpf_lab_stamp(struct bpf_lab *lab, uint32_t handle, uint8_t *datagram, size_t size);
uint32_t bpf_lab_handle(void);

// Receiver `n`: address 10.1.0.n or fd01::n, port 5000 + n, member 100 + n, by device slot `device`.
struct fanout_receiver bpf_lab_receiver(uint8_t family, uint16_t n, uint8_t device);
// Records, IPv4, IPv6, outside in that order, become an extent at `first`, to which `block` leads.
struct fanout_extent *bpf_lab_extent(struct bpf_lab *lab, uint32_t block, uint32_t first, const struct fanout_receiver *records,
				     size_t count, uint16_t flags);
void bpf_lab_finish(struct fanout_receiver *record); // sum

struct fanout_counters bpf_lab_counters(const struct bpf_lab *lab);
void bpf_lab_mark(struct bpf_lab *lab);
// Counted since the mark.
uint64_t bpf_lab_counted(const struct bpf_lab *lab, enum fanout_counter counter);

// One run by BPF_PROG_TEST_RUN: the verdict.
struct bpf_run {
	int program; // descriptor
	const uint8_t *frame;
	size_t size;
	uint32_t mark, gso_size, gso_segs; // skb only
	uint32_t repeat;
	uint32_t mark_after;
	uint8_t after[2048]; // the frame, if it is not larger
	size_t after_size;
};
int bpf_lab_run(struct bpf_run *run);

#endif
