// tcs, the communication server: relays the encrypted media of running meetings. SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "base/srtp_box.h"
#include "relay/control_socket.h"
#include "relay/manager.h"
#include "relay/manager_link.h"
#include "relay/manager_spawner.h"
#include "relay/passed.h"
#include "relay/registration.h"
#include "relay/relay.h"
#include "relay/relay_address.h"
#include "relay/relay_enrol.h"
#include "relay/relay_socket.h"
#include "relay/tcs_config.h"
#include "version.h"

#include <curl/curl.h>

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, SETS_MAX = 64, PROBLEM_MAX = 1200 };

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

struct sockets {
	int udp, tcp, mux, control, signals, spawner;
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

// ---------------------------------------------------------------- start

static enum err open_sockets(const struct tcs_config *config, struct sockets *out, char *problem)
{
	struct sockaddr_in6 address;
	*out = (struct sockets){ -1, -1, -1, -1, -1, -1 };
	enum err err = ERR_OK;
	if (config->listen_port == 0 && !*config->mux_socket) {
		snprintf(problem, PROBLEM_MAX, "neither listen-port nor mux-socket is set: nobody could connect");
		return ERR_USAGE;
	}
	if (config->udp_port != 0) {
		err = relay_address_parse(config->listen_address, (uint16_t)config->udp_port, &address);
		if (!err)
			err = relay_socket_udp(&address, &out->udp, problem);
	}
	if (!err && config->listen_port != 0) {
		err = relay_address_parse(config->listen_address, (uint16_t)config->listen_port, &address);
		if (!err)
			err = relay_socket_tcp(&address, &out->tcp, problem);
	}
	if (!err && *config->mux_socket)
		err = relay_socket_unix(config->mux_socket, SOCK_SEQPACKET, &out->mux, problem);
	if (!err && *config->control_socket)
		err = relay_socket_unix(config->control_socket, SOCK_STREAM, &out->control, problem);
	return err;
}

static enum err find_user(const char *user, const struct passwd **account, char *problem)
{
	*account = getpwnam(user);
	if (*account)
		return ERR_OK;
	snprintf(problem, PROBLEM_MAX, "user = %s: no such account", user);
	return ERR_USAGE;
}

// The state directory, if its parent is there: the account's own.
static enum err make_state_directory(const struct tcs_config *config, char *problem)
{
	const struct passwd *account = NULL;
	enum err err = *config->user ? find_user(config->user, &account, problem) : ERR_OK;
	if (err)
		return err;
	bool is_made = mkdir(config->state_directory, 0700) == 0;
	if ((!is_made && errno != EEXIST) ||
	    (is_made && account && geteuid() == 0 && chown(config->state_directory, account->pw_uid, account->pw_gid) != 0)) {
		snprintf(problem, PROBLEM_MAX, "cannot make the directory %s: %s", config->state_directory, strerror(errno));
		return ERR_IO;
	}
	return ERR_OK;
}

// The UNIX sockets were made before the account was taken on: they are its own and its group's.
static enum err own_socket(const char *path, const struct passwd *account, char *problem)
{
	if (!*path || lchown(path, account->pw_uid, account->pw_gid) == 0)
		return ERR_OK;
	snprintf(problem, PROBLEM_MAX, "cannot give %s to %s: %s", path, account->pw_name, strerror(errno));
	return ERR_DENIED;
}

static enum err own_sockets(const struct tcs_config *config, char *problem)
{
	const struct passwd *account = NULL;
	if (!*config->user || geteuid() != 0)
		return ERR_OK;
	enum err err = find_user(config->user, &account, problem);
	if (!err)
		err = own_socket(config->mux_socket, account, problem);
	return err ? err : own_socket(config->control_socket, account, problem);
}

static enum err drop_user(const char *user, char *problem)
{
	const struct passwd *account;
	if (!*user)
		return ERR_OK;
	enum err err = find_user(user, &account, problem);
	if (err)
		return err;
	if (geteuid() == account->pw_uid)
		return ERR_OK;
	if (initgroups(user, account->pw_gid) != 0 || setgid(account->pw_gid) != 0 || setuid(account->pw_uid) != 0) {
		snprintf(problem, PROBLEM_MAX, "cannot become user %s: %s", user, strerror(errno));
		return ERR_DENIED;
	}
	return ERR_OK;
}

// A packet must not wait until some other program's time slice is over. What the relay starts is ordinary.
static void set_priority(uint64_t priority)
{
	const struct sched_param wanted = { .sched_priority = (int)priority };
	if (priority > 0 && sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &wanted) != 0)
		log_line(LOG_NOTICE, "no real-time priority (%s): on a busy machine packets wait some milliseconds", strerror(errno));
}

// SIGTERM and SIGINT stop; they come as reads, not in the middle of something.
static int open_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

// A descriptor for each participant: as many as the system lets us have.
static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

