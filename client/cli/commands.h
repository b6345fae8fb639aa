// What tcc-cli does, one function a command; each returns the exit status. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_CLI_COMMANDS_H
#define CLIENT_CLI_COMMANDS_H

#include "client/cli/arguments.h"

enum { COMMANDS_DONE = 0, COMMANDS_FAILED = 1, COMMANDS_WRONG_USE = 2 };

int commands_enrol(const struct arguments *arguments);
int commands_meet_create(const struct arguments *arguments);
int commands_meet_list(const struct arguments *arguments);

#endif
