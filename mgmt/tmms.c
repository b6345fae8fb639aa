// The management server: command line and configuration, then the supervisor. SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "mgmt/config.h"
#include "mgmt/supervisor.h"

#include <version.h>

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 2 };

static void print_help(FILE *out)
{
	fputs("usage: tmms [-c FILE] [--set NAME=VALUE]...\n"
	      "Management server of Huisclos: users, meetings, enrolment, tickets.\n\n"
	      "  -c, --config FILE     configuration (default " CONFIG_PATH_DEFAULT ")\n"
	      "      --set NAME=VALUE  one option, over the file\n"
	      "      --check           check the configuration and exit\n"
	      "      --print-options   all options with defaults, as they stand in the file\n"
	      "      --version\n"
	      "  -h, --help\n\n"
	      "Ends on SIGTERM. Exit status: 0 stopped, 1 could not start, 2 wrong use or configuration.\n"
	      "It is administered with tmmsctl. See tmms(8), tmms.conf(5).\n", out);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'}, {"set", required_argument, NULL, 's'}, {"check", no_argument, NULL, 'C'},
		{"print-options", no_argument, NULL, 'p'}, {"version", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'}, {0},
	};
	struct config_source source = {0};
	bool is_check = false;
	int c;
	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			source.path = optarg;
			break;
		case 's':
			if (source.set_count == CONFIG_SETS_MAX) {
				fprintf(stderr, "tmms: --set: at most %d\n", CONFIG_SETS_MAX);
				return EXIT_USAGE;
			}
			source.sets[source.set_count++] = optarg;
			break;
		case 'C':
			is_check = true;
			break;
		case 'p':
			config_print_options(stdout);
			return EXIT_SUCCESS;
		case 'v':
			puts("tmms " HUISCLOS_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			print_help(stdout);
			return EXIT_SUCCESS;
		default:
			fputs("tmms: see tmms --help\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "tmms: %s: takes no arguments (see tmms --help)\n", argv[optind]);
		return EXIT_USAGE;
	}
	static struct config config;
	char problem[OPTION_PROBLEM_MAX];
	if (config_load(&source, &config, problem)) {
		fprintf(stderr, "tmms: %s\n", problem);
		return EXIT_USAGE;
	}
	if (is_check)
		return EXIT_SUCCESS;
	log_init("tmms", (enum log_level)config_log_level(&config));
	return supervisor_run(&config);
}
