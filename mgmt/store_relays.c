// Relays. SPDX-License-Identifier: Apache-2.0
#include "mgmt/store_answer.h"

#include <string.h>

enum { SEEN_MS = 30000 };

enum err store_relays_add(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	(void)reply;
	const struct request_relay_add *r = &request->relay_add;
	struct store_key key = store_key_id(STORE_KEY_RELAY, &r->relay), name = store_key_name(STORE_KEY_RELAY_NAME, r->name);
	struct store_key hash = store_key_hash(STORE_KEY_TOKEN, r->hash), all = store_key_prefix(STORE_KEY_RELAY);
	if (store_has(answer->txn, &name))
		return ERR_EXISTS;
	if (store_count(answer->txn, &all) >= STORE_ANSWER_RELAYS_MAX)
		return ERR_LIMIT;
	struct record_relay relay = {.port = r->port, .state = REQUEST_STATE_PENDING, .created = answer->now};
	memcpy(relay.name, r->name, sizeof(relay.name));
	memcpy(relay.address, r->address, sizeof(relay.address));
	struct record_reference reference = {.id = r->relay};
	struct record_token token = {.subject = REQUEST_SUBJECT_RELAY, .id = r->relay, .expires = r->expires};
	enum err err = store_put(answer->txn, &key, RECORD_RELAY, &relay);
	if (!err)
		err = store_put(answer->txn, &name, RECORD_REFERENCE, &reference);
	return err ? err : store_put(answer->txn, &hash, RECORD_TOKEN, &token);
}

enum err store_relays_list(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	struct store_key prefix = store_key_prefix(STORE_KEY_RELAY), key = store_key_id(STORE_KEY_RELAY, &request->page.after);
	struct record_relay relay;
	enum err err;
	while (!(err = store_next(answer->txn, &prefix, &key, RECORD_RELAY, &relay))) {
		struct item_relay item = {.id = store_key_first_id(&key), .port = relay.port, .state = relay.state, .created = relay.created};
		memcpy(item.name, relay.name, sizeof(item.name));
		memcpy(item.address, relay.address, sizeof(item.address));
		memcpy(item.pin, relay.pin, sizeof(item.pin));
		if (request_item_emit(request->type, &item, &answer->page))
			break;
	}
	reply->page.is_last = err == ERR_NOT_FOUND;
	reply->page.items = (struct wire_view){answer->items, answer->page.position};
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

enum err store_relays_remove(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	(void)reply;
	struct store_key key = store_key_id(STORE_KEY_RELAY, &request->id.id);
	struct record_relay relay;
	enum err err = store_get(answer->txn, &key, RECORD_RELAY, &relay);
	if (err)
		return err;
	struct store_key name = store_key_name(STORE_KEY_RELAY_NAME, relay.name);
	struct store_key pin = store_key_hash(STORE_KEY_RELAY_PIN, relay.pin);
	err = store_remove(answer->txn, &name);
	if (!err && relay.state == REQUEST_STATE_ACTIVE)
		err = store_remove(answer->txn, &pin);
	return err ? err : store_remove(answer->txn, &key);
}

enum err store_relays_by_pin(struct store_txn *txn, const uint8_t pin[static TOKEN_PIN_BYTES], struct id *relay)
{
	struct store_key key = store_key_hash(STORE_KEY_RELAY_PIN, pin);
	struct record_reference reference;
	enum err err = store_get(txn, &key, RECORD_REFERENCE, &reference);
	if (err)
		return err == ERR_NOT_FOUND ? ERR_DENIED : err;
	*relay = reference.id;
	return ERR_OK;
}

static struct store_answer_seen *seen_of(struct store_answer *answer, const struct id *relay)
{
	for (size_t i = 0; i < STORE_ANSWER_RELAYS_MAX; i++) {
		if (text_id_equal(&answer->seen[i].relay, relay))
			return &answer->seen[i];
	}
	return NULL;
}

enum err store_relays_report(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	struct id relay;
	enum err err = store_relays_by_pin(answer->txn, request->pin.pin, &relay);
	if (err)
		return err;
	struct store_answer_seen *seen = seen_of(answer, &relay);
	if (!seen) { // a place that is free, or of a relay that was removed: the one that is silent longest
		seen = &answer->seen[0];
		for (size_t i = 1; i < STORE_ANSWER_RELAYS_MAX; i++)
			seen = answer->seen[i].at_ms < seen->at_ms ? &answer->seen[i] : seen;
	}
	*seen = (struct store_answer_seen){.relay = relay, .at_ms = answer->now_ms};
	reply->who = (struct reply_who){.subject = REQUEST_SUBJECT_RELAY, .id = relay};
	return ERR_OK;
}

enum err store_relays_choose(struct store_answer *answer, struct id *relay, struct record_relay *out)
{
	struct store_key prefix = store_key_prefix(STORE_KEY_RELAY), key = {0};
	struct record_relay candidate;
	bool is_found = false;
	enum err err;
	while (!(err = store_next(answer->txn, &prefix, &key, RECORD_RELAY, &candidate))) {
		struct id id = store_key_first_id(&key);
		const struct store_answer_seen *seen = seen_of(answer, &id);
		bool is_alive = seen && seen->at_ms + SEEN_MS > answer->now_ms;
		if (candidate.state != REQUEST_STATE_ACTIVE || (is_found && !is_alive))
			continue;
		*relay = id;
		*out = candidate;
		is_found = true;
		if (is_alive)
			return ERR_OK;
	}
	if (err != ERR_NOT_FOUND)
		return err;
	return is_found ? ERR_OK : ERR_AGAIN;
}
