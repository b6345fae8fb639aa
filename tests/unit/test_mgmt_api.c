// Routes, who may use them, and the strict readers of bodies. SPDX-License-Identifier: Apache-2.0
#include "mgmt/api.h"
#include "mgmt/json.h"
#include "mgmt/reports.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ID "01234567-89ab-cdef-0123-456789abcdef"
#define B32 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

struct row {
	const char *method, *path;
	unsigned nobody, certificate, admin; // 0: goes on to the handler, else the status
	const char *body;                    // that the handler takes
};

// The whole table of docs/protocol.md section 1.
static const struct row table[] = {
	{"GET", "/v1/health", 0, 0, 0, ""},
	{"POST", "/v1/enrol", 0, 0, 0, "{\"token\":\"" B32 "\",\"device_key\":\"" B32 "\",\"proof\":\"" B32 B32 "\"}"},
	{"POST", "/v1/relay/enrol", 0, 0, 0, "{\"token\":\"" B32 "\",\"csr\":\"AAAA\",\"backup_pin\":\"" B32 "\"}"},
	{"GET", "/v1/me", 401, 0, 401, ""},
	{"POST", "/v1/meetings", 401, 0, 401, "{\"meeting\":\"" ID "\",\"blob\":\"AAAA\",\"expires\":1001}"},
	{"GET", "/v1/meetings", 401, 0, 401, ""},
	{"POST", "/v1/meetings/" ID "/tickets", 401, 0, 401, "{}"},
	{"POST", "/v1/meetings/" ID "/end", 401, 0, 401, "{}"},
	{"GET", "/v1/relay/events", 401, 0, 401, ""},
	{"POST", "/v1/relay/report", 401, 0, 401, "{\"version\":\"1\",\"engine\":\"x\",\"meetings\":[]}"},
	{"GET", "/v1/admin/status", 403, 403, 0, ""},
	{"GET", "/v1/admin/users", 403, 403, 0, ""},
	{"POST", "/v1/admin/users", 403, 403, 0, "{\"name\":\"Ada\",\"mail\":\"ada@example.org\"}"},
	{"DELETE", "/v1/admin/users/" ID, 403, 403, 0, ""},
	{"POST", "/v1/admin/users/" ID "/enrolment", 403, 403, 0, "{}"},
	{"GET", "/v1/admin/meetings", 403, 403, 0, ""},
	{"POST", "/v1/admin/meetings/" ID "/end", 403, 403, 0, "{}"},
	{"GET", "/v1/admin/relays", 403, 403, 0, ""},
	{"POST", "/v1/admin/relays", 403, 403, 0, "{\"name\":\"tcs.example\",\"address\":\"::1\",\"port\":443}"},
	{"DELETE", "/v1/admin/relays/" ID, 403, 403, 0, ""},
};
enum { ROWS = sizeof(table) / sizeof(table[0]) };

static struct counters counters;

struct run {
	struct api_context context;
	struct handoff peer;
	struct api_call call;
	const struct api_route *route;
	enum api_next next;
};

static void start(struct run *run, const char *method, const char *path, enum handoff_kind kind, const char *body)
{
	char allowed[API_PATH_MAX];
	struct reports *reports = run->context.reports;
	*run = (struct run){.context = {.counters = &counters, .reports = reports}, .peer = {.kind = kind}};
	assert_int_equal(api_init(&run->call), ERR_OK);
	run->call.context = &run->context;
	run->call.peer = &run->peer;
	run->call.now = 1000;
	run->call.body = (const uint8_t *)body;
	run->call.body_size = strlen(body);
	assert_int_equal(api_route(method, path, &run->route, &run->call.id, allowed), ERR_OK);
	run->next = api_start(run->route, &run->call);
}

// Status that a body ends with; 0: the handler takes it.
static unsigned status_of(const char *method, const char *path, enum handoff_kind kind, const char *body)
{
	static struct run run;
	start(&run, method, path, kind, body);
	unsigned status = run.next == API_ANSWER && run.call.status >= 300 ? run.call.status : 0;
	api_fini(&run.call);
	return status;
}

static void each_route_lets_in_whom_it_should(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		const struct row *r = &table[i];
		assert_int_equal(status_of(r->method, r->path, HANDOFF_NOBODY, r->body), r->nobody);
		assert_int_equal(status_of(r->method, r->path, HANDOFF_CERTIFICATE, r->body), r->certificate);
		assert_int_equal(status_of(r->method, r->path, HANDOFF_ADMIN, r->body), r->admin);
	}
}

