// A report to the management server, collected from the relay's messages. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_MANAGER_REPORT_H
#define RELAY_MANAGER_REPORT_H

#include "relay/manager_message.h"

#include <stdbool.h>
#include <yyjson.h>

// The server takes bodies up to 64 KiB; what goes beyond is left out.
enum { MANAGER_REPORT_MEETINGS_MAX = 800 };

struct manager_report {
	const char *engine;
	uint32_t wanted, have; // meetings of the report that is coming in
	bool is_collecting, is_whole;
	struct {
		struct id meeting;
		uint32_t participants;
	} row[MANAGER_REPORT_MEETINGS_MAX];
	char *body; // of the last one taken
};

void manager_report_init(struct manager_report *report, const char *engine);
void manager_report_fini(struct manager_report *report);
// MANAGER_REPORT and MANAGER_MEETING; others are ignored.
void manager_report_add(struct manager_report *report, const struct manager_message *message);
// JSON of a whole report that was not taken yet, NULL if there is none. Valid until the next one is taken.
const char *manager_report_take(struct manager_report *report);

#endif
