// What a relay uses of memory: its own (anonymous) pages, and the pages of each map shared with the kernel that are not
// all zeros, which are the entries in use. The maps themselves are allocated whole. SPDX-License-Identifier: Apache-2.0
#include "tests/bench/relay/bench.h"
#include "tests/bench/relay/lab.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096, LINE_BYTES = 64, MAPS_MAX = 64 };

static const char usage_text[] = "usage: bench_relay memory --pid PID\n"
				 "Prints JSON: own_kib, and for each map bytes of lines (64 bytes) and pages in use.\n";

// "VmRSS"-like rows of /proc/PID/status.
static uint64_t status_kib(pid_t pid, const char *name)
{
	char path[64], line[256];
	uint64_t kib = 0;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, name, strlen(name)) == 0)
			sscanf(line + strlen(name), ": %" SCNu64, &kib);
	}
	if (file)
		fclose(file);
	return kib;
}

static uint32_t map_id(const char *path)
{
	char line[256];
	uint32_t id = 0;
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "map_id: %" SCNu32, &id);
	if (file)
		fclose(file);
	return id;
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

static void print_map(uint32_t id)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	int fd = bpf_map_get_fd_by_id(id);
	if (fd < 0 || bpf_map_get_info_by_fd(fd, &info, &size) != 0)
		lab_die("map");
	size_t bytes = ((size_t)info.max_entries * ((info.value_size + 7u) & ~7u) + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES, lines = 0, pages = 0;
	const uint8_t *map = info.map_flags & BPF_F_MMAPABLE ? mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
	close(fd);
	if (map == MAP_FAILED)
		return; // not shared with user space
	for (size_t at = 0; at < bytes; at += PAGE_BYTES) {
		if (is_zero(map + at, PAGE_BYTES))
			continue;
		pages++;
		for (size_t line = 0; line < PAGE_BYTES; line += LINE_BYTES)
			lines += !is_zero(map + at + line, LINE_BYTES);
	}
	munmap((void *)map, bytes);
	printf(",\"%s\":{\"pages\":%zu,\"lines\":%zu,\"entry\":%u,\"entries\":%u}", info.name, pages * PAGE_BYTES, lines * LINE_BYTES, info.value_size, info.max_entries);
}

static int print_maps(pid_t pid)
{
	char path[320];
	uint32_t seen[MAPS_MAX], count = 0;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo", (int)pid);
	DIR *files = opendir(path);
	for (struct dirent *file; files && (file = readdir(files));) {
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", (int)pid, file->d_name);
		uint32_t id = file->d_name[0] == '.' ? 0 : map_id(path), i = 0;
		while (i < count && seen[i] != id)
			i++;
		if (id == 0 || i < count || count == MAPS_MAX)
			continue;
		seen[count++] = id;
		print_map(id);
	}
	if (files)
		closedir(files);
	return count > 0 ? 0 : 1;
}

int memory_main(int argc, char **argv)
{
	if (argc != 3 || strcmp(argv[1], "--pid") != 0) {
		fputs(usage_text, stderr);
		return 2;
	}
	pid_t pid = (pid_t)lab_number("--pid", argv[2], 1 << 30);
	printf("{\"own_kib\":%" PRIu64 ",\"resident_kib\":%" PRIu64, status_kib(pid, "RssAnon"), status_kib(pid, "VmRSS"));
	int status = print_maps(pid);
	puts("}");
	return status;
}
