// All readable memory of a live process, searched. SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_TOOLS_PROCESS_MEMORY_H
#define TESTS_TOOLS_PROCESS_MEMORY_H

#include "tests/tools/needles.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { PROCESS_MEMORY_CHUNK = 1 << 20 };

struct process_memory {
	int mem;
	uint8_t *buffer; // PROCESS_MEMORY_CHUNK
	uint64_t unreadable_bytes; // pages that the kernel does not hand out (device memory, the kernel's own pages)
};

static inline void process_memory_range(struct process_memory *memory, const struct needles *set, uint64_t from, uint64_t to,
					struct needles_hits *hits)
{
	for (uint64_t at = from; at + NEEDLE_BYTES <= to;) {
		size_t want = to - at < PROCESS_MEMORY_CHUNK ? (size_t)(to - at) : PROCESS_MEMORY_CHUNK;
		ssize_t got = pread(memory->mem, memory->buffer, want, (off_t)at);
		if (got < NEEDLE_BYTES) { // skip the page that cannot be read
			uint64_t next = (at | 4095) + 1;
			memory->unreadable_bytes += (next < to ? next : to) - at;
			at = next;
			continue;
		}
		needles_search(set, memory->buffer, (size_t)got, at, hits);
		if (at + (uint64_t)got >= to)
			return;
		at += (uint64_t)got - (NEEDLE_BYTES - 1); // what lies across two reads is seen too
	}
}

// ERR_IO: no such process, or not allowed to look (errno).
static inline enum err process_memory_search(long pid, const struct needles *set, struct needles_hits *hits, uint64_t *unreadable_bytes)
{
	char path[64], line[512];
	enum err err = ERR_IO;
	struct process_memory memory = { .buffer = malloc(PROCESS_MEMORY_CHUNK) };
	FILE *maps = NULL;
	snprintf(path, sizeof(path), "/proc/%ld/mem", pid);
	memory.mem = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%ld/maps", pid);
	if (memory.mem < 0 || !memory.buffer || !(maps = fopen(path, "re")))
		goto out;
	while (fgets(line, sizeof(line), maps)) {
		uint64_t from, to;
		char mode[5];
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &from, &to, mode) == 3 && mode[0] == 'r' &&
		    !strstr(line, "[vvar") && !strstr(line, "[vsyscall]")) {
			process_memory_range(&memory, set, from, to, hits);
			err = ERR_OK;
		}
	}
out:
	if (maps)
		fclose(maps);
	if (memory.mem >= 0)
		close(memory.mem);
	free(memory.buffer);
	*unreadable_bytes = memory.unreadable_bytes;
	return err;
}

#endif
