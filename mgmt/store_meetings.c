// Meetings and who is in them. SPDX-License-Identifier: Apache-2.0
#include "mgmt/store_answer.h"

#include <string.h>

static enum err add_member(struct store_answer *answer, const struct id *meeting, const struct id *user)
{
	struct store_key key = store_key_ids(STORE_KEY_MEMBER, meeting, user);
	if (store_has(answer->txn, &key))
		return ERR_OK;
	struct store_key of_user = store_key_ids(STORE_KEY_USER_MEETING, user, meeting);
	struct record_member member = {.joined = answer->now};
	struct record_reference reference = {.id = *meeting};
	enum err err = store_put(answer->txn, &key, RECORD_MEMBER, &member);
	return err ? err : store_put(answer->txn, &of_user, RECORD_REFERENCE, &reference);
}

enum err store_meetings_add(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	(void)reply;
	const struct request_meeting_add *r = &request->meeting_add;
	struct record_device device;
	enum err err = store_users_device(answer->txn, r->pin, &device);
	if (err)
		return err;
	struct store_key key = store_key_id(STORE_KEY_MEETING, &r->meeting);
	if (store_has(answer->txn, &key))
		return ERR_EXISTS;
	struct record_meeting meeting = {.owner = device.user, .created = answer->now, .expires = r->expires,
					 .state = REQUEST_STATE_ACTIVE, .blob = r->blob};
	err = store_put(answer->txn, &key, RECORD_MEETING, &meeting);
	return err ? err : add_member(answer, &r->meeting, &device.user);
}

static enum err emit_item(struct store_answer *answer, const struct id *id, const struct record_meeting *meeting, bool is_owner,
			  bool has_blob)
{
	struct item_meeting item = {.id = *id, .owner = meeting->owner, .relay = meeting->relay, .created = meeting->created,
				    .expires = meeting->expires, .state = meeting->state, .is_owner = is_owner};
	if (has_blob)
		item.blob = meeting->blob;
	return request_item_emit(REQUEST_MEETING_LIST, &item, &answer->page);
}

static enum err list_all(struct store_answer *answer, const struct id *after)
{
	struct store_key prefix = store_key_prefix(STORE_KEY_MEETING), key = store_key_id(STORE_KEY_MEETING, after);
	struct record_meeting meeting;
	enum err err;
	while (!(err = store_next(answer->txn, &prefix, &key, RECORD_MEETING, &meeting))) {
		struct id id = store_key_first_id(&key);
		if (emit_item(answer, &id, &meeting, false, false))
			return ERR_OK;
	}
	return err;
}

static enum err list_of_user(struct store_answer *answer, const struct id *user, const struct id *after)
{
	struct store_key prefix = store_key_id(STORE_KEY_USER_MEETING, user);
	struct store_key key = store_key_ids(STORE_KEY_USER_MEETING, user, after);
	struct record_reference reference;
	struct record_meeting meeting;
	enum err err;
	while (!(err = store_next(answer->txn, &prefix, &key, RECORD_REFERENCE, &reference))) {
		struct store_key meeting_key = store_key_id(STORE_KEY_MEETING, &reference.id);
		err = store_get(answer->txn, &meeting_key, RECORD_MEETING, &meeting);
		if (err)
			return err == ERR_NOT_FOUND ? ERR_PARSE : err; // index and meeting go together
		if (emit_item(answer, &reference.id, &meeting, text_id_equal(&meeting.owner, user), true))
			return ERR_OK;
	}
	return err;
}

