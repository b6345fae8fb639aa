// What the relay and its manager process tell each other: one fixed-size message a datagram on a
// SOCK_SEQPACKET pair. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_MANAGER_MESSAGE_H
#define RELAY_MANAGER_MESSAGE_H

#include "base/err.h"
#include "base/text.h"

#include <stddef.h>
#include <stdint.h>

enum manager_message_type {
	// manager to relay
	MANAGER_ENDED = 1,     // meeting, until
	MANAGER_REMOVED = 2,   // meeting, participant, until
	MANAGER_SYNCED = 3,    // all that was true when the connection was made has been told
	MANAGER_CONNECTION = 4, // number: 1 made, 0 lost
	// relay to manager
	MANAGER_REPORT = 16,   // a report follows: so many meetings in `number`
	MANAGER_MEETING = 17,  // meeting, number of participants
	MANAGER_SYNC_JOURNAL = 18, // write the journal through to the disk: it would keep media waiting
};

enum { MANAGER_MESSAGE_BYTES = 1 + 4 + 8 + 16 + 16 };

struct manager_message {
	enum manager_message_type type;
	uint32_t number;
	uint64_t until; // Unix seconds
	struct id meeting, participant;
};

void manager_message_emit(const struct manager_message *message, uint8_t out[static MANAGER_MESSAGE_BYTES]);
// ERR_PARSE for another size, an unknown type, or fields that a type does not have.
enum err manager_message_parse(const uint8_t *bytes, size_t size, struct manager_message *out) CHECK_RESULT;
// Non-blocking. ERR_AGAIN, ERR_CLOSED, ERR_PARSE.
enum err manager_message_send(int descriptor, const struct manager_message *message) CHECK_RESULT;
enum err manager_message_receive(int descriptor, struct manager_message *out) CHECK_RESULT;

#endif
