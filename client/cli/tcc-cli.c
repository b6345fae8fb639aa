// tcc-cli: the communication client without a screen. SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "base/secret.h"
#include "client/cli/arguments.h"
#include "client/cli/commands.h"
#include "client/cli/join.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static int run(const struct arguments *arguments)
{
	switch (arguments->command) {
	case ARGUMENTS_ENROL:
		return commands_enrol(arguments);
	case ARGUMENTS_MEET_CREATE:
		return commands_meet_create(arguments);
	case ARGUMENTS_MEET_LIST:
		return commands_meet_list(arguments);
	case ARGUMENTS_JOIN:
		return join_run(arguments);
	case ARGUMENTS_HELP:
		return COMMANDS_DONE;
	}
	return COMMANDS_WRONG_USE;
}

int main(int argc, char **argv)
{
	char problem[ARGUMENTS_PROBLEM_MAX];
	struct arguments arguments;
	const struct rlimit no_core = { 0, 0 };
	(void)setrlimit(RLIMIT_CORE, &no_core); // a core would hold keys
	(void)prctl(PR_SET_DUMPABLE, 0);        // also one that goes to a pipe, and a debugger of the same user
	signal(SIGPIPE, SIG_IGN);
	log_init("tcc-cli", LOG_WARNING);
	if (arguments_parse(argc, argv, stdin, stdout, &arguments, problem) != ERR_OK) {
		fprintf(stderr, "tcc-cli: %s (see tcc-cli --help)\n", problem);
		return COMMANDS_WRONG_USE;
	}
	int status = run(&arguments);
	secret_wipe(&arguments, sizeof(arguments));
	// A link that went to a full disk was not printed.
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fputs("tcc-cli: not all of the output could be written\n", stderr);
		return COMMANDS_FAILED;
	}
	return status;
}
