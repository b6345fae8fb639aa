// One port for two servers: command line, configuration, privileges. SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "mgmt/confine.h"
#include "mgmt/mux.h"
#include "mgmt/mux_config.h"

#include <version.h>

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, SETS_MAX = 32 };

static void print_help(FILE *out)
{
	fputs("usage: huisclos-mux [-c FILE] [--set NAME=VALUE]...\n"
	      "Shares one TCP port between tmms and tcs: hands each connection, untouched, to the server whose name\n"
	      "its TLS ClientHello asks for.\n\n"
	      "  -c, --config FILE     configuration (default " MUX_CONFIG_PATH_DEFAULT ")\n"
	      "      --set NAME=VALUE  one option, over the file\n"
	      "      --print-options   all options with defaults, as they stand in the file\n"
	      "      --version\n"
	      "  -h, --help\n\n"
	      "SIGUSR1 logs the counters; ends on SIGTERM. Exit status: 0 stopped, 1 could not start, 2 wrong use or\n"
	      "configuration. See huisclos-mux(8).\n", out);
}

static enum err find_ids(const struct mux_config *config, uid_t *uid, gid_t *gid)
{
	*uid = geteuid();
	*gid = getegid();
	const struct passwd *user = config->user[0] ? getpwnam(config->user) : NULL;
	if (config->user[0] && !user) {
		log_line(LOG_ERROR, "user = %s: there is no such user", config->user);
		return ERR_USAGE;
	}
	if (user) {
		*uid = user->pw_uid;
		*gid = user->pw_gid;
	}
	const struct group *group = config->group[0] ? getgrnam(config->group) : NULL;
	if (config->group[0] && !group) {
		log_line(LOG_ERROR, "group = %s: there is no such group", config->group);
		return ERR_USAGE;
	}
	if (group)
		*gid = group->gr_gid;
	return ERR_OK;
}

static enum err confine(uid_t uid, gid_t gid)
{
	const struct confine_path spare = {"/dev/null", CONFINE_READ}; // the servers' sockets are reached all the same
	struct rlimit none = {0, 0}, descriptors;
	if (geteuid() == 0 && uid != 0 && (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)) {
		log_line(LOG_ERROR, "cannot drop privileges: %s", strerror(errno));
		return ERR_IO;
	}
	if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
		descriptors.rlim_cur = descriptors.rlim_max;
		setrlimit(RLIMIT_NOFILE, &descriptors);
	}
	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0) {
		log_line(LOG_ERROR, "cannot confine the process: %s", strerror(errno));
		return ERR_IO;
	}
	return confine_files(&spare, 1);
}

static int run(const struct mux_config *config)
{
	uid_t uid;
	gid_t gid;
	sigset_t set;
	struct mux *mux;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (find_ids(config, &uid, &gid))
		return EXIT_USAGE;
	if (mux_open(config, &mux))
		return EXIT_FAILURE;
	enum err err = confine(uid, gid);
	if (!err) {
		log_line(LOG_NOTICE, "ready");
		err = mux_run(mux);
	}
	mux_close(mux);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'}, {"set", required_argument, NULL, 's'}, {"print-options", no_argument, NULL, 'p'},
		{"version", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'}, {0},
	};
	const char *path = NULL, *sets[SETS_MAX];
	size_t set_count = 0;
	int c;
	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			path = optarg;
			break;
		case 's':
			if (set_count == SETS_MAX) {
				fprintf(stderr, "huisclos-mux: --set: at most %d\n", SETS_MAX);
				return EXIT_USAGE;
			}
			sets[set_count++] = optarg;
			break;
		case 'p':
			mux_config_print_options(stdout);
			return EXIT_SUCCESS;
		case 'v':
			puts("huisclos-mux " HUISCLOS_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			print_help(stdout);
			return EXIT_SUCCESS;
		default:
			fputs("huisclos-mux: see huisclos-mux --help\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "huisclos-mux: %s: takes no arguments (see huisclos-mux --help)\n", argv[optind]);
		return EXIT_USAGE;
	}
	static struct mux_config config;
	char problem[OPTION_PROBLEM_MAX];
	if (mux_config_load(path, sets, set_count, &config, problem)) {
		fprintf(stderr, "huisclos-mux: %s\n", problem);
		return EXIT_USAGE;
	}
	log_init("huisclos-mux", (enum log_level)mux_config_log_level(&config));
	return run(&config);
}
