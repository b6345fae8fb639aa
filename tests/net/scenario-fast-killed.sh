#!/bin/bash
# tcs is killed while X multiplies: what is sent to it then goes to nobody, no program is left, and a new relay has X
# attached and audio back.
#
#   client-1, client-2, client-3 ── switch ── server: tmms, tcs (kill -9, restarted)
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=60
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/meeting.sh"
. "$(dirname "$0")/switch.sh"

lab_server
lab_switch
lab_member 1 2 3
start_servers "fast-path = xdp" "fast-path-devices = c1"
enrol 1 2 3
make_media 1 2 3
create_meeting 1

is_meeting() { [ "$(ctl_tcs --json meetings | jq ".meetings[0] | $1")" = true ]; }
# programs XDP TCX: that many are attached
programs() { [ "$(on server bpftool net show | awk '/^xdp:/ { at = 1 } /^tc:/ { at = 2 } /fanout_tcx/ { tcx++ }
	at == 1 && /driver/ { xdp++ } END { print xdp + 0, tcx + 0 }')" = "$1 $2" ]; }

lab_watch 24
join 1 24 "${VIDEO[@]}"
lab_until 8 has_event 1 joined
join 2 23 "${VIDEO[@]}"
join 3 22 "${VIDEO[@]}"
wait_media 4 1 2 3
lab_check "X serves all three" lab_until 4 is_meeting '.engine == "xdp" and .in_kernel == 3'
lab_check "one XDP program, one of tcx" programs 1 1
sleep 1

# What leaves the server for a client's media port, from the moment of death on.
ip netns exec switch tcpdump -i port-0 -Q in -n -w "$lab/left.pcap" -U -q udp and src port $UDP_PORT 2>"$lab/tcpdump.err" &
sniffer=$!
ip netns exec switch tcpdump -i port-0 -Q out -n -w "$lab/came.pcap" -U -q udp and dst port $UDP_PORT 2>"$lab/tcpdump-in.err" &
other=$!
lab_until 3 grep -q listening "$lab/tcpdump.err"
sleep 1
relay=$(pgrep -P "${server_pid[tcs]}" -x tcs)
maps=$(sed -n 's/^map_id:\s*//p' "/proc/$relay/fdinfo/"* | sort -u)
lab_more "maps of its table" "$(wc -w <<<"$maps")" 8
# Clients are not to hear at once that their connections are gone, and go on sending.
for n in 1 2 3; do
	on client-$n nft "add table inet deaf; add chain inet deaf in { type filter hook input priority 0; }
		add rule inet deaf in tcp sport $relay_port drop"
done
kill_server tcs
died=$(date +%s.%N)
lab_check "without a relay there is no program" lab_until 2 programs 0 0
are_gone() { for map in $maps; do ! bpftool map show id "$map" || return 1; done; }
lab_check "no map of its table is left" lab_until 3 are_gone
sleep 1.5
kill -TERM $sniffer $other
wait $sniffer $other
packets() { # packets FILE FROM TO: captured that many seconds after its death
	on server tcpdump -r "$lab/$1.pcap" -n -tt 2>/dev/null |
		awk -v died="$died" -v from="$2" -v to="$3" '$1 - died >= from && $1 - died < to { n++ } END { print n + 0 }'
}
lab_more "packets forwarded in the half second before" "$(packets left -0.6 -0.1)" 100
lab_more "packets that clients still sent to it afterwards" "$(packets came 0.2 9)" 50
lab_check "none of them was forwarded to anybody" test "$(packets left 0.2 9)" = 0

for n in 1 2 3; do on client-$n nft delete table inet deaf; done
start_tcs
lab_check "a new relay has its programs attached" programs 1 1
lab_check "... and X serves all three again" lab_until 8 is_meeting '.engine == "xdp" and .in_kernel == 3'
sleep 1
ctl_tcs --json status >"$lab/status.json"
wait_left 3 2 1
stall=$(lab_stall)

lab_json "the new relay's programs forward" "$lab/status.json" '.kernel.media_received > 200'
for listener in 1 2 3; do
	lab_json "client-$listener connected twice, nothing failed to decrypt" "$lab/result-$listener.json" \
		'.connections == 2 and .path == "udp" and .decrypt_failures == 0'
	for speaker in 1 2 3; do
		[ $speaker != $listener ] || continue
		lab_less "client-$listener hears client-$speaker: longest gap" "$(longest_gap $listener $speaker)" "$(lab_patience 6 "$stall")"
		lab_more "client-$listener hears client-$speaker: seconds of tone" "$(tone_seconds $listener $speaker)" 10
	done
done
