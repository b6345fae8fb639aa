// SPDX-License-Identifier: Apache-2.0
#include "client/engine/transport/resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { HOST_MAX = 253, THREAD_STACK_BYTES = 256 * 1024 };

struct resolve {
	atomic_int references; // the asker and the thread
	atomic_bool is_done;
	int descriptor;
	int status; // of getaddrinfo
	char host[HOST_MAX + 1];
	char port[6];
	struct resolve_answer answer;
};

static void unref(struct resolve *resolve)
{
	if (atomic_fetch_sub(&resolve->references, 1) != 1)
		return;
	close(resolve->descriptor);
	free(resolve);
}

// Take the answers of both families in turn, so that one broken family costs one attempt.
static void interleave(const struct addrinfo *found, struct resolve_answer *out)
{
	const struct addrinfo *next[2] = { found, found };
	int want = found->ai_family;
	bool has_missed = false;
	while (out->count < RESOLVE_ADDRESSES_MAX) {
		const struct addrinfo **at = &next[want == AF_INET6];
		while (*at && (*at)->ai_family != want)
			*at = (*at)->ai_next;
		if (*at) {
			memcpy(&out->address[out->count++], (*at)->ai_addr, (*at)->ai_addrlen);
			*at = (*at)->ai_next;
			has_missed = false;
		} else if (has_missed) {
			return;
		} else {
			has_missed = true;
		}
		want = want == AF_INET ? AF_INET6 : AF_INET;
	}
}

static void *look_up(void *argument)
{
	struct resolve *resolve = argument;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *found = NULL;
	resolve->status = getaddrinfo(resolve->host, resolve->port, &hints, &found);
	if (resolve->status == 0) {
		interleave(found, &resolve->answer);
		freeaddrinfo(found);
	}
	atomic_store(&resolve->is_done, true);
	(void)eventfd_write(resolve->descriptor, 1);
	unref(resolve);
	return NULL;
}

static enum err start_thread(struct resolve *resolve)
{
	pthread_attr_t attributes;
	pthread_t thread;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
	int failed = pthread_create(&thread, &attributes, look_up, resolve);
	pthread_attr_destroy(&attributes);
	return failed ? ERR_NOMEM : ERR_OK;
}

enum err resolve_start(const char *host, uint16_t port, struct resolve **out)
{
	if (strlen(host) > HOST_MAX)
		return ERR_LIMIT;
	struct resolve *resolve = calloc(1, sizeof(*resolve));
	if (!resolve)
		return ERR_NOMEM;
	atomic_init(&resolve->references, 2);
	strcpy(resolve->host, host);
	snprintf(resolve->port, sizeof(resolve->port), "%u", port);
	resolve->descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	enum err err = resolve->descriptor < 0 ? ERR_IO : start_thread(resolve);
	if (err) {
		if (resolve->descriptor >= 0)
			close(resolve->descriptor);
		free(resolve);
		return err;
	}
	*out = resolve;
	return ERR_OK;
}

int resolve_descriptor(const struct resolve *resolve)
{
	return resolve->descriptor;
}

enum err resolve_finish(struct resolve *resolve, struct resolve_answer *out, const char **problem)
{
	if (!atomic_load(&resolve->is_done))
		return ERR_AGAIN;
	if (resolve->status || resolve->answer.count == 0) {
		*problem = resolve->status ? gai_strerror(resolve->status) : "no address";
		return ERR_NOT_FOUND;
	}
	*out = resolve->answer;
	return ERR_OK;
}

void resolve_free(struct resolve *resolve)
{
	if (resolve)
		unref(resolve);
}
