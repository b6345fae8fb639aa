// A configuration file as a table: each option is one row with type, range and default.
//
//   # comment
//   name = value
//
// A problem is one line with file, line number and what is allowed. SPDX-License-Identifier: Apache-2.0
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { OPTION_TEXT_MAX = 256, OPTION_PROBLEM_MAX = 512 };

enum option_type {
	OPTION_TEXT,    // char[OPTION_TEXT_MAX]; min..max characters
	OPTION_PATH,    // char[OPTION_TEXT_MAX]; absolute
	OPTION_NUMBER,  // uint64_t; min..max
	OPTION_BOOL,    // bool; yes or no
	OPTION_CHOICE,  // unsigned; index into choices ("auto|io_uring|epoll")
	OPTION_ADDRESS, // char[OPTION_TEXT_MAX]; literal IPv4 or IPv6
};

struct option_row {
	const char *name;
	enum option_type type;
	size_t offset; // in the daemon's configuration struct
	uint64_t min, max;
	const char *choices;
	const char *initial; // default, as it would stand in the file; NULL: must be given
	const char *unit;    // "s", "bytes", NULL
	const char *help;
};

// Fill `config` from the defaults, then from `path` (NULL: defaults only). On failure `problem` says why, e.g.
// "/etc/tmms.conf:12: listen-port = 99999: a number from 1 to 65535 is allowed". `config` is then undefined.
enum err options_load(const struct option_row *rows, size_t count, const char *path, void *config,
		      char problem[static OPTION_PROBLEM_MAX]) CHECK_RESULT;
// One option from the command line ("--set name=value"), same checks.
enum err options_set(const struct option_row *rows, size_t count, const char *assignment, void *config,
		     char problem[static OPTION_PROBLEM_MAX]) CHECK_RESULT;
// The table for people: name, allowed values, default, help. What the man page and the sample file show.
void options_print(const struct option_row *rows, size_t count, FILE *out);

#endif
