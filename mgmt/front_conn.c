// One TLS connection: ciphertext on one side, plaintext towards http on the other, little in between. Each
// direction reads only when what it read before has been passed on. SPDX-License-Identifier: Apache-2.0
#include "mgmt/clock.h"
#include "mgmt/front.h"

#include "base/log.h"
#include "base/secret.h"
#include "mgmt/channel.h"
#include "mgmt/handoff.h"

#include <openssl/x509.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum { CHUNK = 16384, OUTPUT_MAX = 65536, READS_MAX = 8, LINGER_MS = 2000 };

struct front_conn {
	struct front_watch net, http; // http.fd is -1 until the handshake is done
	struct front *front;
	struct front_conn *previous, *next;
	struct front_tls *context;
	struct tls_conn *tls;
	struct handoff peer;
	struct peer_net address;
	uint64_t started_ms, active_ms;
	bool is_over, is_net_ended, is_http_ended;
	bool is_http_deaf;  // http answers and takes no more: what still comes is thrown away
	bool is_lingering;  // all is sent; what the peer still sends is read so that no reset overtakes the answer
	uint64_t linger_ms;
	size_t up_size, up_position;   // plaintext on its way to http
	size_t out_size, out_position; // ciphertext on its way to the network
	uint8_t up[CHUNK], out[CHUNK];
};

static void close_conn(struct front_conn *conn)
{
	struct front *front = conn->front;
	if (conn->is_over)
		return;
	conn->is_over = true;
	front_watch_set(front, &conn->net, 0);
	close(conn->net.fd);
	if (conn->http.fd >= 0) {
		front_watch_set(front, &conn->http, 0);
		close(conn->http.fd);
	}
	if (conn->previous)
		conn->previous->next = conn->next;
	else
		front->conns = conn->next;
	if (conn->next)
		conn->next->previous = conn->previous;
	front->conn_count--;
	conn->next = front->dead; // events of this round may still point to it
	front->dead = conn;
}

static void drop(struct front_conn *conn, enum counter reason)
{
	counters_add(conn->front->context->counters, reason);
	close_conn(conn);
}

// True if something was written.
static bool flush_net(struct front_conn *conn)
{
	bool is_moved = false;
	for (;;) {
		if (conn->out_position == conn->out_size) {
			conn->out_position = 0;
			conn->out_size = tls_conn_take(conn->tls, conn->out, sizeof(conn->out));
			if (conn->out_size == 0)
				return is_moved;
		}
		ssize_t n = send(conn->net.fd, conn->out + conn->out_position, conn->out_size - conn->out_position, MSG_NOSIGNAL);
		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				close_conn(conn);
			return is_moved;
		}
		conn->out_position += (size_t)n;
		is_moved = true;
	}
}

static size_t output_waiting(const struct front_conn *conn)
{
	return conn->out_size - conn->out_position + tls_conn_has_output(conn->tls);
}

