// SPDX-License-Identifier: Apache-2.0
#include "tests/fake/client_tmms.h"

#include "base/tls_conn.h"
#include "tests/fake/client_certificate.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TURN_MS = 10, CHUNK = 16384 };

struct client_tmms {
	pthread_t thread;
	pthread_mutex_t lock;
	atomic_bool is_stopping;
	atomic_int requests, connections;
	int listener;
	uint16_t port;
	struct tls_context *tls;
	struct token_pins pins;
	struct client_tmms_knobs knobs;
	char last[CLIENT_TMMS_REQUEST_MAX];
	uint8_t channel[CLIENT_TMMS_CHANNEL_BYTES];
};

struct connection {
	int fd;
	struct tls_conn *tls;
	int answers;
	size_t size;
	char request[CLIENT_TMMS_REQUEST_MAX];
};

static void flush(struct connection *connection)
{
	uint8_t bytes[CHUNK];
	for (size_t size; (size = tls_conn_take(connection->tls, bytes, sizeof(bytes))) > 0;)
		(void)!send(connection->fd, bytes, size, MSG_NOSIGNAL);
}

// True once head and body are there.
static bool is_whole(const char *request)
{
	const char *end = strstr(request, "\r\n\r\n"), *length = strcasestr(request, "content-length:");
	return end && strlen(end + 4) >= (length ? strtoul(length + 15, NULL, 10) : 0);
}

static bool answer(struct client_tmms *tmms, struct connection *connection)
{
	bool is_health = strstr(connection->request, "GET /v1/health ");
	const char *body = is_health ? "{\"status\":\"ok\"}" : tmms->knobs.body;
	int status = is_health ? 200 : atomic_load(&tmms->knobs.status);
	char head[256];
	tmms->requests++; // before the answer, after which the test counts
	pthread_mutex_lock(&tmms->lock);
	memcpy(tmms->last, connection->request, sizeof(tmms->last));
	bool is_known = tls_conn_export(connection->tls, "EXPORTER-huisclos-channel-v1", (const uint8_t *)"", 0, tmms->channel,
					sizeof(tmms->channel)) == ERR_OK;
	pthread_mutex_unlock(&tmms->lock);
	int size = snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n", status, strlen(body));
	bool is_written = is_known && tls_conn_write(connection->tls, (const uint8_t *)head, (size_t)size) == ERR_OK;
	for (size_t at = 0, all = strlen(body); is_written && at < all; at += CHUNK) {
		size_t part = all - at < CHUNK ? all - at : CHUNK;
		is_written = tls_conn_write(connection->tls, (const uint8_t *)body + at, part) == ERR_OK;
		flush(connection);
	}
	flush(connection);
	connection->size = 0;
	connection->request[0] = 0;
	connection->answers++;
	int limit = atomic_load(&tmms->knobs.closes_after);
	return is_written && (!limit || connection->answers < limit);
}

// False when the connection is over.
static bool step(struct client_tmms *tmms, struct connection *connection)
{
	uint8_t bytes[CHUNK];
	ssize_t n = recv(connection->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n == 0 || (n > 0 && tls_conn_feed(connection->tls, bytes, (size_t)n) != ERR_OK))
		return false;
	enum err err = tls_conn_handshake(connection->tls);
	flush(connection);
	if (err)
		return err == ERR_AGAIN;
	size_t got;
	while ((err = tls_conn_read(connection->tls, (uint8_t *)connection->request + connection->size,
				    sizeof(connection->request) - 1 - connection->size, &got)) == ERR_OK) {
		connection->size += got;
		connection->request[connection->size] = 0;
		if (!atomic_load(&tmms->knobs.is_silent) && is_whole(connection->request) && !answer(tmms, connection))
			return false;
	}
	flush(connection);
	return err == ERR_AGAIN;
}

static void serve(struct client_tmms *tmms, int fd)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	connection->fd = fd;
	tmms->connections++;
	if (tls_conn_new(tmms->tls, NULL, &connection->tls) == ERR_OK) {
		while (!atomic_load(&tmms->is_stopping) && step(tmms, connection)) {
			struct pollfd fds[] = { { .fd = fd, .events = POLLIN }, { .fd = tmms->listener, .events = POLLIN } };
			(void)!poll(fds, 2, TURN_MS);
			if (fds[1].revents && !fds[0].revents)
				break; // one at a time: a new client ends the old one
		}
		tls_conn_close(connection->tls);
		flush(connection);
		tls_conn_free(connection->tls);
	}
	close(fd);
	free(connection);
}

static void *run(void *argument)
{
	struct client_tmms *tmms = argument;
	while (!atomic_load(&tmms->is_stopping)) {
		struct pollfd fd = { .fd = tmms->listener, .events = POLLIN };
		int client = poll(&fd, 1, TURN_MS) == 1 ? accept(tmms->listener, NULL, NULL) : -1;
		if (client >= 0)
			serve(tmms, client);
	}
	return NULL;
}

struct client_tmms *client_tmms_start(const char *directory)
{
	char certificate[CLIENT_CERTIFICATE_PATH_MAX], key[CLIENT_CERTIFICATE_PATH_MAX];
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	struct client_tmms *tmms = calloc(1, sizeof(*tmms));
	if (!tmms || !client_certificate_make(directory, "tmms", certificate, key, &tmms->pins))
		return NULL;
	const struct tls_context_options tls = { .is_server = true, .alpn = "http/1.1", .certificate_pem = certificate, .key_pem = key };
	tmms->knobs.status = 200;
	tmms->knobs.body = "{}";
	tmms->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pthread_mutex_init(&tmms->lock, NULL);
	if (tls_context_new(&tls, &tmms->tls) != ERR_OK || bind(tmms->listener, (struct sockaddr *)&address, size) != 0 ||
	    listen(tmms->listener, 8) != 0 || getsockname(tmms->listener, (struct sockaddr *)&address, &size) != 0 ||
	    pthread_create(&tmms->thread, NULL, run, tmms) != 0)
		return NULL;
	tmms->port = ntohs(address.sin_port);
	return tmms;
}

void client_tmms_stop(struct client_tmms *tmms)
{
	atomic_store(&tmms->is_stopping, true);
	pthread_join(tmms->thread, NULL);
	close(tmms->listener);
	tls_context_free(tmms->tls);
	pthread_mutex_destroy(&tmms->lock);
	free(tmms);
}

uint16_t client_tmms_port(const struct client_tmms *tmms)
{
	return tmms->port;
}

const struct token_pins *client_tmms_pins(const struct client_tmms *tmms)
{
	return &tmms->pins;
}

struct client_tmms_knobs *client_tmms_knobs(struct client_tmms *tmms)
{
	return &tmms->knobs;
}

int client_tmms_requests(struct client_tmms *tmms)
{
	return atomic_load(&tmms->requests);
}

int client_tmms_connections(struct client_tmms *tmms)
{
	return atomic_load(&tmms->connections);
}

void client_tmms_last(struct client_tmms *tmms, char request[static CLIENT_TMMS_REQUEST_MAX], uint8_t channel[static CLIENT_TMMS_CHANNEL_BYTES])
{
	pthread_mutex_lock(&tmms->lock);
	memcpy(request, tmms->last, CLIENT_TMMS_REQUEST_MAX);
	memcpy(channel, tmms->channel, CLIENT_TMMS_CHANNEL_BYTES);
	pthread_mutex_unlock(&tmms->lock);
}
