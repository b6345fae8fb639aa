// What the relay keeps on disk: registration and journal; and what its manager process parses.
// SPDX-License-Identifier: Apache-2.0
#include "relay/journal.h"
#include "relay/manager_events.h"
#include "relay/manager_report.h"
#include "relay/registration.h"
#include "relay/relay_enrol.h"
#include "relay/relay_key.h"
#include "tests/fake/relay_pki.h"

#include "base/log.h"
#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64], path[256];

static int setup(void **state)
{
	(void)state;
	log_init("test", LOG_ERROR);
	relay_pki_directory(directory);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	relay_pki_remove(directory);
	return 0;
}

static const char *in_directory(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

// ---------------------------------------------------------------- journal

static const struct id meeting = { { 1 } }, person = { { 2 } }, serial = { { 3 } };

static struct journal *open_journal(uint64_t now_s)
{
	struct journal *journal = NULL;
	char problem[JOURNAL_PROBLEM_MAX] = "";
	enum err err = journal_open(directory, now_s, &journal, problem);
	if (err)
		fail_msg("%s", problem);
	return journal;
}

static void journal_survives_and_forgets(void **state)
{
	(void)state;
	struct journal *journal = open_journal(100);
	assert_int_equal(journal_add(journal, &(struct journal_entry){ JOURNAL_ENDED, meeting, { { 0 } }, 200 }, 100), ERR_OK);
	assert_int_equal(journal_add(journal, &(struct journal_entry){ JOURNAL_REMOVED, meeting, person, 300 }, 100), ERR_OK);
	assert_int_equal(journal_add(journal, &(struct journal_entry){ JOURNAL_ADMITTED, serial, { { 0 } }, 400 }, 100), ERR_OK);
	assert_true(journal_is_unsynced(journal));
	assert_false(journal_has(journal, JOURNAL_REMOVED, &meeting, NULL, 100)); // another participant
	assert_false(journal_has(journal, JOURNAL_ENDED, &serial, NULL, 100));
	for (int round = 0; round < 2; round++) {
		assert_true(journal_has(journal, JOURNAL_ENDED, &meeting, NULL, 200));
		assert_false(journal_has(journal, JOURNAL_ENDED, &meeting, NULL, 201));
		assert_true(journal_has(journal, JOURNAL_REMOVED, &meeting, &person, 300));
		assert_true(journal_has(journal, JOURNAL_ADMITTED, &serial, NULL, 400));
		journal_close(journal);
		journal = open_journal(150);
	}
	journal_close(journal);
	journal_close(open_journal(250 + JOURNAL_KEEP_S));
	struct stat status;
	assert_int_equal(stat(in_directory(JOURNAL_FILE), &status), 0);
	assert_int_equal(status.st_size, 2 * JOURNAL_RECORD_BYTES); // the expired one is gone
	assert_int_equal(status.st_mode & 0777, 0600);
}

// A clock that ran ahead by a day and was set back: who was removed stays so, over a restart in between too.
static void a_clock_that_jumps_lets_nobody_back_in(void **state)
{
	(void)state;
	struct journal *journal = open_journal(100);
	assert_int_equal(journal_add(journal, &(struct journal_entry){ JOURNAL_REMOVED, meeting, person, 300 }, 100), ERR_OK);
	journal_close(journal);
	journal_close(open_journal(100 + 86400));
	journal = open_journal(200);
	assert_true(journal_has(journal, JOURNAL_REMOVED, &meeting, &person, 200));
	journal_close(journal);
}

static struct id numbered(uint32_t n)
{
	struct id id = { { 9 } };
	memcpy(id.bytes + 8, &n, sizeof(n));
	return id;
}

static enum err admit(struct journal *journal, uint32_t n, uint64_t now_s)
{
	return journal_add(journal, &(struct journal_entry){ .kind = JOURNAL_ADMITTED, .first = numbered(n), .until = now_s }, now_s);
}

// However many tickets are admitted, orders are remembered; what expired makes room.
static void tickets_do_not_crowd_out_orders(void **state)
{
	(void)state;
	struct journal *journal = open_journal(100);
	for (uint32_t n = 0; n < JOURNAL_ADMITTED_MAX; n++)
		assert_int_equal(admit(journal, n, 100), ERR_OK);
	assert_int_equal(admit(journal, JOURNAL_ADMITTED_MAX, 100), ERR_LIMIT);
	assert_int_equal(journal_add(journal, &(struct journal_entry){ JOURNAL_REMOVED, meeting, person, 300 }, 100), ERR_OK);
	assert_true(journal_has(journal, JOURNAL_REMOVED, &meeting, &person, 100));
	uint64_t later = 100 + JOURNAL_KEEP_S + 1;
	journal_close(journal);
	journal = open_journal(100);
	assert_int_equal(admit(journal, 0, later), ERR_OK); // one sweep
	assert_int_equal(admit(journal, JOURNAL_ADMITTED_MAX, later), ERR_OK);
	journal_close(journal);
}

static void repeated_news_is_written_once(void **state)
{
	(void)state;
	struct journal *journal = open_journal(100);
	for (int i = 0; i < 10; i++)
		assert_int_equal(journal_add(journal, &(struct journal_entry){ JOURNAL_ENDED, meeting, { { 0 } }, 200 }, 100), ERR_OK);
	assert_int_equal(journal_add(journal, &(struct journal_entry){ JOURNAL_ENDED, meeting, { { 0 } }, 500 }, 100), ERR_OK);
	struct stat status;
	assert_int_equal(stat(in_directory(JOURNAL_FILE), &status), 0);
	assert_int_equal(status.st_size, 2 * JOURNAL_RECORD_BYTES);
	journal_close(journal);
	journal = open_journal(100);
	assert_true(journal_has(journal, JOURNAL_ENDED, &meeting, NULL, 500));
	journal_close(journal);
}

static void a_cut_or_damaged_journal_keeps_the_rest(void **state)
{
	(void)state;
	for (long cut = 1; cut < JOURNAL_RECORD_BYTES; cut += 7) {
		struct journal *journal = open_journal(100);
		assert_int_equal(journal_add(journal, &(struct journal_entry){ JOURNAL_ENDED, meeting, { { 0 } }, 200 }, 100), ERR_OK);
		assert_int_equal(journal_add(journal, &(struct journal_entry){ JOURNAL_ADMITTED, serial, { { 0 } }, 400 }, 100), ERR_OK);
		journal_close(journal);
		assert_int_equal(truncate(in_directory(JOURNAL_FILE), 2 * JOURNAL_RECORD_BYTES - cut), 0);
		journal = open_journal(100);
		assert_true(journal_has(journal, JOURNAL_ENDED, &meeting, NULL, 100) || journal_has(journal, JOURNAL_ADMITTED, &serial, NULL, 100));
		assert_int_equal(journal_add(journal, &(struct journal_entry){ JOURNAL_REMOVED, meeting, person, 300 }, 100), ERR_OK);
		journal_close(journal);
		journal = open_journal(100);
		assert_true(journal_has(journal, JOURNAL_REMOVED, &meeting, &person, 100)); // in step again
		journal_close(journal);
		assert_int_equal(unlink(in_directory(JOURNAL_FILE)), 0);
	}
	uint8_t record[JOURNAL_RECORD_BYTES];
	struct journal_entry entry;
	journal_record_emit(&(struct journal_entry){ JOURNAL_ENDED, meeting, { { 0 } }, 200 }, record);
	assert_int_equal(journal_record_parse(record, &entry), ERR_OK);
	for (size_t i = 0; i < sizeof(record); i++) {
		record[i] ^= 1;
		assert_int_not_equal(journal_record_parse(record, &entry), ERR_OK);
		record[i] ^= 1;
	}
}

static void an_unusable_directory_is_said(void **state)
{
	(void)state;
	struct journal *journal;
	char problem[JOURNAL_PROBLEM_MAX] = "";
	assert_int_equal(journal_open("/nonexistent/place", 1, &journal, problem), ERR_IO);
	assert_non_null(strstr(problem, "/nonexistent/place"));
	assert_non_null(strstr(problem, "No such file"));
}

// ---------------------------------------------------------------- registration

static void registration_is_stored_whole_and_not_replaced(void **state)
{
	(void)state;
	struct relay_pki first;
	struct registration got;
	char problem[REGISTRATION_PROBLEM_MAX];
	struct stat status;
	assert_false(registration_exists(directory));
	assert_int_equal(registration_load(directory, &got, problem), ERR_NOT_FOUND);
	assert_non_null(strstr(problem, "tcs --enrol"));
	relay_pki_make(&first, directory);
	assert_true(registration_exists(directory));
	assert_int_equal(stat(in_directory("registration/tls.key"), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(registration_load(directory, &got, problem), ERR_OK);
	assert_true(text_id_equal(&got.relay, &first.registration.relay));
	assert_string_equal(got.name, "relay.test");
	assert_memory_equal(&got.tmms.pins, &first.registration.tmms.pins, sizeof(got.tmms.pins));

	struct registration_bytes one = { (const uint8_t *)"x", 1 };
	struct registration other = got;
	secret_random(&other.relay, sizeof(other.relay));
	struct registration_files files = { &other, one, one, one, one, one };
	assert_int_equal(registration_store(directory, &files, false, problem), ERR_EXISTS);
	assert_int_equal(registration_load(directory, &got, problem), ERR_OK);
	assert_true(text_id_equal(&got.relay, &first.registration.relay));
	assert_int_equal(registration_store(directory, &files, true, problem), ERR_OK);
	assert_int_equal(registration_load(directory, &got, problem), ERR_OK);
	assert_true(text_id_equal(&got.relay, &other.relay));
	assert_int_not_equal(access(in_directory("registration.new"), F_OK), 0);
	assert_int_equal(registration_store("/nonexistent", &files, false, problem), ERR_IO);
	relay_pki_free(&first);
}

static void a_damaged_registration_is_refused(void **state)
{
	(void)state;
	static const char *const rows[] = { "", "{", "[]", "{\"relay\":7}", "{\"relay\":\"00000000-0000-0000-0000-000000000001\"}" };
	struct registration got;
	char problem[REGISTRATION_PROBLEM_MAX];
	assert_int_equal(mkdir(in_directory("registration"), 0700), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		FILE *file = fopen(in_directory("registration/relay.json"), "w");
		assert_non_null(file);
		fputs(rows[i], file);
		fclose(file);
		assert_int_equal(registration_load(directory, &got, problem), ERR_PARSE);
		assert_non_null(strstr(problem, "relay.json"));
	}
}

static void a_chain_must_lead_from_our_key_to_the_pinned_root(void **state)
{
	(void)state;
	uint8_t leaf_der[4096], issuer_der[4096], root_der[4096], pin[TOKEN_PIN_BYTES];
	static uint8_t pem[RELAY_KEY_CERTIFICATES_MAX];
	size_t size;
	EVP_PKEY *root_key = relay_key_new(), *issuer_key = relay_key_new(), *key = relay_key_new(), *other = relay_key_new();
	X509 *root = relay_pki_sign(root_key, "root", NULL, root_key), *issuer = relay_pki_sign(issuer_key, "issuer", root, root_key);
	X509 *leaf = relay_pki_sign(key, "leaf", issuer, issuer_key), *forged = relay_pki_sign(key, "leaf", issuer, other);
	assert_int_equal(relay_key_certificate_pin(root, pin), ERR_OK);
	struct relay_key_chain chain = { .certificate = leaf_der, .issuer = issuer_der, .root = root_der, .root_pin = pin };
	chain.certificate_size = relay_pki_der(leaf, leaf_der, sizeof(leaf_der));
	chain.issuer_size = relay_pki_der(issuer, issuer_der, sizeof(issuer_der));
	chain.root_size = relay_pki_der(root, root_der, sizeof(root_der));
	assert_int_equal(relay_key_check_chain(&chain, key, pem, &size), ERR_OK);
	assert_int_equal(relay_key_check_chain(&chain, other, pem, &size), ERR_AUTH);
	pin[0] ^= 1;
	assert_int_equal(relay_key_check_chain(&chain, key, pem, &size), ERR_AUTH);
	pin[0] ^= 1;
	chain.certificate_size--;
	assert_int_equal(relay_key_check_chain(&chain, key, pem, &size), ERR_AUTH);
	chain.certificate_size = relay_pki_der(forged, leaf_der, sizeof(leaf_der));
	assert_int_equal(relay_key_check_chain(&chain, key, pem, &size), ERR_AUTH);
	X509_free(root);
	X509_free(issuer);
	X509_free(leaf);
	X509_free(forged);
	EVP_PKEY_free(root_key);
	EVP_PKEY_free(issuer_key);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static void a_wrong_link_is_wrong_usage(void **state)
{
	(void)state;
	struct registration got;
	char problem[RELAY_ENROL_PROBLEM_MAX];
	assert_int_equal(relay_enrol(directory, "https://example.org/", false, &got, problem), ERR_USAGE);
	assert_int_equal(relay_enrol(directory, "", false, &got, problem), ERR_USAGE);
	assert_false(registration_exists(directory));
}

static void answers_are_strict(void **state)
{
	(void)state;
	static struct relay_enrol_answer answer;
	static const char good[] = "{\"relay\":\"00000000-0000-0000-0000-000000000001\",\"name\":\"r\",\"certificate\":\"AAAA\","
				   "\"issuer\":\"AAAA\",\"root\":\"AAAA\",\"ticket_key\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}";
	assert_int_equal(relay_enrol_answer_parse(good, sizeof(good) - 1, &answer), ERR_OK);
	assert_int_equal(answer.certificate_size, 3);
	for (size_t cut = 0; cut < sizeof(good) - 1; cut++)
		assert_int_equal(relay_enrol_answer_parse(good, cut, &answer), ERR_PARSE);
	static const char newline[] = "{\"relay\":\"00000000-0000-0000-0000-000000000001\",\"name\":\"r\\n\",\"certificate\":\"AAAA\","
				      "\"issuer\":\"AAAA\",\"root\":\"AAAA\",\"ticket_key\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}";
	assert_int_equal(relay_enrol_answer_parse(newline, sizeof(newline) - 1, &answer), ERR_PARSE);
}

// ---------------------------------------------------------------- manager

static void messages_round_trip_and_reject_the_rest(void **state)
{
	(void)state;
	static const struct manager_message rows[] = {
		{ .type = MANAGER_ENDED, .until = 7, .meeting = { { 1 } } },
		{ .type = MANAGER_REMOVED, .until = 7, .meeting = { { 1 } }, .participant = { { 2 } } },
		{ .type = MANAGER_SYNCED },
		{ .type = MANAGER_CONNECTION, .number = 1 },
		{ .type = MANAGER_REPORT, .number = 3 },
		{ .type = MANAGER_MEETING, .number = 3, .meeting = { { 1 } } },
		{ .type = MANAGER_SYNC_JOURNAL },
	};
	uint8_t bytes[MANAGER_MESSAGE_BYTES + 1] = { 0 };
	struct manager_message got;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		manager_message_emit(&rows[i], bytes);
		assert_int_equal(manager_message_parse(bytes, MANAGER_MESSAGE_BYTES, &got), ERR_OK);
		assert_int_equal(got.type, rows[i].type);
		assert_int_equal(got.number, rows[i].number);
		assert_int_equal(got.until, rows[i].until);
		assert_true(text_id_equal(&got.meeting, &rows[i].meeting));
		assert_true(text_id_equal(&got.participant, &rows[i].participant));
		assert_int_equal(manager_message_parse(bytes, MANAGER_MESSAGE_BYTES + 1, &got), ERR_PARSE);
		assert_int_equal(manager_message_parse(bytes, MANAGER_MESSAGE_BYTES - 1, &got), ERR_PARSE);
	}
	manager_message_emit(&(struct manager_message){ .type = MANAGER_ENDED }, bytes); // no meeting
	assert_int_equal(manager_message_parse(bytes, MANAGER_MESSAGE_BYTES, &got), ERR_PARSE);
	bytes[0] = 99;
	assert_int_equal(manager_message_parse(bytes, MANAGER_MESSAGE_BYTES, &got), ERR_PARSE);
}

struct heard {
	struct manager_message message[8];
	size_t count;
};

static void on_message(void *context, const struct manager_message *message)
{
	struct heard *heard = context;
	assert_true(heard->count < 8);
	heard->message[heard->count++] = *message;
}

static void events_come_in_any_pieces(void **state)
{
	(void)state;
	static const char stream[] = ": hello\r\n\r\nevent: ended\ndata: {\"meeting\":\"01000000-0000-0000-0000-000000000000\",\"until\":5}\n\n"
				     "event:removed\r\ndata:{\"meeting\":\"01000000-0000-0000-0000-000000000000\",\"participant\":"
				     "\"02000000-0000-0000-0000-000000000000\",\"until\":6}\r\n\r\nevent: later\ndata: x\n\n"
				     "event: ended\ndata: {\"meeting\":\"nonsense\"}\n\nevent: synced\ndata: {}\n\n";
	for (size_t piece = 1; piece < sizeof(stream); piece++) {
		struct heard heard = { .count = 0 };
		struct manager_events events = { .on_message = on_message, .context = &heard };
		for (size_t at = 0; at < sizeof(stream) - 1; at += piece) {
			size_t left = sizeof(stream) - 1 - at;
			assert_int_equal(manager_events_feed(&events, stream + at, left < piece ? left : piece), ERR_OK);
		}
		assert_int_equal(heard.count, 3);
		assert_int_equal(heard.message[0].type, MANAGER_ENDED);
		assert_true(text_id_equal(&heard.message[0].meeting, &meeting));
		assert_int_equal(heard.message[0].until, 5);
		assert_int_equal(heard.message[1].type, MANAGER_REMOVED);
		assert_true(text_id_equal(&heard.message[1].participant, &person));
		assert_int_equal(heard.message[2].type, MANAGER_SYNCED);
		assert_int_equal(events.malformed, 1);
	}
	struct manager_events events = { .on_message = on_message };
	char line[MANAGER_EVENTS_LINE_MAX];
	memset(line, 'x', sizeof(line));
	assert_int_equal(manager_events_feed(&events, line, sizeof(line)), ERR_LIMIT);
}

static void a_report_is_sent_when_it_is_whole(void **state)
{
	(void)state;
	struct manager_report *report = calloc(1, sizeof(*report));
	manager_report_init(report, "io_uring");
	assert_null(manager_report_take(report));
	manager_report_add(report, &(struct manager_message){ .type = MANAGER_REPORT, .number = 1 });
	assert_null(manager_report_take(report));
	manager_report_add(report, &(struct manager_message){ .type = MANAGER_MEETING, .number = 4, .meeting = meeting });
	const char *body = manager_report_take(report);
	assert_non_null(body);
	assert_non_null(strstr(body, "\"engine\":\"io_uring\",\"meetings\":[{\"meeting\":\"01000000-0000-0000-0000-000000000000\",\"participants\":4}]"));
	assert_null(manager_report_take(report));
	manager_report_add(report, &(struct manager_message){ .type = MANAGER_REPORT });
	assert_non_null(strstr(manager_report_take(report), "\"meetings\":[]"));
	manager_report_add(report, &(struct manager_message){ .type = MANAGER_REPORT, .number = 5000 });
	for (unsigned i = 0; i < 5000; i++)
		manager_report_add(report, &(struct manager_message){ .type = MANAGER_MEETING, .number = 4, .meeting = meeting });
	body = manager_report_take(report);
	assert_true(body && strlen(body) < 65536);
	manager_report_fini(report);
	free(report);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(journal_survives_and_forgets),
		TEST(a_clock_that_jumps_lets_nobody_back_in),
		TEST(tickets_do_not_crowd_out_orders),
		TEST(repeated_news_is_written_once),
		TEST(a_cut_or_damaged_journal_keeps_the_rest),
		TEST(an_unusable_directory_is_said),
		TEST(registration_is_stored_whole_and_not_replaced),
		TEST(a_damaged_registration_is_refused),
		TEST(a_chain_must_lead_from_our_key_to_the_pinned_root),
		TEST(a_wrong_link_is_wrong_usage),
		TEST(answers_are_strict),
		cmocka_unit_test(messages_round_trip_and_reject_the_rest),
		cmocka_unit_test(events_come_in_any_pieces),
		cmocka_unit_test(a_report_is_sent_when_it_is_whole),
	};
	return cmocka_run_group_tests_name("relay_state", tests, NULL, NULL);
}
