// The relay's sockets, opened while it may still open low ports. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_RELAY_SOCKET_H
#define RELAY_RELAY_SOCKET_H

#include "base/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RELAY_SOCKET_PROBLEM_MAX = 384, RELAY_SOCKET_BUFFER_BYTES = 8 << 20, RELAY_SOCKET_UNSENT_BYTES = 32768 };

// Non-blocking, IPv6 that also speaks IPv4. On failure `problem` is one line for people.
// `count` UDP sockets that share one port, flow by flow; with a DSCP for what they send.
enum err relay_socket_udp(const struct sockaddr_in6 *address, uint8_t dscp, size_t count, int *out,
			  char problem[static RELAY_SOCKET_PROBLEM_MAX]) CHECK_RESULT;
// Does the socket tell the marks of packets? That takes a right when it is opened.
bool relay_socket_has_marks(int descriptor);
enum err relay_socket_tcp(const struct sockaddr_in6 *address, int *out, char problem[static RELAY_SOCKET_PROBLEM_MAX]) CHECK_RESULT;
// A listening UNIX socket of SOCK_STREAM or SOCK_SEQPACKET; a stale one of a dead process is replaced, a live
// one is not. For its owner and group.
enum err relay_socket_unix(const char *path, int type, int *out, char problem[static RELAY_SOCKET_PROBLEM_MAX]) CHECK_RESULT;

// Options of an accepted or passed control connection, and who it is. ERR_IO: not a connected TCP socket.
enum err relay_socket_prepare_stream(int descriptor, struct sockaddr_in6 *peer) CHECK_RESULT;

#endif
