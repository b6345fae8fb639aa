// The relay's life as a process: sockets, fast path, account, threads, confinement, and then its loop.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_TCS_SERVE_H
#define RELAY_TCS_SERVE_H

#include "base/err.h"

struct tcs_config;

enum { TCS_SERVE_PROBLEM_MAX = 1200 };
// Returns when the relay was told to stop. On failure `problem` is one line for people.
enum err tcs_serve(const struct tcs_config *config, char problem[static TCS_SERVE_PROBLEM_MAX]) CHECK_RESULT;

#endif
