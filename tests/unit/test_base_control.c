// Messages, tickets, links, options. SPDX-License-Identifier: Apache-2.0
#include "base/control.h"
#include "base/options.h"
#include "base/secret.h"
#include "base/token.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const uint8_t blob[5] = "blob";

// One of each type, every field set.
static const struct control_message examples[] = {
	{ .type = CONTROL_JOIN, .join = { .version = 1, .flags = 1, .proof = { 7 }, .ticket = blob, .ticket_size = 5 } },
	{ .type = CONTROL_ANNOUNCE, .announce = { blob, 5 } },
	{ .type = CONTROL_STREAMS, .streams = { 2, { { 0, CONTROL_AUDIO, 0, 0, 48000 }, { 1, CONTROL_VIDEO, 640, 360, 600000 } } } },
	{ .type = CONTROL_PATH, .path = HOP_PATH_TLS },
	{ .type = CONTROL_LEAVE },
	{ .type = CONTROL_PING, .ping = 0x0102030405060708 },
	{ .type = CONTROL_SUBSCRIBE, .subscribe = { 2, { { 0x01020301, false }, { 0x01020400, true } } } },
	{ .type = CONTROL_WELCOME, .welcome = { .incarnation = { { 1 } }, .index = 7, .udp_port = 443, .handle = { 8, 9 }, .rejoin_until = 10 } },
	{ .type = CONTROL_MEMBER, .member = { 3, { { 2 } }, blob, 5 } },
	{ .type = CONTROL_GONE, .gone = { 3, { { 2 } }, CONTROL_END_LEFT } },
	{ .type = CONTROL_PATH_IS, .path = HOP_PATH_UDP },
	{ .type = CONTROL_END, .end = CONTROL_END_FULL },
	{ .type = CONTROL_PONG, .ping = 1 },
	{ .type = CONTROL_STREAMS_OF, .streams_of = { 4, { 1, { { 1, CONTROL_SCREEN, 1920, 1080, 1 } } } } },
};
enum { EXAMPLES = sizeof(examples) / sizeof(examples[0]) };

// Emitting what was parsed gives the same bytes; every shorter and the next longer frame is refused.
static void test_messages_round_trip(void **state)
{
	(void)state;
	for (size_t i = 0; i < EXAMPLES; i++) {
		uint8_t bytes[512], again[512];
		size_t size, again_size;
		struct control_message out;
		assert_int_equal(control_emit(&examples[i], bytes, sizeof(bytes), &size), ERR_OK);
		assert_int_equal(control_parse(bytes, size, &out), ERR_OK);
		assert_int_equal(out.type, examples[i].type);
		assert_int_equal(control_emit(&out, again, sizeof(again), &again_size), ERR_OK);
		assert_int_equal(again_size, size);
		assert_memory_equal(again, bytes, size);
		for (size_t cut = 0; cut < size; cut++)
			assert_int_equal(control_parse(bytes, cut, &out), ERR_PARSE);
		bytes[size] = 0;
		assert_int_equal(control_parse(bytes, size + 1, &out), ERR_PARSE);
		assert_int_equal(control_emit(&examples[i], bytes, size - 1, &again_size), ERR_LIMIT);
	}
}

static void test_messages_refused(void **state)
{
	(void)state;
	struct control_message out;
	assert_int_equal(control_parse((const uint8_t[]){ 0xC0, 99 }, 2, &out), ERR_PARSE);
	assert_int_equal(control_parse((const uint8_t[]){ 0xC1, CONTROL_LEAVE }, 2, &out), ERR_PARSE);
	assert_int_equal(control_parse((const uint8_t[]){ 0xC0, CONTROL_PATH, HOP_PATHS }, 3, &out), ERR_PARSE);
	assert_int_equal(control_parse((const uint8_t[]){ 0xC0, CONTROL_STREAMS, CONTROL_STREAMS_MAX + 1 }, 3, &out), ERR_PARSE);
	assert_int_equal(control_parse((const uint8_t[]){ 0xC0, CONTROL_SUBSCRIBE, 1, 0, 0, 1, 1, 2 }, 8, &out), ERR_PARSE); // neither yes nor no
	uint8_t large[CONTROL_ANNOUNCE_MAX + 16] = { 0xC0, CONTROL_ANNOUNCE, (CONTROL_ANNOUNCE_MAX + 1) >> 8, (CONTROL_ANNOUNCE_MAX + 1) & 255 };
	assert_int_equal(control_parse(large, 4 + CONTROL_ANNOUNCE_MAX + 1, &out), ERR_PARSE);
}

