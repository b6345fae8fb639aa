// What store answers: each request is one transaction. One file per kind of object.
// SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_STORE_ANSWER_H
#define MGMT_STORE_ANSWER_H

#include "mgmt/request.h"
#include "mgmt/store.h"

#include <stdint.h>

enum { STORE_ANSWER_RELAYS_MAX = 64, STORE_ANSWER_TICKET_S = 24 * 3600 };

struct store_answer {
	struct store *store;
	uint64_t now;    // Unix seconds
	uint64_t now_ms; // monotonic
	struct store_txn *txn;
	uint8_t items[REQUEST_ITEMS_MAX]; // of the page under way
	struct cursor page;
	uint8_t pins[TOKEN_PINS_MAX * TOKEN_PIN_BYTES];
	// When relays reported last: not worth a commit. Only a hint where new meetings go.
	struct store_answer_seen {
		struct id relay;
		uint64_t at_ms;
	} seen[STORE_ANSWER_RELAYS_MAX];
};

// Fill `reply`, serial and type included; its views stay valid until the next call. Returns ERR_CLOSED if the
// store must be opened anew, else ERR_OK: what failed for the asker stands in reply->err.
enum err store_answer(struct store_answer *answer, const struct request *request, struct reply *reply) CHECK_RESULT;

// The handlers, one transaction each, which the caller begins, commits or aborts. Views in a reply point into
// struct store_answer, never into the transaction.
enum err store_users_add(struct store_answer *answer, const struct request *request, struct reply *reply) CHECK_RESULT;
enum err store_users_list(struct store_answer *answer, const struct request *request, struct reply *reply) CHECK_RESULT;
enum err store_users_remove(struct store_answer *answer, const struct request *request, struct reply *reply) CHECK_RESULT;
enum err store_users_who(struct store_answer *answer, const struct request *request, struct reply *reply) CHECK_RESULT;
enum err store_users_device(struct store_txn *txn, const uint8_t pin[static TOKEN_PIN_BYTES], struct record_device *out) CHECK_RESULT;
enum err store_tokens_add_user(struct store_answer *answer, const struct request *request, struct reply *reply) CHECK_RESULT;
enum err store_tokens_check(struct store_answer *answer, const struct request *request, struct reply *reply) CHECK_RESULT;
enum err store_tokens_add_device(struct store_answer *answer, const struct request *request, struct reply *reply) CHECK_RESULT;
enum err store_tokens_activate_relay(struct store_answer *answer, const struct request *request, struct reply *reply) CHECK_RESULT;
enum err store_meetings_add(struct store_answer *answer, const struct request *request, struct reply *reply) CHECK_RESULT;
enum err store_meetings_list(struct store_answer *answer, const struct request *request, struct reply *reply) CHECK_RESULT;
enum err store_meetings_end(struct store_answer *answer, const struct request *request, struct reply *reply) CHECK_RESULT;
enum err store_meetings_join(struct store_answer *answer, const struct request *request, struct reply *reply) CHECK_RESULT;
enum err store_relays_add(struct store_answer *answer, const struct request *request, struct reply *reply) CHECK_RESULT;
enum err store_relays_list(struct store_answer *answer, const struct request *request, struct reply *reply) CHECK_RESULT;
enum err store_relays_remove(struct store_answer *answer, const struct request *request, struct reply *reply) CHECK_RESULT;
enum err store_relays_report(struct store_answer *answer, const struct request *request, struct reply *reply) CHECK_RESULT;
// Which relay a meeting goes to: one that reported lately if there is any. ERR_AGAIN: none is registered.
enum err store_relays_choose(struct store_answer *answer, struct id *relay, struct record_relay *out) CHECK_RESULT;
enum err store_relays_by_pin(struct store_txn *txn, const uint8_t pin[static TOKEN_PIN_BYTES], struct id *relay) CHECK_RESULT;
enum err store_events_list(struct store_answer *answer, const struct request *request, struct reply *reply) CHECK_RESULT;
enum err store_events_add(struct store_txn *txn, const struct record_event *event) CHECK_RESULT;

// Delete what expired, at most `max` entries of each kind. Commits by itself.
enum err store_purge(struct store *store, uint64_t now, unsigned max) CHECK_RESULT;

#endif
