// SPDX-License-Identifier: Apache-2.0
#include "base/options.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_LINE_MAX = 1024 };

// What a row allows, in words.
static void describe(const struct option_row *row, char *out, size_t size)
{
	const char *unit = row->unit ? row->unit : "";
	switch (row->type) {
	case OPTION_TEXT:
		snprintf(out, size, "a text of %llu to %llu characters", (unsigned long long)row->min,
			 (unsigned long long)(row->max < OPTION_TEXT_MAX ? row->max : OPTION_TEXT_MAX - 1));
		break;
	case OPTION_PATH:
		snprintf(out, size, "%s", row->min == 0 ? "an absolute path, or nothing" : "an absolute path");
		break;
	case OPTION_NUMBER:
		snprintf(out, size, "a number from %llu to %llu%s%s", (unsigned long long)row->min, (unsigned long long)row->max,
			 *unit ? " " : "", unit);
		break;
	case OPTION_BOOL:
		snprintf(out, size, "yes or no");
		break;
	case OPTION_CHOICE:
		snprintf(out, size, "one of %s", row->choices);
		break;
	case OPTION_ADDRESS:
		snprintf(out, size, "%s", row->min == 0 ? "an IPv4 or IPv6 address, or nothing" : "an IPv4 or IPv6 address");
		break;
	}
}

static bool put_text(char *field, const char *value, uint64_t min, uint64_t max)
{
	size_t size = strlen(value);
	if (size >= OPTION_TEXT_MAX || size < min || size > max || !text_is_printable(value, size))
		return false;
	memcpy(field, value, size + 1);
	return true;
}

static bool put_choice(const struct option_row *row, const char *value, unsigned *field)
{
	unsigned index = 0;
	for (const char *at = row->choices;; index++) {
		const char *end = strchrnul(at, '|');
		if ((size_t)(end - at) == strlen(value) && memcmp(at, value, strlen(value)) == 0) {
			*field = index;
			return true;
		}
		if (*end == '\0')
			return false;
		at = end + 1;
	}
}

static bool put_address(const char *value, uint64_t min, char *field)
{
	uint8_t binary[16];
	bool is_literal = inet_pton(AF_INET, value, binary) == 1 || inet_pton(AF_INET6, value, binary) == 1;
	return (is_literal || (min == 0 && *value == '\0')) && put_text(field, value, 0, OPTION_TEXT_MAX);
}

static bool put_value(const struct option_row *row, const char *value, void *config)
{
	void *field = (char *)config + row->offset;
	switch (row->type) {
	case OPTION_TEXT:
		return put_text(field, value, row->min, row->max);
	case OPTION_PATH:
		return (*value == '/' || (row->min == 0 && *value == '\0')) && put_text(field, value, 0, OPTION_TEXT_MAX);
	case OPTION_NUMBER:
		return text_u64_parse(value, row->min, row->max, field) == ERR_OK;
	case OPTION_BOOL:
		*(bool *)field = strcmp(value, "yes") == 0;
		return *(bool *)field || strcmp(value, "no") == 0;
	case OPTION_CHOICE:
		return put_choice(row, value, field);
	case OPTION_ADDRESS:
		return put_address(value, row->min, field);
	}
	return false;
}

static const struct option_row *find(const struct option_row *rows, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	}
	return NULL;
}

static char *trim(char *text)
{
	text += strspn(text, " \t");
	size_t size = strlen(text);
	while (size > 0 && strchr(" \t\r\n", text[size - 1]))
		text[--size] = '\0';
	return text;
}

// "name = value" into the configuration. `place` stands before the problem, e.g. "/etc/tcs.conf:3: ".
static enum err assign(const struct option_row *rows, size_t count, char *line, void *config, const char *place, char *problem)
{
	char *equals = strchr(line, '=');
	if (!equals) {
		snprintf(problem, OPTION_PROBLEM_MAX, "%s\"%.80s\": a line is name = value", place, line);
		return ERR_USAGE;
	}
	*equals = '\0';
	char *name = trim(line), *value = trim(equals + 1);
	const struct option_row *row = find(rows, count, name);
	if (!row) {
		snprintf(problem, OPTION_PROBLEM_MAX, "%s%.80s: there is no such option (see --print-options)", place, name);
		return ERR_USAGE;
	}
	if (put_value(row, value, config))
		return ERR_OK;
	char allowed[160];
	describe(row, allowed, sizeof(allowed));
	snprintf(problem, OPTION_PROBLEM_MAX, "%s%s = %.80s: %s is allowed", place, name, value, allowed);
	return ERR_USAGE;
}

