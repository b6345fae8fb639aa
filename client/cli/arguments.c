// SPDX-License-Identifier: Apache-2.0
#include "client/cli/arguments.h"

#include "base/secret.h"
#include "version.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { DAY_S = 24 * 3600, DURATION_MAX_S = 366 * DAY_S };

enum option_id {
	OPTION_HOME, OPTION_HELP, OPTION_VERSION, OPTION_TITLE, OPTION_EXPIRES, OPTION_AUDIO, OPTION_VIDEO, OPTION_RECORD,
	OPTION_AUDIO_ONLY, OPTION_DURATION, OPTION_TRANSPORT, OPTION_NAME, OPTION_JSON, OPTIONS
};

static const struct {
	const char *name, *argument, *help;
} options[OPTIONS] = {
	[OPTION_HOME] = { "home", "DIR", "folder of this identity (default ~/.local/share/huisclos)" },
	[OPTION_HELP] = { "help", NULL, "print this" },
	[OPTION_VERSION] = { "version", NULL, "print the version" },
	[OPTION_TITLE] = { "title", "TEXT", "what the meeting is about; only its members can read it" },
	[OPTION_EXPIRES] = { "expires", "DURATION", "how long the meeting exists: 90m, 8h, 7d (default 1d)" },
	[OPTION_AUDIO] = { "audio", "FILE.wav|none", "what to say, in a loop (default none)" },
	[OPTION_VIDEO] = { "video", "FILE.y4m|none", "what to show, in a loop (default none)" },
	[OPTION_RECORD] = { "record", "DIR", "record what is received into this folder" },
	[OPTION_AUDIO_ONLY] = { "audio-only", NULL, "do not receive pictures of the others" },
	[OPTION_DURATION] = { "duration", "S", "leave after so many seconds in the meeting" },
	[OPTION_TRANSPORT] = { "transport", "auto|udp|tls", "the way media takes (default auto)" },
	[OPTION_NAME] = { "name", "TEXT", "name that the others see (default: the user's)" },
	[OPTION_JSON] = { "json", NULL, "print events and statistics as one JSON object a line" },
};

#define BIT(option) (1u << (option))
#define COMMON (BIT(OPTION_HOME) | BIT(OPTION_HELP) | BIT(OPTION_VERSION))

static const struct command {
	enum arguments_command command;
	const char *word, *second, *operand, *help;
	unsigned allowed, required;
} commands[] = {
	{ ARGUMENTS_ENROL, "enrol", NULL, "LINK", "make this home a device of a user, by an enrolment link", COMMON, 0 },
	{ ARGUMENTS_MEET_CREATE, "meet", "create", NULL, "create a meeting and print its link",
	  COMMON | BIT(OPTION_TITLE) | BIT(OPTION_EXPIRES), BIT(OPTION_TITLE) },
	{ ARGUMENTS_MEET_LIST, "meet", "list", NULL, "list the user's meetings", COMMON | BIT(OPTION_JSON), 0 },
	{ ARGUMENTS_JOIN, "join", NULL, "LINK_OR_ID", "take part in a meeting until a signal or the given time",
	  COMMON | BIT(OPTION_AUDIO) | BIT(OPTION_VIDEO) | BIT(OPTION_RECORD) | BIT(OPTION_AUDIO_ONLY) |
		  BIT(OPTION_DURATION) | BIT(OPTION_TRANSPORT) | BIT(OPTION_NAME) | BIT(OPTION_JSON), 0 },
};
enum { COMMANDS = sizeof(commands) / sizeof(*commands) };

static void print_command(const struct command *command, FILE *out)
{
	fprintf(out, "tcc-cli %s%s%s%s%s", command->word, command->second ? " " : "", command->second ? command->second : "",
		command->operand ? " " : "", command->operand ? command->operand : "");
}

static void print_help(const struct command *only, FILE *out)
{
	fputs("usage:\n", out);
	for (size_t i = 0; i < COMMANDS; i++) {
		if (only && only != &commands[i])
			continue;
		fputs("  ", out);
		print_command(&commands[i], out);
		fprintf(out, " [OPTION]…\n      %s\n", commands[i].help);
	}
	if (!only || only->operand)
		fputs("A link given as - is read from standard input, where ps does not show it.\n", out);
	fputs("options:\n", out);
	for (int i = 0; i < OPTIONS; i++) {
		char text[64];
		if (only && !(only->allowed & BIT(i)))
			continue;
		snprintf(text, sizeof(text), "--%s%s%s", options[i].name, options[i].argument ? " " : "",
			 options[i].argument ? options[i].argument : "");
		fprintf(out, "  %-24s %s\n", text, options[i].help);
	}
	if (!only)
		fputs("tcc-cli COMMAND --help tells which option goes with which command.\n"
		      "exit status: 0 done, 1 failed, 2 wrong use\n", out);
}

static enum err wrong(char *problem, const char *format, ...) __attribute__((format(printf, 2, 3)));
static enum err wrong(char *problem, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(problem, ARGUMENTS_PROBLEM_MAX, format, arguments);
	va_end(arguments);
	return ERR_USAGE;
}

// A number with a unit: 30s, 90m, 8h, 7d.
static enum err parse_duration(const char *text, uint64_t *out)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', DAY_S } };
	char digits[16];
	size_t size = strlen(text);
	if (size < 2 || size >= sizeof(digits))
		return ERR_PARSE;
	memcpy(digits, text, size - 1);
	digits[size - 1] = 0;
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (text[size - 1] != units[i].unit)
			continue;
		enum err err = text_u64_parse(digits, 1, DURATION_MAX_S / units[i].seconds, out);
		*out *= units[i].seconds;
		return err;
	}
	return ERR_PARSE;
}

