// The command line of tcc-cli as a table. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_CLI_ARGUMENTS_H
#define CLIENT_CLI_ARGUMENTS_H

#include "base/err.h"
#include "base/token.h"
#include "client/engine/engine.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { ARGUMENTS_PROBLEM_MAX = 256 };

enum arguments_command {
	ARGUMENTS_ENROL,
	ARGUMENTS_MEET_CREATE,
	ARGUMENTS_MEET_LIST,
	ARGUMENTS_JOIN,
	ARGUMENTS_HELP, // printed already, as is the version
};

struct arguments {
	enum arguments_command command;
	const char *home; // borrowed from argv, as are the other pointers; NULL: default
	char link[TOKEN_LINK_MAX]; // enrol: link; join: link or id
	const char *title;
	uint64_t expires_s;  // from now
	const char *audio_path, *video_path, *record_path, *name; // NULL: none
	uint64_t duration_s; // 0: until a signal
	enum engine_transport transport;
	bool is_audio_only;
	bool is_json;
};

// The link is copied and wiped from argv, where ps would show it; "-" reads it from `input`. Help and version go to
// `output`. ERR_USAGE: `problem` is one line.
enum err arguments_parse(int argc, char **argv, FILE *input, FILE *output, struct arguments *out,
			 char problem[static ARGUMENTS_PROBLEM_MAX]) CHECK_RESULT;

#endif
