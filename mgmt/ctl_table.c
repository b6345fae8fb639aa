// SPDX-License-Identifier: Apache-2.0
#include "mgmt/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>
#include <wctype.h>

enum { CELL_MAX = 512 };

struct ctl_table {
	size_t columns, count, capacity; // cells
	char **cells;
	int width[CTL_COLUMNS_MAX];
};

// Marks, embeddings, overrides and isolates of the bidirectional algorithm, and separators of lines.
static bool turns_text(wchar_t c)
{
	return c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void ctl_table_harmless(const char *text, char *out, size_t size)
{
	mbstate_t in = {0};
	size_t left = strlen(text), position = 0;
	while (left > 0 && position + 8 < size) {
		wchar_t c;
		size_t n = mbrtowc(&c, text, left, &in);
		bool is_bad = n == (size_t)-1 || n == (size_t)-2 || n == 0;
		if (is_bad) {
			in = (mbstate_t){0};
			n = 1;
		}
		if (is_bad || !iswprint((wint_t)c) || turns_text(c)) {
			out[position++] = '?';
		} else {
			memcpy(out + position, text, n);
			position += n;
		}
		text += n;
		left -= n;
	}
	out[position] = '\0';
}

static int width_of(const char *text)
{
	mbstate_t state = {0};
	size_t left = strlen(text);
	int width = 0;
	while (left > 0) {
		wchar_t c;
		size_t n = mbrtowc(&c, text, left, &state);
		if (n == 0 || n > left)
			return width + (int)left;
		int one = wcwidth(c);
		width += one > 0 ? one : 0;
		text += n;
		left -= n;
	}
	return width;
}

struct ctl_table *ctl_table_new(const char *const *headings, size_t columns)
{
	struct ctl_table *table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	table->columns = columns;
	for (size_t i = 0; i < columns; i++)
		ctl_table_cell(table, headings[i]);
	return table;
}

void ctl_table_cell(struct ctl_table *table, const char *text)
{
	char harmless[CELL_MAX];
	if (!table)
		return;
	ctl_table_harmless(text ? text : "", harmless, sizeof(harmless));
	if (table->count == table->capacity) {
		size_t capacity = table->capacity ? 2 * table->capacity : 64;
		char **cells = reallocarray(table->cells, capacity, sizeof(*cells));
		if (!cells)
			return;
		table->cells = cells;
		table->capacity = capacity;
	}
	char *cell = strdup(harmless);
	if (!cell)
		return;
	int *width = &table->width[table->count % table->columns];
	int own = width_of(cell);
	*width = own > *width ? own : *width;
	table->cells[table->count++] = cell;
}

void ctl_table_number(struct ctl_table *table, uint64_t number)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	ctl_table_cell(table, text);
}

void ctl_table_emit_time(uint64_t unix_s, char out[static CTL_TIME_MAX])
{
	time_t when = (time_t)unix_s;
	struct tm local;
	out[0] = '\0';
	if (localtime_r(&when, &local))
		strftime(out, CTL_TIME_MAX, "%Y-%m-%d %H:%M", &local);
}

void ctl_table_time(struct ctl_table *table, uint64_t unix_s)
{
	char text[CTL_TIME_MAX];
	ctl_table_emit_time(unix_s, text);
	ctl_table_cell(table, text);
}

void ctl_table_print(struct ctl_table *table)
{
	for (size_t i = 0; table && i < table->count; i++) {
		size_t column = i % table->columns;
		bool is_last = column + 1 == table->columns;
		printf("%s", table->cells[i]);
		if (is_last)
			putchar('\n');
		else
			printf("%*s", table->width[column] - width_of(table->cells[i]) + 2, "");
		free(table->cells[i]);
	}
	if (table)
		free(table->cells);
	free(table);
}

void ctl_table_print_pair(const char *name, const char *text)
{
	char harmless[CELL_MAX];
	ctl_table_harmless(text ? text : "", harmless, sizeof(harmless));
	printf("%-16s %s\n", name, harmless);
}
