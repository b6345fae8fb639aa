// The kernel's side of the forwarding table: starts the loader (huisclos-loader), takes maps and links from it, and says
// what the devices can do. The relay never has a descriptor of a program. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_FAST_PATH_H
#define RELAY_FAST_PATH_H

#include "base/err.h"
#include "relay/table.h"

struct fast_path_device {
	char name[16];
	uint32_t ifindex;
	uint32_t engines; // bit 1 << enum fanout_engine: what is attached
	uint32_t ring;    // transmit ring in packets, 0: not known
	int link[2];      // closed: detached
};

struct fast_path {
	struct table_memory memory; // of the table; has_programs is true
	struct fast_path_device device[FANOUT_DEVICES]; // by slot; [0] is none
	size_t device_count;
	int poll_link; // of the program that sees overload; -1: none
};

struct fast_path_options {
	const char *loader;   // program to run
	const char *devices;  // "auto" or a list of names with commas
	enum fanout_engine highest; // FANOUT_TCX: attach no XDP program
	bool is_xdp_forced;   // XDP also on virtual devices, where it costs more than it saves
	struct table_sizes sizes;
	uint16_t port, relay_port;
	unsigned wait_ms;     // for the loader; 0: FAST_PATH_WAIT_MS
};

enum { FAST_PATH_PROBLEM_MAX = 300, FAST_PATH_WAIT_MS = 15000 };
// Runs the loader and waits for it; what each device lacks is said in the log. Needs the rights
// that the relay was started with, so before it takes on its account, and one thread. The programs pass everything to user
// space until config->is_enabled is set. On failure `problem` says why in one line, and user space does it all.
enum err fast_path_open(const struct fast_path_options *options, struct fast_path *out, char problem[static FAST_PATH_PROBLEM_MAX]) CHECK_RESULT;
// Links are closed: the programs are detached. Frees the memory.
void fast_path_close(struct fast_path *fast_path);

#endif
