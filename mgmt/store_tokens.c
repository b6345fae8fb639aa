// Enrolment tokens: kept as SHA-256 only, used once. SPDX-License-Identifier: Apache-2.0
#include "mgmt/store_answer.h"

#include <string.h>

// Pins of the relays that clients may meet, as many as a link takes.
static enum err collect_pins(struct store_answer *answer, struct wire_view *out)
{
	struct store_key prefix = store_key_prefix(STORE_KEY_RELAY), key = {0};
	struct record_relay relay;
	size_t size = 0;
	enum err err = ERR_OK;
	while (size + 2 * TOKEN_PIN_BYTES <= sizeof(answer->pins) &&
	       !(err = store_next(answer->txn, &prefix, &key, RECORD_RELAY, &relay))) {
		if (relay.state != REQUEST_STATE_ACTIVE)
			continue;
		memcpy(answer->pins + size, relay.pin, TOKEN_PIN_BYTES);
		memcpy(answer->pins + size + TOKEN_PIN_BYTES, relay.backup_pin, TOKEN_PIN_BYTES);
		size += 2 * TOKEN_PIN_BYTES;
	}
	if (err && err != ERR_NOT_FOUND)
		return err;
	*out = (struct wire_view){answer->pins, size};
	return size > 0 ? ERR_OK : ERR_AGAIN; // a client without relay pins could not join anything
}

enum err store_tokens_add_user(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	const struct request_user_token *r = &request->user_token;
	struct store_key user = store_key_id(STORE_KEY_USER, &r->user);
	if (!store_has(answer->txn, &user))
		return ERR_NOT_FOUND;
	enum err err = collect_pins(answer, &reply->pins.pins);
	if (err)
		return err;
	struct store_key key = store_key_hash(STORE_KEY_TOKEN, r->hash);
	struct record_token token = {.subject = REQUEST_SUBJECT_USER, .id = r->user, .expires = r->expires};
	return store_put(answer->txn, &key, RECORD_TOKEN, &token);
}

// A token that may be used now. ERR_DENIED: unknown or used; ERR_EXPIRED.
static enum err find(struct store_answer *answer, const uint8_t hash[static TOKEN_PIN_BYTES], struct record_token *token)
{
	struct store_key key = store_key_hash(STORE_KEY_TOKEN, hash);
	enum err err = store_get(answer->txn, &key, RECORD_TOKEN, token);
	if (err)
		return err == ERR_NOT_FOUND ? ERR_DENIED : err;
	return token->expires > answer->now ? ERR_OK : ERR_EXPIRED;
}

enum err store_tokens_check(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	struct record_token token;
	enum err err = find(answer, request->hash.hash, &token);
	if (err)
		return err;
	reply->subject.subject = token.subject;
	reply->subject.id = token.id;
	if (token.subject == REQUEST_SUBJECT_USER) {
		struct store_key key = store_key_id(STORE_KEY_USER, &token.id);
		struct record_user user;
		err = store_get(answer->txn, &key, RECORD_USER, &user);
		if (!err)
			memcpy(reply->subject.name, user.name, sizeof(user.name));
	} else {
		struct store_key key = store_key_id(STORE_KEY_RELAY, &token.id);
		struct record_relay relay;
		err = store_get(answer->txn, &key, RECORD_RELAY, &relay);
		if (!err)
			memcpy(reply->subject.name, relay.name, sizeof(relay.name));
	}
	return err == ERR_NOT_FOUND ? ERR_DENIED : err; // user or relay was removed since
}

enum err store_tokens_add_device(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	(void)reply;
	const struct request_device_add *r = &request->device_add;
	struct record_token token;
	enum err err = find(answer, r->hash, &token);
	if (err)
		return err;
	struct store_key user = store_key_id(STORE_KEY_USER, &token.id), key = store_key_hash(STORE_KEY_DEVICE, r->pin);
	struct store_key relay = store_key_hash(STORE_KEY_RELAY_PIN, r->pin);
	if (token.subject != REQUEST_SUBJECT_USER || !store_has(answer->txn, &user))
		return ERR_DENIED;
	if (store_has(answer->txn, &key) || store_has(answer->txn, &relay))
		return ERR_EXISTS; // one key, one device
	struct record_device device = {.device = r->device, .user = token.id, .state = REQUEST_STATE_ACTIVE, .created = answer->now};
	memcpy(device.key, r->key, sizeof(device.key));
	struct record_reference reference = {.id = r->device};
	struct store_key of_user = store_key_user_device(&token.id, r->pin), used = store_key_hash(STORE_KEY_TOKEN, r->hash);
	err = store_put(answer->txn, &key, RECORD_DEVICE, &device);
	if (!err)
		err = store_put(answer->txn, &of_user, RECORD_REFERENCE, &reference);
	return err ? err : store_remove(answer->txn, &used);
}

enum err store_tokens_activate_relay(struct store_answer *answer, const struct request *request, struct reply *reply)
{
	(void)reply;
	const struct request_relay_activate *r = &request->relay_activate;
	struct record_token token;
	enum err err = find(answer, r->hash, &token);
	if (err)
		return err;
	struct store_key key = store_key_id(STORE_KEY_RELAY, &token.id), by_pin = store_key_hash(STORE_KEY_RELAY_PIN, r->pin);
	struct store_key device = store_key_hash(STORE_KEY_DEVICE, r->pin), used = store_key_hash(STORE_KEY_TOKEN, r->hash);
	struct record_relay relay;
	if (token.subject != REQUEST_SUBJECT_RELAY)
		return ERR_DENIED;
	err = store_get(answer->txn, &key, RECORD_RELAY, &relay);
	if (err)
		return err == ERR_NOT_FOUND ? ERR_DENIED : err;
	if (store_has(answer->txn, &by_pin) || store_has(answer->txn, &device))
		return ERR_EXISTS;
	relay.state = REQUEST_STATE_ACTIVE;
	memcpy(relay.pin, r->pin, sizeof(relay.pin));
	memcpy(relay.backup_pin, r->backup_pin, sizeof(relay.backup_pin));
	struct record_reference reference = {.id = token.id};
	err = store_put(answer->txn, &key, RECORD_RELAY, &relay);
	if (!err)
		err = store_put(answer->txn, &by_pin, RECORD_REFERENCE, &reference);
	return err ? err : store_remove(answer->txn, &used);
}
