// Where connections come from: the own TCP port, the mux, the control socket. SPDX-License-Identifier: Apache-2.0
#include "mgmt/front.h"

#include "base/log.h"
#include "mgmt/channel.h"
#include "mgmt/handoff.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 256, ACCEPT_BURST = 32, PATIENCE_TRIES = 50, PATIENCE_MS = 20 };

struct front_listener {
	struct front_watch watch; // first
	struct front *front;
	struct front_listener *next;
	char path[OPTION_TEXT_MAX]; // of a UNIX socket that is to be removed
};

static struct front_listener *add_listener(struct front *front, int fd, void (*on_event)(struct front_watch *, uint32_t))
{
	struct front_listener *listener = calloc(1, sizeof(*listener));
	if (!listener) {
		close(fd);
		return NULL;
	}
	listener->watch = (struct front_watch){.on_event = on_event, .fd = fd};
	listener->front = front;
	listener->next = front->listeners;
	front->listeners = listener;
	return listener;
}

static void drop_listener(struct front *front, struct front_listener *listener)
{
	struct front_listener **at = &front->listeners;
	while (*at != listener)
		at = &(*at)->next;
	*at = listener->next;
	front_watch_set(front, &listener->watch, 0);
	close(listener->watch.fd);
	free(listener);
}

// Without a free descriptor accept() would fail for ever and the set would wake us for ever: give up the spare
// one, take the connection and end it, so that the peer knows.
static int accept_one(struct front *front, int listening)
{
	int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0 || (errno != EMFILE && errno != ENFILE))
		return fd;
	counters_add(front->context->counters, COUNTER_DROP_DESCRIPTORS);
	close(front->spare);
	fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	front->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	errno = EAGAIN;
	return -1;
}

static void on_tcp(struct front_watch *watch, uint32_t events)
{
	(void)events;
	struct front *front = ((struct front_listener *)watch)->front;
	for (int i = 0, fd; i < ACCEPT_BURST && (fd = accept_one(front, watch->fd)) >= 0; i++) {
		counters_add(front->context->counters, COUNTER_CONNECTIONS);
		front_conn_new(front, fd);
	}
}

// The control socket is not encrypted and needs no shuttle: http gets the connection itself.
static void on_admin(struct front_watch *watch, uint32_t events)
{
	(void)events;
	struct front *front = ((struct front_listener *)watch)->front;
	struct counters *counters = front->context->counters;
	struct handoff peer = {.kind = HANDOFF_ADMIN, .address = "control socket"};
	uint8_t bytes[HANDOFF_BYTES_MAX];
	size_t size;
	for (int i = 0, fd; i < ACCEPT_BURST && (fd = accept_one(front, watch->fd)) >= 0; i++) {
		counters_add(counters, COUNTER_CONNECTIONS_ADMIN);
		if (!front_trust_peer(front, fd, front->group))
			counters_add(counters, COUNTER_DROP_ADMIN_DENIED);
		else if (handoff_emit(&peer, bytes, &size) || channel_send(front->context->peer[ROLE_HTTP], bytes, size, fd))
			counters_add(counters, COUNTER_DROP_HTTP_BUSY);
		close(fd);
	}
}

static bool is_tcp(int fd)
{
	int domain = 0, type = 0, is_listening = 1;
	socklen_t size = sizeof(int);
	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && (domain == AF_INET || domain == AF_INET6) &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &size) == 0 && !is_listening;
}

// The mux hands over: one message a connection, one byte and the descriptor.
static void on_mux_message(struct front_watch *watch, uint32_t events)
{
	(void)events;
	struct front_listener *listener = (struct front_listener *)watch;
	struct front *front = listener->front;
	uint8_t byte[16];
	size_t size;
	for (int i = 0; i < ACCEPT_BURST; i++) {
		int fd;
		enum err err = channel_receive(watch->fd, byte, sizeof(byte), &size, &fd);
		if (err == ERR_AGAIN)
			return;
		if (err == ERR_CLOSED || err == ERR_IO) {
			drop_listener(front, listener);
			return;
		}
		if (err || size != 1 || fd < 0 || !is_tcp(fd) || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
			counters_add(front->context->counters, COUNTER_DROP_MUX_MESSAGE);
			if (fd >= 0)
				close(fd);
			continue;
		}
		counters_add(front->context->counters, COUNTER_CONNECTIONS_MUX);
		front_conn_new(front, fd);
	}
}

static void on_mux(struct front_watch *watch, uint32_t events)
{
	(void)events;
	struct front *front = ((struct front_listener *)watch)->front;
	int fd = accept_one(front, watch->fd);
	if (fd < 0)
		return;
	if (!front_trust_peer(front, fd, front->mux_group)) {
		counters_add(front->context->counters, COUNTER_DROP_MUX_DENIED);
		close(fd);
		return;
	}
	struct front_listener *mux = add_listener(front, fd, on_mux_message);
	if (mux)
		front_watch_set(front, &mux->watch, EPOLLIN);
}

