// The store: both backends do the same, the requests do what they say, a kill in the middle of writes leaves
// every acknowledged record and no half one. SPDX-License-Identifier: Apache-2.0
#include "base/secret.h"
#include "mgmt/store.h"
#include "mgmt/store_answer.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOW = 1700000000, DAY = 86400 };

struct fixture {
	char path[64];
	bool is_memory;
	struct store_answer answer;
};

static void open_store(struct fixture *f, uint64_t size)
{
	struct store_options options = {.path = f->path, .size_bytes = size};
	f->answer = (struct store_answer){.now = NOW, .now_ms = 1000000};
	assert_int_equal((f->is_memory ? store_memory_open : store_lmdb_open)(&options, &f->answer.store), ERR_OK);
}

static void setup(struct fixture *f, bool is_memory, uint64_t size)
{
	*f = (struct fixture){.path = "/tmp/huisclos-store-XXXXXX", .is_memory = is_memory};
	assert_non_null(mkdtemp(f->path));
	open_store(f, size);
}

static void teardown(struct fixture *f)
{
	char command[160];
	store_close(f->answer.store);
	snprintf(command, sizeof(command), "rm -r '%s'", f->path);
	assert_int_equal(system(command), 0);
}

static struct reply ask(struct fixture *f, const struct request *request)
{
	struct reply reply;
	assert_int_equal(store_answer(&f->answer, request, &reply), ERR_OK);
	return reply;
}

static struct id random_id(void)
{
	struct id id;
	secret_random(id.bytes, sizeof(id.bytes));
	return id;
}

static enum err add_user(struct fixture *f, const char *name, struct id *id)
{
	struct request r = {.type = REQUEST_USER_ADD};
	*id = random_id();
	r.user_add.user = *id;
	snprintf(r.user_add.name, sizeof(r.user_add.name), "%s", name);
	return ask(f, &r).err;
}

static void add_device(struct fixture *f, const struct id *user, uint8_t pin[static TOKEN_PIN_BYTES])
{
	struct request token = {.type = REQUEST_USER_TOKEN, .user_token = {.user = *user, .expires = f->answer.now + 60}};
	struct request add = {.type = REQUEST_DEVICE_ADD};
	secret_random(token.user_token.hash, TOKEN_PIN_BYTES);
	assert_int_equal(ask(f, &token).err, ERR_OK);
	memcpy(add.device_add.hash, token.user_token.hash, TOKEN_PIN_BYTES);
	secret_random(pin, TOKEN_PIN_BYTES);
	memcpy(add.device_add.pin, pin, TOKEN_PIN_BYTES);
	add.device_add.device = random_id();
	assert_int_equal(ask(f, &add).err, ERR_OK);
	assert_int_equal(ask(f, &add).err, ERR_DENIED); // the token is gone
}

static void add_relay(struct fixture *f, const char *name, uint8_t pin[static TOKEN_PIN_BYTES], struct id *id)
{
	struct request add = {.type = REQUEST_RELAY_ADD, .relay_add = {.address = "127.0.0.1", .port = 443, .expires = f->answer.now + 60}};
	struct request activate = {.type = REQUEST_RELAY_ACTIVATE};
	*id = random_id();
	add.relay_add.relay = *id;
	snprintf(add.relay_add.name, sizeof(add.relay_add.name), "%s", name);
	secret_random(add.relay_add.hash, TOKEN_PIN_BYTES);
	assert_int_equal(ask(f, &add).err, ERR_OK);
	memcpy(activate.relay_activate.hash, add.relay_add.hash, TOKEN_PIN_BYTES);
	secret_random(pin, TOKEN_PIN_BYTES);
	memcpy(activate.relay_activate.pin, pin, TOKEN_PIN_BYTES);
	assert_int_equal(ask(f, &activate).err, ERR_OK);
}

