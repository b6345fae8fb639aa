// HTTPS to the management server: pins, the channel value, and answers of all sorts. SPDX-License-Identifier: Apache-2.0
#include "base/secret.h"
#include "client/engine/api.h"
#include "client/engine/api_answer.h"
#include "client/engine/engine.h"
#include "tests/fake/client_tmms.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64], problem[ENGINE_PROBLEM_MAX], request[CLIENT_TMMS_REQUEST_MAX];
static uint8_t channel[CLIENT_TMMS_CHANNEL_BYTES];
static struct client_tmms *tmms;

static int set_up(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/test-api-XXXXXX");
	tmms = mkdtemp(directory) ? client_tmms_start(directory) : NULL;
	return tmms ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *at)
{
	(void)status, (void)flag, (void)at;
	return remove(path);
}

static int tear_down(void **state)
{
	(void)state;
	client_tmms_stop(tmms);
	return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct api *open_api(const struct token_pins *pins)
{
	struct api *api;
	const struct api_options options = { .server = "tmms.test", .address = "127.0.0.1", .port = client_tmms_port(tmms), .pins = pins };
	assert_int_equal(api_open(&options, &api), ERR_OK);
	return api;
}

static void test_request(void **state)
{
	(void)state;
	struct api *api = open_api(client_tmms_pins(tmms));
	struct api_answer answer;
	client_tmms_knobs(tmms)->body = "{\"user\":1}";
	assert_int_equal(api_request(api, "/v1/me", NULL, &answer, problem), ERR_OK);
	assert_string_equal(answer.body, "{\"user\":1}");
	assert_int_equal(answer.status, 200);
	assert_int_equal(api_request(api, "/v1/meetings", "{\"a\":2}", &answer, problem), ERR_OK);
	client_tmms_last(tmms, request, channel);
	assert_int_equal(strncmp(request, "POST /v1/meetings HTTP/1.1\r\n", 28), 0);
	assert_non_null(strstr(request, "\r\n\r\n{\"a\":2}"));
	assert_non_null(strcasestr(request, "host: tmms.test"));
	assert_int_equal(client_tmms_connections(tmms), 1);
	api_close(api);
}

static void test_channel_is_that_of_the_connection(void **state)
{
	(void)state;
	struct api *api = open_api(client_tmms_pins(tmms));
	struct api_answer answer;
	uint8_t mine[API_CHANNEL_BYTES];
	assert_int_equal(api_channel(api, mine, problem), ERR_OK);
	assert_int_equal(api_request(api, "/v1/enrol", "{}", &answer, problem), ERR_OK);
	client_tmms_last(tmms, request, channel);
	assert_memory_equal(mine, channel, sizeof(mine));
	assert_memory_equal(api_last_channel(api), channel, sizeof(mine));
	assert_int_equal(client_tmms_connections(tmms), 1);
	client_tmms_knobs(tmms)->closes_after = 1; // this one is closed now, and each later one after its answer
	assert_int_equal(api_request(api, "/v1/enrol", "{}", &answer, problem), ERR_OK);
	assert_int_equal(api_request(api, "/v1/enrol", "{}", &answer, problem), ERR_OK);
	assert_memory_not_equal(api_last_channel(api), mine, sizeof(mine));
	api_close(api);
}

// The backup pin is as good; no pin of the server is final, names both keys, and nothing is asked.
static void test_pins(void **state)
{
	(void)state;
	struct token_pins pins = { .count = 2, .pin = { { 0x55 } } };
	struct api_answer answer;
	char seen[TEXT_BASE64_SIZE(TOKEN_PIN_BYTES)], pinned[sizeof(seen)];
	memcpy(pins.pin[1], client_tmms_pins(tmms)->pin[0], TOKEN_PIN_BYTES);
	struct api *api = open_api(&pins);
	assert_int_equal(api_request(api, "/v1/me", NULL, &answer, problem), ERR_OK);
	api_close(api);
	int before = client_tmms_requests(tmms);
	pins.count = 1;
	api = open_api(&pins);
	assert_int_equal(api_request(api, "/v1/me", NULL, &answer, problem), ERR_AUTH);
	text_base64_emit(client_tmms_pins(tmms)->pin[0], TOKEN_PIN_BYTES, seen);
	text_base64_emit(pins.pin[0], TOKEN_PIN_BYTES, pinned);
	assert_non_null(strstr(problem, seen));
	assert_non_null(strstr(problem, pinned));
	assert_int_equal(client_tmms_requests(tmms), before);
	api_close(api);
}

static void test_status(void **state)
{
	(void)state;
	static const struct {
		int status;
		enum err err;
	} table[] = { { 201, ERR_OK }, { 400, ERR_IO }, { 401, ERR_DENIED }, { 403, ERR_DENIED }, { 404, ERR_NOT_FOUND },
		      { 409, ERR_EXISTS }, { 410, ERR_EXPIRED }, { 503, ERR_AGAIN }, { 500, ERR_IO }, { 302, ERR_IO } };
	struct api *api = open_api(client_tmms_pins(tmms));
	struct api_answer answer;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		client_tmms_knobs(tmms)->status = table[i].status;
		client_tmms_knobs(tmms)->body = "{\"error\":\"a reason\"}";
		assert_int_equal(api_request(api, "/v1/x", NULL, &answer, problem), table[i].err);
		if (table[i].err)
			assert_string_equal(problem, "tmms.test: a reason");
		client_tmms_knobs(tmms)->body = "{\"error\":\"two\\nlines \\u001b[2J\"}"; // not for a terminal
		assert_int_equal(api_request(api, "/v1/x", NULL, &answer, problem), table[i].err);
		if (table[i].err)
			assert_non_null(strstr(problem, "answered with status"));
	}
	api_close(api);
}

