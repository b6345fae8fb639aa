// Messages between roles: what parses is emitted as the same bytes. SPDX-License-Identifier: Apache-2.0
#include "mgmt/handoff.h"
#include "mgmt/request.h"

#include <stdlib.h>
#include <string.h>

static uint8_t bytes[CHANNEL_MESSAGE_MAX];

static void check_page(const struct reply *reply)
{
	struct cursor c = cursor_reader(reply->page.items.bytes, reply->page.items.size);
	union request_item item;
	while (!request_item_parse(reply->type, &c, &item)) {
		struct cursor out = cursor_writer(bytes, sizeof(bytes));
		if (request_item_emit(reply->type, &item, &out))
			abort();
	}
}

static bool has_page(enum request_type type)
{
	return type == REQUEST_USER_LIST || type == REQUEST_MEETING_LIST || type == REQUEST_RELAY_LIST || type == REQUEST_EVENT_LIST;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request request;
	struct reply reply;
	struct handoff handoff;
	uint8_t small[HANDOFF_BYTES_MAX];
	size_t emitted;
	if (size > CHANNEL_MESSAGE_MAX)
		return 0;
	if (!request_parse(data, size, &request) && (request_emit(&request, bytes, &emitted) || emitted != size || memcmp(bytes, data, size) != 0))
		abort();
	if (!request_reply_parse(data, size, &reply)) {
		if (request_reply_emit(&reply, bytes, &emitted) || emitted != size || memcmp(bytes, data, size) != 0)
			abort();
		if (!reply.err && has_page(reply.type))
			check_page(&reply);
	}
	if (!handoff_parse(data, size, &handoff) && (handoff_emit(&handoff, small, &emitted) || emitted != size || memcmp(small, data, size) != 0))
		abort();
	return 0;
}
