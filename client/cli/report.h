// What tcc-cli join prints: for people or as JSON lines, behind one table. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_CLI_REPORT_H
#define CLIENT_CLI_REPORT_H

#include "client/engine/engine.h"

#include <stdio.h>

struct report {
	// An event, as it happens.
	void (*on_event)(FILE *out, const struct engine_event *event);
	// About once a second while joined.
	void (*on_second)(FILE *out, const struct engine_statistics *statistics, size_t member_count);
	// At the end, whatever the end was. Names of participants come from `members`, all who were ever here.
	void (*on_end)(FILE *out, const struct engine_statistics *statistics, const struct engine_member *members, size_t member_count);
};

extern const struct report report_text; // report_text.c
extern const struct report report_json; // report_json.c

#endif
