// Control tool of the management server. SPDX-License-Identifier: Apache-2.0
#include "mgmt/config.h"
#include "mgmt/ctl.h"

#include <version.h>

#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

enum option_bit { WITH_MAIL = 1, WITH_ADDRESS = 2 }; // --mail; --address and --port

struct command {
	const char *group, *verb; // verb NULL: the group is the command
	int arguments;
	unsigned options;
	int (*run)(struct ctl *ctl);
	const char *usage, *help;
};

static const struct command commands[] = {
	{"users", "add", 1, WITH_MAIL, ctl_users_add, "NAME [--mail ADDRESS]", "add a user"},
	{"users", "list", 0, 0, ctl_users_list, "", "all users"},
	{"users", "remove", 1, 0, ctl_users_remove, "NAME-OR-ID", "remove a user: its devices get no more tickets, running meetings end for it"},
	{"users", "enrol", 1, 0, ctl_users_enrol, "NAME-OR-ID", "print a link with which one device becomes this user's"},
	{"meetings", "list", 0, 0, ctl_meetings_list, "", "all meetings; what they are about only their members can read"},
	{"meetings", "end", 1, 0, ctl_meetings_end, "ID", "end a meeting for all"},
	{"relays", "list", 0, 0, ctl_relays_list, "", "all relays"},
	{"relays", "add", 1, WITH_ADDRESS, ctl_relays_add, "NAME --address ADDRESS --port PORT", "register a relay; prints the link for tcs --enrol"},
	{"relays", "remove", 1, 0, ctl_relays_remove, "NAME-OR-ID", "remove a relay"},
	{"status", NULL, 0, 0, ctl_status, "", "how the service is"},
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

// Of one group, or all (NULL).
static void print_help(FILE *out, const char *group)
{
	fputs("usage: tmmsctl [--socket PATH] [--json] COMMAND\n\n", out);
	for (size_t i = 0; i < COMMANDS; i++) {
		const struct command *c = &commands[i];
		if (group && strcmp(group, c->group) != 0)
			continue;
		fprintf(out, "  tmmsctl %s%s%s%s%s\n        %s\n", c->group, c->verb ? " " : "", c->verb ? c->verb : "", c->usage[0] ? " " : "",
			c->usage, c->help);
	}
	fputs("\n  --socket PATH  control socket of tmms (default " CONFIG_SOCKET_DEFAULT ")\n"
	      "  --json         print the server's answer as JSON\n"
	      "  --version, --help\n\n"
	      "Exit status: 0 done, 1 failed, 2 wrong use. See tmmsctl(8).\n", out);
}

static const struct command *find(int argc, char **argv)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(argv[0], commands[i].group) == 0 &&
		    (!commands[i].verb || (argc > 1 && strcmp(argv[1], commands[i].verb) == 0)))
			return &commands[i];
	}
	return NULL;
}

static bool is_group(const char *text)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(text, commands[i].group) == 0)
			return true;
	}
	return false;
}

static int run(struct ctl *ctl)
{
	const struct command *command = find(ctl->argc, ctl->argv);
	if (!command) {
		fprintf(stderr, "tmmsctl: no such command (see tmmsctl%s%s --help)\n", is_group(ctl->argv[0]) ? " " : "",
			is_group(ctl->argv[0]) ? ctl->argv[0] : "");
		return CTL_USAGE;
	}
	int words = command->verb ? 2 : 1;
	unsigned given = (ctl->mail ? WITH_MAIL : 0u) | (ctl->address || ctl->port ? WITH_ADDRESS : 0u);
	if (ctl->argc - words != command->arguments || (given & ~command->options)) {
		fprintf(stderr, "usage: tmmsctl %s%s%s %s\n", command->group, command->verb ? " " : "", command->verb ? command->verb : "",
			command->usage);
		return CTL_USAGE;
	}
	ctl->argc -= words;
	ctl->argv += words;
	return command->run(ctl);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'}, {"mail", required_argument, NULL, 'm'},
		{"address", required_argument, NULL, 'a'}, {"port", required_argument, NULL, 'p'}, {"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'}, {0},
	};
	struct ctl ctl = {.socket = CONFIG_SOCKET_DEFAULT};
	bool is_help = false;
	int c;
	// Names are UTF-8 whatever the environment says.
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		setlocale(LC_CTYPE, "");
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 's':
			ctl.socket = optarg;
			break;
		case 'j':
			ctl.is_json = true;
			break;
		case 'm':
			ctl.mail = optarg;
			break;
		case 'a':
			ctl.address = optarg;
			break;
		case 'p':
			ctl.port = optarg;
			break;
		case 'v':
			puts("tmmsctl " HUISCLOS_VERSION);
			return CTL_DONE;
		case 'h':
			is_help = true;
			break;
		default:
			fputs("tmmsctl: see tmmsctl --help\n", stderr);
			return CTL_USAGE;
		}
	}
	ctl.argc = argc - optind;
	ctl.argv = argv + optind;
	if (is_help || ctl.argc == 0) {
		print_help(is_help ? stdout : stderr, ctl.argc > 0 && is_group(ctl.argv[0]) ? ctl.argv[0] : NULL);
		return is_help ? CTL_DONE : CTL_USAGE;
	}
	return run(&ctl);
}
