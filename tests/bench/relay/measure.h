// One measurement. SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_BENCH_RELAY_MEASURE_H
#define TESTS_BENCH_RELAY_MEASURE_H

#include "tests/bench/relay/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { MEASURE_CHARGED_MAX = 8 };

enum measure_sink { MEASURE_SINK_TCX, MEASURE_SINK_XDP, MEASURE_SINK_EGRESS, MEASURE_SINK_NONE };

struct measure_options {
	const char *senders; // file; NULL: senders_anybody
	uint32_t use;        // so many of them; 0: all
	uint32_t copies;     // of each packet, expected
	uint32_t burst, frame_bytes, stream, audio_every, forgery, good_every, forward, other_index;
	uint32_t plain;      // enum wire_plain
	uint16_t port;       // of the relay
	uint64_t rate;       // packets/s; 0: closed loop
	double seconds;
	int core;
	enum measure_sink sink;
	bool is_latency_wanted, is_train;
	pid_t charged[MEASURE_CHARGED_MAX];
	size_t charged_count;
};

// Sending by UDP_SEGMENT from a socket, bursts as whole trains, for as long as `config` says; counts in `totals`.
void trains_send(const struct wire_config *config, struct wire_totals *totals, struct wire_sender *sender);

#endif
