// Both real loops on loopback, by the same test: a stream with back-pressure, a timer, a readable descriptor; and the
// relay's sockets. SPDX-License-Identifier: Apache-2.0
#include "relay/loop.h"

#include "base/log.h"
#include "relay/relay_address.h"
#include "relay/relay_socket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { STREAM_BYTES = 3 << 20, ECHO_MAX = 1 << 16 };

// The server's side: everything is sent back.
struct server {
	struct loop *loop;
	int tcp, stop[2];
	struct sockaddr_in6 tcp_at;
	struct loop_stream *stream;
	uint8_t *echo;
	size_t echo_start, echo_end;
	size_t timers, wake_ups, sent;
	bool is_closed, is_stamped;
	uint64_t timer_set_ns, timer_late_ns;
	bool is_client_done; // the thread's verdict
};

static void on_received(void *context, const uint8_t *bytes, size_t size, uint64_t received_ns)
{
	struct server *server = context;
	// The kernel begins to stamp a moment after the first socket asks for it: early bytes may have none.
	assert_true(received_ns == 0 || received_ns > 1700000000ull * 1000000000);
	server->is_stamped |= received_ns != 0;
	memcpy(server->echo + server->echo_end, bytes, size);
	server->echo_end += size;
	server->loop->ops->stream_output(server->stream);
}

static size_t on_output(void *context, uint8_t *bytes, size_t capacity)
{
	struct server *server = context;
	size_t left = server->echo_end - server->echo_start, size = left < capacity ? left : capacity;
	memcpy(bytes, server->echo + server->echo_start, size);
	server->echo_start += size;
	if (server->echo_start == STREAM_BYTES)
		server->loop->ops->stream_finish(server->stream);
	return size;
}

static void on_closed(void *context)
{
	struct server *server = context;
	server->is_closed = true;
	server->loop->ops->stream_close(server->stream);
}

static void on_accept(void *context, int descriptor)
{
	static const struct loop_stream_handlers handlers = { on_received, on_output, on_closed };
	struct server *server = context;
	struct sockaddr_in6 peer;
	assert_int_equal(relay_socket_prepare_stream(descriptor, &peer), ERR_OK);
	assert_int_equal(server->loop->ops->stream_open(server->loop, descriptor, &handlers, server, &server->stream), ERR_OK);
}

static void on_readable(void *context, int descriptor)
{
	struct server *server = context;
	uint8_t byte;
	assert_int_equal(descriptor, server->stop[0]);
	assert_int_equal(read(descriptor, &byte, 1), 1);
	server->loop->ops->unwatch(server->loop, descriptor);
	server->loop->ops->stop(server->loop);
}

static void on_timer(void *context)
{
	struct server *server = context;
	uint64_t now_ns = server->loop->ops->now_ns(server->loop);
	server->timer_late_ns = now_ns - server->timer_set_ns;
	server->timers++;
	server->timer_set_ns = now_ns + 20000000u;
	server->loop->ops->set_timer(server->loop, server->timer_set_ns);
}

static void on_wake_sent(void *context) { ((struct server *)context)->sent++; }
static void on_wake_end(void *context) { ((struct server *)context)->wake_ups++; }

// ---------------------------------------------------------------- the client's side, on a thread of its own

static int dial(const struct sockaddr_in6 *at)
{
	struct timeval patience = { .tv_sec = 5 };
	int s = socket(AF_INET6, SOCK_STREAM, 0);
	if (s >= 0 && (setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
		       connect(s, (const struct sockaddr *)at, sizeof(*at)) != 0))
		return -1;
	return s;
}

static uint8_t pattern(size_t at) { return (uint8_t)(at * 7 + at / 1000); }