// As many subscriptions as a message may have, and one more.
static void test_subscribe_limit(void **state)
{
	(void)state;
	struct control_message message = { .type = CONTROL_SUBSCRIBE, .subscribe = { .count = CONTROL_SUBSCRIPTIONS_MAX } }, out;
	uint8_t bytes[3 + 5 * (CONTROL_SUBSCRIPTIONS_MAX + 1)] = { 0 };
	size_t size;
	for (uint32_t i = 0; i < CONTROL_SUBSCRIPTIONS_MAX; i++)
		message.subscribe.subscription[i] = (struct control_subscription){ 0x100 * i + 1, i % 3 == 0 };
	assert_int_equal(control_emit(&message, bytes, sizeof(bytes), &size), ERR_OK);
	assert_int_equal(size, sizeof(bytes) - 5);
	assert_int_equal(control_parse(bytes, size, &out), ERR_OK);
	assert_int_equal(out.subscribe.count, CONTROL_SUBSCRIPTIONS_MAX);
	for (uint32_t i = 0; i < CONTROL_SUBSCRIPTIONS_MAX; i++) {
		assert_int_equal(out.subscribe.subscription[i].ssrc, 0x100 * i + 1);
		assert_int_equal(out.subscribe.subscription[i].is_wanted, i % 3 == 0);
	}
	bytes[2]++;
	assert_int_equal(control_parse(bytes, sizeof(bytes), &out), ERR_PARSE);
	message.subscribe.count++;
	assert_int_equal(control_emit(&message, bytes, sizeof(bytes), &size), ERR_LIMIT);
}

static void test_ticket(void **state)
{
	(void)state;
	uint8_t private_key[32], public_key[32], other[32], bytes[TOKEN_TICKET_BYTES], again[TOKEN_TICKET_BYTES];
	struct token_ticket ticket = { .rights = TOKEN_RIGHT_SEND, .issued = 1, .join_before = 2, .rejoin_until = 3 }, out;
	assert_int_equal(token_ed25519_generate(private_key, public_key), ERR_OK);
	token_key_id(public_key, ticket.key_id);
	secret_random(&ticket.serial, sizeof(ticket.serial));
	secret_random(&ticket.meeting, sizeof(ticket.meeting));
	assert_int_equal(token_ticket_sign(&ticket, private_key, bytes), ERR_OK);
	assert_int_equal(token_ticket_verify(bytes, sizeof(bytes), public_key, &out), ERR_OK);
	assert_int_equal(token_ticket_sign(&out, private_key, again), ERR_OK);
	assert_memory_equal(again, bytes, sizeof(bytes)); // Ed25519 is deterministic: equal fields, equal bytes
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] ^= 4;
		enum err err = token_ticket_verify(bytes, sizeof(bytes), public_key, &out);
		assert_int_equal(err, i == 0 ? ERR_VERSION : ERR_AUTH);
		bytes[i] ^= 4;
	}
	assert_int_equal(token_ticket_verify(bytes, sizeof(bytes) - 1, public_key, &out), ERR_PARSE);
	assert_int_equal(token_ticket_verify(bytes, 0, public_key, &out), ERR_PARSE);
	assert_int_equal(token_ed25519_generate(private_key, other), ERR_OK);
	assert_int_equal(token_ticket_verify(bytes, sizeof(bytes), other, &out), ERR_AUTH);
}