// True if something was passed on.
static bool flush_http(struct front_conn *conn)
{
	bool is_moved = false;
	for (;;) {
		if (conn->up_position == conn->up_size) {
			size_t size = 0;
			conn->up_position = conn->up_size = 0;
			enum err err = tls_conn_read(conn->tls, conn->up, sizeof(conn->up), &size);
			if (err == ERR_CLOSED)
				conn->is_net_ended = true;
			else if (err && err != ERR_AGAIN)
				drop(conn, COUNTER_DROP_TLS);
			if (err)
				return is_moved;
			conn->up_size = size;
		}
		size_t left = conn->up_size - conn->up_position;
		ssize_t n = conn->is_http_deaf ? (ssize_t)left
					       : send(conn->http.fd, conn->up + conn->up_position, left, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return is_moved;
		conn->is_http_deaf |= n < 0;
		conn->up_position += n < 0 ? left : (size_t)n;
		is_moved = true;
	}
}

static enum err set_identity(struct front_conn *conn)
{
	uint8_t *der = NULL;
	size_t size = 0;
	enum err err = tls_conn_export(conn->tls, HANDOFF_CHANNEL_EXPORTER, NULL, 0, conn->peer.channel, sizeof(conn->peer.channel));
	if (err)
		return err;
	err = tls_conn_peer_certificate(conn->tls, &der, &size);
	if (err == ERR_NOT_FOUND)
		return ERR_OK;
	free(der);
	if (!err)
		err = tls_conn_peer_pin(conn->tls, conn->peer.pin);
	conn->peer.kind = HANDOFF_CERTIFICATE;
	return err;
}

// The handshake is done: http gets its end of a socketpair, and who this is.
static void hand_over(struct front_conn *conn)
{
	int pair[2];
	uint8_t bytes[HANDOFF_BYTES_MAX];
	size_t size;
	if (set_identity(conn)) {
		drop(conn, COUNTER_DROP_TLS);
		return;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		drop(conn, COUNTER_DROP_DESCRIPTORS);
		return;
	}
	conn->http.fd = pair[0];
	enum err err = handoff_emit(&conn->peer, bytes, &size);
	if (!err)
		err = channel_send(conn->front->context->peer[ROLE_HTTP], bytes, size, pair[1]);
	close(pair[1]);
	if (err)
		drop(conn, COUNTER_DROP_HTTP_BUSY);
}

static void shake_hands(struct front_conn *conn)
{
	enum err err = tls_conn_handshake(conn->tls);
	flush_net(conn);
	if (err == ERR_AGAIN || conn->is_over)
		return;
	if (!err) {
		hand_over(conn);
		return;
	}
	log_line(LOG_INFO, "%s: TLS handshake failed: %s", conn->peer.address, tls_conn_problem(conn->tls));
	drop(conn, COUNTER_DROP_HANDSHAKE);
}

// True if ciphertext came. Reads only while http keeps up.
static bool read_net(struct front_conn *conn)
{
	uint8_t bytes[CHUNK];
	if (conn->is_over || conn->is_net_ended || conn->up_size > conn->up_position || output_waiting(conn) >= OUTPUT_MAX)
		return false;
	ssize_t n = recv(conn->net.fd, bytes, sizeof(bytes), 0);
	if (n > 0) {
		if (!conn->is_lingering && tls_conn_feed(conn->tls, bytes, (size_t)n))
			drop(conn, COUNTER_DROP_TLS);
		return true;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		conn->is_net_ended = true;
	return false;
}

// True if plaintext came from http. Reads only while the network keeps up.
static bool read_http(struct front_conn *conn)
{
	uint8_t bytes[CHUNK];
	if (conn->is_over || conn->http.fd < 0 || conn->is_http_ended || output_waiting(conn) >= OUTPUT_MAX)
		return false;
	ssize_t n = recv(conn->http.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n > 0) {
		if (tls_conn_write(conn->tls, bytes, (size_t)n))
			drop(conn, COUNTER_DROP_TLS);
		return true;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		conn->is_http_ended = true;
		tls_conn_close(conn->tls);
	}
	return false;
}

static void set_interest(struct front_conn *conn)
{
	bool has_output = output_waiting(conn) > 0, has_room = output_waiting(conn) < OUTPUT_MAX, has_up = conn->up_size > conn->up_position;
	uint32_t net = (has_output ? EPOLLOUT : 0u) | (!conn->is_net_ended && !has_up && has_room ? EPOLLIN : 0u);
	uint32_t http = (has_up ? EPOLLOUT : 0u) | (!conn->is_http_ended && has_room ? EPOLLIN : 0u);
	front_watch_set(conn->front, &conn->net, net);
	if (conn->http.fd >= 0)
		front_watch_set(conn->front, &conn->http, http);
}

// Move what can be moved, in both directions, then say what to wait for.
static void pump(struct front_conn *conn)
{
	bool is_moved = true;
	for (int reads = 0; is_moved && reads < READS_MAX && !conn->is_over; reads++) {
		is_moved = read_net(conn);
		if (!conn->is_over && conn->http.fd < 0)
			shake_hands(conn);
		if (!conn->is_over && conn->http.fd >= 0 && !conn->is_lingering)
			is_moved |= flush_http(conn);
		is_moved |= read_http(conn);
		if (!conn->is_over)
			is_moved |= flush_net(conn);
		if (is_moved)
			conn->active_ms = clock_ms();
	}
	if (conn->is_over)
		return;
	if (conn->is_http_ended && output_waiting(conn) == 0 && !conn->is_lingering) {
		conn->is_lingering = true;
		conn->linger_ms = clock_ms();
		conn->up_position = conn->up_size = 0;
		shutdown(conn->net.fd, SHUT_WR);
	}
	if (conn->is_net_ended && conn->up_size == conn->up_position)
		close_conn(conn);
	else
		set_interest(conn);
}

static void on_net(struct front_watch *watch, uint32_t events)
{
	(void)events;
	struct front_conn *conn = (struct front_conn *)((uint8_t *)watch - offsetof(struct front_conn, net));
	if (!conn->is_over)
		pump(conn);
}

static void on_http(struct front_watch *watch, uint32_t events)
{
	(void)events;
	struct front_conn *conn = (struct front_conn *)((uint8_t *)watch - offsetof(struct front_conn, http));
	if (!conn->is_over)
		pump(conn);
}

static size_t count_of(const struct front *front, const struct peer_net *address)
{
	size_t count = 0;
	for (const struct front_conn *c = front->conns; c; c = c->next)
		count += memcmp(&c->address, address, sizeof(*address)) == 0;
	return count;
}

// The oldest connection that has shown no certificate makes room for a new one: who means it is soon done.
static bool make_room(struct front *front)
{
	struct front_conn *oldest = NULL;
	for (struct front_conn *c = front->conns; c; c = c->next) // newest first
		oldest = c->peer.kind == HANDOFF_NOBODY ? c : oldest;
	counters_add(front->context->counters, COUNTER_DROP_TOTAL);
	if (oldest)
		close_conn(oldest);
	return oldest;
}

// Is there room for one more?
static bool is_admitted(struct front *front, const struct peer_net *address)
{
	const struct config *config = front->context->config;
	if (count_of(front, address) >= config->connections_per_address_max) {
		counters_add(front->context->counters, COUNTER_DROP_ADDRESS);
		return false;
	}
	return front->conn_count < config->connections_max || make_room(front);
}

void front_conn_new(struct front *front, int fd)
{
	struct sockaddr_storage address = {0};
	socklen_t size = sizeof(address);
	int on = 1;
	if (getpeername(fd, (struct sockaddr *)&address, &size) < 0) { // gone already
		close(fd);
		return;
	}
	struct peer_net net = peer_net(&address);
	struct front_conn *conn = is_admitted(front, &net) ? calloc(1, sizeof(*conn)) : NULL;
	if (!conn) {
		close(fd);
		return;
	}
	if (tls_conn_new(front->tls->context, NULL, &conn->tls)) {
		counters_add(front->context->counters, COUNTER_DROP_MEMORY);
		close(fd);
		free(conn);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	conn->net = (struct front_watch){.on_event = on_net, .fd = fd};
	conn->http = (struct front_watch){.on_event = on_http, .fd = -1};
	conn->front = front;
	conn->context = front->tls;
	conn->context->users++;
	conn->address = net;
	conn->started_ms = conn->active_ms = clock_ms();
	peer_text(&address, conn->peer.address, sizeof(conn->peer.address));
	conn->next = front->conns;
	if (front->conns)
		front->conns->previous = conn;
	front->conns = conn;
	front->conn_count++;
	pump(conn);
}

static void free_dead(struct front *front)
{
	while (front->dead) {
		struct front_conn *conn = front->dead;
		front->dead = conn->next;
		tls_conn_free(conn->tls);
		front_tls_release(conn->context);
		secret_wipe(conn->up, sizeof(conn->up));
		free(conn);
	}
}

void front_conn_sweep(struct front *front, uint64_t now_ms)
{
	const struct config *config = front->context->config;
	for (struct front_conn *conn = front->conns, *next; conn; conn = next) {
		next = conn->next;
		if (conn->http.fd < 0 && now_ms - conn->started_ms >= config->handshake_timeout_s * 1000)
			drop(conn, COUNTER_DROP_HANDSHAKE_TIME);
		else if (conn->is_lingering && now_ms - conn->linger_ms >= LINGER_MS)
			close_conn(conn);
		else if (now_ms - conn->active_ms >= config->idle_timeout_s * 1000)
			drop(conn, COUNTER_DROP_IDLE);
		// Without a certificate there is nothing to stay for: a byte now and then does not keep the place.
		else if (conn->peer.kind == HANDOFF_NOBODY && now_ms - conn->started_ms >= config->idle_timeout_s * 1000)
			drop(conn, COUNTER_DROP_NOBODY);
	}
	free_dead(front);
}

void front_conn_close_all(struct front *front)
{
	while (front->conns)
		close_conn(front->conns);
	free_dead(front);
}
