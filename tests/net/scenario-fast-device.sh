#!/bin/bash
# The device that leads to client-3 is too narrow for pictures, goes down, and is deleted, while media runs: the others miss
# nothing, every packet that cannot be sent is counted by name, and client-3 is served again when its device is there again.
#
#   client-1, client-2 ── veth ──────────┐
#   client-3 ── veth c3 (tormented) ─────┴── server: tmms, tcs
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=75
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/meeting.sh"

lab_server
for n in 1 2 3; do lab_client $n; done
start_servers "fast-path = tcx"
enrol 1 2 3
make_media 1 2 3
create_meeting 1

is_meeting() { [ "$(ctl_tcs --json meetings | jq ".meetings[0] | $1")" = true ]; }
# look NAME: counters now; grown FROM TO EXPRESSION
look() { ctl_tcs --json status >"$lab/$1.json"; }
grown() { jq -n --slurpfile a "$lab/$1.json" --slurpfile b "$lab/$2.json" "(\$b[0] | $3) - (\$a[0] | $3)"; }

lab_watch 26
join 1 26 "${VIDEO[@]}"
lab_until 8 has_event 1 joined
join 2 25 "${VIDEO[@]}"
join 3 24 "${VIDEO[@]}"
wait_media 4 1 2 3
for n in 1 2 3; do lab_until 5 has_event $n path; done
lab_check "T serves all three" lab_until 3 is_meeting '.engine == "tcx" and .in_kernel == 3'

# --- narrow: pictures do not fit, and IPv6 is not allowed on it any more
sleep 0.5
ip -n server link set c3 mtu 1000
lab_check "a device too narrow for our packets: its receiver is served by user space" lab_until 2 is_meeting '.in_kernel == 2 and .receivers == 3'
is_shown() { [ "$(ctl_tcs --json engine | jq -r '.engines[] | select(.device == "c3") | .engine + ": " + .reason' | grep -c "$1")" = 1 ]; }
lab_check "... and it is shown why" is_shown "user: MTU too small"
look narrow-0
sleep 2
look narrow-1
lab_more "... with what the kernel has multiplied for the others" "$(grown narrow-0 narrow-1 .ups.up_outside)" 100
ip -n server link set c3 mtu 1500
lab_check "wide again: the kernel serves all three" lab_until 3 is_meeting '.in_kernel == 3'

# --- down and up
sleep 0.5
look down-0
ip -n server link set c3 down
lab_check "down: its receiver is nobody's in the kernel" lab_until 2 is_meeting '.in_kernel == 2 and .receivers == 3'
lab_check "... and it is shown" is_shown "user: down"
sleep 0.8
look down-1
ip -n server link set c3 up
lab_check "up: the kernel serves all three" lab_until 5 is_meeting '.in_kernel == 3'

# --- deleted, and one of the same name made
sleep 1
look gone-0
ip -n server link delete c3
lab_check "deleted: its receiver is nobody's in the kernel" lab_until 2 is_meeting '.in_kernel == 2 and .receivers == 3'
sleep 0.8
look gone-1
lab_check "a device that is gone is shown as such" is_shown "user: gone"
ip -n server link add c3 type veth peer name wan netns client-3
lab_address 3 server c3 1
lab_address 3 client-3 wan 2
ip -n client-3 route add default dev wan via 10.77.3.1
ip -n client-3 -6 route add default dev wan via fd77:3::1
look new-0
sleep 4
look new-1
ctl_tcs --json meetings >"$lab/meetings.json"
lab_json "made anew: no program is attached to it, user space serves it" "$lab/meetings.json" '.meetings[0] | .receivers == 3 and .in_kernel == 2'
lab_more "copies to it" "$(grown new-0 new-1 .ups.up_outside)" 200
ctl_tcs counters >"$lab/counters.txt"
ctl_tcs --json counters >"$lab/counters.json"
wait_left 3 2 1
stall=$(lab_stall)

for step in down gone; do
	jq -n --slurpfile a "$lab/$step-0.json" --slurpfile b "$lab/$step-1.json" \
		'$b[0].drops | with_entries(.value -= $a[0].drops[.key] | select(.value > 0))' >"$lab/$step.json"
	lab_json "$step: what could not be sent is counted, as that alone" "$lab/$step.json" \
		'.send_refused > 20 and (del(.send_refused, .redirect_failed, .neighbour_unknown, .nack_coalesced, .nack_outside) == {}) and
		(.redirect_failed // 0) + (.neighbour_unknown // 0) < 20'
done
for pair in 12 21; do
	stream_json "client-${pair%?} hears client-${pair#?}, 0 lost" "${pair%?}" "${pair#?}" audio '.lost == 0 and .frames > 1000'
	stream_json "client-${pair%?} sees client-${pair#?}, 0 lost" "${pair%?}" "${pair#?}" video '.lost == 0 and .frames > 150'
	lab_less "client-${pair%?} hears client-${pair#?} without a gap" "$(longest_gap "${pair%?}" "${pair#?}")" \
		"$(lab_patience 0.6 "$stall")"
done
for n in 1 2 3; do
	lab_json "client-$n: nothing failed to decrypt" "$lab/result-$n.json" '.decrypt_failures == 0'
	[ $n = 3 ] || lab_json "client-$n kept its connection" "$lab/result-$n.json" '.connections == 1 and .path == "udp"'
done
for pair in 13 23 31 32; do
	lab_more "client-${pair%?} hears client-${pair#?}: seconds of tone" "$(tone_seconds "${pair%?}" "${pair#?}")" 14
done
lab_check "the relay's log has one line for each change" test \
	"$(sed -n 's/.*fast path: c3: \(MTU\|down\|gone\|the kernel\).*/\1/p' "$lab/tcs.err" | tr '\n' ' ')" = "MTU the kernel down the kernel down gone "