static enum err add_meeting(struct fixture *f, const uint8_t pin[static TOKEN_PIN_BYTES], uint64_t expires, struct id *id)
{
	static const uint8_t blob[100] = {42};
	struct request r = {.type = REQUEST_MEETING_ADD, .meeting_add = {.expires = expires, .blob = {blob, sizeof(blob)}}};
	*id = random_id();
	r.meeting_add.meeting = *id;
	memcpy(r.meeting_add.pin, pin, TOKEN_PIN_BYTES);
	return ask(f, &r).err;
}

static struct reply join(struct fixture *f, const uint8_t pin[static TOKEN_PIN_BYTES], const struct id *meeting)
{
	struct request r = {.type = REQUEST_MEETING_JOIN, .meeting.meeting = *meeting};
	memcpy(r.meeting.pin, pin, TOKEN_PIN_BYTES);
	return ask(f, &r);
}

static enum err end(struct fixture *f, const uint8_t *pin, const struct id *meeting)
{
	struct request r = {.type = REQUEST_MEETING_END, .meeting_end = {.is_admin = !pin, .meeting = *meeting}};
	if (pin)
		memcpy(r.meeting_end.pin, pin, TOKEN_PIN_BYTES);
	return ask(f, &r).err;
}

static size_t count_items(struct fixture *f, struct request *r)
{
	struct reply reply = ask(f, r);
	assert_int_equal(reply.err, ERR_OK);
	struct cursor c = cursor_reader(reply.page.items.bytes, reply.page.items.size);
	union request_item item;
	size_t count = 0;
	while (!request_item_parse(r->type, &c, &item))
		count++;
	return count;
}

static size_t count_events(struct fixture *f, const uint8_t pin[static TOKEN_PIN_BYTES])
{
	struct request r = {.type = REQUEST_EVENT_LIST};
	memcpy(r.event_list.pin, pin, TOKEN_PIN_BYTES);
	return count_items(f, &r);
}

// --- the table of operations

static void check_backend(struct fixture *f)
{
	struct store *store = f->answer.store;
	struct store_txn *txn;
	struct record_reference in = {.id = random_id()}, out;
	struct id ids[3] = {{{1}}, {{2}}, {{3}}};
	struct store_key prefix = store_key_prefix(STORE_KEY_RELAY_NAME), key = {0}, other = store_key_id(STORE_KEY_USER, &ids[0]);

	assert_int_equal(store_begin(store, STORE_WRITE, &txn), ERR_OK);
	for (int i = 2; i >= 0; i--) {
		key = store_key_id(STORE_KEY_RELAY_NAME, &ids[i]);
		assert_int_equal(store_put(txn, &key, RECORD_REFERENCE, &in), ERR_OK);
	}
	assert_int_equal(store_put(txn, &other, RECORD_REFERENCE, &in), ERR_OK);
	assert_int_equal(store_commit(txn), ERR_OK);

	assert_int_equal(store_begin(store, STORE_READ, &txn), ERR_OK);
	assert_int_equal(store_get(txn, &other, RECORD_REFERENCE, &out), ERR_OK);
	assert_true(text_id_equal(&in.id, &out.id));
	key = (struct store_key){0};
	for (int i = 0; i < 3; i++) { // in order, and not beyond the prefix
		assert_int_equal(store_next(txn, &prefix, &key, RECORD_REFERENCE, &out), ERR_OK);
		struct id id = store_key_first_id(&key);
		assert_true(text_id_equal(&id, &ids[i]));
	}
	assert_int_equal(store_next(txn, &prefix, &key, RECORD_REFERENCE, &out), ERR_NOT_FOUND);
	assert_int_equal(store_count(txn, &prefix), 3);
	assert_int_equal(store_last(txn, &prefix, &key), ERR_OK);
	struct id last = store_key_first_id(&key);
	assert_true(text_id_equal(&last, &ids[2]));
	struct store_key none = store_key_prefix(STORE_KEY_TOKEN);
	assert_int_equal(store_last(txn, &none, &key), ERR_NOT_FOUND);
	store_abort(txn);

	key = store_key_id(STORE_KEY_RELAY_NAME, &ids[1]);
	assert_int_equal(store_begin(store, STORE_WRITE, &txn), ERR_OK);
	assert_int_equal(store_remove(txn, &key), ERR_OK);
	assert_int_equal(store_remove(txn, &key), ERR_NOT_FOUND);
	assert_false(store_has(txn, &key));
	store_abort(txn); // nothing of it stays
	assert_int_equal(store_begin(store, STORE_READ, &txn), ERR_OK);
	assert_true(store_has(txn, &key));
	store_abort(txn);
}

