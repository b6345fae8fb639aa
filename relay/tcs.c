// tcs, the communication server: relays the encrypted media of running meetings. SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "relay/manager.h"
#include "relay/manager_spawner.h"
#include "relay/registration.h"
#include "relay/relay_enrol.h"
#include "relay/tcs_config.h"
#include "relay/tcs_rights.h"
#include "relay/tcs_serve.h"
#include "version.h"

#include <curl/curl.h>

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, SETS_MAX = 64, PROBLEM_MAX = TCS_SERVE_PROBLEM_MAX };

static const char usage[] =
	"usage: tcs [-c FILE] [--set NAME=VALUE]...            run the relay\n"
	"       tcs [-c FILE] [--set ...] --enrol LINK [--force] register with the management server\n"
	"       tcs --print-options | --version | --help\n"
	"\n"
	"  -c FILE            configuration, default " TCS_CONFIG_FILE "\n"
	"  --set NAME=VALUE   one option; goes before the file\n"
	"  --enrol LINK       the line that tmmsctl relays add printed\n"
	"  --force            replace an existing registration\n"
	"  --print-options    all options with ranges and defaults\n";

struct arguments {
	const char *file, *link;
	const char *set[SETS_MAX];
	size_t set_count;
	bool is_forced, is_printing;
};

static int failed(const char *problem)
{
	fprintf(stderr, "tcs: %s\n", problem);
	return EXIT_FAILURE;
}

// ---------------------------------------------------------------- command line

enum { OPTION_SET = 256, OPTION_ENROL, OPTION_FORCE, OPTION_PRINT, OPTION_VERSION };

// -1: go on; else the exit status.
static int parse_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option rows[] = {
		{ "config", required_argument, NULL, 'c' },          { "set", required_argument, NULL, OPTION_SET },
		{ "enrol", required_argument, NULL, OPTION_ENROL },  { "force", no_argument, NULL, OPTION_FORCE },
		{ "print-options", no_argument, NULL, OPTION_PRINT }, { "version", no_argument, NULL, OPTION_VERSION },
		{ "help", no_argument, NULL, 'h' },                  { NULL, 0, NULL, 0 },
	};
	int option;
	while ((option = getopt_long(argc, argv, "c:h", rows, NULL)) != -1) {
		switch (option) {
		case 'c':
			out->file = optarg;
			break;
		case OPTION_SET:
			if (out->set_count == SETS_MAX)
				return EXIT_USAGE;
			out->set[out->set_count++] = optarg;
			break;
		case OPTION_ENROL:
			out->link = optarg;
			break;
		case OPTION_FORCE:
			out->is_forced = true;
			break;
		case OPTION_PRINT:
			out->is_printing = true;
			break;
		case OPTION_VERSION:
			puts("tcs " HUISCLOS_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		default:
			fputs("tcs: see tcs --help\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc || (out->is_forced && !out->link)) {
		fprintf(stderr, "tcs: %s: see tcs --help\n", optind < argc ? "unexpected argument" : "--force goes with --enrol");
		return EXIT_USAGE;
	}
	return -1;
}

// The default file may be missing, a named one may not.
static enum err load_config(const struct arguments *arguments, struct tcs_config *out)
{
	char problem[OPTION_PROBLEM_MAX];
	const char *file = arguments->file;
	if (!file && access(TCS_CONFIG_FILE, F_OK) == 0)
		file = TCS_CONFIG_FILE;
	enum err err = options_load(tcs_config_rows, tcs_config_row_count, file, out, problem);
	for (size_t i = 0; i < arguments->set_count && !err; i++)
		err = options_set(tcs_config_rows, tcs_config_row_count, arguments->set[i], out, problem);
	if (err)
		fprintf(stderr, "tcs: %s\n", problem);
	return err;
}

// ---------------------------------------------------------------- other modes

static int enrol(const struct arguments *arguments, const struct tcs_config *config)
{
	char problem[PROBLEM_MAX];
	struct registration registration;
	enum err err = tcs_rights_state_directory(config, problem);
	if (!err)
		err = tcs_rights_take_account(config->user, problem);
	if (!err && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return failed("libcurl cannot be used");
	if (!err)
		err = relay_enrol(config->state_directory, arguments->link, arguments->is_forced, &registration, problem);
	if (err) {
		int status = failed(problem);
		return err == ERR_USAGE ? EXIT_USAGE : status;
	}
	printf("registered as %s with %s\n", registration.name, registration.tmms.name);
	return EXIT_SUCCESS;
}

// tcs --manager STATE-DIRECTORY LOG-LEVEL ENGINE: started by the relay, with its descriptors in place.
static int run_manager(char **argv)
{
	log_init("tcs manager", (enum log_level)atoi(argv[3]));
	(void)prctl(PR_SET_NAME, "tcs manager"); // it was started as /proc/self/exe
	signal(SIGINT, SIG_IGN); // the relay stops first, and we with it
	signal(SIGPIPE, SIG_IGN);
	return manager_run(&(struct manager_options){ .state_directory = argv[2], .engine = argv[4], .socket = MANAGER_SPAWNER_SOCKET,
						      .journal = MANAGER_SPAWNER_JOURNAL })
		       ? EXIT_FAILURE
		       : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "--manager") == 0)
		return run_manager(argv);
	struct arguments arguments = { 0 };
	int status = parse_arguments(argc, argv, &arguments);
	if (status >= 0)
		return status;
	if (arguments.is_printing) {
		options_print(tcs_config_rows, tcs_config_row_count, stdout);
		return EXIT_SUCCESS;
	}
	struct tcs_config config;
	if (load_config(&arguments, &config))
		return EXIT_USAGE;
	umask(0077);
	log_init("tcs", (enum log_level)(LOG_ERROR + config.log_level));
	if (arguments.link)
		return enrol(&arguments, &config);
	char problem[PROBLEM_MAX];
	return tcs_serve(&config, problem) ? failed(problem) : EXIT_SUCCESS;
}
