// SPDX-License-Identifier: Apache-2.0
#include "mgmt/store_answer.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>

static enum err answer_status(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	(void)request;
	struct store_key meetings = store_key_prefix(STORE_KEY_MEETING), key = {0};
	struct store_key users = store_key_prefix(STORE_KEY_USER), devices = store_key_prefix(STORE_KEY_DEVICE);
	struct store_key relays = store_key_prefix(STORE_KEY_RELAY);
	struct record_meeting meeting;
	while (!store_next(answer->txn, &meetings, &key, RECORD_MEETING, &meeting))
		reply->status.meetings_open += meeting.state == REQUEST_STATE_ACTIVE && meeting.expires > answer->now;
	reply->status.users = store_count(answer->txn, &users);
	reply->status.devices = store_count(answer->txn, &devices);
	reply->status.relays = store_count(answer->txn, &relays);
	return store_usage(answer->store, &reply->status.bytes, &reply->status.bytes_max);
}

struct answer_row {
	enum store_mode mode;
	enum err (*run)(struct store_answer *answer, const struct request *request, struct reply *reply);
};

static const struct answer_row rows[REQUEST_TYPES] = {
	[REQUEST_USER_ADD] = {STORE_GROW, store_users_add},
	[REQUEST_USER_LIST] = {STORE_READ, store_users_list},
	[REQUEST_USER_REMOVE] = {STORE_WRITE, store_users_remove},
	[REQUEST_USER_TOKEN] = {STORE_GROW, store_tokens_add_user},
	[REQUEST_WHO] = {STORE_READ, store_users_who},
	[REQUEST_MEETING_ADD] = {STORE_GROW, store_meetings_add},
	[REQUEST_MEETING_LIST] = {STORE_READ, store_meetings_list},
	[REQUEST_MEETING_END] = {STORE_WRITE, store_meetings_end},
	[REQUEST_RELAY_ADD] = {STORE_GROW, store_relays_add},
	[REQUEST_RELAY_LIST] = {STORE_READ, store_relays_list},
	[REQUEST_RELAY_REMOVE] = {STORE_WRITE, store_relays_remove},
	[REQUEST_RELAY_REPORT] = {STORE_READ, store_relays_report},
	[REQUEST_EVENT_LIST] = {STORE_READ, store_events_list},
	[REQUEST_STATUS] = {STORE_READ, answer_status},
	[REQUEST_TOKEN_CHECK] = {STORE_READ, store_tokens_check},
	[REQUEST_DEVICE_ADD] = {STORE_GROW, store_tokens_add_device},
	[REQUEST_RELAY_ACTIVATE] = {STORE_GROW, store_tokens_activate_relay},
	// Joining may use what STORE_GROW keeps back: meetings go on while the store is full.
	[REQUEST_MEETING_JOIN] = {STORE_WRITE, store_meetings_join},
};

static bool is_store_trouble(enum err err)
{
	return err == ERR_FULL || err == ERR_IO || err == ERR_CLOSED || err == ERR_NOMEM || err == ERR_VERSION;
}

enum err store_answer(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	*reply = (struct reply){.serial = request->serial, .type = request->type};
	const struct answer_row *row = &rows[request->type];
	if (!row->run) {
		reply->err = ERR_DENIED;
		return ERR_OK;
	}
	answer->page = cursor_writer(answer->items, sizeof(answer->items));
	reply->err = store_begin(answer->store, row->mode, &answer->txn);
	if (!reply->err) {
		reply->err = row->run(answer, request, reply);
		if (!reply->err && row->mode != STORE_READ)
			reply->err = store_commit(answer->txn);
		else
			store_abort(answer->txn);
	}
	if (is_store_trouble(reply->err))
		log_line(LOG_ERROR, "%s failed: %s%s%s", request_name(request->type), err_text(reply->err),
			 reply->err == ERR_IO ? ": " : "", reply->err == ERR_IO ? strerror(errno) : "");
	return reply->err == ERR_CLOSED ? ERR_CLOSED : ERR_OK;
}
