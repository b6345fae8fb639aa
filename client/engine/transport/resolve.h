// Looking up a name without blocking: the system's resolver on a thread of its own, which may outlive the
// asker. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_TRANSPORT_RESOLVE_H
#define CLIENT_ENGINE_TRANSPORT_RESOLVE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { RESOLVE_ADDRESSES_MAX = 8 };

struct resolve_answer {
	size_t count; // at least one; families take turns (RFC 8305 section 4)
	struct sockaddr_storage address[RESOLVE_ADDRESSES_MAX];
};

struct resolve;

// `host`: a name or a literal address; copied.
enum err resolve_start(const char *host, uint16_t port, struct resolve **out) CHECK_RESULT;
int resolve_descriptor(const struct resolve *resolve); // readable when done
// ERR_AGAIN while it goes on; ERR_NOT_FOUND with the resolver's reason in *problem (static storage).
enum err resolve_finish(struct resolve *resolve, struct resolve_answer *out, const char **problem) CHECK_RESULT;
void resolve_free(struct resolve *resolve); // at any time

#endif
