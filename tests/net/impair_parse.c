// Link descriptions as text. SPDX-License-Identifier: Apache-2.0
#include "tests/net/impair_decide.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *name;
	double factor;
};
static const struct unit time_units[] = { { "s", 1e9 }, { "ms", 1e6 }, { "us", 1e3 }, { NULL, 0 } };
static const struct unit share_units[] = { { "%", 0.01 }, { NULL, 0 } };
static const struct unit rate_units[] = { { "bit", 1 }, { "kbit", 1e3 }, { "mbit", 1e6 }, { NULL, 0 } };
static const struct unit size_units[] = { { "b", 1 }, { "kb", 1024 }, { NULL, 0 } };
static const struct unit count_units[] = { { "", 1 }, { NULL, 0 } };

static enum err parse_quantity(const char *text, const struct unit *units, double max, double *out)
{
	char *end;
	if (!*text || !strchr("0123456789.", *text))
		return ERR_PARSE;
	double value = strtod(text, &end);
	for (const struct unit *unit = units; unit->name; unit++) {
		if (strcmp(end, unit->name) != 0)
			continue;
		value *= unit->factor;
		if (!(value >= 0 && value <= max))
			return ERR_LIMIT;
		*out = value;
		return ERR_OK;
	}
	return ERR_PARSE;
}

static enum err parse_integer(const char *text, const struct unit *units, double max, uint64_t *out)
{
	double value;
	enum err err = parse_quantity(text, units, max, &value);
	if (!err)
		*out = (uint64_t)(value + 0.5);
	return err;
}

enum err impair_time_parse(const char *text, uint64_t *ns)
{
	return parse_integer(text, time_units, 86400e9, ns);
}

// P:R[:1-H[:1-K]] with netem's defaults.
static enum err parse_gilbert_elliott(char *text, struct impair_link *link)
{
	double value[4] = { 0, 0, 1, 0 };
	size_t count = 0;
	char *rest = text, *word;
	while ((word = strsep(&rest, ":"))) {
		if (count == 4 || parse_quantity(word, share_units, 1, &value[count]))
			return ERR_PARSE;
		count++;
	}
	if (count < 2)
		return ERR_PARSE;
	link->good_to_bad = value[0];
	link->bad_to_good = value[1];
	link->loss_in_bad = value[2];
	link->loss_in_good = value[3];
	return ERR_OK;
}

static enum err parse_distribution(const char *text, enum impair_distribution *out)
{
	static const char *const names[] = { [IMPAIR_UNIFORM] = "uniform", [IMPAIR_NORMAL] = "normal", [IMPAIR_PARETO] = "pareto" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) == 0) {
			*out = (enum impair_distribution)i;
			return ERR_OK;
		}
	}
	return ERR_PARSE;
}

static enum err parse_field(const char *name, char *value, struct impair_link *link)
{
	uint64_t integer = 0;
	enum err err = ERR_PARSE;
	if (strcmp(name, "delay") == 0)
		return impair_time_parse(value, &link->delay_ns);
	if (strcmp(name, "jitter") == 0)
		return impair_time_parse(value, &link->jitter_ns);
	if (strcmp(name, "distribution") == 0)
		return parse_distribution(value, &link->distribution);
	if (strcmp(name, "loss") == 0)
		return parse_quantity(value, share_units, 1, &link->loss);
	if (strcmp(name, "ge") == 0)
		return parse_gilbert_elliott(value, link);
	if (strcmp(name, "duplicate") == 0)
		return parse_quantity(value, share_units, 1, &link->duplicate);
	if (strcmp(name, "reorder") == 0)
		return parse_quantity(value, share_units, 1, &link->reorder);
	if (strcmp(name, "rate") == 0)
		return parse_integer(value, rate_units, 1e12, &link->rate_bps);
	if (strcmp(name, "queue") == 0)
		return parse_integer(value, size_units, 1e9, &link->queue_bytes);
	if (strcmp(name, "mtu") == 0 && !(err = parse_integer(value, count_units, 65535, &integer)))
		link->mtu = (uint32_t)integer;
	return err;
}

enum err impair_link_parse(const char *text, struct impair_link *link, char problem[static 128])
{
	char copy[512], *rest = copy, *word;
	if (strlen(text) >= sizeof(copy)) {
		snprintf(problem, 128, "link description is too long");
		return ERR_USAGE;
	}
	memcpy(copy, text, strlen(text) + 1);
	while (*text && (word = strsep(&rest, ","))) {
		char *value = word, *name = strsep(&value, "=");
		if (!value || parse_field(name, value, link)) {
			snprintf(problem, 128, "%s=%s: not understood, see impair --help", name, value ? value : "");
			return ERR_USAGE;
		}
	}
	if (link->rate_bps && !link->queue_bytes)
		link->queue_bytes = link->rate_bps / 8 / 10; // 100 ms
	return ERR_OK;
}