static void test_too_much(void **state)
{
	(void)state;
	struct api *api = open_api(client_tmms_pins(tmms));
	struct api_answer answer;
	char *body = malloc(API_ANSWER_MAX + 100);
	memset(body, 'x', API_ANSWER_MAX + 99);
	body[API_ANSWER_MAX + 99] = 0;
	client_tmms_knobs(tmms)->body = body;
	assert_int_equal(api_request(api, "/v1/x", NULL, &answer, problem), ERR_LIMIT);
	assert_non_null(strstr(problem, "too large"));
	api_close(api);
	free(body);
}

static void test_nobody_there(void **state)
{
	(void)state;
	struct api *api;
	struct api_answer answer;
	const struct api_options options = { .server = "tmms.test", .address = "127.0.0.1", .port = 1, .pins = client_tmms_pins(tmms) };
	assert_int_equal(api_open(&options, &api), ERR_OK);
	assert_int_equal(api_request(api, "/v1/x", NULL, &answer, problem), ERR_IO);
	assert_int_equal(strncmp(problem, "tmms.test:1: ", 13), 0);
	api_close(api);
}

static void test_cancel(void **state)
{
	(void)state;
	atomic_bool is_cancelled = true;
	struct api *api;
	struct api_answer answer;
	const struct api_options options = { .server = "tmms.test", .address = "127.0.0.1", .port = client_tmms_port(tmms),
					     .pins = client_tmms_pins(tmms), .is_cancelled = &is_cancelled };
	client_tmms_knobs(tmms)->is_silent = true;
	assert_int_equal(api_open(&options, &api), ERR_OK);
	assert_int_equal(api_request(api, "/v1/x", NULL, &answer, problem), ERR_IO);
	api_close(api);
}

static void emit_link(char *text)
{
	struct token_link link = { .kind = TOKEN_LINK_ENROL, .name = "tmms.test", .port = client_tmms_port(tmms), .address = "127.0.0.1",
				   .token = { 1 }, .server_pins = *client_tmms_pins(tmms), .relay_pins = { .count = 1, .pin = { { 2 } } }, .root = { 3 } };
	assert_int_equal(token_link_emit(&link, text), ERR_OK);
}

// A field of the last request's body as text.
static void field(const char *name, uint8_t *out, size_t size)
{
	char pattern[32];
	size_t got;
	snprintf(pattern, sizeof(pattern), "\"%s\":\"", name);
	char *at = strstr(request, pattern);
	assert_non_null(at);
	at += strlen(pattern);
	assert_int_equal(text_base64_parse(at, strcspn(at, "\""), out, size, &got), ERR_OK);
	assert_int_equal(got, size);
}

