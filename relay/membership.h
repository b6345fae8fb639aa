// A joined session's part in its meeting: joining, messages, leaving, and what the others are told of it.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_MEMBERSHIP_H
#define RELAY_MEMBERSHIP_H

#include "base/control.h"

struct tcs_session;

// Check a JOIN; WELCOME and what there is to know of the others, or doom the session. Sets session->member; or is_waiting,
// if the table's places that are free now all rest: to be tried again with the next tick.
void membership_join(struct tcs_session *session, const struct control_join *join);
void membership_message(struct tcs_session *session, const struct control_message *message);
// Announcements that were held back because they came too fast.
void membership_tick(struct tcs_session *session, uint64_t now_ns);
// Tell the others, close the flows, leave the room.
void membership_leave(struct tcs_session *session, enum control_end reason);

#endif
