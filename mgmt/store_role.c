// SPDX-License-Identifier: Apache-2.0
#include "mgmt/store_role.h"

#include "base/log.h"
#include "mgmt/channel.h"
#include "mgmt/clock.h"
#include "mgmt/request.h"
#include "mgmt/store_answer.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { PURGE_S = 600, PURGE_FIRST_S = 5, PURGE_MAX = 200, SEND_TIMEOUT_MS = 5000, BURST = 16 };

struct store_role {
	struct role_context *context;
	struct store_answer answer;
	uint64_t purge_at_ms;
	uint8_t in[CHANNEL_MESSAGE_MAX], out[CHANNEL_MESSAGE_MAX];
};

// The asker always reads its answers, so a full channel is a short wait or a role that died.
static void send_reply(struct store_role *role, int fd, const struct reply *reply)
{
	size_t size;
	enum err err = request_reply_emit(reply, role->out, &size);
	while (!err && (err = channel_send(fd, role->out, size, -1)) == ERR_AGAIN)
		err = channel_wait(fd, POLLOUT, SEND_TIMEOUT_MS);
	if (err && err != ERR_CLOSED)
		log_line(LOG_WARNING, "an answer to %s was lost: %s", request_name(reply->type), err_text(err));
}

static void count(struct store_role *role, const struct reply *reply)
{
	counters_add(role->context->counters, COUNTER_STORE_REQUESTS);
	if (reply->err == ERR_FULL)
		counters_add(role->context->counters, COUNTER_STORE_FULL);
	else if (reply->err == ERR_IO || reply->err == ERR_CLOSED)
		counters_add(role->context->counters, COUNTER_STORE_FAILED);
}

// Answer one request of `asker`. ERR_CLOSED: the store must be opened anew.
static enum err serve(struct store_role *role, enum role asker)
{
	int fd = role->context->peer[asker];
	struct request request;
	struct reply reply;
	size_t size;
	enum err err = channel_receive(fd, role->in, sizeof(role->in), &size, NULL);
	if (err == ERR_CLOSED) { // died: the supervisor brings a new channel
		close(fd);
		role->context->peer[asker] = -1;
		return ERR_AGAIN;
	}
	if (err)
		return err == ERR_AGAIN ? ERR_AGAIN : ERR_OK;
	if (request_parse(role->in, size, &request) || !request_is_allowed(request.type, asker)) {
		counters_add(role->context->counters, COUNTER_DROP_MESSAGE);
		log_line(LOG_WARNING, "a message of role %s is malformed or not allowed, dropped", role_name(asker));
		return ERR_OK;
	}
	role->answer.now = (uint64_t)time(NULL);
	role->answer.now_ms = clock_ms();
	err = store_answer(&role->answer, &request, &reply);
	count(role, &reply);
	send_reply(role, fd, &reply);
	return err;
}

static void purge(struct store_role *role)
{
	if (clock_ms() < role->purge_at_ms)
		return;
	enum err err = store_purge(role->answer.store, (uint64_t)time(NULL), PURGE_MAX);
	if (err)
		log_line(LOG_WARNING, "expired entries could not be deleted: %s", err_text(err));
	role->purge_at_ms = clock_ms() + PURGE_S * 1000;
}

static enum err serve_some(struct store_role *role, enum role asker)
{
	enum err err = ERR_OK;
	for (int i = 0; !err && i < BURST; i++)
		err = serve(role, asker);
	return err == ERR_AGAIN ? ERR_OK : err;
}

static enum err run(struct store_role *role)
{
	struct role_context *context = role->context;
	enum role changed;
	for (;;) {
		struct pollfd fds[] = {
			{.fd = context->control, .events = POLLIN},
			{.fd = context->peer[ROLE_AUTH], .events = POLLIN},
			{.fd = context->peer[ROLE_HTTP], .events = POLLIN},
		};
		if (poll(fds, 3, 1000) < 0 && errno != EINTR)
			return ERR_IO;
		enum err err = fds[0].revents ? role_note(context, &changed) : ERR_OK;
		if (err == ERR_CLOSED)
			return ERR_OK;
		err = fds[1].revents ? serve_some(role, ROLE_AUTH) : ERR_OK;
		if (!err && fds[2].revents)
			err = serve_some(role, ROLE_HTTP);
		if (err == ERR_CLOSED)
			return ERR_IO;
		purge(role);
	}
}

int store_role_run(struct role_context *context)
{
	char path[CONFIG_PATH_MAX];
	struct store_options options = {.path = path, .size_bytes = context->config->store_size_bytes};
	struct store_role *role = calloc(1, sizeof(*role));
	config_state_path(context->config, "store", path);
	if (!role || role_directory(context, context->config->state_directory, 0700) || role_directory(context, path, 0700) ||
	    role_confine(context, &(struct confine_path){path, CONFINE_WRITE}, 1) || store_lmdb_open(&options, &role->answer.store)) {
		free(role);
		return EXIT_FAILURE;
	}
	role->context = context;
	role->purge_at_ms = clock_ms() + PURGE_FIRST_S * 1000;
	enum err err = role_ready(context);
	if (!err)
		err = run(role);
	if (err)
		log_line(LOG_ERROR, "the store failed and is opened anew");
	store_close(role->answer.store);
	free(role);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
