#!/bin/bash
# 5 % loss and 30 ms of jitter in both directions: the meeting holds, losses are shown, all streams go on.
#
#   client-1 ── impair: 5 %, 20 ± 30 ms ──┐
#   client-2 ── veth ─────────────────────┼── server: tmms, tcs
#   client-3 ── impair: bursts of 3 ──────┘
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=60
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/meeting.sh"

lab_server
lab_client 1 --both delay=30ms,jitter=30ms,loss=5%
lab_client 2
lab_client 3 --both delay=20ms,jitter=5ms,ge=1%:33%
start_servers
enrol 1 2 3
make_media 1 2 3
create_meeting 2

join 2 14 "${VIDEO[@]}"
lab_until 8 has_event 2 joined
join 1 11 "${VIDEO[@]}"
lab_until 8 has_event 1 joined
join 3 9 "${VIDEO[@]}"
wait_media 4 1 2 3
wait_left 3 1 2
lab_link_stop 1
lab_link_stop 3

lab_json "the router did lose 5 % of client-1's packets" "$lab/link-1.json" \
	'.up.lost / .up.packets > 0.03 and .up.lost / .up.packets < 0.07 and .down.lost / .down.packets > 0.03'
lab_json "... and bursts of client-3's" "$lab/link-3.json" '.up.burst_lost > 5'
for listener in 1 2 3; do
	for speaker in 1 2 3; do
		[ $speaker != $listener ] || continue
		stream_json "client-$listener hears client-$speaker to the end" $listener $speaker audio '.frames > 250'
		stream_json "client-$listener sees client-$speaker to the end" $listener $speaker video '.frames > 40'
		lab_less "client-$listener hears client-$speaker without a long gap" "$(longest_gap $listener $speaker)" 1
	done
	lab_json "client-$listener: nothing failed to decrypt" "$lab/result-$listener.json" '.decrypt_failures == 0'
done
lab_json "losses and repairs are shown" "$lab/result-1.json" '[.streams[] | .lost + .recovered] | add > 10'
lab_json "most of what was lost is recovered" "$lab/result-1.json" \
	'([.streams[].lost] | add) < ([.streams[].recovered] | add)'
