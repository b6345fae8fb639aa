// Who is in the meeting, as the relay says and the announcements prove. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_ROSTER_H
#define CLIENT_ENGINE_ROSTER_H

#include "client/engine/engine.h"

enum { ROSTER_MAX = 512, ROSTER_STREAMS = 16 };

struct roster_entry {
	struct engine_member member;
	uint64_t since_ms; // came, or last connection lost
	bool is_told;      // the caller knows
	bool is_stale;     // was here before the connection broke, not confirmed since
	// By stream number: which are pictures, by its catalogue; which the relay was told on this connection not to send.
	uint16_t pictures, refused;
};

struct roster {
	size_t count;
	struct roster_entry entries[ROSTER_MAX];
};

struct roster_entry *roster_find(struct roster *roster, const struct id *participant);
struct roster_entry *roster_at(struct roster *roster, uint32_t index); // confirmed ones only
// The entry of `participant`, made if it is not there. NULL when full.
struct roster_entry *roster_set(struct roster *roster, uint32_t index, const struct id *participant, uint64_t now_ms);
void roster_remove(struct roster *roster, struct roster_entry *entry);
// The connection broke: everybody has to be confirmed anew.
void roster_set_stale(struct roster *roster, uint64_t now_ms);

#endif
