// Two veth pairs in the lab's namespace: what is sent into g0 arrives at r0, where the programs are; copies leave by r1
// and arrive at c0. SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_FAKE_BPF_WIRE_H
#define TESTS_FAKE_BPF_WIRE_H

#include "tests/fake/bpf_lab.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpf_link;

struct bpf_wire {
	int in, out; // packet sockets at g0 and c0
	struct bpf_link *tcx, *xdp;
	bool has_vlan; // the kernel has VLAN devices; r1.5 is one
};

struct bpf_wire_frame {
	uint8_t bytes[BPF_FRAME_MAX];
	size_t size;
	bool is_partial;    // checksum left to the card
	uint16_t gso_bytes; // payload of each segment, 0: no train
};

// Makes the devices. No program is attached yet.
bool bpf_wire_open(struct bpf_wire *wire);
void bpf_wire_close(struct bpf_wire *wire);
bool bpf_wire_attach_tcx(struct bpf_wire *wire, struct bpf_lab *lab, const char *device);
bool bpf_wire_attach_xdp(struct bpf_wire *wire, struct bpf_lab *lab, const char *device);
void bpf_wire_detach(struct bpf_wire *wire);

bool bpf_wire_send(struct bpf_wire *wire, const struct bpf_wire_frame *frame, const struct bpf_flow *flow);
// The next frame at c0; false: none came within the time.
bool bpf_wire_receive(struct bpf_wire *wire, int timeout_ms, struct bpf_wire_frame *frame);

#endif