enum err store_meetings_list(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	const struct request_meeting_list *r = &request->meeting_list;
	struct record_device device;
	enum err err = r->is_admin ? ERR_OK : store_users_device(answer->txn, r->pin, &device);
	if (err)
		return err;
	err = r->is_admin ? list_all(answer, &r->after) : list_of_user(answer, &device.user, &r->after);
	reply->page.is_last = err == ERR_NOT_FOUND;
	reply->page.items = (struct wire_view){answer->items, answer->page.position};
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

// Who may not see that a meeting exists is told that there is none.
static enum err check_owner(struct store_answer *answer, const struct request_meeting_end *r, const struct record_meeting *meeting)
{
	struct record_device device;
	enum err err = store_users_device(answer->txn, r->pin, &device);
	if (err)
		return err;
	if (text_id_equal(&device.user, &meeting->owner))
		return ERR_OK;
	struct store_key member = store_key_ids(STORE_KEY_MEMBER, &r->meeting, &device.user);
	return store_has(answer->txn, &member) ? ERR_DENIED : ERR_NOT_FOUND;
}

enum err store_meetings_end(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	(void)reply;
	const struct request_meeting_end *r = &request->meeting_end;
	struct store_key key = store_key_id(STORE_KEY_MEETING, &r->meeting);
	struct record_meeting meeting;
	enum err err = store_get(answer->txn, &key, RECORD_MEETING, &meeting);
	if (!err && !r->is_admin)
		err = check_owner(answer, r, &meeting);
	if (err)
		return err;
	if (meeting.state == REQUEST_STATE_ENDED)
		return ERR_OK; // ending twice is not an error
	meeting.state = REQUEST_STATE_ENDED;
	struct record_event event = {.kind = REQUEST_EVENT_ENDED, .meeting = r->meeting, .until = meeting.expires};
	if (event.until > answer->now + STORE_ANSWER_TICKET_S)
		event.until = answer->now + STORE_ANSWER_TICKET_S; // no ticket lasts longer
	err = store_put(answer->txn, &key, RECORD_MEETING, &meeting);
	if (!err && event.until > answer->now)
		err = store_events_add(answer->txn, &event);
	return err;
}

// The meeting's relay, or a new one if it has none or that one was removed.
static enum err assign_relay(struct store_answer *answer, struct record_meeting *meeting, struct record_relay *relay, bool *is_new)
{
	struct store_key key = store_key_id(STORE_KEY_RELAY, &meeting->relay);
	if (!text_id_is_zero(&meeting->relay)) {
		enum err err = store_get(answer->txn, &key, RECORD_RELAY, relay);
		if (err != ERR_NOT_FOUND)
			return err;
	}
	*is_new = true;
	return store_relays_choose(answer, &meeting->relay, relay);
}

enum err store_meetings_join(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	const struct request_meeting *r = &request->meeting;
	struct reply_join *join = &reply->join;
	struct record_device device;
	struct record_meeting meeting;
	struct record_relay relay;
	bool is_new = false;
	enum err err = store_users_device(answer->txn, r->pin, &device);
	if (err)
		return err;
	struct store_key key = store_key_id(STORE_KEY_MEETING, &r->meeting);
	err = store_get(answer->txn, &key, RECORD_MEETING, &meeting);
	if (err)
		return err;
	if (meeting.state != REQUEST_STATE_ACTIVE || meeting.expires <= answer->now)
		return ERR_EXPIRED;
	err = assign_relay(answer, &meeting, &relay, &is_new);
	if (err)
		return err;
	memcpy(answer->items, meeting.blob.bytes, meeting.blob.size);
	meeting.blob.bytes = answer->items;
	if (is_new)
		err = store_put(answer->txn, &key, RECORD_MEETING, &meeting);
	if (!err)
		err = add_member(answer, &r->meeting, &device.user);
	*join = (struct reply_join){.user = device.user, .is_owner = text_id_equal(&device.user, &meeting.owner),
				    .expires = meeting.expires, .relay = meeting.relay, .port = relay.port, .blob = meeting.blob};
	memcpy(join->device_key, device.key, sizeof(join->device_key));
	memcpy(join->name, relay.name, sizeof(join->name));
	memcpy(join->address, relay.address, sizeof(join->address));
	return err;
}
