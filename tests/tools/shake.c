// A flood of TLS handshakes: connections that make the server do all of its part, keys and signature, and then hang up.
// SPDX-License-Identifier: Apache-2.0
#include "base/control.h"
#include "base/tls_conn.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 64, BYTES_MAX = 16384, PATIENCE_S = 2 };

static const char usage_text[] =
	"usage: shake ADDRESS PORT NAME THREADS SECONDS\n"
	"Each thread opens one connection after the other. Prints JSON: connections, answered (the server did its part), refused.\n";

struct flood {
	struct sockaddr_in to;
	const char *name;
	struct tls_context *context;
	uint64_t end_ns;
	atomic_uint_fast64_t connections, answered, refused;
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

// One step with a blocking socket. False: the connection is over.
static bool exchange(struct tls_conn *tls, int fd)
{
	uint8_t bytes[BYTES_MAX];
	size_t size;
	while ((size = tls_conn_take(tls, bytes, sizeof(bytes))) > 0) {
		if (send(fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size)
			return false;
	}
	ssize_t got = recv(fd, bytes, sizeof(bytes), 0);
	return got > 0 && tls_conn_feed(tls, bytes, (size_t)got) == ERR_OK;
}

// The pin is nobody's: that it is found wrong says that the server has signed.
static bool is_answered(struct flood *flood, int fd)
{
	struct tls_conn *tls;
	if (tls_conn_new(flood->context, flood->name, &tls))
		return false;
	enum err err = tls_conn_handshake(tls);
	while (err == ERR_AGAIN && exchange(tls, fd))
		err = tls_conn_handshake(tls);
	tls_conn_free(tls);
	return err == ERR_AUTH;
}

static int connect_to(const struct flood *flood)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	const struct linger none = { .l_onoff = 1 }; // no port is kept for what is over
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	if (connect(fd, (const struct sockaddr *)&flood->to, sizeof(flood->to)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void *run(void *context)
{
	struct flood *flood = context;
	while (now_ns() < flood->end_ns) {
		int fd = connect_to(flood);
		if (fd < 0) {
			flood->refused++;
			continue;
		}
		flood->connections++;
		if (is_answered(flood, fd))
			flood->answered++;
		else
			flood->refused++;
		close(fd);
	}
	return NULL;
}

static bool parse_number(const char *text, unsigned long most, unsigned long *out)
{
	char *end;
	*out = strtoul(text, &end, 10);
	return *text && !*end && *out > 0 && *out <= most;
}

int main(int argc, char **argv)
{
	static struct flood flood;
	static const struct token_pins nobody = { .count = 1 };
	pthread_t thread[THREADS_MAX];
	unsigned long port, threads, seconds, started = 0;
	if (argc != 6 || !parse_number(argv[2], 65535, &port) || !parse_number(argv[4], THREADS_MAX, &threads) ||
	    !parse_number(argv[5], 600, &seconds) || inet_pton(AF_INET, argv[1], &flood.to.sin_addr) != 1) {
		fputs(usage_text, stderr);
		return 2;
	}
	flood.to.sin_family = AF_INET;
	flood.to.sin_port = htons((uint16_t)port);
	flood.name = argv[3];
	flood.end_ns = now_ns() + seconds * 1000000000u;
	const struct tls_context_options options = { .alpn = CONTROL_ALPN, .pins = &nobody };
	if (tls_context_new(&options, &flood.context)) {
		fputs("shake: no TLS\n", stderr);
		return 1;
	}
	while (started < threads && pthread_create(&thread[started], NULL, run, &flood) == 0)
		started++;
	for (unsigned long i = 0; i < started; i++)
		pthread_join(thread[i], NULL);
	printf("{\"connections\":%" PRIuFAST64 ",\"answered\":%" PRIuFAST64 ",\"refused\":%" PRIuFAST64 "}\n", atomic_load(&flood.connections),
	       atomic_load(&flood.answered), atomic_load(&flood.refused));
	tls_context_free(flood.context);
	return 0;
}