static const char *path_or_none(const char *text)
{
	return strcmp(text, "none") == 0 ? NULL : text;
}

static enum err set_option(struct arguments *out, enum option_id option, const char *value, char *problem)
{
	switch (option) {
	case OPTION_HOME:
		out->home = value;
		break;
	case OPTION_TITLE:
		out->title = value;
		break;
	case OPTION_EXPIRES:
		if (parse_duration(value, &out->expires_s) != ERR_OK)
			return wrong(problem, "--expires %.64s: a number with s, m, h or d is allowed, at most 366d", value);
		break;
	case OPTION_AUDIO:
		out->audio_path = path_or_none(value);
		break;
	case OPTION_VIDEO:
		out->video_path = path_or_none(value);
		break;
	case OPTION_RECORD:
		out->record_path = value;
		break;
	case OPTION_AUDIO_ONLY:
		out->is_audio_only = true;
		break;
	case OPTION_DURATION:
		if (text_u64_parse(value, 1, DURATION_MAX_S, &out->duration_s) != ERR_OK)
			return wrong(problem, "--duration %.64s: a number of seconds from 1 to %d is allowed", value, DURATION_MAX_S);
		break;
	case OPTION_TRANSPORT:
		if (strcmp(value, "auto") == 0)
			out->transport = ENGINE_TRANSPORT_AUTO;
		else if (strcmp(value, "udp") == 0)
			out->transport = ENGINE_TRANSPORT_UDP;
		else if (strcmp(value, "tls") == 0)
			out->transport = ENGINE_TRANSPORT_TLS;
		else
			return wrong(problem, "--transport %.64s: auto, udp or tls is allowed", value);
		break;
	case OPTION_NAME:
		out->name = value;
		break;
	case OPTION_JSON:
		out->is_json = true;
		break;
	default:
		break;
	}
	return ERR_OK;
}

// Copy the link and leave nothing of it in argv.
static enum err take_link(char *operand, FILE *input, struct arguments *out, char *problem)
{
	size_t size = strlen(operand);
	if (strcmp(operand, "-") == 0) {
		if (!fgets(out->link, sizeof(out->link), input))
			return wrong(problem, "%s", "no link on standard input");
		out->link[strcspn(out->link, "\r\n")] = 0;
		return out->link[0] ? ERR_OK : wrong(problem, "%s", "no link on standard input");
	}
	if (size >= sizeof(out->link))
		return wrong(problem, "%s", "the link is too long");
	memcpy(out->link, operand, size + 1);
	secret_wipe(operand, size);
	return ERR_OK;
}

static const struct command *find_command(const char *word, const char *second)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		if (word && strcmp(commands[i].word, word) == 0 &&
		    (!commands[i].second || (second && strcmp(commands[i].second, second) == 0)))
			return &commands[i];
	}
	return NULL;
}

// All options, wherever they stand; operands end up behind them. `seen` is the set that was given.
static enum err parse_options(int argc, char **argv, struct arguments *out, unsigned *seen, char *problem)
{
	struct option long_options[OPTIONS + 1] = { 0 };
	for (int i = 0; i < OPTIONS; i++)
		long_options[i] = (struct option){ .name = options[i].name, .has_arg = options[i].argument ? required_argument : no_argument };
	optind = 0; // a fresh start, also for tests
	opterr = 0;
	for (;;) {
		int at = -1, got = getopt_long(argc, argv, ":", long_options, &at);
		if (got == -1)
			return ERR_OK;
		if (got == ':')
			return wrong(problem, "%.64s needs a value", argv[optind - 1]);
		if (got != 0 || at < 0)
			return wrong(problem, "unknown option %.64s", argv[optind - 1]);
		*seen |= BIT(at);
		enum err err = set_option(out, (enum option_id)at, optarg, problem);
		if (err)
			return err;
	}
}

static enum err check_options(const struct command *command, unsigned seen, char *problem)
{
	for (int i = 0; i < OPTIONS; i++) {
		if ((seen & BIT(i)) && !(command->allowed & BIT(i)))
			return wrong(problem, "--%s does not go with this command", options[i].name);
		if ((command->required & BIT(i)) && !(seen & BIT(i)))
			return wrong(problem, "--%s is required", options[i].name);
	}
	return ERR_OK;
}

enum err arguments_parse(int argc, char **argv, FILE *input, FILE *output, struct arguments *out,
			 char problem[static ARGUMENTS_PROBLEM_MAX])
{
	unsigned seen = 0;
	*out = (struct arguments){ .expires_s = DAY_S, .command = ARGUMENTS_HELP };
	enum err err = parse_options(argc, argv, out, &seen, problem);
	if (err)
		return err;
	const char *word = optind < argc ? argv[optind] : NULL, *second = optind + 1 < argc ? argv[optind + 1] : NULL;
	const struct command *command = find_command(word, second);
	if (seen & BIT(OPTION_VERSION)) {
		fprintf(output, "tcc-cli %s\n", HUISCLOS_VERSION);
		return ERR_OK;
	}
	if (seen & BIT(OPTION_HELP)) {
		print_help(command, output);
		return ERR_OK;
	}
	if (!word)
		return wrong(problem, "%s", "a command is needed: enrol, meet create, meet list or join");
	if (!command)
		return wrong(problem, "unknown command %.64s: there are enrol, meet create, meet list and join", word);
	int operand = optind + 1 + (command->second != NULL), wanted = command->operand != NULL;
	if (argc - operand < wanted)
		return wrong(problem, "%s is needed", command->operand);
	if (argc - operand > wanted)
		return wrong(problem, "%.64s is one argument too many", argv[operand + wanted]);
	err = check_options(command, seen, problem);
	if (!err && wanted)
		err = take_link(argv[operand], input, out, problem);
	if (!err)
		out->command = command->command;
	return err;
}
