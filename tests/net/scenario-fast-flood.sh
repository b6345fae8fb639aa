#!/bin/bash
# Far more than ten times as many forged packets as there is media, while T and then X multiply: what is refused dies in
# the kernel, counted by name, and members miss nothing.
#
#   client-1, client-2, client-3 ──┐
#   client-9 (attacker) ───────────┴── switch ── server: tmms, tcs
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=80
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/meeting.sh"
. "$(dirname "$0")/switch.sh"
RATE=8000 SECONDS_EACH=2

lab_server
lab_switch
lab_member 1 2 3 9
start_servers "fast-path = xdp" "fast-path-devices = c1"
enrol 1 2 3
make_media 1 2 3
create_meeting 1

is_meeting() { [ "$(ctl_tcs --json meetings | jq ".meetings[0] | $1")" = true ]; }
# As client-1, from its address and port.
pose() {
	ip -n client-9 address add 10.77.1.2/32 dev lo
	ip -n client-9 route add $SERVER/32 via 10.77.1.1 dev wan src 10.77.1.2
}
unpose() {
	ip -n client-9 route del $SERVER/32
	ip -n client-9 address del 10.77.1.2/32 dev lo
}
# flood NAME DROP KIND [SOURCE_PORT]: nearly all of it is dropped as that, in the kernel; what goes up is the members' own hop control.
flood() {
	ctl_tcs --json status >"$lab/before.json"
	on client-9 blast udp $SERVER $UDP_PORT "$3" $RATE $SECONDS_EACH 7 ${4:+"$4"} >"$lab/flood.json"
	ctl_tcs --json status >"$lab/after.json"
	jq -n --slurpfile a "$lab/before.json" --slurpfile b "$lab/after.json" --slurpfile f "$lab/flood.json" --arg drop "$2" '
		def grown(f): ($b[0] | f) - ($a[0] | f);
		{ sent: $f[0].sent, back: $f[0].bytes_in, media: grown(.kernel.media_received),
		dropped: ([$drop | split(",")[] | . as $name | grown(.drops[$name])] | add), as: $drop,
		up: grown([.ups | to_entries[] | select(.key != "up_xdp" and .key != "up_hop") | .value] | add),
		hop: grown(.ups.up_hop), user: grown(.counts.datagrams_received), challenges: grown(.counts.challenges_sent) }' >"$lab/grown.json"
	lab_json "$engine, $1: sent, ten times the media and more" "$lab/grown.json" \
		".sent > $((RATE * SECONDS_EACH / 2)) and .sent > 10 * .media and .media > 100"
	lab_json "$engine, $1: dropped by name" "$lab/grown.json" ".dropped >= .sent * 0.98"
	lab_json "$engine, $1: nothing of it wakes user space, nothing comes back" "$lab/grown.json" '.up <= 20 and .hop <= 40 and .user <= 40 and .back == 0'
}

join 1 58 "${VIDEO[@]}"
lab_until 8 has_event 1 joined
join 2 57 "${VIDEO[@]}"
join 3 56 "${VIDEO[@]}"
wait_media 4 1 2 3
for n in 1 2 3; do lab_until 5 has_event $n path; done
ip netns exec switch tcpdump -i port-0 -Q out -w "$lab/capture.pcap" -U -q host 10.77.1.2 and udp and dst port $UDP_PORT 2>"$lab/tcpdump.err" &
sniffer=$!
sleep 2.5
kill -TERM $sniffer
wait $sniffer
port=$(on server tcpdump -r "$lab/capture.pcap" -n -c 1 2>/dev/null | grep -oE '10\.77\.1\.2\.[0-9]+' | cut -d. -f5)
lab_check "packets of client-1 are known to the attacker" test -n "$port"

for engine in tcx xdp; do
	ctl_tcs engine $engine >"$lab/engine"
	lab_check "$engine serves all three" lab_until 3 is_meeting ".engine == \"$engine\" and .in_kernel == 3"
	flood "garbage" packet_malformed,handle_unknown,address_foreign random
	flood "handles of nobody and of others" handle_unknown,address_foreign media
	flood "wrong tags from a foreign address" address_foreign "forged:$lab/capture.pcap"
	pose
	flood "wrong tags from a member's address" tag_wrong "forged:$lab/capture.pcap" "$port"
	flood "replay from a member's address" counter_replayed "capture:$lab/capture.pcap" "$port"
	unpose
	flood "replay from a foreign address" counter_replayed "capture:$lab/capture.pcap"
done
ctl_tcs status >"$lab/status.txt"
wait_left 3 2 1

for listener in 1 2 3; do
	# A late packet that had been asked for again comes twice, and rightly so.
	lab_json "client-$listener: nothing failed to decrypt, nothing came twice unasked" "$lab/result-$listener.json" \
		'.path == "udp" and .decrypt_failures == 0 and .connections == 1 and .counters.replayed <= ([.streams[] | .recovered] | add) + 5'
	# Not what is missing in the end: what did not come at once.
	lab_json "client-$listener: 99.9 % of all packets came, without being asked for again" "$lab/result-$listener.json" \
		'([.streams[] | .packets] | add) as $all | ([.streams[] | .lost + .recovered] | add) <= $all / 1000 and $all > 4000'
done
lab_note <"$lab/status.txt"
