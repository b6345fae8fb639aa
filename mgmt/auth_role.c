// SPDX-License-Identifier: Apache-2.0
#include "mgmt/auth_role.h"

#include "base/log.h"
#include "mgmt/auth_sign.h"
#include "mgmt/channel.h"
#include "mgmt/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { STORE_TIMEOUT_MS = 5000, SEND_TIMEOUT_MS = 5000, RENEW_CHECK_MS = 3600 * 1000 };

struct auth_role {
	struct role_context *context;
	struct auth_sign sign;
	char directory[CONFIG_PATH_MAX];
	uint32_t serial;
	uint64_t renew_at_ms;
	uint8_t in[CHANNEL_MESSAGE_MAX], out[CHANNEL_MESSAGE_MAX];
	uint8_t from_store[CHANNEL_MESSAGE_MAX]; // views of an answer of store borrow from it
};

// One question to store at a time; answers to earlier ones that came too late are skipped.
static enum err ask_store(void *cls, struct request *request, struct reply *reply)
{
	struct auth_role *role = cls;
	int fd = role->context->peer[ROLE_STORE];
	size_t size;
	request->serial = ++role->serial;
	enum err err = request_emit(request, role->out, &size);
	while (!err && (err = channel_send(fd, role->out, size, -1)) == ERR_AGAIN)
		err = channel_wait(fd, POLLOUT, SEND_TIMEOUT_MS);
	while (!err) {
		err = channel_wait(fd, POLLIN, STORE_TIMEOUT_MS);
		if (!err)
			err = channel_receive(fd, role->from_store, sizeof(role->from_store), &size, NULL);
		if (!err)
			err = request_reply_parse(role->from_store, size, reply);
		if (!err && reply->serial == request->serial && reply->type == request->type)
			return ERR_OK;
		if (err == ERR_AGAIN)
			err = ERR_OK;
	}
	log_line(LOG_WARNING, "store does not answer: %s", err_text(err));
	return ERR_CLOSED;
}

static void count(struct auth_role *role, const struct reply *reply)
{
	struct counters *counters = role->context->counters;
	if (reply->err == ERR_AUTH || reply->err == ERR_DENIED || reply->err == ERR_EXPIRED)
		counters_add(counters, COUNTER_AUTH_DENIED);
	else if (!reply->err && reply->type == REQUEST_AUTH_TICKET)
		counters_add(counters, COUNTER_TICKETS);
	else if (!reply->err && reply->type != REQUEST_AUTH_INFO)
		counters_add(counters, COUNTER_CERTIFICATES);
}

static void serve(struct auth_role *role)
{
	int fd = role->context->peer[ROLE_HTTP];
	struct request request;
	struct reply reply;
	size_t size;
	enum err err = channel_receive(fd, role->in, sizeof(role->in), &size, NULL);
	if (err == ERR_CLOSED) {
		close(fd);
		role->context->peer[ROLE_HTTP] = -1;
	}
	if (err)
		return;
	if (request_parse(role->in, size, &request) || !request_is_allowed(request.type, ROLE_HTTP) ||
	    request_target(request.type) != ROLE_AUTH) {
		counters_add(role->context->counters, COUNTER_DROP_MESSAGE);
		log_line(LOG_WARNING, "a message of role http is malformed or not allowed, dropped");
		return;
	}
	auth_sign_answer(&role->sign, &request, &reply);
	count(role, &reply);
	err = request_reply_emit(&reply, role->out, &size);
	while (!err && (err = channel_send(fd, role->out, size, -1)) == ERR_AGAIN)
		err = channel_wait(fd, POLLOUT, SEND_TIMEOUT_MS);
	if (err && err != ERR_CLOSED)
		log_line(LOG_WARNING, "an answer to %s was lost: %s", request_name(reply.type), err_text(err));
}

static enum err renew(struct auth_role *role)
{
	bool is_renewed = false;
	enum err err = pki_renew(role->directory, role->context->config->server_name, &is_renewed);
	if (err)
		return err;
	role->renew_at_ms = clock_ms() + RENEW_CHECK_MS;
	if (!is_renewed)
		return ERR_OK;
	log_line(LOG_NOTICE, "certificates were renewed; keys and pins are the same");
	struct pki fresh;
	err = pki_load(role->directory, &fresh);
	if (err)
		return err;
	pki_free(&role->sign.pki);
	role->sign.pki = fresh;
	return ERR_OK;
}

static enum err run(struct auth_role *role)
{
	struct role_context *context = role->context;
	enum role changed;
	for (;;) {
		struct pollfd fds[] = {
			{.fd = context->control, .events = POLLIN},
			{.fd = context->peer[ROLE_HTTP], .events = POLLIN},
		};
		if (poll(fds, 2, 60000) < 0 && errno != EINTR)
			return ERR_IO;
		if (fds[0].revents && role_note(context, &changed) == ERR_CLOSED)
			return ERR_OK;
		if (fds[1].revents)
			serve(role);
		if (clock_ms() >= role->renew_at_ms && renew(role)) {
			log_line(LOG_WARNING, "certificates could not be renewed");
			role->renew_at_ms = clock_ms() + RENEW_CHECK_MS;
		}
	}
}

static void log_root(const struct pki *pki)
{
	char text[TEXT_BASE64_SIZE(TOKEN_PIN_BYTES)]; // as in links and in the status
	text_base64_emit(pki->root_pin, TOKEN_PIN_BYTES, text);
	log_line(LOG_NOTICE, "identity root %s", text);
}

static enum err open_keys(struct auth_role *role)
{
	enum err err = pki_make(role->directory, role->context->config->server_name);
	bool is_made = !err;
	if (err && err != ERR_EXISTS)
		return err;
	if (is_made)
		log_line(LOG_NOTICE, "first start: made the keys in %s", role->directory);
	err = pki_load(role->directory, &role->sign.pki);
	if (err)
		return err;
	if (is_made)
		log_root(&role->sign.pki);
	if (renew(role)) // what is left of their time is enough to start with
		log_line(LOG_WARNING, "certificates could not be renewed");
	return ERR_OK;
}

int auth_role_run(struct role_context *context)
{
	struct auth_role *role = calloc(1, sizeof(*role));
	const struct confine_path files = {context->config->state_directory, CONFINE_WRITE}; // it makes `pki` there
	if (!role || role_directory(context, context->config->state_directory, 0700) || role_confine(context, &files, 1)) {
		free(role);
		return EXIT_FAILURE;
	}
	role->context = context;
	role->sign.ask = ask_store;
	role->sign.context = role;
	config_state_path(context->config, "pki", role->directory);
	enum err err = open_keys(role);
	if (!err)
		err = role_ready(context);
	if (!err)
		err = run(role);
	pki_free(&role->sign.pki);
	free(role);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