// --- the requests

static void check_users(struct fixture *f)
{
	struct id ada, bob, again;
	assert_int_equal(add_user(f, "Ada", &ada), ERR_OK);
	assert_int_equal(add_user(f, "Bob", &bob), ERR_OK);
	assert_int_equal(add_user(f, "aDA", &again), ERR_EXISTS);
	struct request list = {.type = REQUEST_USER_LIST}, remove = {.type = REQUEST_USER_REMOVE, .id.id = ada};
	assert_int_equal(count_items(f, &list), 2);
	assert_int_equal(ask(f, &remove).err, ERR_OK);
	assert_int_equal(ask(f, &remove).err, ERR_NOT_FOUND);
	assert_int_equal(count_items(f, &list), 1);
	assert_int_equal(add_user(f, "Ada", &again), ERR_OK); // the name is free again
}

static void check_tokens(struct fixture *f)
{
	struct id user, relay;
	uint8_t pin[TOKEN_PIN_BYTES];
	assert_int_equal(add_user(f, "Ada", &user), ERR_OK);
	struct request token = {.type = REQUEST_USER_TOKEN, .user_token = {.user = user, .hash = {1}, .expires = NOW + 60}};
	struct request check = {.type = REQUEST_TOKEN_CHECK, .hash.hash = {1}};
	struct request add = {.type = REQUEST_DEVICE_ADD, .device_add = {.hash = {1}, .device = random_id(), .pin = {9}}};
	struct request activate = {.type = REQUEST_RELAY_ACTIVATE, .relay_activate = {.hash = {1}, .pin = {8}}};
	assert_int_equal(ask(f, &token).err, ERR_AGAIN); // without a relay there is nothing to pin
	add_relay(f, "relay.test", pin, &relay);
	struct reply reply = ask(f, &token);
	assert_int_equal(reply.err, ERR_OK);
	assert_int_equal(reply.pins.pins.size, 2 * TOKEN_PIN_BYTES);
	assert_memory_equal(reply.pins.pins.bytes, pin, TOKEN_PIN_BYTES);
	reply = ask(f, &check);
	assert_int_equal(reply.err, ERR_OK);
	assert_string_equal(reply.subject.name, "Ada");
	assert_int_equal(ask(f, &activate).err, ERR_DENIED); // a user's token makes no relay
	f->answer.now = NOW + 60;
	assert_int_equal(ask(f, &add).err, ERR_EXPIRED);
	assert_int_equal(ask(f, &check).err, ERR_EXPIRED);
	f->answer.now = NOW + 59;
	memcpy(add.device_add.pin, pin, TOKEN_PIN_BYTES);
	assert_int_equal(ask(f, &add).err, ERR_EXISTS); // the key of a relay is no device's
	add.device_add.pin[0] ^= 1;
	assert_int_equal(ask(f, &add).err, ERR_OK);
	assert_int_equal(ask(f, &add).err, ERR_DENIED);
	assert_int_equal(ask(f, &check).err, ERR_DENIED);
	struct request who = {.type = REQUEST_WHO};
	memcpy(who.pin.pin, add.device_add.pin, TOKEN_PIN_BYTES);
	reply = ask(f, &who);
	assert_int_equal(reply.err, ERR_OK);
	assert_int_equal(reply.who.subject, REQUEST_SUBJECT_USER);
	assert_true(text_id_equal(&reply.who.user, &user));
	memcpy(who.pin.pin, pin, TOKEN_PIN_BYTES);
	assert_int_equal(ask(f, &who).who.subject, REQUEST_SUBJECT_RELAY);
	who.pin.pin[5] ^= 1;
	assert_int_equal(ask(f, &who).err, ERR_DENIED);
	f->answer.now = NOW;
}

