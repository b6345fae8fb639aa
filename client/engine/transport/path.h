// Which way media goes, UDP or TLS: the rules of docs/protocol.md section 3, without sockets or clocks.
// All times are milliseconds of one monotonic clock. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_TRANSPORT_PATH_H
#define CLIENT_ENGINE_TRANSPORT_PATH_H

#include "base/hop.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	PATH_PROBE_MS = 200,       // between keepalives while one is unanswered
	PATH_KEEPALIVE_MS = 1000,  // between answered ones
	PATH_SILENCE_MS = 2000,    // nothing heard: back to TLS
	PATH_UNANSWERED_MS = 3000, // media still comes, but what we send does not arrive
	PATH_ASK_MS = 1000,        // between requests for UDP that were not granted
	PATH_REOPEN_MS = 5000,     // a new socket, for the routes may have changed
};

enum path_mode { PATH_AUTO, PATH_UDP_ONLY, PATH_TLS_ONLY };

enum path_action {
	PATH_SEND_KEEPALIVE = 1,
	PATH_REQUEST_UDP = 2, // send CONTROL_PATH
	PATH_REQUEST_TLS = 4,
	PATH_REOPEN = 8,      // open a new UDP socket before the keepalive
};

struct path {
	enum path_mode mode;
	bool has_udp;
	bool is_udp;           // granted: media goes over UDP
	bool is_answered;      // the last keepalive was
	bool is_proven;        // answered since UDP was last given up
	bool is_udp_requested; // the last request was for UDP
	uint64_t next_keepalive_ms, next_request_ms, next_reopen_ms;
	uint64_t heard_ms, answered_ms; // last time; start of the path before that
};

void path_init(struct path *path, enum path_mode mode, bool has_udp, uint64_t now_ms);
// Something authentic came over UDP.
void path_heard(struct path *path, uint64_t now_ms);
// A keepalive of ours was answered over UDP.
void path_answered(struct path *path, uint64_t now_ms);
// CONTROL_PATH_IS. True if the path has changed.
bool path_granted(struct path *path, enum hop_path granted);
// What to do now, a set of enum path_action.
unsigned path_tick(struct path *path, uint64_t now_ms);
// Milliseconds until path_tick has something to do, -1: never.
int path_timeout_ms(const struct path *path, uint64_t now_ms);
// May media be sent, and how? False: not at all for now.
bool path_for_media(const struct path *path, enum hop_path *out);

#endif
