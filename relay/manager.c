// SPDX-License-Identifier: Apache-2.0
#include "relay/manager.h"

#include "base/log.h"
#include "relay/manager_events.h"
#include "relay/manager_report.h"
#include "relay/registration.h"
#include "relay/relay_http.h"

#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// Silence: the server sends a comment every 10 s.
enum { SILENT_S = 30, REPORT_TIMEOUT_S = 10, POLL_MS = 1000, TELL_TRIES = 5, PAUSE_MIN_S = 1, PAUSE_MAX_S = 30 };

// One request that is under way or not.
struct transfer {
	struct relay_http http;
	bool is_running;
};

struct manager {
	const struct manager_options *options;
	struct registration registration;
	CURLM *multi;
	struct transfer stream, post;
	struct manager_events events;
	struct manager_report report;
	bool is_connected; // the event stream gives something
	bool is_behind;    // the relay missed something
	uint64_t retry_s, pause_s;
	char problem[RELAY_HTTP_PROBLEM_MAX]; // the last one said
};

static uint64_t now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec;
}

// Many orders come at once after a connection was made: the relay takes them as fast as it can.
static void tell(struct manager *manager, const struct manager_message *message)
{
	struct pollfd relay = { .fd = manager->options->socket, .events = POLLOUT };
	enum err err = manager_message_send(relay.fd, message);
	for (int i = 0; i < TELL_TRIES && err == ERR_AGAIN; i++) {
		(void)poll(&relay, 1, POLL_MS);
		err = manager_message_send(relay.fd, message);
	}
	if (!err)
		return;
	log_line(LOG_WARNING, "the relay does not take messages");
	manager->is_behind = true;
}

static void tell_connection(struct manager *manager, bool is_connected)
{
	if (manager->is_connected == is_connected)
		return;
	manager->is_connected = is_connected;
	log_line(LOG_NOTICE, is_connected ? "connected to the management server" : "no connection to the management server; meetings go on");
	tell(manager, &(struct manager_message){ .type = MANAGER_CONNECTION, .number = is_connected });
}

static void on_event(void *context, const struct manager_message *message) { tell(context, message); }

static size_t on_stream(char *bytes, size_t each, size_t count, void *context)
{
	struct manager *manager = context;
	size_t size = each * count;
	long status = 0;
	(void)curl_easy_getinfo(manager->stream.http.curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		return size; // an error's text; the status is looked at in the end
	manager->pause_s = PAUSE_MIN_S;
	manager->problem[0] = '\0';
	tell_connection(manager, true);
	size_t malformed = manager->events.malformed;
	if (manager_events_feed(&manager->events, bytes, size)) {
		log_line(LOG_WARNING, "the management server sends lines that are too long");
		return 0;
	}
	if (manager->events.malformed != malformed)
		log_line(LOG_WARNING, "%zu events of the management server were not understood", manager->events.malformed - malformed);
	return manager->is_behind ? 0 : size; // 0: break off and connect anew, then all is told again
}

static size_t on_nothing(char *bytes, size_t each, size_t count, void *context)
{
	(void)bytes;
	(void)context;
	return each * count;
}

// ---------------------------------------------------------------- requests

static enum err begin(struct manager *manager, struct transfer *transfer, const char *path, const char *body)
{
	const struct registration *r = &manager->registration;
	struct relay_http_server server = { .name = r->tmms.name, .address = r->tmms.address, .port = r->tmms.port,
					    .pins = &r->tmms.pins, .certificate_path = r->certificate_path, .key_path = r->key_path };
	enum err err = relay_http_init(&transfer->http, &server, path, body);
	if (err)
		return err;
	CURL *curl = transfer->http.curl;
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, body ? on_nothing : on_stream);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, manager);
	if (body) {
		(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)REPORT_TIMEOUT_S);
	} else {
		(void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
		(void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)SILENT_S);
	}
	if (curl_multi_add_handle(manager->multi, curl) != CURLM_OK) {
		relay_http_fini(&transfer->http);
		return ERR_NOMEM;
	}
	transfer->is_running = true;
	return ERR_OK;
}

