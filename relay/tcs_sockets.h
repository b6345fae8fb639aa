// All that tcs listens on. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_TCS_SOCKETS_H
#define RELAY_TCS_SOCKETS_H

#include "base/err.h"
#include "relay/media_threads.h"

#include <stdbool.h>

struct tcs_config;

struct tcs_sockets {
	int udp[MEDIA_THREADS_MAX]; // of one port
	size_t udp_count;
	size_t threads; // media threads, as many as there are cores for; 0: the control thread has the one socket
	int leg, tcp, mux, control; // -1: none
};

enum { TCS_SOCKETS_PROBLEM_MAX = 600 };
// On failure what is open stays so for tcs_sockets_remove.
enum err tcs_sockets_open(const struct tcs_config *config, struct tcs_sockets *out, char problem[static TCS_SOCKETS_PROBLEM_MAX]) CHECK_RESULT;
bool tcs_sockets_have_marks(const struct tcs_sockets *sockets); // of packets that the kernel's programs have seen
// The UNIX sockets' files.
void tcs_sockets_remove(const struct tcs_config *config, const struct tcs_sockets *sockets);

#endif
