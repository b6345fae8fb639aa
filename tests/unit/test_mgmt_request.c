// The closed list of requests, the records and the keys of the store. SPDX-License-Identifier: Apache-2.0
#include "base/secret.h"
#include "mgmt/handoff.h"
#include "mgmt/record.h"
#include "mgmt/request.h"
#include "mgmt/store_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static uint8_t bytes[CHANNEL_MESSAGE_MAX], again[CHANNEL_MESSAGE_MAX];

// Zero fields are valid in every request and answer: each comes back as it went, byte for byte.
static void every_request_round_trips(void **state)
{
	(void)state;
	for (unsigned type = 1; type < REQUEST_TYPES; type++) {
		struct request request = {.serial = 0x01020304 + type, .type = (enum request_type)type}, parsed;
		size_t size, size_again;
		assert_int_equal(request_emit(&request, bytes, &size), ERR_OK);
		assert_int_equal(request_parse(bytes, size, &parsed), ERR_OK);
		assert_int_equal(parsed.serial, request.serial);
		assert_int_equal(parsed.type, type);
		assert_int_equal(request_emit(&parsed, again, &size_again), ERR_OK);
		assert_int_equal(size, size_again);
		assert_memory_equal(bytes, again, size);
		for (size_t cut = 0; cut < size; cut++)
			assert_int_not_equal(request_parse(bytes, cut, &parsed), ERR_OK);
		bytes[size] = 0; // nothing may follow
		assert_int_equal(request_parse(bytes, size + 1, &parsed), ERR_PARSE);
	}
}

static void every_reply_round_trips(void **state)
{
	(void)state;
	for (unsigned type = 1; type < REQUEST_TYPES; type++) {
		struct reply reply = {.serial = 7, .type = (enum request_type)type}, parsed;
		size_t size;
		assert_int_equal(request_reply_emit(&reply, bytes, &size), ERR_OK);
		assert_int_equal(request_reply_parse(bytes, size, &parsed), ERR_OK);
		assert_int_equal(parsed.type, type);
		for (size_t cut = 0; cut < size; cut++)
			assert_int_not_equal(request_reply_parse(bytes, cut, &parsed), ERR_OK);
		reply.err = ERR_FULL;
		assert_int_equal(request_reply_emit(&reply, bytes, &size), ERR_OK);
		assert_int_equal(size, 6);
		assert_int_equal(request_reply_parse(bytes, size, &parsed), ERR_OK);
		assert_int_equal(parsed.err, ERR_FULL);
	}
}

static void fields_arrive(void **state)
{
	(void)state;
	static const uint8_t blob[] = {1, 2, 3, 4, 5};
	struct request request = {.serial = 9, .type = REQUEST_MEETING_ADD}, parsed;
	size_t size;
	secret_random(request.meeting_add.pin, sizeof(request.meeting_add.pin));
	secret_random(request.meeting_add.meeting.bytes, TEXT_ID_BYTES);
	request.meeting_add.expires = 0x1122334455667788;
	request.meeting_add.blob = (struct wire_view){blob, sizeof(blob)};
	assert_int_equal(request_emit(&request, bytes, &size), ERR_OK);
	assert_int_equal(request_parse(bytes, size, &parsed), ERR_OK);
	assert_memory_equal(parsed.meeting_add.pin, request.meeting_add.pin, TOKEN_PIN_BYTES);
	assert_true(text_id_equal(&parsed.meeting_add.meeting, &request.meeting_add.meeting));
	assert_true(parsed.meeting_add.expires == request.meeting_add.expires);
	assert_int_equal(parsed.meeting_add.blob.size, sizeof(blob));
	assert_memory_equal(parsed.meeting_add.blob.bytes, blob, sizeof(blob));
}

static void what_is_not_on_the_list_is_refused(void **state)
{
	(void)state;
	struct request parsed;
	struct reply reply;
	uint8_t unknown[] = {0, 0, 0, 1, REQUEST_TYPES, 0}, zero[] = {0, 0, 0, 1, 0, 0};
	uint8_t bad_err[] = {0, 0, 0, 1, REQUEST_USER_ADD, ERR_COUNT};
	assert_int_equal(request_parse(unknown, 5, &parsed), ERR_PARSE);
	assert_int_equal(request_parse(zero, 5, &parsed), ERR_PARSE);
	assert_int_equal(request_reply_parse(unknown, 6, &reply), ERR_PARSE);
	assert_int_equal(request_reply_parse(bad_err, 6, &reply), ERR_PARSE);
}

// A text with a control character is refused on the way in as well as in JSON.
static void texts_are_printable(void **state)
{
	(void)state;
	struct request request = {.type = REQUEST_USER_ADD, .user_add.name = "Ada\x1b[2J"}, parsed;
	size_t size;
	assert_int_equal(request_emit(&request, bytes, &size), ERR_OK);
	assert_int_equal(request_parse(bytes, size, &parsed), ERR_PARSE);
}

static void limits_hold(void **state)
{
	(void)state;
	static const uint8_t blob[REQUEST_BLOB_MAX + 1];
	struct request request = {.type = REQUEST_MEETING_ADD, .meeting_add.blob = {blob, REQUEST_BLOB_MAX}};
	size_t size;
	assert_int_equal(request_emit(&request, bytes, &size), ERR_OK);
	request.meeting_add.blob.size++;
	assert_int_equal(request_emit(&request, bytes, &size), ERR_LIMIT);
	struct request list = {.type = REQUEST_MEETING_LIST, .meeting_list.is_admin = 2};
	assert_int_equal(request_emit(&list, bytes, &size), ERR_LIMIT);
}

