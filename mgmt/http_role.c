// SPDX-License-Identifier: Apache-2.0
#include "mgmt/http_role.h"

#include "base/log.h"
#include "mgmt/clock.h"
#include "mgmt/http.h"
#include "mgmt/reports.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTION_TIMEOUT_S = 60, CONNECTION_MEMORY = 32768, TICK_MS = 1000 };

// A path has one spelling: nothing is decoded, so that no %00 cuts it and no %2f is a slash.
static size_t keep_escapes(void *cls, struct MHD_Connection *connection, char *text)
{
	(void)cls;
	(void)connection;
	return strlen(text);
}

static enum err start_daemon(struct http *http)
{
	const struct MHD_OptionItem options[] = {
		{MHD_OPTION_CONNECTION_LIMIT, (intptr_t)http->context->config->connections_max + 16, NULL},
		{MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_TIMEOUT_S, NULL},
		{MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, NULL},
		{MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1, NULL},
		{MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)http_call_completed, http},
		{MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)http_call_connection, http},
		{MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)keep_escapes, NULL},
		{MHD_OPTION_END, 0, NULL},
	};
	http->daemon = MHD_start_daemon(MHD_USE_NO_LISTEN_SOCKET | MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
					http_call_handle, http, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
	if (!http->daemon)
		log_line(LOG_ERROR, "the HTTP library cannot be started");
	return http->daemon ? ERR_OK : ERR_NOMEM;
}

static void add_connection(struct http *http, int fd, const struct handoff *peer)
{
	static const struct sockaddr address = {.sa_family = AF_UNIX};
	struct http_incoming *incoming = calloc(1, sizeof(*incoming));
	if (!incoming) {
		close(fd);
		return;
	}
	*incoming = (struct http_incoming){.next = http->incoming, .fd = fd, .peer = *peer};
	http->incoming = incoming;
	// It closes the descriptor if it fails.
	if (MHD_add_connection(http->daemon, fd, &address, sizeof(address)) == MHD_YES)
		return;
	counters_add(http->context->counters, COUNTER_DROP_HANDOFF);
	for (struct http_incoming **at = &http->incoming; *at; at = &(*at)->next) {
		if (*at == incoming) {
			*at = incoming->next;
			free(incoming);
			return;
		}
	}
}

static void receive_connections(struct http *http)
{
	int *channel = &http->context->peer[ROLE_FRONT];
	for (;;) {
		struct handoff peer;
		size_t size;
		int fd;
		enum err err = channel_receive(*channel, http->in, sizeof(http->in), &size, &fd);
		if (err == ERR_AGAIN)
			return;
		if (err == ERR_CLOSED || err == ERR_IO) {
			if (*channel >= 0)
				close(*channel);
			*channel = -1;
			return;
		}
		if (!err && fd >= 0 && !handoff_parse(http->in, size, &peer)) {
			add_connection(http, fd, &peer);
			continue;
		}
		counters_add(http->context->counters, COUNTER_DROP_HANDOFF);
		if (fd >= 0)
			close(fd);
	}
}

static enum err take_note(struct http *http)
{
	enum role changed;
	enum err err = role_note(http->context, &changed);
	if (err == ERR_CLOSED)
		return err;
	if (!err) {
		http->api.pid[changed] = http->context->pid[changed];
		if (changed != ROLE_FRONT)
			http_ask_fail_role(http, changed); // what the old one was asked
		if (changed == ROLE_STORE)
			http_stream_poke(http); // a write whose answer was lost may have brought an event
	}
	return ERR_OK;
}

static int timeout_ms(struct http *http, uint64_t tick_at)
{
	uint64_t now = clock_ms(), wait = tick_at > now ? tick_at - now : 0;
	int64_t mhd = MHD_get_timeout64s(http->daemon);
	if (mhd >= 0 && (uint64_t)mhd < wait)
		wait = (uint64_t)mhd;
	return (int)wait;
}

static enum err run(struct http *http)
{
	struct role_context *context = http->context;
	int epoll = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
	uint64_t tick_at = clock_ms() + TICK_MS;
	for (;;) {
		struct pollfd fds[] = {
			{.fd = context->control, .events = POLLIN},
			{.fd = context->peer[ROLE_STORE], .events = POLLIN},
			{.fd = context->peer[ROLE_AUTH], .events = POLLIN},
			{.fd = context->peer[ROLE_FRONT], .events = POLLIN},
			{.fd = epoll, .events = POLLIN},
		};
		if (poll(fds, 5, timeout_ms(http, tick_at)) < 0 && errno != EINTR)
			return ERR_IO;
		if (fds[1].revents)
			http_ask_receive(http, ROLE_STORE);
		if (fds[2].revents)
			http_ask_receive(http, ROLE_AUTH);
		if (fds[3].revents)
			receive_connections(http);
		if (fds[0].revents && take_note(http) == ERR_CLOSED)
			return ERR_OK;
		uint64_t now = clock_ms();
		if (now >= tick_at) {
			http_ask_expire(http, now);
			http_stream_tick(http, now);
			tick_at = now + TICK_MS;
		}
		MHD_run(http->daemon);
	}
}

// MHD must have no suspended connection when it stops.
static void stop(struct http *http)
{
	http->is_stopping = true;
	http_ask_fail_role(http, ROLE_STORE);
	http_ask_fail_role(http, ROLE_AUTH);
	http_stream_stop(http);
	MHD_run(http->daemon);
	MHD_stop_daemon(http->daemon);
	while (http->incoming) {
		struct http_incoming *next = http->incoming->next;
		free(http->incoming);
		http->incoming = next;
	}
}

int http_role_run(struct role_context *context)
{
	struct http *http = calloc(1, sizeof(*http));
	if (!http || role_confine(context, NULL, 0)) {
		free(http);
		return EXIT_FAILURE;
	}
	http->context = context;
	http->api = (struct api_context){.config = context->config, .counters = context->counters, .started_ms = context->started_ms,
					 .reports = reports_new()};
	memcpy(http->api.pid, context->pid, sizeof(http->api.pid));
	http->api.pid[ROLE_HTTP] = getpid();
	enum err err = http->api.reports ? start_daemon(http) : ERR_NOMEM;
	if (!err) {
		err = role_ready(context);
		if (!err)
			err = run(http);
		stop(http);
	}
	reports_free(http->api.reports);
	free(http);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
