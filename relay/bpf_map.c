// SPDX-License-Identifier: Apache-2.0
#include "relay/bpf_map.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static enum err call(enum bpf_cmd command, int map, const void *key, const void *value)
{
	union bpf_attr attribute;
	memset(&attribute, 0, sizeof(attribute)); // the kernel refuses bytes that it does not know
	attribute.map_fd = (uint32_t)map;
	attribute.key = (uintptr_t)key;
	attribute.value = (uintptr_t)value;
	if (syscall(SYS_bpf, command, &attribute, sizeof(attribute)) == 0)
		return ERR_OK;
	return errno == ENOENT ? ERR_NOT_FOUND : errno == E2BIG || errno == ENOSPC ? ERR_FULL : ERR_IO;
}

enum err bpf_map_lookup(int map, const void *key, void *value) { return call(BPF_MAP_LOOKUP_ELEM, map, key, value); }
enum err bpf_map_update(int map, const void *key, const void *value) { return call(BPF_MAP_UPDATE_ELEM, map, key, value); }
enum err bpf_map_delete(int map, const void *key) { return call(BPF_MAP_DELETE_ELEM, map, key, NULL); }
