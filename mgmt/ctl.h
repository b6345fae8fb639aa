// What the files of tmmsctl share. SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_CTL_H
#define MGMT_CTL_H

#include "base/err.h"

#include <yyjson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CTL_DONE = 0, CTL_FAILED = 1, CTL_USAGE = 2, CTL_COLUMNS_MAX = 10, CTL_PATH_MAX = 128 };

struct ctl {
	const char *socket;
	bool is_json;
	// options of single commands, NULL: not given
	const char *mail, *address, *port;
	// arguments after the command
	int argc;
	char **argv;
};

// --- ctl_http.c
struct ctl_answer {
	yyjson_doc *doc;
	yyjson_val *root;
};
// Send a request and read the answer; `body` is freed. What failed has been said: ERR_OK or not is enough for
// the caller. With --json the answer has been printed.
enum err ctl_http_request(const struct ctl *ctl, const char *method, const char *path, yyjson_mut_doc *body,
			  struct ctl_answer *out) CHECK_RESULT;
void ctl_http_free(struct ctl_answer *answer);
// A new document with an empty object in it.
yyjson_mut_doc *ctl_http_body(void);

// --- ctl_table.c: text from the server is made harmless before it reaches the terminal.
struct ctl_table;
struct ctl_table *ctl_table_new(const char *const *headings, size_t columns);
void ctl_table_cell(struct ctl_table *table, const char *text); // row by row, NULL is empty
void ctl_table_number(struct ctl_table *table, uint64_t number);
void ctl_table_time(struct ctl_table *table, uint64_t unix_s);
enum { CTL_TIME_MAX = 32 };
void ctl_table_emit_time(uint64_t unix_s, char out[static CTL_TIME_MAX]);
void ctl_table_print(struct ctl_table *table); // on stdout, and frees it
// Into `out`: control characters, invalid UTF-8 and characters that change the direction of text become '?'.
void ctl_table_harmless(const char *text, char *out, size_t size);
void ctl_table_print_pair(const char *name, const char *text);

// --- commands; return the exit status
int ctl_users_add(struct ctl *ctl);
int ctl_users_list(struct ctl *ctl);
int ctl_users_remove(struct ctl *ctl);
int ctl_users_enrol(struct ctl *ctl);
int ctl_meetings_list(struct ctl *ctl);
int ctl_meetings_end(struct ctl *ctl);
int ctl_relays_list(struct ctl *ctl);
int ctl_relays_add(struct ctl *ctl);
int ctl_relays_remove(struct ctl *ctl);
int ctl_status(struct ctl *ctl);

// The id of what is named, by an id or a name: looked up in the array `list` of GET `path`. `out` has room for
// a UUID. What failed has been said.
enum err ctl_http_find(const struct ctl *ctl, const char *path, const char *list, const char *member, const char *wanted,
		       char *out) CHECK_RESULT;

#endif
