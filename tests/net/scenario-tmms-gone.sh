#!/bin/bash
# tmms is killed in the middle of a meeting: the meeting goes on, who loses the connection comes back with the ticket
# it has, new joins fail with a clear line, and work again once tmms is back.
#
#   client-1 ── veth ─────────────────────────────────────┐
#   client-2 ── impair: nothing passes for a while, twice ┼── server: tmms (kill -9, restarted), tcs
#   client-3 ── veth ─────────────────────────────────────┘
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=80
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/meeting.sh"

lab_server
lab_client 1
lab_client 2 --arm --case rebind-addr=1s,10.77.2.88
lab_client 3
start_servers
enrol 1 2 3
make_media 1 2 3
create_meeting 1

join 1 18
join 2 14
wait_media 1 1 2
kill_server tmms
lab_check "tmms is gone" bash -c "! ip netns exec server tmmsctl --socket '$lab/tmms.sock' status"
# The address of client-2 changes: its connection breaks, and tmms cannot give it another ticket.
lab_arm
join 3 3
status=0
wait "${join_pid[3]}" || status=$?
lab_check "a new join without tmms fails" test $status = 1
events 3 >"$lab/refused.json"
lab_json "... and says why" "$lab/refused.json" 'last(.[] | select(.event == "ended")).problem | length > 20 and (contains("\n") | not)'
start_tmms
join 3 4
wait_media 2 3
wait_left 3 2 1

lab_json "client-1 never lost its connection" "$lab/result-1.json" '.connections == 1'
lab_json "client-2 came back with its ticket" "$lab/result-2.json" '.connections == 2'
lab_less "client-1 hears client-2: gap while it came back" "$(longest_gap 1 2)" 5
lab_less "client-2 hears client-1: gap while it came back" "$(longest_gap 2 1)" 5
stream_json "client-3, after the restart, hears client-1" 3 1 audio '.frames > 100'
stream_json "client-1 hears client-3 after the restart" 1 3 audio '.frames > 100'
lab_json "users and meetings are still there" <(ctl_tmms status --json) '.users == 3 and .meetings_open == 1'
