// Deletes what expired, in small transactions. SPDX-License-Identifier: Apache-2.0
#include "mgmt/store_answer.h"

enum { MEETING_KEPT_S = 7 * 24 * 3600 };

static enum err purge_tokens(struct store_txn *txn, uint64_t now, unsigned max)
{
	struct store_key prefix = store_key_prefix(STORE_KEY_TOKEN), key = {0};
	struct record_token token;
	enum err err = ERR_OK;
	while (!err && max > 0 && !(err = store_next(txn, &prefix, &key, RECORD_TOKEN, &token))) {
		if (token.expires > now)
			continue;
		err = store_remove(txn, &key);
		max--;
	}
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

// The last event stays, so that sequences go on rising.
static enum err purge_events(struct store_txn *txn, uint64_t now, unsigned max)
{
	struct store_key prefix = store_key_prefix(STORE_KEY_EVENT), key = {0}, last;
	struct record_event event;
	enum err err = store_last(txn, &prefix, &last);
	while (!err && max > 0 && !(err = store_next(txn, &prefix, &key, RECORD_EVENT, &event))) {
		if (event.until > now || store_key_sequence(&key) == store_key_sequence(&last))
			continue;
		err = store_remove(txn, &key);
		max--;
	}
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err purge_members(struct store_txn *txn, const struct id *meeting)
{
	struct store_key prefix = store_key_id(STORE_KEY_MEMBER, meeting), key = {0};
	struct record_member member;
	enum err err;
	while (!(err = store_next(txn, &prefix, &key, RECORD_MEMBER, &member))) {
		struct id user = store_key_second_id(&key);
		struct store_key of_user = store_key_ids(STORE_KEY_USER_MEETING, &user, meeting);
		err = store_remove(txn, &of_user);
		if (!err || err == ERR_NOT_FOUND)
			err = store_remove(txn, &key);
		if (err)
			return err;
	}
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err purge_meetings(struct store_txn *txn, uint64_t now, unsigned max)
{
	struct store_key prefix = store_key_prefix(STORE_KEY_MEETING), key = {0};
	struct record_meeting meeting;
	enum err err = ERR_OK;
	while (!err && max > 0 && !(err = store_next(txn, &prefix, &key, RECORD_MEETING, &meeting))) {
		if (meeting.expires + MEETING_KEPT_S > now)
			continue;
		struct id id = store_key_first_id(&key);
		err = purge_members(txn, &id);
		if (!err)
			err = store_remove(txn, &key);
		max--;
	}
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

enum err store_purge(struct store *store, uint64_t now, unsigned max)
{
	struct store_txn *txn;
	enum err err = store_begin(store, STORE_WRITE, &txn);
	if (err)
		return err;
	err = purge_tokens(txn, now, max);
	if (!err)
		err = purge_events(txn, now, max);
	if (!err)
		err = purge_meetings(txn, now, max);
	if (!err)
		return store_commit(txn);
	store_abort(txn);
	return err;
}
