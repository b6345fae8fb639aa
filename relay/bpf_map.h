// Entries of BPF maps by the bare system call: all that the relay may do with bpf(). SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_BPF_MAP_H
#define RELAY_BPF_MAP_H

#include "base/err.h"

// `key` and `value` have the map's sizes; a per-CPU map's value has one for each possible CPU, rounded up to 8 bytes.
// ERR_NOT_FOUND, ERR_FULL, else ERR_IO with errno.
enum err bpf_map_lookup(int map, const void *key, void *value) CHECK_RESULT;
enum err bpf_map_update(int map, const void *key, const void *value) CHECK_RESULT;
enum err bpf_map_delete(int map, const void *key) CHECK_RESULT;

#endif
