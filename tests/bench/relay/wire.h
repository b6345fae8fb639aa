// What the benchmark's generator, sink and verifier agree on; also compiled for BPF.
// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_BENCH_RELAY_WIRE_H
#define TESTS_BENCH_RELAY_WIRE_H

#include <stdint.h>

//   bench-gen  hg0 10.1.0.1 ──── hr0 10.1.0.2  bench-relay  hr1 10.2.0.1 ──── hc0 10.2.0.2  bench-rcv
//   senders                                                                  receivers, 10.9.0.0/16
enum {
	WIRE_RELAY_PORT = 4443,
	WIRE_SENDER_PORT = 4000,    // of the first; one after the other
	WIRE_RECEIVER_PORT = 20000, // likewise
	WIRE_SENDERS_MAX = 1024,
	WIRE_RECEIVERS_MAX = 16384,
	WIRE_HEADERS_BYTES = 14 + 20 + 8,
	WIRE_HEAD_BYTES = 40,       // hop header and RTP header
	WIRE_SSRC_AT = 24,          // in it
	WIRE_TRAIN_MAX = 64,        // segments
	WIRE_STAMP_BYTES = 16,      // behind them, in place of ciphertext: when it was sent, its ordinal
	WIRE_FRAME_MIN = WIRE_HEADERS_BYTES + WIRE_HEAD_BYTES + WIRE_STAMP_BYTES + 4,
	WIRE_FRAME_MAX = WIRE_HEADERS_BYTES + 1200,
	WIRE_LATENCY_BUCKETS = 16384, // of 512 ns
	WIRE_STREAMS = 16,
};
#define WIRE_RELAY_ADDRESS 0x0a010002u    // host byte order
#define WIRE_SENDER_ADDRESS 0x0a010001u
#define WIRE_EGRESS_ADDRESS 0x0a020001u   // source of copies
#define WIRE_RECEIVER_ADDRESS 0x0a090001u // of the first; one after the other

struct wire_sender {
	uint32_t handle, index;
	uint64_t key[2];
	uint32_t counter; // of the next packet
	uint32_t timestamp;
	uint16_t port, unused;
	uint16_t sequence[WIRE_STREAMS];
};

// What is wrong with a packet.
enum wire_forgery { WIRE_GOOD, WIRE_BAD_TAG, WIRE_BAD_COUNTER, WIRE_BAD_ADDRESS, WIRE_BAD_STREAM, WIRE_BAD_ROOM, WIRE_FORGERIES };

// Datagrams as other relays take them, without hop header: RTP, TURN's ChannelData with RTP in it.
enum wire_plain { WIRE_HUISCLOS, WIRE_RTP, WIRE_CHANNEL, WIRE_PLAINS };
enum { WIRE_CHANNEL_NUMBER = 0x4000 };

struct wire_config {
	uint32_t ifindex;            // of hg0
	uint32_t frame_bytes;
	uint32_t senders;            // in use, in turn
	uint32_t stream;             // all packets are of this one
	uint32_t audio_every;        // but each so-manieth, which is of stream 0; 0: none
	uint32_t forgery;            // enum wire_forgery
	uint32_t good_every;         // each so-manieth packet is good all the same; 0: none
	uint32_t forward;            // not 0: to so many receivers in turn, not to the relay
	uint32_t is_latency_wanted;
	uint32_t other_index;        // whose SSRC WIRE_BAD_ROOM uses
	uint32_t plain;              // enum wire_plain: what other relays take
	uint64_t burst;              // packets
	uint64_t period_ns;          // between bursts; 0: none
	uint64_t copies;             // closed loop: a burst waits until so many copies of each packet before arrived; 0: open
	uint64_t start_ns, stop_ns;  // CLOCK_MONOTONIC
	uint64_t base_sum;           // of UDP pseudo header, header and payload without what changes
	uint64_t ip_sum;             // likewise of the IP header
	uint8_t headers[WIRE_HEADERS_BYTES];
	uint8_t unused[2];
	uint64_t head[WIRE_HEAD_BYTES / 8];
};

struct wire_totals {
	uint64_t sent, good, audio;        // packets; the good ones, and of them those of stream 0
	uint64_t stalls;                   // bursts given up: copies were lost
	uint64_t late;                     // bursts that were left out because the generator lagged
	uint64_t arrived, frames, bytes;   // copies, frames that held them
	uint64_t arrived_of[WIRE_STREAMS];
};

// A receiver of relays without a table.
enum { WIRE_BARE_MAX = 256 };
struct wire_receiver {
	uint8_t ethernet[14];
	uint16_t port_be;
	uint32_t address_be;
	uint32_t sum; // folded: addresses and ports
};

#endif
