// SPDX-License-Identifier: Apache-2.0
#include "client/engine/subscriptions.h"

#include "base/packet.h"

static struct subscriptions_wish *find(const struct subscriptions *s, const struct id *participant, uint8_t stream)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct subscriptions_wish *wish = &s->wishes[i];
		if (wish->stream == stream && text_id_equal(&wish->participant, participant))
			return (struct subscriptions_wish *)wish;
	}
	return NULL;
}

enum err subscriptions_wish(struct subscriptions *s, const struct id *participant, uint8_t stream, bool is_wanted)
{
	if (stream >= ROSTER_STREAMS)
		return ERR_LIMIT;
	struct subscriptions_wish *wish = find(s, participant, stream);
	// That everything is wanted goes without saying.
	if (is_wanted && !s->is_audio_only) {
		if (wish)
			*wish = s->wishes[--s->count];
		return ERR_OK;
	}
	if (!wish && s->count == SUBSCRIPTIONS_MAX)
		return ERR_FULL;
	if (!wish)
		wish = &s->wishes[s->count++];
	*wish = (struct subscriptions_wish){ *participant, stream, is_wanted };
	return ERR_OK;
}

static uint16_t unwanted(const struct subscriptions *s, const struct roster_entry *entry)
{
	uint16_t bits = s->is_audio_only ? entry->pictures : 0;
	for (size_t i = 0; i < s->count; i++) {
		const struct subscriptions_wish *wish = &s->wishes[i];
		if (!text_id_equal(&wish->participant, &entry->member.participant))
			continue;
		if (wish->is_wanted)
			bits &= (uint16_t)~(1u << wish->stream);
		else
			bits |= (uint16_t)(1u << wish->stream);
	}
	return bits;
}

// False when the message has no room for all of it.
static bool tell(struct roster_entry *entry, uint16_t bits, struct control_subscribe *out)
{
	for (uint8_t stream = 0; stream < ROSTER_STREAMS; stream++) {
		uint16_t bit = (uint16_t)(1u << stream);
		if (!((bits ^ entry->refused) & bit))
			continue;
		if (out->count == CONTROL_SUBSCRIPTIONS_MAX)
			return false;
		out->subscription[out->count++] = (struct control_subscription){ packet_ssrc(entry->member.index, stream), !(bits & bit) };
		entry->refused ^= bit;
	}
	return true;
}

bool subscriptions_next(const struct subscriptions *s, struct roster *roster, struct control_subscribe *out)
{
	out->count = 0;
	for (size_t i = 0; i < roster->count; i++) {
		struct roster_entry *entry = &roster->entries[i];
		if (!entry->is_stale && !tell(entry, unwanted(s, entry), out))
			break;
	}
	return out->count > 0;
}
