// What relays must know: a log, read from its start by a relay that connects and from where it stopped by one
// that stays. SPDX-License-Identifier: Apache-2.0
#include "mgmt/store_answer.h"

enum err store_events_add(struct store_txn *txn, const struct record_event *event)
{
	struct store_key prefix = store_key_prefix(STORE_KEY_EVENT), last;
	enum err err = store_last(txn, &prefix, &last);
	if (err && err != ERR_NOT_FOUND)
		return err;
	struct store_key key = store_key_event(err ? 1 : store_key_sequence(&last) + 1);
	return store_put(txn, &key, RECORD_EVENT, event);
}

enum err store_events_list(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	struct id relay;
	enum err err = store_relays_by_pin(answer->txn, request->event_list.pin, &relay);
	if (err)
		return err;
	struct store_key prefix = store_key_prefix(STORE_KEY_EVENT), key = store_key_event(request->event_list.after);
	struct record_event event;
	while (!(err = store_next(answer->txn, &prefix, &key, RECORD_EVENT, &event))) {
		struct item_event item = {.sequence = store_key_sequence(&key), .kind = event.kind, .meeting = event.meeting,
					  .participant = event.participant, .until = event.until};
		if (event.until > answer->now && request_item_emit(request->type, &item, &answer->page))
			break;
	}
	reply->page.is_last = err == ERR_NOT_FOUND;
	reply->page.items = (struct wire_view){answer->items, answer->page.position};
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}
