// Users and their devices. SPDX-License-Identifier: Apache-2.0
#include "mgmt/store_answer.h"

#include <string.h>

enum err store_users_add(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	(void)reply;
	const struct request_user_add *r = &request->user_add;
	struct store_key key = store_key_id(STORE_KEY_USER, &r->user), name = store_key_name(STORE_KEY_USER_NAME, r->name);
	if (store_has(answer->txn, &name) || store_has(answer->txn, &key))
		return ERR_EXISTS;
	struct record_user user = {.created = answer->now};
	memcpy(user.name, r->name, sizeof(user.name));
	memcpy(user.mail, r->mail, sizeof(user.mail));
	struct record_reference reference = {.id = r->user};
	enum err err = store_put(answer->txn, &key, RECORD_USER, &user);
	return err ? err : store_put(answer->txn, &name, RECORD_REFERENCE, &reference);
}

// The prefix of all of a user's devices, or meetings.
static struct store_key of_user(enum store_key_kind kind, const struct id *user)
{
	return store_key_id(kind, user);
}

enum err store_users_list(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	struct store_key prefix = store_key_prefix(STORE_KEY_USER), key = store_key_id(STORE_KEY_USER, &request->page.after);
	struct record_user user;
	enum err err;
	while (!(err = store_next(answer->txn, &prefix, &key, RECORD_USER, &user))) {
		struct item_user item = {.id = store_key_first_id(&key), .created = user.created};
		struct store_key devices = of_user(STORE_KEY_USER_DEVICE, &item.id);
		item.devices = store_count(answer->txn, &devices);
		memcpy(item.name, user.name, sizeof(item.name));
		memcpy(item.mail, user.mail, sizeof(item.mail));
		if (request_item_emit(request->type, &item, &answer->page))
			break;
	}
	reply->page.is_last = err == ERR_NOT_FOUND;
	reply->page.items = (struct wire_view){answer->items, answer->page.position};
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err remove_devices(struct store_txn *txn, const struct id *user)
{
	struct store_key prefix = of_user(STORE_KEY_USER_DEVICE, user), key = {0};
	struct record_reference reference;
	enum err err;
	while (!(err = store_next(txn, &prefix, &key, RECORD_REFERENCE, &reference))) {
		struct store_key device = store_key_hash(STORE_KEY_DEVICE, store_key_last_hash(&key));
		err = store_remove(txn, &device);
		if (!err)
			err = store_remove(txn, &key);
		if (err)
			return err;
	}
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

// Until when a relay must refuse somebody who holds a ticket already.
static uint64_t refuse_until(uint64_t now, uint64_t expires)
{
	return expires < now + STORE_ANSWER_TICKET_S ? expires : now + STORE_ANSWER_TICKET_S;
}

static enum err leave_meetings(struct store_answer *answer, const struct id *user)
{
	struct store_key prefix = of_user(STORE_KEY_USER_MEETING, user), key = {0};
	struct record_reference reference;
	enum err err;
	while (!(err = store_next(answer->txn, &prefix, &key, RECORD_REFERENCE, &reference))) {
		struct store_key member = store_key_ids(STORE_KEY_MEMBER, &reference.id, user);
		struct store_key meeting_key = store_key_id(STORE_KEY_MEETING, &reference.id);
		struct record_meeting meeting;
		err = store_get(answer->txn, &meeting_key, RECORD_MEETING, &meeting);
		if (!err && meeting.state == REQUEST_STATE_ACTIVE && meeting.expires > answer->now) {
			struct record_event event = {.kind = REQUEST_EVENT_REMOVED, .meeting = reference.id, .participant = *user,
						     .until = refuse_until(answer->now, meeting.expires)};
			err = store_events_add(answer->txn, &event);
		}
		if (!err || err == ERR_NOT_FOUND)
			err = store_remove(answer->txn, &member);
		if (!err || err == ERR_NOT_FOUND)
			err = store_remove(answer->txn, &key);
		if (err)
			return err;
	}
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

enum err store_users_remove(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	(void)reply;
	struct store_key key = store_key_id(STORE_KEY_USER, &request->id.id);
	struct record_user user;
	enum err err = store_get(answer->txn, &key, RECORD_USER, &user);
	if (err)
		return err;
	struct store_key name = store_key_name(STORE_KEY_USER_NAME, user.name);
	err = remove_devices(answer->txn, &request->id.id);
	if (!err)
		err = leave_meetings(answer, &request->id.id);
	if (!err)
		err = store_remove(answer->txn, &name);
	return err ? err : store_remove(answer->txn, &key);
}

enum err store_users_device(struct store_txn *txn, const uint8_t pin[static TOKEN_PIN_BYTES], struct record_device *out)
{
	struct store_key key = store_key_hash(STORE_KEY_DEVICE, pin);
	enum err err = store_get(txn, &key, RECORD_DEVICE, out);
	if (err)
		return err == ERR_NOT_FOUND ? ERR_DENIED : err;
	return out->state == REQUEST_STATE_ACTIVE ? ERR_OK : ERR_DENIED;
}

enum err store_users_who(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	struct reply_who *who = &reply->who;
	struct record_device device;
	enum err err = store_users_device(answer->txn, request->pin.pin, &device);
	if (!err) {
		struct store_key key = store_key_id(STORE_KEY_USER, &device.user);
		struct record_user user;
		err = store_get(answer->txn, &key, RECORD_USER, &user);
		if (err)
			return err;
		*who = (struct reply_who){.subject = REQUEST_SUBJECT_USER, .id = device.device, .user = device.user};
		memcpy(who->name, user.name, sizeof(user.name));
		return ERR_OK;
	}
	if (err == ERR_DENIED && !store_relays_by_pin(answer->txn, request->pin.pin, &who->id)) {
		who->subject = REQUEST_SUBJECT_RELAY;
		return ERR_OK;
	}
	return err;
}
