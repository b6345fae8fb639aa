#!/bin/bash
# The lab itself: what its router does to plain UDP and TCP is what it was told to do, for IPv4 and IPv6.
#
#   client-1 ── (delay 20 ms) ──────────┐
#   client-2 ── (loss, duplicates) ─────┤
#   client-3 ── (cases, on signal) ─────┼── server: probe echo
#   client-4 ── (rate, mtu) ────────────┤
#   client-5 ── (veth, untouched) ──────┘
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=60
. "$(dirname "$0")/lib.sh"

lab_server
lab_client 1 --both delay=20ms
lab_client 2 --up loss=10%,duplicate=5% --down delay=5ms,jitter=5ms
lab_client 3 --arm --case udp-blocked=0s-1s --case rebind-addr=1s,10.77.3.99 --case rebind-port=2s,udp --case rebind-addr=3s,fd77:3::99
lab_client 4 --both rate=1mbit,queue=20kb --up mtu=1000
lab_client 5
on_background echo server probe echo $SERVER 7 60
on_background echo6 server probe echo $SERVER6 7 60
lab_until 3 on client-5 probe udp $SERVER 7 1 0 20

# probe HOST-NUMBER LABEL PROTOCOL ADDRESS COUNT INTERVAL_MS SIZE
probe_from() {
	on "client-$1" probe "$3" "$4" 7 "$5" "$6" "$7" >"$lab/$2.json" 2>"$lab/$2.err"
}

for address in $SERVER $SERVER6; do
	for protocol in udp tcp; do
		name="$protocol $([ "$address" = $SERVER ] && echo IPv4 || echo IPv6)"
		probe_from 5 plain $protocol "$address" 50 2 200
		lab_json "$name over a plain link: all come back" "$lab/plain.json" '.received == 50 and .duplicates == 0'
		probe_from 1 delayed $protocol "$address" 20 10 200
		lab_json "$name over 20 ms each way: 40 ms round trip, none lost" "$lab/delayed.json" \
			'.received == 20 and .rtt_p50_ms > 39.9 and .rtt_p50_ms < 48'
	done
done

probe_from 2 lossy udp $SERVER 1000 1 100
lab_json "10 % loss, 5 % duplicates: within bounds, and jitter reorders" "$lab/lossy.json" \
	'.received > 850 and .received < 945 and .duplicates > 20 and .duplicates < 90 and .reordered > 50'
probe_from 2 lossy-tcp tcp $SERVER 50 5 100
lab_json "TCP gets everything through it" "$lab/lossy-tcp.json" '.received == 50 and .reordered == 0'

probe_from 4 rate udp $SERVER 100 1 900
lab_json "1 Mbit/s with 20 kB queue: the queue fills, the rest is dropped" "$lab/rate.json" \
	'.received > 20 and .received < 60 and .rtt_max_ms > 100 and .rtt_max_ms < 400'
probe_from 4 mtu udp $SERVER 5 10 1000
lab_json "packets above the MTU vanish" "$lab/mtu.json" '.sent == 5 and .received == 0'

# Cases count from the signal: 0-1 s no UDP; from 1 s another IPv4 address; from 2 s another UDP port; from 3 s
# another IPv6 address. A connection that lives through a change of address does not survive it.
probe_from 3 before udp $SERVER 20 10 100
lab_json "before the signal no case applies" "$lab/before.json" '.received == 20'
(probe_from 3 long-tcp tcp $SERVER 250 10 100) &
long=$!
lab_arm
sleep 0.2
probe_from 3 blocked udp $SERVER 10 10 100
lab_json "UDP blocked: nothing comes" "$lab/blocked.json" '.received == 0'
wait $long
lab_json "a TCP connection ends when its address is rebound" "$lab/long-tcp.json" '.received > 50 and .received < 150 and .error != ""'
probe_from 3 rebound udp $SERVER 20 10 100
lab_json "UDP through the new binding: answers return" "$lab/rebound.json" '.received == 20'
sleep 0.5
probe_from 3 rebound6 tcp $SERVER6 20 10 100
lab_json "new TCP connections over IPv6 from the new address" "$lab/rebound6.json" '.received == 20'

for n in 1 2 3 4; do lab_link_stop $n; done
lab_json "counters tell the same as the receiver: losses" "$lab/link-2.json" \
	'.up.lost > 60 and .up.duplicated > 20 and .down.lost == 0'
lab_json "counters of the cases" "$lab/link-3.json" '.up.udp_blocked == 10 and .bindings > 0 and .up.malformed == 0'
lab_json "counters of rate and MTU" "$lab/link-4.json" '.up.queue_full > 30 and .up.too_big == 5'
lab_check "the log has a line for each packet" \
	test "$(wc -l <"$lab/link-2.log")" = "$(jq '.up.packets + .down.packets' "$lab/link-2.json")"
lab_check "the log shows the rewritten source" grep -q ' up .*\[fd77:3::2\]:.*pass' "$lab/link-3.log"

# The same seed and the same packets: the same decisions.
verdicts() { awk '$2 == "up" && $3 < 500 { printf "%s %s %s\n", $3, $7, $9 }' "$lab/link-$1.log"; }
lab_client 6 --up loss=10%,duplicate=5% --down delay=5ms,jitter=5ms
lab_client 7 --up loss=10%,duplicate=5% --down delay=5ms,jitter=5ms
probe_from 6 again udp $SERVER 500 1 100
probe_from 7 again udp $SERVER 500 1 300
lab_link_stop 6
lab_link_stop 7
lab_check "one seed, one sequence of decisions" test "$(verdicts 6)" = "$(verdicts 7)"
lab_check "... and not an empty one" test "$(verdicts 6 | grep -c lost)" -gt 20