static enum err load_file(const struct option_row *rows, size_t count, const char *path, void *config, bool *is_given, char *problem)
{
	FILE *file = fopen(path, "re");
	if (!file) {
		snprintf(problem, OPTION_PROBLEM_MAX, "%s: %s", path, strerror(errno));
		return ERR_USAGE;
	}
	char line[FILE_LINE_MAX], place[OPTION_TEXT_MAX + 16];
	enum err err = ERR_OK;
	for (unsigned number = 1; !err && fgets(line, sizeof(line), file); number++) {
		snprintf(place, sizeof(place), "%.*s:%u: ", OPTION_TEXT_MAX - 1, path, number);
		if (strlen(line) == sizeof(line) - 1) {
			snprintf(problem, OPTION_PROBLEM_MAX, "%sthe line is longer than %d characters", place, FILE_LINE_MAX - 2);
			err = ERR_USAGE;
			break;
		}
		char *text = trim(line);
		if (*text == '\0' || *text == '#')
			continue;
		err = assign(rows, count, text, config, place, problem);
		const struct option_row *row = err ? NULL : find(rows, count, trim(text));
		if (row && is_given[row - rows]) {
			snprintf(problem, OPTION_PROBLEM_MAX, "%s%s: given twice", place, row->name);
			err = ERR_USAGE;
		}
		if (row)
			is_given[row - rows] = true;
	}
	if (!err && ferror(file)) {
		snprintf(problem, OPTION_PROBLEM_MAX, "%s: %s", path, strerror(errno));
		err = ERR_USAGE;
	}
	fclose(file);
	return err;
}

enum err options_load(const struct option_row *rows, size_t count, const char *path, void *config,
		      char problem[static OPTION_PROBLEM_MAX])
{
	bool *is_given = calloc(count ? count : 1, sizeof(*is_given));
	if (!is_given) {
		snprintf(problem, OPTION_PROBLEM_MAX, "%s", err_text(ERR_NOMEM));
		return ERR_NOMEM;
	}
	enum err err = ERR_OK;
	for (size_t i = 0; i < count && !err; i++) {
		if (rows[i].initial && !put_value(&rows[i], rows[i].initial, config)) {
			snprintf(problem, OPTION_PROBLEM_MAX, "%s: the built-in default %s is not allowed", rows[i].name, rows[i].initial);
			err = ERR_USAGE;
		}
	}
	if (!err && path)
		err = load_file(rows, count, path, config, is_given, problem);
	for (size_t i = 0; i < count && !err; i++) {
		if (!rows[i].initial && !is_given[i] && path) {
			snprintf(problem, OPTION_PROBLEM_MAX, "%s: %s must be given", path, rows[i].name);
			err = ERR_USAGE;
		}
	}
	free(is_given);
	return err;
}

enum err options_set(const struct option_row *rows, size_t count, const char *assignment, void *config,
		     char problem[static OPTION_PROBLEM_MAX])
{
	char line[FILE_LINE_MAX];
	if (strlen(assignment) >= sizeof(line)) {
		snprintf(problem, OPTION_PROBLEM_MAX, "--set: longer than %d characters", FILE_LINE_MAX - 1);
		return ERR_USAGE;
	}
	strcpy(line, assignment);
	return assign(rows, count, line, config, "--set ", problem);
}

void options_print(const struct option_row *rows, size_t count, FILE *out)
{
	for (size_t i = 0; i < count; i++) {
		char allowed[160];
		describe(&rows[i], allowed, sizeof(allowed));
		fprintf(out, "# %s\n# %s\n", rows[i].help, allowed);
		fprintf(out, "%s%s = %s\n\n", rows[i].initial ? "#" : "", rows[i].name, rows[i].initial ? rows[i].initial : "");
	}
}
