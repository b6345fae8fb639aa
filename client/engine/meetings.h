// Meetings whose secret this device holds: the file meetings.json of a home. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEETINGS_H
#define CLIENT_ENGINE_MEETINGS_H

#include "base/token.h"
#include "client/engine/home.h"

enum { MEETINGS_TITLE_MAX = 256, MEETINGS_MAX = 4096 };

struct meetings_entry {
	struct id meeting;
	uint8_t secret[TOKEN_SECRET_BYTES];
	char title[MEETINGS_TITLE_MAX + 1];
};

struct meetings {
	size_t count;
	struct meetings_entry *entries;
};

enum err meetings_parse(const char *json, size_t size, struct meetings *out) CHECK_RESULT;
// A missing file is an empty list.
enum err meetings_load(const struct home *home, struct meetings *out, char problem[static HOME_PROBLEM_MAX]) CHECK_RESULT;
void meetings_fini(struct meetings *meetings); // wipes
const struct meetings_entry *meetings_find(const struct meetings *meetings, const struct id *meeting);

// Add or replace, under the home's lock. With more than MEETINGS_MAX the oldest goes.
enum err meetings_put(struct home *home, const struct meetings_entry *entry, char problem[static HOME_PROBLEM_MAX]) CHECK_RESULT;
enum err meetings_remove(struct home *home, const struct id *meeting, char problem[static HOME_PROBLEM_MAX]) CHECK_RESULT;

#endif
