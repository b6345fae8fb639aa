// Ethernet frames with UDP datagrams as the programs meet them: made with right checksums, and read back strictly.
// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_FAKE_BPF_FRAME_H
#define TESTS_FAKE_BPF_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BPF_FRAME_MAX = 65536, BPF_FRAME_MAC_BYTES = 6 };

struct bpf_flow {
	uint8_t to[BPF_FRAME_MAC_BYTES], from[BPF_FRAME_MAC_BYTES];
	uint8_t family;                     // 4 or 6
	uint8_t source[16], destination[16]; // IPv4: the first four bytes
	uint16_t source_port, destination_port;
	uint16_t vlan;                      // tag control information, 0: none
	uint8_t traffic_class, hops;
	bool is_unchecked;                  // no UDP checksum (IPv4)
	bool is_partial;                    // the checksum field holds the sum of the pseudo-header only
};

// Bytes written.
size_t bpf_frame_make(const struct bpf_flow *flow, const uint8_t *payload, size_t payload_bytes, uint8_t *out);
// NULL, or what is wrong with the frame. `flow->is_partial` is an input: how the checksum field is to be understood.
const char *bpf_frame_read(const uint8_t *frame, size_t frame_bytes, struct bpf_flow *flow, const uint8_t **payload,
			   size_t *payload_bytes);
// Where the parts of a frame that was made begin.
size_t bpf_frame_ip(const struct bpf_flow *flow);
size_t bpf_frame_udp(const struct bpf_flow *flow);

#endif