// All is sent before anything is read, so the server has to wait for us.
static bool stream(const struct sockaddr_in6 *at)
{
	static uint8_t bytes[65536];
	int s = dial(at);
	size_t sent = 0, got = 0;
	bool is_slow = true;
	while (got < STREAM_BYTES) {
		struct pollfd p = { .fd = s, .events = (short)(POLLIN | (sent < STREAM_BYTES ? POLLOUT : 0)) };
		if (poll(&p, 1, 5000) != 1)
			return false;
		if (sent < STREAM_BYTES && p.revents & POLLOUT) {
			size_t n = STREAM_BYTES - sent < sizeof(bytes) ? STREAM_BYTES - sent : sizeof(bytes);
			for (size_t i = 0; i < n; i++)
				bytes[i] = pattern(sent + i);
			ssize_t done = send(s, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
			sent += done > 0 ? (size_t)done : 0;
			if (sent < STREAM_BYTES / 2)
				continue;
		}
		if (is_slow) {
			is_slow = false;
			usleep(200000);
		}
		ssize_t n = recv(s, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n == 0)
			return false;
		for (ssize_t i = 0; i < n; i++) {
			if (bytes[i] != pattern(got + (size_t)i))
				return false;
		}
		got += n > 0 ? (size_t)n : 0;
	}
	bool is_ended = recv(s, bytes, 1, 0) == 0; // stream_finish
	close(s);
	return is_ended;
}

static void *client(void *context)
{
	struct server *server = context;
	server->is_client_done = stream(&server->tcp_at);
	usleep(100000);
	(void)!write(server->stop[1], "x", 1);
	return NULL;
}

static void serve(const struct loop_ops *ops)
{
	struct server server = { .echo = calloc(1, STREAM_BYTES + ECHO_MAX) };
	struct loop_handlers handlers = { on_accept, on_readable, on_timer, on_wake_end, on_wake_sent, &server };
	char problem[RELAY_SOCKET_PROBLEM_MAX];
	struct sockaddr_in6 any;
	socklen_t size = sizeof(any);
	pthread_t thread;
	assert_int_equal(relay_address_parse("127.0.0.1", 0, &any), ERR_OK);
	assert_int_equal(ops->open(&handlers, &server.loop), ERR_OK);
	assert_int_equal(relay_socket_tcp(&any, &server.tcp, problem), ERR_OK);
	assert_int_equal(getsockname(server.tcp, (struct sockaddr *)&server.tcp_at, &size), 0);
	assert_int_equal(pipe(server.stop), 0);
	assert_int_equal(ops->watch_listener(server.loop, server.tcp), ERR_OK);
	assert_int_equal(ops->watch_readable(server.loop, server.stop[0]), ERR_OK);
	server.timer_set_ns = ops->now_ns(server.loop);
	ops->set_timer(server.loop, server.timer_set_ns);
	assert_int_equal(pthread_create(&thread, NULL, client, &server), 0);
	assert_int_equal(ops->run(server.loop), ERR_OK);
	pthread_join(thread, NULL);
	ops->close(server.loop);

	assert_true(server.is_client_done);
	assert_true(server.is_closed && server.is_stamped);
	assert_true(server.timers >= 5);
	assert_true(server.wake_ups > 0);
	assert_int_equal(server.sent, server.wake_ups);
	close(server.tcp);
	close(server.stop[0]);
	close(server.stop[1]);
	free(server.echo);
}

static void epoll_serves(void **state)
{
	(void)state;
	serve(&loop_epoll_ops);
}

static void io_uring_serves(void **state)
{
	(void)state;
	struct loop *loop = NULL;
	struct loop_handlers none = { 0 };
	if (loop_uring_ops.open(&none, &loop)) {
		print_message("io_uring is not allowed here\n");
		skip();
	}
	loop_uring_ops.close(loop);
	serve(&loop_uring_ops);
}

static void ports_that_are_taken_are_named(void **state)
{
	(void)state;
	struct sockaddr_in6 at;
	char problem[RELAY_SOCKET_PROBLEM_MAX] = "";
	int first, second;
	socklen_t size = sizeof(at);
	assert_int_equal(relay_address_parse("127.0.0.1", 0, &at), ERR_OK);
	assert_int_equal(relay_socket_tcp(&at, &first, problem), ERR_OK);
	assert_int_equal(getsockname(first, (struct sockaddr *)&at, &size), 0);
	assert_int_equal(relay_socket_tcp(&at, &second, problem), ERR_IO);
	assert_non_null(strstr(problem, "cannot open TCP port 127.0.0.1:"));
	assert_non_null(strstr(problem, "Address already in use"));
	close(first);
	assert_int_equal(relay_socket_unix("/nonexistent/x.sock", SOCK_STREAM, &first, problem), ERR_IO);
	assert_non_null(strstr(problem, "/nonexistent/x.sock"));
}

static void udp_sockets_share_a_port_with_nobody_else(void **state)
{
	(void)state;
	struct sockaddr_in6 at;
	char problem[RELAY_SOCKET_PROBLEM_MAX] = "";
	int first, shared[3], other;
	socklen_t size = sizeof(at);
	assert_int_equal(relay_address_parse("127.0.0.1", 0, &at), ERR_OK);
	assert_int_equal(relay_socket_udp(&at, 34, 1, &first, problem), ERR_OK);
	assert_int_equal(getsockname(first, (struct sockaddr *)&at, &size), 0);
	assert_int_equal(relay_socket_udp(&at, 34, 3, shared, problem), ERR_IO);
	assert_non_null(strstr(problem, "cannot open UDP port 127.0.0.1:"));
	close(first);
	assert_int_equal(relay_socket_udp(&at, 34, 3, shared, problem), ERR_OK);
	assert_int_equal(relay_socket_udp(&at, 34, 2, &other, problem), ERR_IO); // another relay
	for (size_t i = 0; i < 3; i++) {
		int traffic_class = 0;
		size = sizeof(traffic_class);
		assert_int_equal(getsockopt(shared[i], IPPROTO_IPV6, IPV6_TCLASS, &traffic_class, &size), 0);
		assert_int_equal(traffic_class, 34 << 2);
		assert_int_equal(relay_socket_has_marks(shared[i]), geteuid() == 0);
		close(shared[i]);
	}
}

static void only_a_stale_socket_is_replaced(void **state)
{
	(void)state;
	char path[64], problem[RELAY_SOCKET_PROBLEM_MAX];
	int first, second;
	snprintf(path, sizeof(path), "/tmp/relay-loop-%d.sock", (int)getpid());
	assert_int_equal(relay_socket_unix(path, SOCK_STREAM, &first, problem), ERR_OK);
	assert_int_equal(relay_socket_unix(path, SOCK_STREAM, &second, problem), ERR_IO); // alive
	close(first);
	assert_int_equal(relay_socket_unix(path, SOCK_STREAM, &second, problem), ERR_OK);
	close(second);
	unlink(path);
}

int main(void)
{
	log_init("test", LOG_ERROR);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(epoll_serves),
		cmocka_unit_test(io_uring_serves),
		cmocka_unit_test(ports_that_are_taken_are_named),
		cmocka_unit_test(udp_sockets_share_a_port_with_nobody_else),
		cmocka_unit_test(only_a_stale_socket_is_replaced),
	};
	return cmocka_run_group_tests_name("relay_loop", tests, NULL, NULL);
}
