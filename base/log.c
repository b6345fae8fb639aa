// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024 };

static struct {
	const char *name;
	enum log_level threshold;
	bool has_journal;
} settings = { .name = "huisclos", .threshold = LOG_INFO };

void log_init(const char *name, enum log_level threshold)
{
	settings.name = name;
	settings.threshold = threshold;
	settings.has_journal = getenv("JOURNAL_STREAM") != NULL;
}

static int emit_prefix(char *line, size_t size, enum log_level level)
{
	if (settings.has_journal)
		return snprintf(line, size, "<%d>%s: ", (int)level, settings.name);
	struct timespec now;
	struct tm utc;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	return snprintf(line, size, "%02d:%02d:%02d.%03ld %s: ", utc.tm_hour, utc.tm_min, utc.tm_sec,
			now.tv_nsec / 1000000, settings.name);
}

void log_line(enum log_level level, const char *format, ...)
{
	if (level > settings.threshold)
		return;
	char line[LINE_MAX_BYTES];
	int prefix = emit_prefix(line, sizeof(line) - 1, level);
	va_list arguments;
	va_start(arguments, format);
	int body = vsnprintf(line + prefix, sizeof(line) - 1 - (size_t)prefix, format, arguments);
	va_end(arguments);
	size_t size = (size_t)prefix + (size_t)(body > 0 ? body : 0);
	if (size > sizeof(line) - 2)
		size = sizeof(line) - 2;
	for (size_t i = (size_t)prefix; i < size; i++) {
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	}
	line[size++] = '\n';
	// One write a line keeps lines of several processes whole. A log that cannot be written is not worth dying for.
	if (write(STDERR_FILENO, line, size) < 0)
		return;
}
