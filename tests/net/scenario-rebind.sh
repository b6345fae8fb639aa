#!/bin/bash
# Ports and addresses change in the middle of a meeting: audio goes on.
#
#   client-1 ── impair: other UDP port at 2 s, other UDP address at 5 s ──┐
#   client-2 ── impair: other address for everything at 4 s ─────────────┼── server: tmms, tcs
#   client-3 ── veth ────────────────────────────────────────────────────┘
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=60
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/meeting.sh"

lab_server
lab_client 1 --arm --case rebind-port=2s,udp --case rebind-addr=5s,10.77.1.99,udp
lab_client 2 --arm --case rebind-addr=4s,10.77.2.88
lab_client 3
start_servers
enrol 1 2 3
make_media 1 2 3
create_meeting 1

join 3 14
lab_until 5 has_event 3 joined
join 1 13
join 2 12
wait_media 2 1 2 3
lab_until 5 has_event 1 path
lab_until 5 has_event 2 path
lab_until 5 has_event 3 path
sleep 0.5
lab_arm
wait_left 2 1 3
lab_link_stop 1
lab_link_stop 2

lab_json "bindings changed for client-1" "$lab/link-1.json" '.bindings >= 2'
lab_json "bindings changed for client-2" "$lab/link-2.json" '.bindings >= 1'
lab_json "client-1 kept its connection, and is on UDP again" "$lab/result-1.json" '.connections == 1 and .path == "udp"'
lab_json "client-2 lost its connection and came back" "$lab/result-2.json" '.connections == 2'
lab_more "the relay moved addresses after a path check" "$(relay_counter addresses_moved)" 4
lab_less "client-3 hears client-1: gap when only UDP moved" "$(longest_gap 3 1)" 0.5
lab_less "client-1 hears client-3: gap when only UDP moved" "$(longest_gap 1 3)" 2.5
lab_less "client-3 hears client-2: gap when everything moved" "$(longest_gap 3 2)" 5
lab_less "client-2 hears client-3: gap when everything moved" "$(longest_gap 2 3)" 5
stream_json "client-3 hears client-1 to the end" 3 1 audio '.frames > 400'
stream_json "client-3 hears client-2 to the end" 3 2 audio '.frames > 300'
for n in 1 2 3; do
	lab_json "client-$n: nothing failed to decrypt" "$lab/result-$n.json" '.decrypt_failures == 0'
done
