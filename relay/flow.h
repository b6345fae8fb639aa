// Flows: what the control thread knows of each path (UDP, TLS) of each session, found by the handle that every packet
// carries. An array look-up; the generation in the handle tells former owners of an entry from the present one. The same
// index leads to the sender's entry in the forwarding table, where key, address and replay window are.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_FLOW_H
#define RELAY_FLOW_H

#include "base/hop.h"
#include "relay/loop.h"
#include "relay/path_check.h"
#include "relay/table.h"

struct member;

struct flow {
	struct member *member; // NULL: the entry is free
	enum hop_path path;
	uint32_t handle; // of type PACKET_MEDIA
	struct table *table;
	struct hop hop;  // keys and counters
	uint16_t open_streams; // bit for each stream that the table leads to its receivers
	// UDP only
	uint64_t told_ns; // when it was last sent something from a socket
	bool has_address; // false until a path challenge was answered
	struct loop_address address;
	struct path_check check;
};

struct flow_table;

// As many as the table has senders for clients.
struct flow_table *flow_table_new(const struct table_sizes *sizes);
void flow_table_free(struct flow_table *table); // all flows must be closed

struct flow_options {
	struct table *table;
	struct member *member;
	uint32_t room;  // its number in the table
	enum hop_path path;
	uint32_t index; // the participant's
	const struct hop_keys *keys;
	bool may_send;
	uint32_t ns_per_kib; // rate limit, 0: none
};
// Opens the sender's entry in the table, too. ERR_FULL or ERR_CRYPTO. A pointer stays valid until flow_close; freed entries rest as long as possible.
enum err flow_open(struct flow_table *table, const struct flow_options *options, struct flow **out) CHECK_RESULT;
void flow_close(struct flow_table *table, struct flow *flow);
// UDP: proven to be here, from now on the only address that its packets may come from.
void flow_move(struct flow *flow, const struct loop_address *to);
// A counter of the flow: may it still be taken (UDP)? Take it.
bool flow_is_fresh(const struct flow *flow, uint32_t counter);
bool flow_take(const struct flow *flow, uint32_t counter);
// By the handle of a packet of either type; NULL if it is nobody's.
struct flow *flow_find(const struct flow_table *table, uint32_t handle);

#endif