// Who may ask what: the whole table. http never adds a device or takes a join for granted, auth never writes users.
static void only_the_named_role_may_ask(void **state)
{
	(void)state;
	for (unsigned type = 1; type < REQUEST_TYPES; type++) {
		bool is_of_auth = type == REQUEST_TOKEN_CHECK || type == REQUEST_DEVICE_ADD || type == REQUEST_RELAY_ACTIVATE ||
				  type == REQUEST_MEETING_JOIN;
		assert_int_equal(request_is_allowed((enum request_type)type, ROLE_AUTH), is_of_auth);
		assert_int_equal(request_is_allowed((enum request_type)type, ROLE_HTTP), !is_of_auth);
		assert_false(request_is_allowed((enum request_type)type, ROLE_FRONT));
		assert_false(request_is_allowed((enum request_type)type, ROLE_STORE));
	}
	assert_false(request_is_allowed(REQUEST_TYPES, ROLE_HTTP));
}

static void pages_hold_whole_items(void **state)
{
	(void)state;
	static uint8_t page[200];
	struct cursor out = cursor_writer(page, sizeof(page));
	struct item_user item = {.name = "Ada", .mail = "ada@example.org", .devices = 3};
	size_t count = 0, read = 0;
	while (request_item_emit(REQUEST_USER_LIST, &item, &out) == ERR_OK)
		count++;
	assert_int_equal(count, 3); // 52 bytes each
	struct cursor in = cursor_reader(page, out.position);
	union request_item parsed;
	while (request_item_parse(REQUEST_USER_LIST, &in, &parsed) == ERR_OK) {
		assert_string_equal(parsed.user.name, "Ada");
		assert_int_equal(parsed.user.devices, 3);
		read++;
	}
	assert_int_equal(read, count);
	assert_int_equal(request_item_parse(REQUEST_USER_LIST, &in, &parsed), ERR_NOT_FOUND);
}

static void records_round_trip(void **state)
{
	(void)state;
	struct record_relay relay = {.name = "relay.example", .address = "2001:db8::1", .port = 443, .state = REQUEST_STATE_ACTIVE,
				     .created = 1700000000}, parsed = {0};
	size_t size;
	secret_random(relay.pin, sizeof(relay.pin));
	assert_int_equal(record_emit(RECORD_RELAY, &relay, bytes, &size), ERR_OK);
	assert_int_equal(record_parse(RECORD_RELAY, bytes, size, &parsed), ERR_OK);
	assert_string_equal(parsed.name, relay.name);
	assert_string_equal(parsed.address, relay.address);
	assert_int_equal(parsed.port, relay.port);
	assert_memory_equal(parsed.pin, relay.pin, sizeof(relay.pin));
	for (size_t cut = 0; cut < size; cut++)
		assert_int_not_equal(record_parse(RECORD_RELAY, bytes, cut, &parsed), ERR_OK);
	assert_int_equal(record_parse(RECORD_RELAY, bytes, size + 1, &parsed), ERR_PARSE);
	bytes[0] = RECORD_VERSION + 1;
	assert_int_equal(record_parse(RECORD_RELAY, bytes, size, &parsed), ERR_VERSION);
}

static void keys_sort_and_fold(void **state)
{
	(void)state;
	struct id a = {{1}}, b = {{2}};
	struct store_key upper = store_key_name(STORE_KEY_USER_NAME, "ADA"), lower = store_key_name(STORE_KEY_USER_NAME, "ada");
	struct store_key pair = store_key_ids(STORE_KEY_MEMBER, &a, &b);
	assert_int_equal(upper.size, lower.size);
	assert_memory_equal(upper.bytes, lower.bytes, lower.size);
	struct id first = store_key_first_id(&pair), second = store_key_second_id(&pair);
	assert_true(text_id_equal(&first, &a));
	assert_true(text_id_equal(&second, &b));
	struct store_key small = store_key_event(255), large = store_key_event(256);
	assert_true(memcmp(small.bytes, large.bytes, small.size) < 0);
	assert_true(store_key_sequence(&large) == 256);
	char name[STORE_KEY_MAX + 50];
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(store_key_name(STORE_KEY_USER_NAME, name).size, STORE_KEY_MAX);
}

static void handoff_round_trips(void **state)
{
	(void)state;
	struct handoff handoff = {.kind = HANDOFF_CERTIFICATE, .address = "192.0.2.1"}, parsed;
	uint8_t message[HANDOFF_BYTES_MAX];
	size_t size;
	secret_random(handoff.pin, sizeof(handoff.pin));
	secret_random(handoff.channel, sizeof(handoff.channel));
	assert_int_equal(handoff_emit(&handoff, message, &size), ERR_OK);
	assert_int_equal(handoff_parse(message, size, &parsed), ERR_OK);
	assert_int_equal(parsed.kind, HANDOFF_CERTIFICATE);
	assert_memory_equal(parsed.pin, handoff.pin, sizeof(parsed.pin));
	assert_memory_equal(parsed.channel, handoff.channel, sizeof(parsed.channel));
	assert_string_equal(parsed.address, handoff.address);
	message[0] = HANDOFF_LAST + 1;
	assert_int_equal(handoff_parse(message, size, &parsed), ERR_PARSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_request_round_trips),
		cmocka_unit_test(every_reply_round_trips),
		cmocka_unit_test(fields_arrive),
		cmocka_unit_test(what_is_not_on_the_list_is_refused),
		cmocka_unit_test(texts_are_printable),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(only_the_named_role_may_ask),
		cmocka_unit_test(pages_hold_whole_items),
		cmocka_unit_test(records_round_trip),
		cmocka_unit_test(keys_sort_and_fold),
		cmocka_unit_test(handoff_round_trips),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
