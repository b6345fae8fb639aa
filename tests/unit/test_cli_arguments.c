// The command line of tcc-cli: right use, and wrong use told in one line. SPDX-License-Identifier: Apache-2.0
#include "client/cli/arguments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ARGUMENTS_MAX = 32 };

struct outcome {
	enum err err;
	struct arguments arguments;
	char problem[ARGUMENTS_PROBLEM_MAX];
	char output[8192];
	char *argv[ARGUMENTS_MAX];
	char words[1024]; // that argv points into
	int argc;
};

static void parse(struct outcome *out, const char *line, const char *input)
{
	memset(out, 0, sizeof(*out));
	snprintf(out->words, sizeof(out->words), "%s", line);
	for (char *at = out->words, *word; (word = strsep(&at, " "));)
		out->argv[out->argc++] = word;
	FILE *in = fmemopen((char *)(uintptr_t)input, strlen(input) + 1, "r"), *output = fmemopen(out->output, sizeof(out->output), "w");
	out->err = arguments_parse(out->argc, out->argv, in, output, &out->arguments, out->problem);
	fclose(in);
	fclose(output);
}

static void test_right_use(void **state)
{
	(void)state;
	struct outcome out;
	parse(&out, "tcc-cli join LINK --audio a.wav --video none --record dir --audio-only --duration 20 --transport tls --name Ada --json --home h", "");
	assert_int_equal(out.err, ERR_OK);
	assert_int_equal(out.arguments.command, ARGUMENTS_JOIN);
	assert_string_equal(out.arguments.link, "LINK");
	assert_string_equal(out.arguments.audio_path, "a.wav");
	assert_true(out.arguments.is_audio_only);
	assert_null(out.arguments.video_path);
	assert_string_equal(out.arguments.record_path, "dir");
	assert_string_equal(out.arguments.home, "h");
	assert_string_equal(out.arguments.name, "Ada");
	assert_int_equal(out.arguments.duration_s, 20);
	assert_int_equal(out.arguments.transport, ENGINE_TRANSPORT_TLS);
	assert_true(out.arguments.is_json);
	parse(&out, "tcc-cli --home h meet create --title T --expires 90m", "");
	assert_int_equal(out.err, ERR_OK);
	assert_int_equal(out.arguments.command, ARGUMENTS_MEET_CREATE);
	assert_int_equal(out.arguments.expires_s, 5400);
	parse(&out, "tcc-cli meet --home=h create --title=T", "");
	assert_int_equal(out.err, ERR_OK);
	assert_int_equal(out.arguments.expires_s, 24 * 3600);
	parse(&out, "tcc-cli meet list", "");
	assert_int_equal(out.err, ERR_OK);
	assert_int_equal(out.arguments.command, ARGUMENTS_MEET_LIST);
	assert_null(out.arguments.home);
}

static void test_wrong_use(void **state)
{
	(void)state;
	static const struct {
		const char *line, *problem;
	} table[] = {
		{ "tcc-cli", "a command is needed: enrol, meet create, meet list or join" },
		{ "tcc-cli jion x", "unknown command jion: there are enrol, meet create, meet list and join" },
		{ "tcc-cli meet", "unknown command meet: there are enrol, meet create, meet list and join" },
		{ "tcc-cli meet destroy", "unknown command meet: there are enrol, meet create, meet list and join" },
		{ "tcc-cli enrol", "LINK is needed" },
		{ "tcc-cli join", "LINK_OR_ID is needed" },
		{ "tcc-cli join a b", "b is one argument too many" },
		{ "tcc-cli meet list x", "x is one argument too many" },
		{ "tcc-cli meet create", "--title is required" },
		{ "tcc-cli meet create --title T --expires 5", "--expires 5: a number with s, m, h or d is allowed, at most 366d" },
		{ "tcc-cli meet create --title T --expires 0d", "--expires 0d: a number with s, m, h or d is allowed, at most 366d" },
		{ "tcc-cli meet create --title T --expires 367d", "--expires 367d: a number with s, m, h or d is allowed, at most 366d" },
		{ "tcc-cli meet create --title T --expires -1d", "--expires -1d: a number with s, m, h or d is allowed, at most 366d" },
		{ "tcc-cli join x --duration 0", "--duration 0: a number of seconds from 1 to 31622400 is allowed" },
		{ "tcc-cli join x --duration 1.5", "--duration 1.5: a number of seconds from 1 to 31622400 is allowed" },
		{ "tcc-cli join x --transport sctp", "--transport sctp: auto, udp or tls is allowed" },
		{ "tcc-cli join x --audio", "--audio needs a value" },
		{ "tcc-cli join x --vidoe y", "unknown option --vidoe" },
		{ "tcc-cli join x -v", "unknown option -v" },
		{ "tcc-cli join x --json=1", "unknown option --json=1" },
		{ "tcc-cli enrol x --json", "--json does not go with this command" },
		{ "tcc-cli meet list --title T", "--title does not go with this command" },
		{ "tcc-cli join -", "no link on standard input" },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct outcome out;
		parse(&out, table[i].line, "");
		assert_int_equal(out.err, ERR_USAGE);
		assert_string_equal(out.problem, table[i].problem);
		assert_string_equal(out.output, "");
	}
}

static void test_help_and_version(void **state)
{
	(void)state;
	struct outcome out;
	parse(&out, "tcc-cli --help", "");
	assert_int_equal(out.err, ERR_OK);
	assert_int_equal(out.arguments.command, ARGUMENTS_HELP);
	assert_non_null(strstr(out.output, "meet create"));
	assert_non_null(strstr(out.output, "--transport"));
	parse(&out, "tcc-cli meet create --help", "");
	assert_int_equal(out.err, ERR_OK);
	assert_non_null(strstr(out.output, "--expires"));
	assert_null(strstr(out.output, "--transport"));
	assert_null(strstr(out.output, "enrol LINK"));
	parse(&out, "tcc-cli --version", "");
	assert_int_equal(out.err, ERR_OK);
	assert_int_equal(strncmp(out.output, "tcc-cli ", 8), 0);
}

// ps shows argv: after parsing nothing of the link stands in it.
static void test_link_leaves_argv(void **state)
{
	(void)state;
	struct outcome out;
	parse(&out, "tcc-cli join https://h/m/ID#s=SECRET --json", "");
	assert_string_equal(out.arguments.link, "https://h/m/ID#s=SECRET");
	assert_null(memmem(out.words, sizeof(out.words), "SECRET", 6));
	assert_null(memmem(out.words, sizeof(out.words), "https", 5));
}

static void test_link_from_standard_input(void **state)
{
	(void)state;
	struct outcome out;
	parse(&out, "tcc-cli enrol -", "https://h/enrol#x\nmore");
	assert_int_equal(out.err, ERR_OK);
	assert_string_equal(out.arguments.link, "https://h/enrol#x");
	char *long_line = malloc(TOKEN_LINK_MAX + 32);
	memset(long_line, 'x', TOKEN_LINK_MAX + 31);
	long_line[TOKEN_LINK_MAX + 31] = 0;
	parse(&out, "tcc-cli enrol -", long_line);
	assert_true(strlen(out.arguments.link) < TOKEN_LINK_MAX); // cut, and refused as no link
	free(long_line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_right_use), cmocka_unit_test(test_wrong_use), cmocka_unit_test(test_help_and_version),
		cmocka_unit_test(test_link_leaves_argv), cmocka_unit_test(test_link_from_standard_input),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