static void test_ed25519_vector(void **state)
{
	(void)state;
	// RFC 8032 section 7.1, test 2
	uint8_t private_key[32], public_key[32], expected[64], signature[64];
	assert_int_equal(text_hex_parse("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", private_key, 32), ERR_OK);
	assert_int_equal(text_hex_parse("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
					"387b2eaeb4302aeeb00d291612bb0c00", expected, 64), ERR_OK);
	assert_int_equal(token_ed25519_sign(private_key, (const uint8_t *)"\x72", 1, signature), ERR_OK);
	assert_memory_equal(signature, expected, 64);
	assert_int_equal(token_ed25519_public(private_key, public_key), ERR_OK);
	assert_int_equal(token_ed25519_verify(public_key, (const uint8_t *)"\x72", 1, signature), ERR_OK);
	assert_int_equal(token_ed25519_verify(public_key, (const uint8_t *)"\x73", 1, signature), ERR_AUTH);
}

static void fill_link(struct token_link *link, enum token_link_kind kind)
{
	*link = (struct token_link){ .kind = kind, .name = "tmms.example", .port = 8443 };
	if (kind == TOKEN_LINK_MEETING) {
		secret_random(&link->meeting, sizeof(link->meeting));
		secret_random(link->secret, sizeof(link->secret));
		return;
	}
	strcpy(link->address, "2001:db8::1");
	secret_random(link->token, sizeof(link->token));
	secret_random(link->root, sizeof(link->root));
	link->server_pins.count = 2;
	secret_random(link->server_pins.pin, 2 * TOKEN_PIN_BYTES);
	if (kind == TOKEN_LINK_ENROL) {
		link->relay_pins.count = 2;
		secret_random(link->relay_pins.pin, 2 * TOKEN_PIN_BYTES);
	}
}

static void test_links_round_trip(void **state)
{
	(void)state;
	for (int kind = TOKEN_LINK_ENROL; kind <= TOKEN_LINK_MEETING; kind++) {
		struct token_link link, out;
		char text[TOKEN_LINK_MAX], again[TOKEN_LINK_MAX];
		fill_link(&link, (enum token_link_kind)kind);
		assert_int_equal(token_link_emit(&link, text), ERR_OK);
		assert_int_equal(token_link_parse(text, &out), ERR_OK);
		assert_int_equal(out.kind, kind);
		assert_int_equal(token_link_emit(&out, again), ERR_OK);
		assert_string_equal(again, text);
		text[strlen(text) - 1] = '\0';
		assert_int_equal(token_link_parse(text, &out), ERR_PARSE);
	}
	struct token_link link;
	char text[TOKEN_LINK_MAX];
	fill_link(&link, TOKEN_LINK_ENROL);
	link.relay_pins.count = 0;
	assert_int_equal(token_link_emit(&link, text), ERR_PARSE); // no pins, no link
}