static void end(struct manager *manager, struct transfer *transfer)
{
	if (!transfer->is_running)
		return;
	(void)curl_multi_remove_handle(manager->multi, transfer->http.curl);
	relay_http_fini(&transfer->http);
	transfer->is_running = false;
}

// Said once as long as it stays the same.
static void complain(struct manager *manager, enum err err, const char *problem)
{
	if (strcmp(problem, manager->problem) != 0)
		log_line(err == ERR_AUTH ? LOG_ERROR : LOG_WARNING, "%s", problem);
	strcpy(manager->problem, problem);
}

static void begin_stream(struct manager *manager)
{
	if (manager->stream.is_running || now_s() < manager->retry_s)
		return;
	manager->is_behind = false;
	manager->events = (struct manager_events){ .on_message = on_event, .context = manager };
	if (begin(manager, &manager->stream, "/v1/relay/events", NULL))
		manager->retry_s = now_s() + manager->pause_s;
}

static void begin_post(struct manager *manager)
{
	if (manager->post.is_running || !manager->is_connected)
		return;
	const char *body = manager_report_take(&manager->report);
	if (body && begin(manager, &manager->post, "/v1/relay/report", body))
		log_line(LOG_WARNING, "a report cannot be sent: no memory");
}

static void finished(struct manager *manager, struct transfer *transfer, CURLcode code)
{
	char problem[RELAY_HTTP_PROBLEM_MAX] = "the management server closed the event stream";
	enum err err = relay_http_result(&transfer->http, code, problem);
	end(manager, transfer);
	if (transfer == &manager->post) {
		if (err)
			complain(manager, err, problem);
		return;
	}
	complain(manager, err, problem);
	tell_connection(manager, false);
	manager->retry_s = now_s() + manager->pause_s;
	manager->pause_s = manager->pause_s * 2 < PAUSE_MAX_S ? manager->pause_s * 2 : PAUSE_MAX_S;
}

// ---------------------------------------------------------------- run

// ERR_CLOSED when the relay is gone.
static enum err read_relay(struct manager *manager)
{
	for (;;) {
		struct manager_message message;
		enum err err = manager_message_receive(manager->options->socket, &message);
		if (err == ERR_AGAIN)
			return ERR_OK;
		if (err == ERR_CLOSED)
			return err;
		if (err)
			log_line(LOG_WARNING, "a message of the relay was not understood");
		else if (message.type == MANAGER_SYNC_JOURNAL && fdatasync(manager->options->journal) != 0)
			log_line(LOG_WARNING, "the journal could not be written through to the disk");
		else
			manager_report_add(&manager->report, &message);
	}
}

static void run_transfers(struct manager *manager)
{
	int running, left;
	(void)curl_multi_perform(manager->multi, &running);
	for (CURLMsg *m = curl_multi_info_read(manager->multi, &left); m; m = curl_multi_info_read(manager->multi, &left)) {
		if (m->msg == CURLMSG_DONE)
			finished(manager, m->easy_handle == manager->post.http.curl ? &manager->post : &manager->stream, m->data.result);
	}
}

enum err manager_run(const struct manager_options *options)
{
	static struct manager manager;
	manager = (struct manager){ .options = options, .pause_s = PAUSE_MIN_S };
	char problem[REGISTRATION_PROBLEM_MAX];
	enum err err = registration_load(options->state_directory, &manager.registration, problem);
	if (err) {
		log_line(LOG_ERROR, "%s", problem);
		return err;
	}
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(manager.multi = curl_multi_init()))
		return ERR_NOMEM;
	manager_report_init(&manager.report, options->engine);
	while (!err) {
		struct curl_waitfd relay = { .fd = options->socket, .events = CURL_WAIT_POLLIN };
		begin_stream(&manager);
		begin_post(&manager);
		run_transfers(&manager);
		(void)curl_multi_poll(manager.multi, &relay, 1, POLL_MS, NULL);
		err = read_relay(&manager);
	}
	end(&manager, &manager.stream);
	end(&manager, &manager.post);
	manager_report_fini(&manager.report);
	curl_multi_cleanup(manager.multi);
	curl_global_cleanup();
	return err == ERR_CLOSED ? ERR_OK : err;
}
