// SPDX-License-Identifier: Apache-2.0
#include "mgmt/reports.h"

#include <stdlib.h>

struct reports {
	struct reports_relay relay[REPORTS_RELAYS_MAX];
};

struct reports *reports_new(void)
{
	return calloc(1, sizeof(struct reports));
}

void reports_free(struct reports *reports)
{
	for (size_t i = 0; reports && i < REPORTS_RELAYS_MAX; i++)
		free(reports->relay[i].meetings);
	free(reports);
}

// Its place, else the oldest one.
static struct reports_relay *place_of(struct reports *reports, const struct id *relay)
{
	struct reports_relay *oldest = &reports->relay[0];
	for (size_t i = 0; i < REPORTS_RELAYS_MAX; i++) {
		if (text_id_equal(&reports->relay[i].relay, relay))
			return &reports->relay[i];
		if (reports->relay[i].at < oldest->at)
			oldest = &reports->relay[i];
	}
	return oldest;
}

void reports_put(struct reports *reports, const struct reports_relay *report)
{
	struct reports_relay *place = place_of(reports, &report->relay);
	free(place->meetings);
	*place = *report;
}

void reports_forget(struct reports *reports, const struct id *relay)
{
	struct reports_relay *place = place_of(reports, relay);
	if (!text_id_equal(&place->relay, relay))
		return;
	free(place->meetings);
	*place = (struct reports_relay){0};
}

const struct reports_relay *reports_of(const struct reports *reports, const struct id *relay, uint64_t now)
{
	for (size_t i = 0; i < REPORTS_RELAYS_MAX; i++) {
		const struct reports_relay *r = &reports->relay[i];
		if (r->at && r->at + REPORTS_FRESH_S >= now && text_id_equal(&r->relay, relay))
			return r;
	}
	return NULL;
}

uint32_t reports_participants(const struct reports *reports, const struct id *relay, const struct id *meeting, uint64_t now)
{
	const struct reports_relay *r = reports_of(reports, relay, now);
	for (size_t i = 0; r && i < r->count; i++) {
		if (text_id_equal(&r->meetings[i].meeting, meeting))
			return r->meetings[i].participants;
	}
	return 0;
}