static void other_paths_and_methods_are_refused(void **state)
{
	(void)state;
	static const char *const paths[] = {"/", "", "/v1", "/v1/", "/v1/health/", "/v1/healthx", "/v1//health", "/v1/meetings/",
					    "/v1/meetings/x/end", "/v1/meetings/" ID "x/end", "/v1/meetings/" ID, "/v1/admin/users/*",
					    "/v1/admin/users/" ID "/", "/v1/admin/users/../status", "/V1/health"};
	const struct api_route *route;
	struct id id;
	char allowed[API_PATH_MAX];
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		assert_int_equal(api_route("GET", paths[i], &route, &id, allowed), ERR_NOT_FOUND);
	assert_int_equal(api_route("PUT", "/v1/admin/users", &route, &id, allowed), ERR_DENIED);
	assert_string_equal(allowed, "GET, POST");
	assert_int_equal(api_route("HEAD", "/v1/health", &route, &id, allowed), ERR_DENIED);
}

// Each body with one thing wrong in it.
static void bodies_are_read_strictly(void **state)
{
	(void)state;
	static const char *const users[] = {
		"", "{", "[]", "null", "{}", "{\"name\":1}", "{\"name\":\"\"}", "{\"name\":\"a\",\"name\":\"b\"}", "{\"name\":\"a\",\"x\":1}",
		"{\"name\":\"a\"} {}", "{\"name\":\"a\\u0000b\"}", "{\"name\":\"a\\u001b[2J\"}", "{\"name\":\" a\"}", "{\"name\":\"a \"}",
		"{\"name\":\"-a\"}", "{\"name\":\"" ID "\"}", "{\"name\":\"a\",\"mail\":\"no\"}", "{\"name\":\"a\",\"mail\":\"a@b,c@d\"}",
		"{\"name\":\"a\",\"mail\":\"a@b\\r\\nBcc: x@y\"}", "{\"name\":\"a\",\"mail\":\"<a@b>\"}", "{\"name\":\"\xff\"}",
		"{\"name\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
	};
	static const char *const relays[] = {
		"{\"name\":\"tcs\",\"address\":\"::1\",\"port\":0}", "{\"name\":\"tcs\",\"address\":\"::1\",\"port\":65536}",
		"{\"name\":\"tcs\",\"address\":\"::1\",\"port\":-1}", "{\"name\":\"tcs\",\"address\":\"::1\",\"port\":1.5}",
		"{\"name\":\"tcs\",\"address\":\"::1\",\"port\":\"443\"}", "{\"name\":\"TCS\",\"address\":\"::1\",\"port\":443}",
		"{\"name\":\"tcs/..\",\"address\":\"::1\",\"port\":443}", "{\"name\":\"tcs\",\"address\":\"localhost\",\"port\":443}",
		"{\"name\":\"a,DNS:b\",\"address\":\"::1\",\"port\":443}",
	};
	static const char *const meetings[] = {
		"{\"meeting\":\"" ID "\",\"blob\":\"AAAA\",\"expires\":1000}", "{\"meeting\":\"" ID "\",\"blob\":\"AAAA\",\"expires\":99999999999}",
		"{\"meeting\":\"00000000-0000-0000-0000-000000000000\",\"blob\":\"AAAA\",\"expires\":1001}",
		"{\"meeting\":\"" ID "\",\"blob\":\"AAA=\",\"expires\":1001}", "{\"meeting\":\"" ID "\",\"blob\":[],\"expires\":1001}",
	};
	static const char *const reports[] = {
		"{\"version\":\"1\",\"engine\":\"x\",\"meetings\":{}}", "{\"version\":\"1\",\"engine\":\"x\",\"meetings\":[1]}",
		"{\"version\":\"1\",\"engine\":\"x\",\"meetings\":[{\"meeting\":\"" ID "\"}]}",
		"{\"version\":\"1\",\"engine\":\"x\",\"meetings\":[{\"meeting\":\"" ID "\",\"participants\":70000}]}",
	};
	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++)
		assert_int_equal(status_of("POST", "/v1/admin/users", HANDOFF_ADMIN, users[i]), 400);
	for (size_t i = 0; i < sizeof(relays) / sizeof(relays[0]); i++)
		assert_int_equal(status_of("POST", "/v1/admin/relays", HANDOFF_ADMIN, relays[i]), 400);
	for (size_t i = 0; i < sizeof(meetings) / sizeof(meetings[0]); i++)
		assert_int_equal(status_of("POST", "/v1/meetings", HANDOFF_CERTIFICATE, meetings[i]), 400);
	for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++)
		assert_int_equal(status_of("POST", "/v1/relay/report", HANDOFF_CERTIFICATE, reports[i]), 400);
	assert_int_equal(status_of("POST", "/v1/meetings/" ID "/end", HANDOFF_CERTIFICATE, "{\"x\":1}"), 400);
	assert_int_equal(status_of("POST", "/v1/enrol", HANDOFF_NOBODY, "{\"token\":\"AAAA\",\"device_key\":\"" B32 "\",\"proof\":\"" B32 B32 "\"}"), 400);
}

