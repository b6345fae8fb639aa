// Which engine multiplies what: X (native XDP), T (tcx), or U (user space); from what the devices can do, what the
// configuration or tcsctl wants, and what the receivers of a block need. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_ENGINE_H
#define RELAY_ENGINE_H

#include "kernel-bpf/fanout.h"
#include "relay/fast_path.h"

#include <stdbool.h>
#include <stddef.h>

struct relay;

// Auto takes the best that can do it. The others are tried first, or alone ("user"); what they cannot do goes down to
// the next: X to T, T to U.
enum engine_wish { ENGINE_AUTO, ENGINE_XDP, ENGINE_TCX, ENGINE_USER, ENGINE_WISHES };
#define ENGINE_WISH_CHOICES "auto|xdp|tcx|user" // as an option's row wants them

struct engine_choice {
	unsigned wish; // enum engine_wish
};

const char *engine_wish_name(enum engine_wish wish);
const char *engine_name(enum fanout_engine engine); // "user", "tcx", "xdp"

// Slot of the device with a program that can do this, 0: none.
uint8_t engine_device(const struct relay *relay, uint32_t ifindex, enum fanout_engine engine);
// May `count` receivers behind one X device be served at once?
bool engine_fits_ring(const struct relay *relay, uint8_t device, size_t count);
// The best engine that the wish allows on this device, and why not a better one (or "").
enum fanout_engine engine_of_device(const struct relay *relay, const struct fast_path_device *device, const char **reason);
// At run time: every block is published anew for what is wished now. Nothing is lost or doubled meanwhile.
void engine_set(struct relay *relay, enum engine_wish wish);

#endif
