// bench_relay: the parts of the relay's benchmark, put together by tests/bench/bench-relay.
// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/relay/bench.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name, *text;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "bare", "relays without table, policy and counters: a loop with constants in the kernel", bare_main },
	{ "memory", "what a relay and its maps use", memory_main },
	{ "forge", "forged packets, straight into a relay's programs", forge_main },
	{ "verify", "look at every copy that arrives", verify_main },
	{ "crowd", "clients of a tcs: join, prove paths, stay", crowd_main },
	{ "measure", "send packets to a relay, count the copies, tell what they cost", measure_main },
	{ "baseline", "relay A: recvmmsg and sendmmsg", baseline_main },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]) && argc > 1; i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	}
	fputs("usage: bench_relay COMMAND [OPTION]...   in the hosts that tests/bench/relay/lab.sh makes\n", stderr);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(stderr, "  %-10s%s\n", commands[i].name, commands[i].text);
	return 2;
}