// The proof is a signature over this connection's channel value: nobody who passes the request on can use it.
static void test_enrol_proof(void **state)
{
	(void)state;
	struct engine *engine;
	char home[128], link[TOKEN_LINK_MAX];
	uint8_t key[32], token[32], proof[64], text[17 + 32 + 32];
	snprintf(home, sizeof(home), "%s/home", directory);
	assert_int_equal(engine_open(home, &engine, problem), ERR_OK);
	emit_link(link);
	client_tmms_knobs(tmms)->status = 403;
	client_tmms_knobs(tmms)->body = "{\"error\":\"used already\"}";
	assert_int_equal(engine_enrol(engine, link, problem), ERR_DENIED);
	assert_string_equal(problem, "tmms.test: used already");
	client_tmms_last(tmms, request, channel);
	field("device_key", key, sizeof(key));
	field("token", token, sizeof(token));
	field("proof", proof, sizeof(proof));
	memcpy(text, "huisclos enrol v1", 17);
	memcpy(text + 17, channel, 32);
	memcpy(text + 49, token, 32);
	assert_int_equal(token_ed25519_verify(key, text, sizeof(text), proof), ERR_OK);
	snprintf(home, sizeof(home), "%s/home/device.key", directory);
	assert_int_not_equal(access(home, F_OK), 0); // nothing is left of what failed
	// A server that closes after each answer never gets a request with a proof for another connection accepted.
	client_tmms_knobs(tmms)->closes_after = 1;
	assert_int_equal(engine_enrol(engine, link, problem), ERR_CLOSED);
	client_tmms_knobs(tmms)->closes_after = 0;
	client_tmms_knobs(tmms)->status = 201;
	client_tmms_knobs(tmms)->body = "{\"user\":\"nonsense\"}";
	assert_int_equal(engine_enrol(engine, link, problem), ERR_PARSE);
	assert_string_equal(problem, "tmms.test gave an answer that cannot be understood");
	assert_int_equal(engine_enrol(engine, "https://tmms.test/m/x", problem), ERR_USAGE);
	engine_close(engine);
}

static void test_ticket_answer(void **state)
{
	(void)state;
	struct token_ticket ticket = { .relay = { { 1 } }, .meeting = { { 2 } }, .participant = { { 3 } } };
	uint8_t private_key[32], device_key[32], bytes[TOKEN_TICKET_BYTES];
	char text[TEXT_BASE64_SIZE(TOKEN_TICKET_BYTES)], id[TEXT_UUID_SIZE], json[2048];
	struct api_answer_ticket *out = malloc(sizeof(*out));
	assert_int_equal(token_ed25519_generate(private_key, device_key), ERR_OK);
	memcpy(ticket.device_key, device_key, sizeof(device_key));
	assert_int_equal(token_ticket_sign(&ticket, private_key, bytes), ERR_OK);
	text_base64_emit(bytes, sizeof(bytes), text);
	text_id_emit(&ticket.relay, id);
	snprintf(json, sizeof(json), "{\"ticket\":\"%s\",\"relay\":{\"relay\":\"%s\",\"name\":\"tcs\",\"address\":\"::1\",\"port\":443},\"blob\":\"AAAA\"}", text, id);
	assert_int_equal(api_answer_ticket(json, strlen(json), &ticket.meeting, device_key, out), ERR_OK);
	assert_memory_equal(&out->participant, &ticket.participant, sizeof(struct id));
	assert_int_equal(out->blob.size, 3);
	assert_int_equal(out->relay_port, 443);
	assert_int_equal(api_answer_ticket(json, strlen(json), &ticket.relay, device_key, out), ERR_AUTH);
	device_key[0] ^= 1;
	assert_int_equal(api_answer_ticket(json, strlen(json), &ticket.meeting, device_key, out), ERR_AUTH);
	device_key[0] ^= 1;
	for (size_t cut = 0; cut < strlen(json); cut++)
		assert_int_equal(api_answer_ticket(json, cut, &ticket.meeting, device_key, out), ERR_PARSE);
	static const char *const wrong[][2] = { { "\"port\":443", "\"port\":0" }, { "\"port\":443", "\"port\":70000" },
						{ "\"name\":\"tcs\"", "\"name\":\"\"" }, { "\"name\":\"tcs\"", "\"name\":\"a\\nb\"" },
						{ "\"blob\":\"AAAA\"", "\"blob\":7" }, { "\"AAAA\"", "\"A!AA\"" } };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		char changed[2048];
		const char *at = strstr(json, wrong[i][0]);
		snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - json), json, wrong[i][1], at + strlen(wrong[i][0]));
		assert_int_not_equal(api_answer_ticket(changed, strlen(changed), &ticket.meeting, device_key, out), ERR_OK);
	}
	free(out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_request), TEST(test_channel_is_that_of_the_connection), TEST(test_pins), TEST(test_status), TEST(test_too_much),
		TEST(test_nobody_there), TEST(test_cancel), TEST(test_enrol_proof), cmocka_unit_test(test_ticket_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
