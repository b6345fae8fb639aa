// Who receives what, written into the forwarding table: one block of receiver records for each set of members that wants
// a stream. A room has a default block, for streams that everybody wants; streams that the same members do not want
// share another. Changes are collected and written by receivers_flush, at the end of the wake-up in which they happened.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_RECEIVERS_H
#define RELAY_RECEIVERS_H

#include "base/control.h"
#include "relay/room.h"

struct relay;

// Something changed that decides who receives in this room, or where: members, rights, paths, addresses.
void receivers_changed(struct relay *relay, struct room *room);
// The same for every room: next hops, devices, engine.
void receivers_changed_all(struct relay *relay);
// Write what has changed. At the end of every wake-up. What the table has no room for, or what a room that changes all
// the time has no allowance for, is written by the next tick; who has left does not receive any more in any case.
void receivers_flush(struct relay *relay);
// Every 100 ms: what had to wait, sizes of histories, streams that have ended.
void receivers_tick(struct relay *relay, uint64_t now_ns);

// The flow's first packet of this stream: from now on the table leads it to its receivers. ERR_LIMIT: too many streams;
// ERR_FULL: no room in the table.
enum err receivers_open_stream(struct relay *relay, struct flow *flow, uint8_t stream) CHECK_RESULT;
// What the member wants of others, from now on.
void receivers_subscribe(struct relay *relay, struct member *member, const struct control_subscribe *message);
// The sender's catalogue has changed, and with it which streams may be shed.
void receivers_describe(struct relay *relay, struct member *sender);
// Before the member leaves the room, its flows closed: nothing of the table is its any more.
void receivers_forget(struct relay *relay, struct member *member);

#endif
