// SPDX-License-Identifier: Apache-2.0
#include "relay/path_check.h"

#include "base/cursor.h"
#include "base/log.h"
#include "base/secret.h"
#include "relay/feedback.h"
#include "relay/receivers.h"
#include "relay/relay.h"
#include "relay/relay_address.h"
#include "relay/upward.h"

#include <string.h>

#define NS_PER_S 1000000000u

enum err path_check_init(struct path_check *check, uint32_t index, uint32_t handle, const struct hop_keys *keys)
{
	return hop_init(&check->probe, HOP_RELAY, index, handle, keys);
}

void path_check_fini(struct path_check *check) { hop_fini(&check->probe); }

static void make_cookie(const struct relay *relay, const struct flow *flow, const struct sockaddr_in6 *address, uint64_t slot,
			uint8_t cookie[static HOP_COOKIE_BYTES])
{
	uint8_t input[1 + 4 + 16 + 2 + 8];
	for (uint8_t half = 0; half < 2; half++) {
		struct cursor c = cursor_writer(input, sizeof(input));
		cursor_write_u8(&c, half);
		cursor_write_u32(&c, flow->handle);
		cursor_write_bytes(&c, address->sin6_addr.s6_addr, 16);
		cursor_write_bytes(&c, (const uint8_t *)&address->sin6_port, 2);
		cursor_write_u64(&c, slot);
		uint64_t word = packet_siphash(relay->cookie_key, input, sizeof(input));
		memcpy(cookie + half * sizeof(word), &word, sizeof(word));
	}
}

// At most one challenge to an address every 50 ms, and some more in all.
static bool is_allowed(struct path_check *check, const struct sockaddr_in6 *address, uint64_t now_ns)
{
	if (check->second != now_ns / NS_PER_S) {
		check->second = now_ns / NS_PER_S;
		check->sent = 0;
	}
	for (size_t i = 0; i < PATH_CHECK_ADDRESSES; i++) {
		if (!relay_address_is_equal(&check->recent[i].address, address))
			continue;
		if (now_ns - check->recent[i].sent_ns < PATH_CHECK_PAUSE_NS)
			return false;
		check->recent[i].sent_ns = now_ns;
		return check->sent++ < PATH_CHECK_BURST;
	}
	if (check->sent++ >= PATH_CHECK_BURST)
		return false;
	check->recent[check->next_recent].address = *address;
	check->recent[check->next_recent].sent_ns = now_ns;
	check->next_recent = (check->next_recent + 1) % PATH_CHECK_ADDRESSES;
	return true;
}

static void challenge(struct relay *relay, struct flow *flow, const struct loop_address *from, size_t size)
{
	uint64_t now_ns = relay_now_ns(relay);
	if (!is_allowed(&flow->check, &from->peer, now_ns)) {
		relay_stats_add(&relay->stats, STATS_challenge_rate, 1);
		return;
	}
	struct hop_message message = { .kind = HOP_CHALLENGE };
	make_cookie(relay, flow, &from->peer, now_ns / PATH_CHECK_COOKIE_NS, message.cookie);
	uint8_t *bytes = outbox_own(relay->outbox);
	size_t used = 0;
	if (hop_emit(&flow->hop, &message, bytes, &used))
		return;
	if (used > size) {
		relay_stats_add(&relay->stats, STATS_challenge_size, 1);
		return;
	}
	relay_stats_add(&relay->stats, STATS_challenges_sent, 1);
	outbox_add(relay->outbox, from, bytes, used);
}

static bool is_cookie_good(const struct relay *relay, const struct flow *flow, const struct sockaddr_in6 *address,
			   const uint8_t cookie[static HOP_COOKIE_BYTES])
{
	uint64_t slot = relay_now_ns(relay) / PATH_CHECK_COOKIE_NS;
	for (uint64_t age = 0; age < 2 && age <= slot; age++) {
		uint8_t wanted[HOP_COOKIE_BYTES];
		make_cookie(relay, flow, address, slot - age, wanted);
		if (secret_equal(wanted, cookie, sizeof(wanted)))
			return true;
	}
	return false;
}

static void respond(struct relay *relay, struct flow *flow, const struct loop_address *from,
		    const struct hop_message *message, uint32_t counter)
{
	if (!is_cookie_good(relay, flow, &from->peer, message->cookie)) {
		relay_stats_add(&relay->stats, STATS_response_wrong, 1);
		return;
	}
	// Now the packet is proven to come from the client: an old answer, sent again, must not move it back.
	if (!flow_take(flow, counter)) {
		upward_drop(relay, FANOUT_counter_replayed);
		return;
	}
	char text[RELAY_ADDRESS_TEXT_MAX];
	relay_address_emit(&from->peer, text);
	log_line(LOG_DEBUG, "handle %08x: UDP path %s %s", flow->handle, flow->has_address ? "moved to" : "is", text);
	flow_move(flow, from);
	receivers_changed(relay, flow->member->room);
	relay_stats_add(&relay->stats, STATS_addresses_moved, 1);
	feedback_send(relay, flow->member, HOP_PATH_UDP, &(struct hop_message){ .kind = HOP_KEEPALIVE }); // so that it knows
}

void path_check_foreign(struct relay *relay, struct flow *flow, const struct loop_address *from, uint8_t *bytes, size_t size)
{
	struct packet_header header;
	if (!relay_address_is_usable(&from->peer)) {
		relay_stats_add(&relay->stats, STATS_address_refused, 1);
		return;
	}
	if (packet_parse(bytes, size, &header))
		return;
	if (!flow_is_fresh(flow, header.counter)) {
		upward_drop(relay, FANOUT_counter_replayed);
		return;
	}
	struct hop_message message;
	if (packet_handle_type(header.handle) == PACKET_HOP && !hop_parse(&flow->check.probe, bytes, size, &message) &&
	    message.kind == HOP_RESPONSE) {
		respond(relay, flow, from, &message, header.counter);
		return;
	}
	if (flow->has_address) // else it is how every UDP path begins
		upward_drop(relay, FANOUT_address_foreign);
	challenge(relay, flow, from, size);
}
