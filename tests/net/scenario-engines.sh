#!/bin/bash
# Engines are switched, next hops forgotten and addresses added under a running meeting: nothing is lost, nothing comes
# twice. First all are on UDP, so that X may multiply; then one comes over TLS, so every packet is served by the kernel and
# by user space; then that one goes.
#
#   client-1, client-2, client-4 ────┐
#   client-3 ── --transport tls ─────┴── switch ── server: tmms, tcs
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=75
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/meeting.sh"
. "$(dirname "$0")/switch.sh"

lab_server
lab_switch
lab_member 1 2 3 4
start_servers "fast-path = xdp"
enrol 1 2 3 4
make_media 1 2 3 4
create_meeting 1

# is_meeting EXPRESSION: true of the one meeting now.
is_meeting() { [ "$(ctl_tcs --json meetings | jq ".meetings[0] | $1")" = true ]; }
counter() { ctl_tcs --json status | jq "$1"; }
# switch_engines ENGINE...: one after the other, each serves for a while.
switch_engines() {
	local engine
	for engine; do
		ctl_tcs engine "$engine" >>"$lab/engines"
		sleep 0.3
	done
}

lab_watch 38
join 1 38 "${VIDEO[@]}"
lab_until 8 has_event 1 joined
join 2 37 "${VIDEO[@]}"
join 4 36 "${VIDEO[@]}"
wait_media 4 1 2 4
sleep 1

lab_check "a device with a program is shown with its engine and why" \
	test "$(counter '[.engines[] | select(.device == "c1" and .engine == "xdp" and .reason != "")] | length')" = 1
lab_check "a meeting whose receivers are all on UDP behind one device is X's" \
	lab_until 3 is_meeting '.engine == "xdp" and .in_kernel == 3 and .receivers == 3'

ctl_tcs --json status >"$lab/xdp-before.json"
sleep 1
ctl_tcs --json status >"$lab/xdp-after.json"
jq -s '{ media: (.[1].kernel.media_received - .[0].kernel.media_received), user: ((.[1].counts.media_received - .[0].counts.media_received)
	- (.[1].kernel.media_received - .[0].kernel.media_received)), left_to_t: (.[1].ups.up_xdp - .[0].ups.up_xdp) }' \
	"$lab/xdp-before.json" "$lab/xdp-after.json" >"$lab/xdp.json"
lab_json "... and X multiplies all of it" "$lab/xdp.json" '.media > 150 and .user == 0 and .left_to_t == 0'

switch_engines tcx user auto tcx xdp user auto user xdp tcx auto user tcx xdp
lab_check "X again after all of them" is_meeting '.engine == "xdp" and .in_kernel == 3'

join 3 14 "${VIDEO[@]}" --transport tls
wait_media 6 1 2 3 4
lab_check "with a receiver on TLS the meeting is T's, which serves three of four" \
	lab_until 3 is_meeting '.engine == "tcx" and .in_kernel == 3 and .receivers == 4'
before=$(counter .kernel.media_received)
ctl_tcs engine user >"$lab/engine-user"
lab_check "tcsctl engine user: user space at once" is_meeting '.engine == "user" and .in_kernel == 0'
sleep 0.3
still=$(counter .kernel.media_received)
sleep 1
lab_check "... which serves all of it" test "$(counter .kernel.media_received)" = "$still"
lab_more "... and the kernel served it before" "$before" 50
switch_engines tcx user auto tcx xdp user auto user tcx
lab_check "tcsctl engine tcx: the kernel again" is_meeting '.engine == "tcx" and .in_kernel == 3'
status=0
ctl_tcs engine warp >"$lab/warp" 2>&1 || status=$?
lab_check "another word is wrong usage" test $status = 2

# Next hops are forgotten, and come back by what the relay's socket sends.
for _ in 1 2 3 4 5; do
	ip -n server neighbour flush all
	sleep 0.3
done
lab_check "forgotten next hops are found again" lab_until 3 is_meeting '.in_kernel == 3'
ip -n server address add 10.99.0.1/32 dev lo
ip -n server route add 10.98.0.0/24 dev lo
sleep 0.3
ip -n server route del 10.98.0.0/24
lab_check "a new address or route changes nothing" is_meeting '.in_kernel == 3'
wait_left 3

ctl_tcs engine auto >>"$lab/engines"
lab_check "auto: without the receiver on TLS the meeting is X's again" lab_until 3 is_meeting '.engine == "xdp" and .in_kernel == 3'
for _ in 1 2 3; do
	ip -n server neighbour flush all
	sleep 0.3
done
lab_check "next hops that X needs are found again" lab_until 3 is_meeting '.engine == "xdp" and .in_kernel == 3'
sleep 0.5
ctl_tcs --json counters >"$lab/counters.json"
ctl_tcs counters >"$lab/counters.txt"
lab_check "tcsctl counters explains those of the packet path, too" grep -q "^up_outside .*multiplied in the kernel" "$lab/counters.txt"
wait_left 4 2 1
stall=$(lab_stall)

for listener in 1 2 3 4; do
	lab_json "client-$listener: nothing failed to decrypt, nothing came twice" "$lab/result-$listener.json" '.decrypt_failures == 0 and .connections == 1 and .counters.replayed == 0'
	for speaker in 1 2 3 4; do
		[ $speaker != $listener ] || continue
		frames=1400
		[ $listener != 3 ] && [ $speaker != 3 ] || frames=500
		stream_json "client-$listener hears client-$speaker, 0 lost" $listener $speaker audio ".lost == 0 and .frames > $frames"
		stream_json "client-$listener sees client-$speaker, 0 lost" $listener $speaker video ".lost == 0 and .frames > $((frames / 7))"
		# A segment of TCP whose next hop was forgotten comes again when its timer says so.
		lab_less "client-$listener hears client-$speaker without a gap" "$(longest_gap $listener $speaker)" \
			"$(lab_patience "$([ $listener = 3 ] && echo 1.2 || echo 0.3)" "$stall")"
	done
done
lab_json "nothing came to the relay twice or was refused" "$lab/counters.json" \
	'.drops | .tag_wrong == 0 and .counter_replayed == 0 and .media_repeated == 0 and .room_foreign == 0 and .rate_limit == 0'
