// Holds the fast path open without a relay, for the scenarios: relay_hold LOADER DEVICES auto|xdp|tcx [confined]
// Prints a line for each device and "ready", waits for the end of its input, closes all. Confined: as the relay's process.
// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "relay/bpf_map.h"
#include "relay/confine.h"
#include "relay/fast_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PORT = 4443, PARTICIPANTS = 2000, HISTORY_BYTES = 16 << 20 };

static int failed(const char *problem)
{
	printf("problem: %s\n", problem);
	return EXIT_FAILURE;
}

// What is written to the mapped memory is in the map, and the other way round.
static bool is_shared(const struct fast_path *f)
{
	struct fanout_config config;
	struct fanout_sender sender;
	const uint32_t first = 0, last = f->memory.sizes.senders - 1;
	f->memory.sender[last].room = 77;
	f->memory.config->is_enabled = 1;
	if (bpf_map_lookup(f->memory.map[LOADER_MAP_CONFIG], &first, &config) ||
	    bpf_map_lookup(f->memory.map[LOADER_MAP_SENDERS], &last, &sender) || sender.room != 77 || config.is_enabled != 1)
		return false;
	sender.room = 78;
	return bpf_map_update(f->memory.map[LOADER_MAP_SENDERS], &last, &sender) == ERR_OK && f->memory.sender[last].room == 78;
}

// The last entries of all arrays are there.
static void touch_ends(const struct fast_path *f)
{
	const struct table_sizes *s = &f->memory.sizes;
	f->memory.window[table_windows(s) - 1].slot[FANOUT_WINDOW_SLOTS - 1] = 1;
	f->memory.block[s->blocks - 1] = 1;
	f->memory.receiver[s->receivers - 1].flags = 1;
	f->memory.history_small[(size_t)s->history_small * FANOUT_SMALL_SLOT - 1] = 1;
	f->memory.history_large[(size_t)s->history_large * FANOUT_LARGE_SLOT - 1] = 1;
}

int main(int argc, char **argv)
{
	char problem[FAST_PATH_PROBLEM_MAX], byte;
	struct fast_path fast_path;
	if (argc < 4)
		return failed("usage: relay_hold LOADER DEVICES auto|xdp|tcx [confined]");
	log_init("relay_hold", LOG_DEBUG);
	struct fast_path_options options = { .loader = argv[1], .devices = argv[2], .port = PORT,
					     .highest = strcmp(argv[3], "tcx") == 0 ? FANOUT_TCX : FANOUT_XDP,
					     .is_xdp_forced = strcmp(argv[3], "xdp") == 0 };
	table_sizes_for(PARTICIPANTS, HISTORY_BYTES, &options.sizes);
	if (fast_path_open(&options, &fast_path, problem))
		return failed(problem);
	for (size_t slot = 1; slot < FANOUT_DEVICES; slot++) {
		const struct fast_path_device *d = &fast_path.device[slot];
		if (d->engines)
			printf("device %s slot %zu engines%s%s ring %u mtu %u\n", d->name, slot, d->engines >> FANOUT_TCX & 1 ? " tcx" : "",
			       d->engines >> FANOUT_XDP & 1 ? " xdp" : "", d->ring, fast_path.memory.config->mtu[slot]);
	}
	confine_begin();
	if (argc > 4 && confine_apply(&(struct confine_options){ 0 }, problem))
		return failed(problem);
	if (!is_shared(&fast_path))
		return failed("maps and memory are not the same");
	touch_ends(&fast_path);
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0) {
	}
	fast_path_close(&fast_path);
	return EXIT_SUCCESS;
}
