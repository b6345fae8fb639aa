// SPDX-License-Identifier: Apache-2.0
#include "client/engine/roster.h"

struct roster_entry *roster_find(struct roster *roster, const struct id *participant)
{
	for (size_t i = 0; i < roster->count; i++) {
		if (text_id_equal(&roster->entries[i].member.participant, participant))
			return &roster->entries[i];
	}
	return NULL;
}

struct roster_entry *roster_at(struct roster *roster, uint32_t index)
{
	for (size_t i = 0; i < roster->count; i++) {
		if (!roster->entries[i].is_stale && roster->entries[i].member.index == index)
			return &roster->entries[i];
	}
	return NULL;
}

struct roster_entry *roster_set(struct roster *roster, uint32_t index, const struct id *participant, uint64_t now_ms)
{
	struct roster_entry *entry = roster_find(roster, participant);
	if (!entry) {
		if (roster->count == ROSTER_MAX)
			return NULL;
		entry = &roster->entries[roster->count++];
		*entry = (struct roster_entry){ .member.participant = *participant, .since_ms = now_ms };
	}
	if (entry->member.index != index || entry->is_stale)
		entry->refused = 0; // the relay knows nothing of it
	entry->member.index = index;
	entry->is_stale = false;
	return entry;
}

void roster_remove(struct roster *roster, struct roster_entry *entry)
{
	*entry = roster->entries[--roster->count];
}

void roster_set_stale(struct roster *roster, uint64_t now_ms)
{
	for (size_t i = 0; i < roster->count; i++) {
		if (roster->entries[i].is_stale)
			continue;
		roster->entries[i].is_stale = true;
		roster->entries[i].since_ms = now_ms;
	}
}