static void check_meetings(struct fixture *f)
{
	struct id ada, bob, relay, meeting, other;
	uint8_t relay_pin[TOKEN_PIN_BYTES], ada_pin[TOKEN_PIN_BYTES], bob_pin[TOKEN_PIN_BYTES], stranger[TOKEN_PIN_BYTES] = {7};
	add_relay(f, "relay.test", relay_pin, &relay);
	assert_int_equal(add_user(f, "Ada", &ada), ERR_OK);
	assert_int_equal(add_user(f, "Bob", &bob), ERR_OK);
	add_device(f, &ada, ada_pin);
	add_device(f, &bob, bob_pin);
	assert_int_equal(add_meeting(f, stranger, NOW + DAY, &meeting), ERR_DENIED);
	assert_int_equal(add_meeting(f, ada_pin, NOW + DAY, &meeting), ERR_OK);
	struct request same = {.type = REQUEST_MEETING_ADD, .meeting_add = {.meeting = meeting, .expires = NOW + DAY}};
	memcpy(same.meeting_add.pin, bob_pin, TOKEN_PIN_BYTES);
	assert_int_equal(ask(f, &same).err, ERR_EXISTS);

	struct request list = {.type = REQUEST_MEETING_LIST};
	memcpy(list.meeting_list.pin, bob_pin, TOKEN_PIN_BYTES);
	assert_int_equal(count_items(f, &list), 0);
	assert_int_equal(end(f, bob_pin, &meeting), ERR_NOT_FOUND); // Bob does not know of it
	struct reply reply = join(f, bob_pin, &meeting);
	assert_int_equal(reply.err, ERR_OK);
	assert_int_equal(reply.join.is_owner, 0);
	assert_true(text_id_equal(&reply.join.relay, &relay));
	assert_int_equal(reply.join.blob.size, 100);
	assert_int_equal(reply.join.blob.bytes[0], 42);
	assert_int_equal(count_items(f, &list), 1);
	assert_int_equal(join(f, ada_pin, &meeting).join.is_owner, 1);
	assert_int_equal(join(f, stranger, &meeting).err, ERR_DENIED);
	other = random_id();
	assert_int_equal(join(f, ada_pin, &other).err, ERR_NOT_FOUND);

	assert_int_equal(end(f, bob_pin, &meeting), ERR_DENIED);
	assert_int_equal(count_events(f, relay_pin), 0);
	assert_int_equal(end(f, ada_pin, &meeting), ERR_OK);
	assert_int_equal(end(f, ada_pin, &meeting), ERR_OK);
	assert_int_equal(count_events(f, relay_pin), 1);
	assert_int_equal(join(f, ada_pin, &meeting).err, ERR_EXPIRED);
	assert_int_equal(add_meeting(f, ada_pin, NOW + 10, &other), ERR_OK);
	f->answer.now = NOW + 10;
	assert_int_equal(join(f, ada_pin, &other).err, ERR_EXPIRED);
	f->answer.now = NOW;
}

// A user that is removed: no more tickets, and each running meeting is told.
static void check_removal(struct fixture *f)
{
	struct id ada, bob, relay, first, second;
	uint8_t relay_pin[TOKEN_PIN_BYTES], ada_pin[TOKEN_PIN_BYTES], bob_pin[TOKEN_PIN_BYTES];
	add_relay(f, "relay.test", relay_pin, &relay);
	assert_int_equal(add_user(f, "Ada", &ada), ERR_OK);
	assert_int_equal(add_user(f, "Bob", &bob), ERR_OK);
	add_device(f, &ada, ada_pin);
	add_device(f, &bob, bob_pin);
	assert_int_equal(add_meeting(f, ada_pin, NOW + 2 * DAY, &first), ERR_OK);
	assert_int_equal(add_meeting(f, ada_pin, NOW + 60, &second), ERR_OK);
	assert_int_equal(join(f, bob_pin, &first).err, ERR_OK);
	assert_int_equal(join(f, bob_pin, &second).err, ERR_OK);
	struct request remove = {.type = REQUEST_USER_REMOVE, .id.id = bob};
	assert_int_equal(ask(f, &remove).err, ERR_OK);
	assert_int_equal(join(f, bob_pin, &first).err, ERR_DENIED);
	assert_int_equal(count_events(f, relay_pin), 2);
}

