// SPDX-License-Identifier: Apache-2.0
#include "relay/relay_socket.h"

#include "base/log.h"
#include "relay/relay_address.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024, BUFFER_WANTED_BYTES = 1 << 20, TRIES = 20, TRY_PAUSE_US = 50000 };

static bool set(int descriptor, int level, int option, int value)
{
	return setsockopt(descriptor, level, option, &value, sizeof(value)) == 0;
}

// After a kill the ports of the dead relay are in use for some moments more: the kernel clears io_uring's
// references in its own time. A relay that is started again at once must not fail for that.
static bool bind_patiently(int descriptor, const struct sockaddr *address, socklen_t size)
{
	for (int try = 0; try < TRIES; try++) {
		if (bind(descriptor, address, size) == 0)
			return true;
		if (errno != EADDRINUSE)
			return false;
		usleep(TRY_PAUSE_US);
	}
	errno = EADDRINUSE;
	return false;
}

static enum err fail(int descriptor, const char *what, const char *name, char problem[static RELAY_SOCKET_PROBLEM_MAX])
{
	snprintf(problem, RELAY_SOCKET_PROBLEM_MAX, "%s %.300s: %s", what, name, strerror(errno));
	if (descriptor >= 0)
		close(descriptor);
	return ERR_IO;
}

// Room for a burst: every sender's key frame at once. As root beyond the system's limit, else up to it.
static void size_buffers(int descriptor)
{
	int got = 0;
	socklen_t size = sizeof(got);
	if (!set(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, RELAY_SOCKET_BUFFER_BYTES))
		(void)set(descriptor, SOL_SOCKET, SO_RCVBUF, RELAY_SOCKET_BUFFER_BYTES);
	if (!set(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, RELAY_SOCKET_BUFFER_BYTES))
		(void)set(descriptor, SOL_SOCKET, SO_SNDBUF, RELAY_SOCKET_BUFFER_BYTES);
	if (getsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &got, &size) == 0 && got < BUFFER_WANTED_BYTES)
		log_line(LOG_WARNING, "UDP receive buffer of %d bytes only: bursts may be lost; raise net.core.rmem_max", got);
}

bool relay_socket_has_marks(int descriptor)
{
	int value = 0;
	socklen_t size = sizeof(value);
	return getsockopt(descriptor, SOL_SOCKET, SO_RCVMARK, &value, &size) == 0 && value != 0;
}

// What a datagram tells: when it came, to which own address, whether the kernel has multiplied it, and whether it is a
// whole train.
static bool set_told(int s)
{
	(void)set(s, SOL_SOCKET, SO_RCVMARK, 1);
	(void)set(s, IPPROTO_UDP, UDP_GRO, 1);
	return set(s, SOL_SOCKET, SO_TIMESTAMPNS, 1) && set(s, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
}

static int open_udp(const struct sockaddr_in6 *address, bool is_shared)
{
	int s = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s < 0)
		return -1;
	if (set(s, IPPROTO_IPV6, IPV6_V6ONLY, 0) && (!is_shared || set(s, SOL_SOCKET, SO_REUSEPORT, 1)) && set_told(s) &&
	    bind_patiently(s, (const struct sockaddr *)address, sizeof(*address)))
		return s;
	int error = errno;
	close(s);
	errno = error;
	return -1;
}

// A shared port would also be shared with another relay: somebody else's is to be noticed.
static bool is_free(const struct sockaddr_in6 *address)
{
	int s = open_udp(address, false);
	if (s >= 0)
		close(s);
	return s >= 0;
}

