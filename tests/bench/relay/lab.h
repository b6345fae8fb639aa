// The hosts of the benchmark (network namespaces, see lab.sh), clocks, and what is charged to whom.
// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_BENCH_RELAY_LAB_H
#define TESTS_BENCH_RELAY_LAB_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LAB_GENERATOR "bench-gen"
#define LAB_RELAY "bench-relay"
#define LAB_RECEIVERS "bench-rcv"

// Like perror and exit: a benchmark that cannot go on says why and ends.
void lab_die(const char *what) __attribute__((noreturn));
void lab_enter(const char *host); // this thread is there from now on
uint32_t lab_device(const char *name); // in the present host
uint64_t lab_now_ns(void);             // CLOCK_MONOTONIC, as bpf_ktime_get_ns()
void lab_pin(int core);
void lab_sleep_until(uint64_t ns);
// A socket in a host, bound to an IPv4 address (host byte order) and port; the thread stays where it is.
int lab_socket(const char *host, int type, uint32_t address, uint16_t port);
struct sockaddr_in lab_address(uint32_t address, uint16_t port);
// CPU time of all threads of a process or kernel thread.
uint64_t lab_cpu_ns(pid_t pid);
// A number in decimal, or the program ends with a message that names the option.
uint64_t lab_number(const char *option, const char *text, uint64_t max);

#endif