static void check_purge(struct fixture *f)
{
	struct id ada, relay, meeting;
	uint8_t relay_pin[TOKEN_PIN_BYTES], pin[TOKEN_PIN_BYTES];
	add_relay(f, "relay.test", relay_pin, &relay);
	assert_int_equal(add_user(f, "Ada", &ada), ERR_OK);
	add_device(f, &ada, pin);
	assert_int_equal(add_meeting(f, pin, NOW + 60, &meeting), ERR_OK);
	assert_int_equal(end(f, NULL, &meeting), ERR_OK);
	struct request list = {.type = REQUEST_MEETING_LIST, .meeting_list.is_admin = 1};
	assert_int_equal(store_purge(f->answer.store, NOW + DAY, 100), ERR_OK);
	assert_int_equal(count_items(f, &list), 1); // kept for a week
	assert_int_equal(store_purge(f->answer.store, NOW + 9 * DAY, 100), ERR_OK);
	assert_int_equal(count_items(f, &list), 0);
	memcpy(list.meeting_list.pin, pin, TOKEN_PIN_BYTES);
	list.meeting_list.is_admin = 0;
	assert_int_equal(count_items(f, &list), 0); // nor is the index left
	// The last event stays, so that the next one gets a higher number.
	assert_int_equal(add_meeting(f, pin, NOW + 60, &meeting), ERR_OK);
	assert_int_equal(end(f, NULL, &meeting), ERR_OK);
	struct request events = {.type = REQUEST_EVENT_LIST, .event_list.after = 1};
	memcpy(events.event_list.pin, relay_pin, TOKEN_PIN_BYTES);
	assert_int_equal(count_items(f, &events), 1);
}

static void check_pages(struct fixture *f)
{
	enum { USERS = 3000 };
	struct request list = {.type = REQUEST_USER_LIST};
	struct id id;
	char name[64];
	size_t count = 0, pages = 0;
	for (int i = 0; i < (f->is_memory ? 1000 : USERS); i++) {
		snprintf(name, sizeof(name), "user with a longer name %d", i);
		assert_int_equal(add_user(f, name, &id), ERR_OK);
	}
	for (bool is_last = false; !is_last; pages++) {
		struct reply reply = ask(f, &list);
		union request_item item;
		assert_int_equal(reply.err, ERR_OK);
		struct cursor c = cursor_reader(reply.page.items.bytes, reply.page.items.size);
		while (!request_item_parse(list.type, &c, &item)) {
			list.page.after = item.user.id;
			count++;
		}
		is_last = reply.page.is_last;
	}
	assert_int_equal(count, f->is_memory ? 1000 : USERS);
	assert_true(pages > 1);
}

// Adding stops while a tenth is free, with ERR_FULL; removing goes on; nothing is lost or half there.
static void check_full(struct fixture *f)
{
	char name[64];
	static struct id ids[20000];
	size_t count = 0;
	enum err err = ERR_OK;
	while (count < 20000 && !err) {
		snprintf(name, sizeof(name), "user %zu", count);
		err = add_user(f, name, &ids[count]);
		count += !err;
	}
	assert_int_equal(err, ERR_FULL);
	struct request status = {.type = REQUEST_STATUS};
	struct reply reply = ask(f, &status);
	assert_int_equal(reply.status.users, count);
	assert_true(reply.status.bytes <= reply.status.bytes_max);
	for (size_t i = 0; i < count; i++) {
		struct request remove = {.type = REQUEST_USER_REMOVE, .id.id = ids[i]};
		assert_int_equal(ask(f, &remove).err, ERR_OK);
	}
	assert_int_equal(ask(f, &status).status.users, 0);
	assert_int_equal(add_user(f, "after", &ids[0]), ERR_OK);
}