// The connection says who asks, and its exporter value goes into the proof: nothing of it is taken from the body.
static void identity_comes_from_the_connection(void **state)
{
	(void)state;
	static struct run run;
	start(&run, "POST", "/v1/meetings/" ID "/tickets", HANDOFF_CERTIFICATE, "{}");
	assert_int_equal(run.next, API_ASK);
	assert_int_equal(run.call.request.type, REQUEST_AUTH_TICKET);
	assert_memory_equal(run.call.request.meeting.pin, run.peer.pin, TOKEN_PIN_BYTES);
	assert_true(text_id_equal(&run.call.request.meeting.meeting, &run.call.id));
	api_fini(&run.call);
}

static unsigned status_after(const char *method, const char *path, enum handoff_kind kind, const char *body, enum err err)
{
	static struct run run;
	start(&run, method, path, kind, body);
	assert_int_equal(run.next, API_ASK);
	struct reply reply = {.type = run.call.request.type, .err = err};
	assert_int_equal(api_continue(run.route, &run.call, &reply), API_ANSWER);
	unsigned status = run.call.status;
	assert_true(run.call.problem[0] && run.call.code);
	api_fini(&run.call);
	return status;
}

static void errors_get_their_status(void **state)
{
	(void)state;
	const char *tickets = "/v1/meetings/" ID "/tickets";
	assert_int_equal(status_after("POST", tickets, HANDOFF_CERTIFICATE, "{}", ERR_NOT_FOUND), 404);
	assert_int_equal(status_after("POST", tickets, HANDOFF_CERTIFICATE, "{}", ERR_EXPIRED), 410);
	assert_int_equal(status_after("POST", tickets, HANDOFF_CERTIFICATE, "{}", ERR_AGAIN), 503);
	assert_int_equal(status_after("POST", tickets, HANDOFF_CERTIFICATE, "{}", ERR_DENIED), 403);
	assert_int_equal(status_after("POST", "/v1/admin/users", HANDOFF_ADMIN, table[12].body, ERR_EXISTS), 409);
	assert_int_equal(status_after("POST", "/v1/admin/users", HANDOFF_ADMIN, table[12].body, ERR_FULL), 507);
	assert_int_equal(status_after("POST", "/v1/admin/users", HANDOFF_ADMIN, table[12].body, ERR_IO), 503);
	assert_int_equal(status_after("POST", "/v1/admin/users", HANDOFF_ADMIN, table[12].body, ERR_CLOSED), 503);
	assert_int_equal(status_after("POST", "/v1/enrol", HANDOFF_NOBODY, table[1].body, ERR_AUTH), 403);
	assert_int_equal(status_after("POST", "/v1/enrol", HANDOFF_NOBODY, table[1].body, ERR_EXPIRED), 403);
	assert_int_equal(status_after("POST", "/v1/admin/users", HANDOFF_ADMIN, table[12].body, ERR_VERSION), 500);
}

static void reports_are_shown(void **state)
{
	(void)state;
	static struct run run;
	const char *body = "{\"version\":\"1\",\"engine\":\"epoll\",\"meetings\":[{\"meeting\":\"" ID "\",\"participants\":3}]}";
	struct id relay = {{5}}, meeting;
	assert_int_equal(text_id_parse(ID, &meeting), ERR_OK);
	run.context.reports = reports_new();
	assert_non_null(run.context.reports);
	start(&run, "POST", "/v1/relay/report", HANDOFF_CERTIFICATE, body);
	struct reply reply = {.type = REQUEST_RELAY_REPORT, .who = {.subject = REQUEST_SUBJECT_RELAY, .id = relay}};
	assert_int_equal(api_continue(run.route, &run.call, &reply), API_ANSWER);
	assert_int_equal(run.call.status, 200);
	assert_int_equal(reports_participants(run.context.reports, &relay, &meeting, 1000), 3);
	assert_int_equal(reports_participants(run.context.reports, &relay, &meeting, 1000 + REPORTS_FRESH_S + 1), 0);
	reports_forget(run.context.reports, &relay);
	assert_null(reports_of(run.context.reports, &relay, 1000));
	api_fini(&run.call);
	reports_free(run.context.reports);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_route_lets_in_whom_it_should),
		cmocka_unit_test(other_paths_and_methods_are_refused),
		cmocka_unit_test(bodies_are_read_strictly),
		cmocka_unit_test(identity_comes_from_the_connection),
		cmocka_unit_test(errors_get_their_status),
		cmocka_unit_test(reports_are_shown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
