// What relays last reported about themselves, for people to look at. Kept in memory only.
// SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_REPORTS_H
#define MGMT_REPORTS_H

#include "base/err.h"
#include "base/text.h"
#include "mgmt/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REPORTS_RELAYS_MAX = 64, REPORTS_MEETINGS_MAX = 1024, REPORTS_FRESH_S = 30 };

struct reports_meeting { struct id meeting; uint32_t participants; };
struct reports_relay {
	struct id relay; // zero: free
	uint64_t at;     // Unix seconds
	char version[REQUEST_ENGINE_MAX + 1], engine[REQUEST_ENGINE_MAX + 1];
	size_t count;
	struct reports_meeting *meetings;
};

struct reports;
struct reports *reports_new(void);
void reports_free(struct reports *reports);
// Replaces what the relay reported before; takes over `report->meetings` (malloc) in any case.
void reports_put(struct reports *reports, const struct reports_relay *report);
void reports_forget(struct reports *reports, const struct id *relay);
// NULL: it did not report lately.
const struct reports_relay *reports_of(const struct reports *reports, const struct id *relay, uint64_t now);
uint32_t reports_participants(const struct reports *reports, const struct id *relay, const struct id *meeting, uint64_t now);

#endif
