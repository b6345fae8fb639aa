// The management server's event stream (server-sent events, WHATWG HTML 9.2), as much of it as it sends us.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_MANAGER_EVENTS_H
#define RELAY_MANAGER_EVENTS_H

#include "base/err.h"
#include "relay/manager_message.h"

#include <stdbool.h>
#include <stddef.h>

enum { MANAGER_EVENTS_LINE_MAX = 1024 };

struct manager_events {
	void (*on_message)(void *context, const struct manager_message *message);
	void *context;
	char line[MANAGER_EVENTS_LINE_MAX];
	size_t size;
	char event[32], data[MANAGER_EVENTS_LINE_MAX];
	size_t malformed; // events that were not understood
};

// Bytes as they come, in whatever pieces. ERR_LIMIT: a line is too long; the connection is of no more use.
enum err manager_events_feed(struct manager_events *events, const char *bytes, size_t size) CHECK_RESULT;
// One event; ERR_NOT_FOUND for a name that is not for us.
enum err manager_events_parse(const char *event, const char *data, struct manager_message *out) CHECK_RESULT;

#endif
