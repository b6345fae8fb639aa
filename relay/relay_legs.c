// SPDX-License-Identifier: Apache-2.0
#include "relay/relay_legs.h"

#include <string.h>

static struct fanout_relay_key key_of(const struct sockaddr_in6 *peer)
{
	struct fanout_relay_key key = { .port_be = peer->sin6_port };
	memcpy(key.address, &peer->sin6_addr, sizeof(key.address));
	return key;
}

// Base and count are one 64-bit word, stored and loaded at once.
static uint64_t load_part(const struct fanout_relay *part) { return __atomic_load_n((const uint64_t *)part, __ATOMIC_RELAXED); }

static void store_part(struct fanout_relay *at, const struct fanout_relay *part)
{
	uint64_t word;
	memcpy(&word, part, sizeof(word));
	__atomic_store_n((uint64_t *)at, word, __ATOMIC_RELAXED);
}
_Static_assert(sizeof(struct fanout_relay) == sizeof(uint64_t), "one word");

enum err relay_legs_set(struct relay_legs *legs, const struct sockaddr_in6 *peer, const struct fanout_relay *part)
{
	struct fanout_relay_key key = key_of(peer);
	uint32_t i = 0;
	while (i < legs->count && memcmp(&legs->leg[i].key, &key, sizeof(key)) != 0)
		i++;
	if (i == RELAY_LEGS_MAX)
		return ERR_FULL;
	if (i == legs->count)
		legs->leg[i].key = key;
	store_part(&legs->leg[i].part, part);
	if (i == legs->count)
		__atomic_store_n(&legs->count, i + 1, __ATOMIC_RELEASE);
	return ERR_OK;
}

bool relay_legs_find(const struct relay_legs *legs, const struct sockaddr_in6 *peer, uint32_t index, uint32_t *entry)
{
	struct fanout_relay_key key = key_of(peer);
	uint32_t count = __atomic_load_n(&legs->count, __ATOMIC_ACQUIRE);
	for (uint32_t i = 0; i < count; i++) {
		if (memcmp(&legs->leg[i].key, &key, sizeof(key)) != 0)
			continue;
		uint64_t word = load_part(&legs->leg[i].part);
		struct fanout_relay part;
		memcpy(&part, &word, sizeof(part));
		*entry = part.base + index;
		return index < part.count;
	}
	return false;
}
