// The subcommands of bench_relay. SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_BENCH_RELAY_BENCH_H
#define TESTS_BENCH_RELAY_BENCH_H

int measure_main(int argc, char **argv);
int baseline_main(int argc, char **argv);
int verify_main(int argc, char **argv);
int crowd_main(int argc, char **argv);
int bare_main(int argc, char **argv);
int memory_main(int argc, char **argv);
int forge_main(int argc, char **argv);

#endif