static void shape_udp(int s, uint8_t dscp)
{
	// Our packets are small enough for every path; never let them be cut or black-holed by a cached MTU.
	(void)set(s, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
	(void)set(s, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
	(void)set(s, IPPROTO_IPV6, IPV6_TCLASS, dscp << 2);
	(void)set(s, IPPROTO_IP, IP_TOS, dscp << 2);
	size_buffers(s);
}

enum err relay_socket_udp(const struct sockaddr_in6 *address, uint8_t dscp, size_t count, int *out,
			  char problem[static RELAY_SOCKET_PROBLEM_MAX])
{
	char name[RELAY_ADDRESS_TEXT_MAX];
	relay_address_emit(address, name);
	bool is_shared = count > 1 && address->sin6_port != 0;
	if (is_shared && !is_free(address))
		return fail(-1, "cannot open UDP port", name, problem);
	for (size_t i = 0; i < count; i++) {
		out[i] = open_udp(address, is_shared);
		if (out[i] < 0) {
			enum err err = fail(-1, "cannot open UDP port", name, problem);
			while (i-- > 0)
				close(out[i]);
			return err;
		}
		shape_udp(out[i], dscp);
	}
	return ERR_OK;
}

enum err relay_socket_tcp(const struct sockaddr_in6 *address, int *out, char problem[static RELAY_SOCKET_PROBLEM_MAX])
{
	char name[RELAY_ADDRESS_TEXT_MAX];
	relay_address_emit(address, name);
	int s = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s < 0 || !set(s, IPPROTO_IPV6, IPV6_V6ONLY, 0) || !set(s, SOL_SOCKET, SO_REUSEADDR, 1) ||
	    !bind_patiently(s, (const struct sockaddr *)address, sizeof(*address)) || listen(s, BACKLOG) != 0)
		return fail(s, "cannot open TCP port", name, problem);
	*out = s;
	return ERR_OK;
}

// A socket that nobody listens on any more is left over from a process that was killed.
static void remove_stale(const struct sockaddr_un *address, int type)
{
	struct stat status;
	int s = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (s < 0)
		return;
	if (connect(s, (const struct sockaddr *)address, sizeof(*address)) != 0 && errno == ECONNREFUSED &&
	    lstat(address->sun_path, &status) == 0 && S_ISSOCK(status.st_mode))
		(void)unlink(address->sun_path);
	close(s);
}

enum err relay_socket_unix(const char *path, int type, int *out, char problem[static RELAY_SOCKET_PROBLEM_MAX])
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return fail(-1, "cannot open socket", path, problem);
	}
	strcpy(address.sun_path, path);
	remove_stale(&address, type);
	int s = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mode_t before = umask(0117);
	bool is_bound = s >= 0 && bind(s, (const struct sockaddr *)&address, sizeof(address)) == 0;
	umask(before);
	if (!is_bound || listen(s, BACKLOG) != 0)
		return fail(s, "cannot open socket", path, problem);
	*out = s;
	return ERR_OK;
}

enum err relay_socket_prepare_stream(int descriptor, struct sockaddr_in6 *peer)
{
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof(address);
	int flags = fcntl(descriptor, F_GETFL);
	if (getpeername(descriptor, (struct sockaddr *)&address, &size) != 0 || flags < 0 ||
	    fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0)
		return ERR_IO;
	if (address.ss_family == AF_INET6) {
		memcpy(peer, &address, sizeof(*peer));
	} else if (address.ss_family == AF_INET) { // the mux may listen on IPv4 only
		struct sockaddr_in v4;
		memcpy(&v4, &address, sizeof(v4));
		*peer = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = v4.sin_port };
		peer->sin6_addr.s6_addr[10] = peer->sin6_addr.s6_addr[11] = 0xff;
		memcpy(peer->sin6_addr.s6_addr + 12, &v4.sin_addr, 4);
	} else {
		return ERR_IO;
	}
	// Small unsent queue: what waits, waits in our memory, where media can still be dropped.
	if (!set(descriptor, IPPROTO_TCP, TCP_NODELAY, 1) ||
	    !set(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, RELAY_SOCKET_UNSENT_BYTES))
		return ERR_IO;
	(void)set(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1);
	(void)set(descriptor, SOL_SOCKET, SO_TIMESTAMPNS, 1);
	return ERR_OK;
}
