#!/bin/bash
# Engines are switched, next hops forgotten and addresses added under a running meeting: nothing is lost, nothing comes
# twice. One receiver is on TLS all the time, so every packet is served by the kernel and by user space.
#
#   client-1 ── veth ─────────────────┐
#   client-2 ── veth ─────────────────┼── server: tmms, tcs
#   client-3 ── veth, --transport tls ┘
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=60
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/meeting.sh"

lab_server
for n in 1 2 3; do lab_client $n; done
start_servers "fast-path = xdp"
enrol 1 2 3
make_media 1 2 3
create_meeting 1

# is_meeting EXPRESSION: true of the one meeting now.
is_meeting() { [ "$(ctl_tcs --json meetings | jq ".meetings[0] | $1")" = true ]; }
counter() { ctl_tcs --json status | jq "$1"; }

join 1 24 "${VIDEO[@]}"
lab_until 8 has_event 1 joined
join 2 22 "${VIDEO[@]}"
lab_until 8 has_event 2 joined
join 3 20 "${VIDEO[@]}" --transport tls
wait_media 4 1 2 3
sleep 1

lab_check "a device with a program is shown with its engine and why" \
	test "$(counter '[.engines[] | select(.device == "c1" and (.engine == "xdp" or .engine == "tcx") and .reason != "")] | length')" = 1
lab_check "a meeting with a receiver on TLS is T's, which serves two of three" \
	lab_until 3 is_meeting '.engine == "tcx" and .in_kernel == 2 and .receivers == 3'

before=$(counter .kernel.media_received)
ctl_tcs engine user >"$lab/engine-user"
lab_check "tcsctl engine user: user space at once" is_meeting '.engine == "user" and .in_kernel == 0'
sleep 0.3
still=$(counter .kernel.media_received)
sleep 1
lab_check "... which serves all of it" test "$(counter .kernel.media_received)" = "$still"
lab_more "... and the kernel served it before" "$before" 50
for engine in tcx user auto tcx xdp user auto user tcx; do
	ctl_tcs engine $engine >>"$lab/engines"
	sleep 0.3
done
lab_check "tcsctl engine tcx: the kernel again" is_meeting '.engine == "tcx" and .in_kernel == 2'
status=0
ctl_tcs engine warp >"$lab/warp" 2>&1 || status=$?
lab_check "another word is wrong usage" test $status = 2

# Next hops are forgotten, and come back by what the relay's socket sends.
for _ in 1 2 3 4 5; do
	ip -n server neighbour flush all
	sleep 0.3
done
lab_check "forgotten next hops are found again" lab_until 3 is_meeting '.in_kernel == 2'
ip -n server address add 10.99.0.1/32 dev lo
ip -n server route add 10.98.0.0/24 dev lo
sleep 0.3
ip -n server route del 10.98.0.0/24
lab_check "a new address or route changes nothing" is_meeting '.in_kernel == 2'
ctl_tcs --json counters >"$lab/counters.json"
ctl_tcs counters >"$lab/counters.txt"
lab_check "tcsctl counters explains those of the packet path, too" grep -q "^up_outside .*multiplied in the kernel" "$lab/counters.txt"
wait_left 3 2 1

for listener in 1 2 3; do
	lab_json "client-$listener: nothing failed to decrypt, nothing came twice" "$lab/result-$listener.json" '.decrypt_failures == 0 and .connections == 1 and .counters.replayed == 0'
	for speaker in 1 2 3; do
		[ $speaker != $listener ] || continue
		stream_json "client-$listener hears client-$speaker, 0 lost" $listener $speaker audio '.lost == 0 and .frames > 700'
		stream_json "client-$listener sees client-$speaker, 0 lost" $listener $speaker video '.lost == 0 and .frames > 100'
		lab_less "client-$listener hears client-$speaker without a gap" "$(longest_gap $listener $speaker)" 0.3
	done
done
lab_json "nothing came to the relay twice or was refused" "$lab/counters.json" \
	'.drops | .tag_wrong == 0 and .counter_replayed == 0 and .media_repeated == 0 and .room_foreign == 0 and .rate_limit == 0'
