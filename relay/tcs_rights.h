// What tcs may do while it starts: account, limits, priority. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_TCS_RIGHTS_H
#define RELAY_TCS_RIGHTS_H

#include "base/err.h"

#include <stdint.h>

struct tcs_config;

enum { TCS_RIGHTS_PROBLEM_MAX = 600 };

// The state directory, if its parent is there: the account's own.
enum err tcs_rights_state_directory(const struct tcs_config *config, char problem[static TCS_RIGHTS_PROBLEM_MAX]) CHECK_RESULT;
// The UNIX sockets were made before the account was taken on: they are its own and its group's.
enum err tcs_rights_own_sockets(const struct tcs_config *config, char problem[static TCS_RIGHTS_PROBLEM_MAX]) CHECK_RESULT;
// Become this user; empty: stay.
enum err tcs_rights_take_account(const char *user, char problem[static TCS_RIGHTS_PROBLEM_MAX]) CHECK_RESULT;
// No more rights by executing something, no core file with the TLS key in it; as many descriptors as the system lets us
// have.
void tcs_rights_begin(void);
// SCHED_RR, if allowed, for this thread and those that it starts, but not for processes that it forks: a packet must not
// wait until some other program's time slice is over. 0: ordinary scheduling.
void tcs_rights_priority(uint64_t priority);

#endif