static void both(void (*check)(struct fixture *f), uint64_t size)
{
	for (int is_memory = 0; is_memory < 2; is_memory++) {
		static struct fixture f;
		setup(&f, is_memory, size);
		check(&f);
		teardown(&f);
	}
}

#define BOTH(name, size) static void name(void **state) { (void)state; both(check_##name, size); }
BOTH(backend, 16 << 20)
BOTH(users, 16 << 20)
BOTH(tokens, 16 << 20)
BOTH(meetings, 16 << 20)
BOTH(removal, 16 << 20)
BOTH(purge, 16 << 20)
BOTH(pages, 64 << 20)

static void full(void **state)
{
	(void)state;
	static struct fixture f;
	setup(&f, false, 1 << 20);
	check_full(&f);
	teardown(&f);
}

// --- kill -9

enum { KILLS = 12 };

// The child adds users and acknowledges each on a pipe after the store has answered.
static void write_for_ever(struct fixture *f, int acknowledge, int round)
{
	struct id id;
	char name[64];
	open_store(f, 64 << 20);
	for (uint32_t i = 0;; i++) {
		snprintf(name, sizeof(name), "user %d.%u", round, i);
		if (add_user(f, name, &id) || write(acknowledge, &id, sizeof(id)) != sizeof(id))
			_exit(1);
	}
}

static void acknowledged_records_survive_kill(void **state)
{
	(void)state;
	static struct fixture f;
	size_t acknowledged = 0;
	setup(&f, false, 64 << 20);
	for (int round = 0; round < KILLS; round++) {
		static struct id ids[100000];
		size_t count = 0;
		int pipes[2];
		store_close(f.answer.store);
		assert_int_equal(pipe(pipes), 0);
		pid_t child = fork();
		if (child == 0)
			write_for_ever(&f, pipes[1], round);
		close(pipes[1]);
		assert_int_equal(read(pipes[0], &ids[0], sizeof(ids[0])), sizeof(ids[0]));
		count = 1;
		nanosleep(&(struct timespec){.tv_nsec = 5000000L + round * 3000000L}, NULL);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		while (read(pipes[0], &ids[count], sizeof(ids[0])) == sizeof(ids[0]))
			count++;
		close(pipes[0]);
		acknowledged += count;

		open_store(&f, 64 << 20);
		struct store_txn *txn;
		assert_int_equal(store_begin(f.answer.store, STORE_READ, &txn), ERR_OK);
		for (size_t i = 0; i < count; i++) {
			struct store_key key = store_key_id(STORE_KEY_USER, &ids[i]);
			struct record_user user;
			assert_int_equal(store_get(txn, &key, RECORD_USER, &user), ERR_OK);
			struct store_key name = store_key_name(STORE_KEY_USER_NAME, user.name);
			assert_true(store_has(txn, &name));
		}
		// As many names as users: no transaction is half there.
		struct store_key users = store_key_prefix(STORE_KEY_USER), names = store_key_prefix(STORE_KEY_USER_NAME);
		assert_int_equal(store_count(txn, &users), store_count(txn, &names));
		assert_in_range(store_count(txn, &users), acknowledged, acknowledged + (size_t)round + 1);
		store_abort(txn);
	}
	print_message("%zu acknowledged users over %d kills\n", acknowledged, KILLS);
	teardown(&f);
}

static void unusable_directory_is_said(void **state)
{
	(void)state;
	struct store_options options = {.path = "/proc/nowhere", .size_bytes = 16 << 20};
	struct store *store;
	assert_int_not_equal(store_lmdb_open(&options, &store), ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backend),
		cmocka_unit_test(users),
		cmocka_unit_test(tokens),
		cmocka_unit_test(meetings),
		cmocka_unit_test(removal),
		cmocka_unit_test(purge),
		cmocka_unit_test(pages),
		cmocka_unit_test(full),
		cmocka_unit_test(acknowledged_records_survive_kill),
		cmocka_unit_test(unusable_directory_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