static void test_links_refused(void **state)
{
	(void)state;
#define SECRET "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define MEETING "https://h/m/00112233-4455-6677-8899-aabbccddeeff"
	struct token_link out;
	assert_int_equal(token_link_parse(MEETING "#s=" SECRET, &out), ERR_OK);
	assert_int_equal(out.port, 443);
	static const char *const bad[] = {
		"", "https://", "http://h/m/00112233-4455-6677-8899-aabbccddeeff#s=" SECRET, MEETING, MEETING "#", MEETING "#s=",
		MEETING "#s=" SECRET "&s=" SECRET, MEETING "#s=" SECRET "&", MEETING "#x=" SECRET, MEETING "?q#s=" SECRET,
		MEETING "#s=" SECRET "A", "https://H/enrol#t=" SECRET, "https://h:0/m/00112233-4455-6677-8899-aabbccddeeff#s=" SECRET,
		"https://h:65536/m/00112233-4455-6677-8899-aabbccddeeff#s=" SECRET, "https://h@x/m/00112233-4455-6677-8899-aabbccddeeff#s=" SECRET,
		"https://h/enrol#t=" SECRET "&p=" SECRET "&o=" SECRET, "https://h/relay#a=host&t=" SECRET "&p=" SECRET "&o=" SECRET,
		"https://h/relay#t=" SECRET "&o=" SECRET, "https://h/relay#t=" SECRET "&p=" SECRET "&r=" SECRET "&o=" SECRET,
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(token_link_parse(bad[i], &out), ERR_PARSE);
}

struct sample {
	char name[OPTION_TEXT_MAX], path[OPTION_TEXT_MAX], address[OPTION_TEXT_MAX];
	uint64_t port;
	bool is_on;
	unsigned loop;
};
static const struct option_row rows[] = {
	{ "name", OPTION_TEXT, offsetof(struct sample, name), 1, 10, NULL, NULL, NULL, "Its name." },
	{ "port", OPTION_NUMBER, offsetof(struct sample, port), 1, 65535, NULL, "443", NULL, "Its port." },
	{ "path", OPTION_PATH, offsetof(struct sample, path), 1, 0, NULL, "/tmp", NULL, "Its path." },
	{ "on", OPTION_BOOL, offsetof(struct sample, is_on), 0, 0, NULL, "no", NULL, "Whether." },
	{ "loop", OPTION_CHOICE, offsetof(struct sample, loop), 0, 0, "auto|io_uring|epoll", "auto", NULL, "Which." },
	{ "address", OPTION_ADDRESS, offsetof(struct sample, address), 1, 0, NULL, "::", NULL, "Where." },
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static enum err load(const char *text, struct sample *out, char *problem)
{
	char path[] = "/tmp/test-options-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	memset(out, 0, sizeof(*out));
	enum err err = options_load(rows, ROWS, path, out, problem);
	unlink(path);
	char *at = strstr(problem, path); // the random part is of no interest to who compares
	if (at)
		memmove(at, at + strlen(path), strlen(at + strlen(path)) + 1);
	return err;
}

static void test_options(void **state)
{
	(void)state;
	struct sample out;
	char problem[OPTION_PROBLEM_MAX] = "";
	assert_int_equal(load("# a comment\n\n  name =  relay one \nport=99\nloop = epoll\non = yes\n", &out, problem), ERR_OK);
	assert_string_equal(out.name, "relay one");
	assert_string_equal(out.path, "/tmp");
	assert_int_equal(out.port, 99);
	assert_int_equal(out.loop, 2);
	assert_true(out.is_on);
	static const char *const bad[][2] = {
		{ "name = x\nport = 70000\n", ":2: port = 70000: a number from 1 to 65535 is allowed" },
		{ "name = x\nport = 1x\n", ":2: port = 1x: a number from 1 to 65535 is allowed" },
		{ "name = \n", ":1: name = : a text of 1 to 10 characters is allowed" },
		{ "name = x\nloop = poll\n", ":2: loop = poll: one of auto|io_uring|epoll is allowed" },
		{ "name = x\non = maybe\n", ":2: on = maybe: yes or no is allowed" },
		{ "name = x\npath = tmp\n", ":2: path = tmp: an absolute path is allowed" },
		{ "name = x\naddress = host\n", ":2: address = host: an IPv4 or IPv6 address is allowed" },
		{ "name = x\ncolour = red\n", ":2: colour: there is no such option (see --print-options)" },
		{ "name = x\nname = y\n", ":2: name: given twice" },
		{ "port = 1\n", ": name must be given" },
		{ "name\n", ":1: \"name\": a line is name = value" },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(load(bad[i][0], &out, problem), ERR_USAGE);
		assert_string_equal(problem, bad[i][1]);
	}
	assert_int_equal(options_load(rows, ROWS, "/nonexistent", &out, problem), ERR_USAGE);
	assert_string_equal(problem, "/nonexistent: No such file or directory");
	assert_int_equal(options_set(rows, ROWS, "port=5", &out, problem), ERR_OK);
	assert_int_equal(out.port, 5);
	assert_int_equal(options_set(rows, ROWS, "port=0", &out, problem), ERR_USAGE);
	assert_string_equal(problem, "--set port = 0: a number from 1 to 65535 is allowed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages_round_trip), cmocka_unit_test(test_messages_refused),
		cmocka_unit_test(test_subscribe_limit),	    cmocka_unit_test(test_ticket),
		cmocka_unit_test(test_ed25519_vector),	    cmocka_unit_test(test_links_round_trip),
		cmocka_unit_test(test_links_refused),	    cmocka_unit_test(test_options),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
