// Routes and the readers of JSON bodies: the input is "METHOD PATH\n" and a body, sent by the administrator and by
// a device. What a handler asks must be a request that another role would take.
// SPDX-License-Identifier: Apache-2.0
#include "mgmt/api.h"
#include "mgmt/reports.h"

#include <stdlib.h>
#include <string.h>

static void run(const struct api_route *route, const struct id *id, enum handoff_kind kind, const uint8_t *body, size_t size)
{
	static uint8_t message[CHANNEL_MESSAGE_MAX];
	static struct counters counters;
	static struct api_call call;
	struct handoff peer = {.kind = (uint8_t)kind};
	struct api_context context = {.counters = &counters, .reports = reports_new()};
	struct request parsed;
	size_t emitted;
	call = (struct api_call){.context = &context, .peer = &peer, .body = body, .body_size = size, .id = *id, .now = 1700000000};
	if (!context.reports || api_init(&call))
		abort();
	enum api_next next = api_start(route, &call);
	if (next == API_ASK && (request_emit(&call.request, message, &emitted) || request_parse(message, emitted, &parsed)))
		abort();
	if (next == API_ANSWER && call.status >= 300 && (!call.code || !call.problem[0]))
		abort();
	api_fini(&call);
	reports_free(context.reports);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char line[API_PATH_MAX], allowed[API_PATH_MAX];
	const uint8_t *end = memchr(data, '\n', size < sizeof(line) ? size : sizeof(line) - 1);
	const struct api_route *route;
	struct id id = {0};
	if (!end || size > API_BODY_MAX)
		return 0;
	memcpy(line, data, (size_t)(end - data));
	line[end - data] = '\0';
	char *path = strchr(line, ' ');
	if (!path)
		return 0;
	*path++ = '\0';
	if (api_route(line, path, &route, &id, allowed))
		return 0;
	size_t left = size - (size_t)(end + 1 - data);
	run(route, &id, HANDOFF_ADMIN, end + 1, left);
	run(route, &id, HANDOFF_CERTIFICATE, end + 1, left);
	return 0;
}
