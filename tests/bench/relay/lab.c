// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/relay/lab.h"

#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void lab_die(const char *what)
{
	fprintf(stderr, "bench_relay: %s: %s\n", what, strerror(errno));
	exit(1);
}

void lab_enter(const char *host)
{
	char path[64];
	const char *lab = getenv("BENCH_LAB"); // several may be there, see lab.sh
	snprintf(path, sizeof(path), "/run/netns/%s%s", host, lab ? lab : "");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
		lab_die(path);
	close(fd);
}

uint32_t lab_device(const char *name)
{
	uint32_t ifindex = if_nametoindex(name);
	if (ifindex == 0)
		lab_die(name);
	return ifindex;
}

uint64_t lab_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void lab_sleep_until(uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

void lab_pin(int core)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(core, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		lab_die("affinity");
}

struct sockaddr_in lab_address(uint32_t address, uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address) };
}

int lab_socket(const char *host, int type, uint32_t address, uint16_t port)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), yes = 1;
	lab_enter(host);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	if (fd < 0 || home < 0 || setns(home, CLONE_NEWNET) != 0)
		lab_die("socket");
	close(home);
	struct sockaddr_in a = lab_address(address, port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
		lab_die("bind");
	return fd;
}

uint64_t lab_cpu_ns(pid_t pid)
{
	char path[320];
	uint64_t total = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	for (struct dirent *task; tasks && (task = readdir(tasks));) {
		uint64_t ns = 0;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, task->d_name);
		FILE *file = task->d_name[0] == '.' ? NULL : fopen(path, "r");
		if (file && fscanf(file, "%" SCNu64, &ns) == 1)
			total += ns;
		if (file)
			fclose(file);
	}
	if (tasks)
		closedir(tasks);
	return total;
}

uint64_t lab_number(const char *option, const char *text, uint64_t max)
{
	uint64_t value;
	if (!text_u64_parse(text, 0, max, &value))
		return value;
	fprintf(stderr, "bench_relay: %s %s: not a number up to %" PRIu64 "\n", option, text, max);
	exit(2);
}
