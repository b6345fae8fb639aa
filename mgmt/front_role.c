// SPDX-License-Identifier: Apache-2.0
#include "mgmt/front_role.h"

#include "base/log.h"
#include "mgmt/clock.h"
#include "mgmt/front.h"
#include "mgmt/pki.h"
#include "mgmt/pki_file.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 64, TICK_MS = 1000, CERTIFICATE_CHECK_MS = 60000 };

void front_watch_set(struct front *front, struct front_watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};
	if (watch->registered == events)
		return;
	int operation = events == 0 ? EPOLL_CTL_DEL : watch->registered == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
	if (epoll_ctl(front->epoll, operation, watch->fd, &event) < 0)
		log_line(LOG_ERROR, "epoll: %s", strerror(errno));
	watch->registered = events;
}

static void on_control(struct front_watch *watch, uint32_t events)
{
	(void)events;
	struct front *front = (struct front *)((uint8_t *)watch - offsetof(struct front, control));
	enum role changed;
	enum err err = role_note(front->context, &changed);
	if (err == ERR_CLOSED)
		front->is_over = true;
}

static enum err run(struct front *front)
{
	uint64_t tick_at = 0, certificate_at = clock_ms() + CERTIFICATE_CHECK_MS;
	while (!front->is_over) {
		struct epoll_event events[EVENTS_MAX];
		int count = epoll_wait(front->epoll, events, EVENTS_MAX, TICK_MS);
		if (count < 0 && errno != EINTR)
			return ERR_IO;
		for (int i = 0; i < count; i++) {
			struct front_watch *watch = events[i].data.ptr;
			watch->on_event(watch, events[i].events);
		}
		uint64_t now = clock_ms();
		if (now >= tick_at || front->dead) {
			front_conn_sweep(front, now);
			tick_at = now + TICK_MS;
		}
		if (now >= certificate_at) {
			if (front_tls_load(front))
				log_line(LOG_WARNING, "the renewed certificate cannot be read");
			certificate_at = now + CERTIFICATE_CHECK_MS;
		}
	}
	return ERR_OK;
}

// Its own keys, the spare descriptor, and the names of its sockets, which it takes away at its end.
static enum err confine(struct front *front)
{
	char control[OPTION_TEXT_MAX], mux[OPTION_TEXT_MAX], keys[PKI_FILE_PATH_MAX];
	pki_file_path(front->pki, PKI_FRONT, keys);
	snprintf(control, sizeof(control), "%s", front->context->config->control_socket);
	snprintf(mux, sizeof(mux), "%s", front->context->config->mux_socket);
	const struct confine_path files[] = {
		{keys, CONFINE_READ}, {"/dev/null", CONFINE_READ}, {dirname(control), CONFINE_REMOVE}, {dirname(mux), CONFINE_REMOVE},
	};
	return role_confine(front->context, files, front->context->config->mux_socket[0] ? 4 : 3);
}

// What needs privileges, then what does not.
static enum err prepare(struct front *front)
{
	gid_t gid;
	enum err err = role_user(front->context->config, &front->uid, &gid);
	if (!err)
		err = role_group(front->context->config->group, &front->group);
	if (!err)
		err = role_group(front->context->config->mux_group, &front->mux_group);
	if (!err)
		err = front_listen_open(front);
	if (!err)
		err = confine(front);
	if (!err)
		err = front_tls_load(front);
	return err ? err : front_listen_start(front);
}

int front_role_run(struct role_context *context)
{
	struct front front = {.context = context, .epoll = epoll_create1(EPOLL_CLOEXEC), .spare = -1,
			      .control = {.on_event = on_control, .fd = context->control}};
	config_state_path(context->config, "pki", front.pki);
	enum err err = front.epoll < 0 ? ERR_IO : prepare(&front);
	if (!err) {
		front_watch_set(&front, &front.control, EPOLLIN);
		err = role_ready(context);
	}
	if (!err)
		err = run(&front);
	front_conn_close_all(&front);
	front_listen_close(&front);
	front_tls_release(front.tls);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