// No more rights by executing something, and no core file with the TLS key in it.
static void give_up_rights(void)
{
	const struct rlimit none = { 0, 0 };
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static enum err watch(struct relay *relay, struct sockets *sockets)
{
	struct loop *loop = relay->loop;
	enum err err = ERR_OK;
	relay->signals = sockets->signals;
	err = loop->ops->watch_readable(loop, sockets->signals);
	if (!err && sockets->udp >= 0)
		err = loop->ops->watch_datagrams(loop, sockets->udp);
	if (!err && sockets->tcp >= 0)
		err = loop->ops->watch_listener(loop, sockets->tcp);
	if (!err && sockets->mux >= 0)
		err = passed_open(relay, sockets->mux, &relay->passed);
	if (!err && sockets->control >= 0)
		err = control_socket_open(relay, sockets->control, &relay->control);
	if (!err)
		err = manager_link_open(relay, sockets->spawner, &relay->manager);
	return err;
}

static enum err run(struct relay *relay, struct sockets *sockets, char *problem)
{
	struct loop_handlers handlers = relay_handlers(relay);
	struct loop *loop = NULL;
	enum err err = loop_open((enum loop_choice)relay->config->loop, &handlers, &loop);
	if (!err)
		err = relay_start(relay, loop);
	if (!err)
		err = watch(relay, sockets);
	if (!err) {
		log_line(LOG_NOTICE, "relay %s is up: port %u/tcp, %u/udp, %s", relay->registration->name,
			 (unsigned)relay->config->listen_port, (unsigned)relay->config->udp_port, loop->ops->name);
		err = loop->ops->run(loop);
	}
	if (err)
		snprintf(problem, PROBLEM_MAX, "the event loop failed: %s", err == ERR_IO ? strerror(errno) : err_text(err));
	else
		log_line(LOG_NOTICE, "stopped");
	manager_link_close(relay->manager);
	relay->manager = NULL;
	control_socket_close(relay->control);
	relay->control = NULL;
	passed_close(relay->passed);
	relay->passed = NULL;
	relay_free(relay);
	if (loop)
		loop->ops->close(loop);
	return err;
}

static enum err start_spawner(const struct tcs_config *config, const struct journal *journal, int *out, char *problem)
{
	const struct manager_spawner_options options = { .program = "/proc/self/exe", .state_directory = config->state_directory,
							 .log_level = config->log_level + LOG_ERROR,
							 .journal = journal_descriptor(journal) };
	if (manager_spawner_start(&options, out) == ERR_OK)
		return ERR_OK;
	snprintf(problem, PROBLEM_MAX, "cannot start the process of the manager: %s", strerror(errno));
	return ERR_IO;
}

static enum err serve(const struct tcs_config *config, char *problem)
{
	struct sockets sockets;
	struct registration registration;
	struct journal *journal = NULL;
	struct tls_context *tls = NULL;
	struct relay *relay = NULL;
	give_up_rights();
	raise_descriptor_limit();
	set_priority(config->realtime_priority);
	enum err err = open_sockets(config, &sockets, problem);
	if (!err)
		err = own_sockets(config, problem);
	if (!err)
		err = drop_user(config->user, problem);
	if (!err)
		err = registration_load(config->state_directory, &registration, problem);
	if (!err)
		err = journal_open(config->state_directory, loop_clock_ns(CLOCK_REALTIME) / 1000000000u, &journal, problem);
	if (!err) // before the TLS key is read: the spawner is a copy of this process
		err = start_spawner(config, journal, &sockets.spawner, problem);
	if (err)
		goto remove_sockets;
	snprintf(problem, PROBLEM_MAX, "the TLS certificate and key of the registration cannot be used");
	struct tls_context_options options = { .is_server = true, .alpn = CONTROL_ALPN,
					       .certificate_pem = registration.certificate_path, .key_pem = registration.key_path };
	err = tls_context_new(&options, &tls);
	if (!err)
		err = srtp_box_library_init();
	if (!err) {
		relay = relay_new(&(struct relay_options){ .config = config, .registration = &registration, .journal = journal, .tls = tls });
		sockets.signals = open_signals();
		err = !relay || sockets.signals < 0 ? ERR_NOMEM : ERR_OK;
	}
	if (err == ERR_NOMEM)
		snprintf(problem, PROBLEM_MAX, "%s", err_text(err));
	if (!err)
		err = run(relay, &sockets, problem);
remove_sockets:
	if (sockets.control >= 0)
		(void)unlink(config->control_socket);
	if (sockets.mux >= 0)
		(void)unlink(config->mux_socket);
	tls_context_free(tls);
	journal_close(journal);
	return err;
}

// ---------------------------------------------------------------- other modes

static int enrol(const struct arguments *arguments, const struct tcs_config *config)
{
	char problem[PROBLEM_MAX];
	struct registration registration;
	enum err err = make_state_directory(config, problem);
	if (!err)
		err = drop_user(config->user, problem);
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
	return serve(&config, problem) ? failed(problem) : EXIT_SUCCESS;
}
