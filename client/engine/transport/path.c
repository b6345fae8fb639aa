// SPDX-License-Identifier: Apache-2.0
#include "client/engine/transport/path.h"

static bool tries_udp(const struct path *path)
{
	return path->has_udp && path->mode != PATH_TLS_ONLY;
}

void path_init(struct path *path, enum path_mode mode, bool has_udp, uint64_t now_ms)
{
	*path = (struct path){ .mode = mode, .has_udp = has_udp, .next_keepalive_ms = now_ms, .next_request_ms = now_ms,
			       .next_reopen_ms = now_ms + PATH_REOPEN_MS, .heard_ms = now_ms, .answered_ms = now_ms };
}

void path_heard(struct path *path, uint64_t now_ms)
{
	path->heard_ms = now_ms;
}

void path_answered(struct path *path, uint64_t now_ms)
{
	path->heard_ms = path->answered_ms = now_ms;
	path->is_proven = true;
	if (!path->is_answered) {
		path->is_answered = true;
		path->next_keepalive_ms = now_ms + PATH_KEEPALIVE_MS;
	}
}

bool path_granted(struct path *path, enum hop_path granted)
{
	bool was_udp = path->is_udp;
	if (granted == HOP_PATH_TLS)
		path->is_udp = false;
	else if (path->is_udp_requested) // else it crossed our request for TLS
		path->is_udp = true;
	return path->is_udp != was_udp;
}

static bool is_lost(const struct path *path, uint64_t now_ms)
{
	return now_ms - path->heard_ms >= PATH_SILENCE_MS || now_ms - path->answered_ms >= PATH_UNANSWERED_MS;
}

unsigned path_tick(struct path *path, uint64_t now_ms)
{
	unsigned actions = 0;
	if (!tries_udp(path))
		return 0;
	if (path->is_udp_requested && is_lost(path, now_ms)) {
		path->is_proven = false;
		if (path->mode == PATH_AUTO) {
			path->is_udp = path->is_udp_requested = false;
			actions |= PATH_REQUEST_TLS;
		}
	}
	if (!path->is_udp && path->is_proven && now_ms >= path->next_request_ms) {
		path->is_udp_requested = true;
		path->next_request_ms = now_ms + PATH_ASK_MS;
		actions |= PATH_REQUEST_UDP;
	}
	if (now_ms >= path->next_keepalive_ms) {
		path->is_answered = false;
		path->next_keepalive_ms = now_ms + PATH_PROBE_MS;
		actions |= PATH_SEND_KEEPALIVE;
	}
	if (now_ms >= path->next_reopen_ms) {
		path->next_reopen_ms = now_ms + PATH_REOPEN_MS;
		if (is_lost(path, now_ms))
			actions |= PATH_REOPEN;
	}
	return actions;
}

static void sooner(int *timeout, uint64_t at_ms, uint64_t now_ms)
{
	int left = at_ms > now_ms ? (int)(at_ms - now_ms) : 0;
	if (*timeout < 0 || left < *timeout)
		*timeout = left;
}

int path_timeout_ms(const struct path *path, uint64_t now_ms)
{
	int timeout = -1;
	if (!tries_udp(path))
		return -1;
	sooner(&timeout, path->next_keepalive_ms, now_ms);
	sooner(&timeout, path->next_reopen_ms, now_ms);
	if (!path->is_udp && path->is_proven)
		sooner(&timeout, path->next_request_ms, now_ms);
	return timeout;
}

bool path_for_media(const struct path *path, enum hop_path *out)
{
	*out = path->is_udp ? HOP_PATH_UDP : HOP_PATH_TLS;
	return path->is_udp || path->mode != PATH_UDP_ONLY;
}