// After a kill -9 the roles of the old tmms may live a moment longer than its supervisor: an address that is taken
// is tried for a second. True if it is worth another try.
static bool wait_for_address(int *tries)
{
	if (errno != EADDRINUSE || ++*tries > PATIENCE_TRIES)
		return false;
	nanosleep(&(struct timespec){.tv_nsec = PATIENCE_MS * 1000000L}, NULL);
	return true;
}

static int bind_patiently(int fd, const struct sockaddr *address, socklen_t size)
{
	int tries = 0, result;
	while ((result = bind(fd, address, size)) < 0 && wait_for_address(&tries))
		;
	return result;
}

static enum err open_tcp(struct front *front)
{
	const struct config *config = front->context->config;
	struct sockaddr_in six_or_four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)config->listen_port)};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)config->listen_port)};
	bool is_four = inet_pton(AF_INET, config->listen_address, &six_or_four.sin_addr) == 1;
	const struct sockaddr *address = is_four ? (const struct sockaddr *)&six_or_four : (const struct sockaddr *)&six;
	int on = 1, off = 0;
	if (!is_four)
		inet_pton(AF_INET6, config->listen_address, &six.sin6_addr);
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		goto fail;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (!is_four)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind_patiently(fd, address, is_four ? sizeof(six_or_four) : sizeof(six)) < 0 || listen(fd, BACKLOG) < 0)
		goto fail;
	return add_listener(front, fd, on_tcp) ? ERR_OK : ERR_NOMEM;
fail:
	log_line(LOG_ERROR, "cannot listen on %s port %llu: %s", config->listen_address, (unsigned long long)config->listen_port,
		 strerror(errno));
	if (fd >= 0)
		close(fd);
	return ERR_IO;
}

// A socket file that nobody listens on any more is a leftover; one that answers is another tmms.
static enum err remove_leftover(const struct sockaddr_un *address, int type)
{
	struct stat info;
	if (lstat(address->sun_path, &info) < 0)
		return ERR_OK;
	errno = EEXIST;
	if (!S_ISSOCK(info.st_mode))
		return ERR_IO;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool is_used = fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN);
	if (fd >= 0)
		close(fd);
	errno = EADDRINUSE;
	return is_used ? ERR_IO : unlink(address->sun_path) == 0 ? ERR_OK : ERR_IO;
}

static enum err make_parent(struct front *front, const char *path)
{
	char copy[OPTION_TEXT_MAX];
	snprintf(copy, sizeof(copy), "%s", path);
	return role_directory(front->context, dirname(copy), 0755);
}

static enum err open_unix(struct front *front, const char *path, int type, gid_t group, void (*on_event)(struct front_watch *, uint32_t))
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path, path, strlen(path) + 1); // config_load() checked the length
	if (make_parent(front, path))
		return ERR_IO;
	int fd = -1, tries = 0;
	while (remove_leftover(&address, type)) {
		if (!wait_for_address(&tries))
			goto fail;
	}
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		goto fail;
	mode_t mask = umask(0177);
	int bound = bind(fd, (const struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (bound < 0 || (geteuid() == 0 && chown(path, front->uid, group) < 0) ||
	    chmod(path, group == (gid_t)-1 ? 0600 : 0660) < 0 || listen(fd, BACKLOG) < 0)
		goto fail;
	struct front_listener *listener = add_listener(front, fd, on_event);
	if (!listener)
		return ERR_NOMEM;
	snprintf(listener->path, sizeof(listener->path), "%s", path);
	return ERR_OK;
fail:
	log_line(LOG_ERROR, "cannot listen on %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return ERR_IO;
}

enum err front_listen_open(struct front *front)
{
	const struct config *config = front->context->config;
	enum err err = config->listen_port ? open_tcp(front) : ERR_OK;
	if (!err)
		err = open_unix(front, config->control_socket, SOCK_STREAM, front->group, on_admin);
	if (!err && config->mux_socket[0])
		err = open_unix(front, config->mux_socket, SOCK_SEQPACKET, front->mux_group, on_mux);
	return err;
}

enum err front_listen_start(struct front *front)
{
	front->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (struct front_listener *l = front->listeners; l; l = l->next)
		front_watch_set(front, &l->watch, EPOLLIN);
	return front->spare < 0 ? ERR_IO : ERR_OK;
}

void front_listen_close(struct front *front)
{
	while (front->listeners) {
		if (front->listeners->path[0])
			unlink(front->listeners->path);
		drop_listener(front, front->listeners);
	}
	if (front->spare >= 0)
		close(front->spare);
}
