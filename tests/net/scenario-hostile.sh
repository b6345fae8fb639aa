#!/bin/bash
# Strangers send garbage, floods and forged or replayed media at every port while a meeting runs: it is not harmed,
# each refusal is counted, and nobody else gets a single packet.
#
#   client-1 ── veth ──┐
#   client-2 ── veth ──┼── server: tmms, tcs
#   client-8 ── veth ──┤   the victim: must hear nothing
#   client-9 ── veth ──┘   the attacker, also with the victim's address as source
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=80
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/meeting.sh"

lab_server
for n in 1 2 8 9; do lab_client $n; done
start_servers
enrol 1 2
make_media 1 2
create_meeting 1

# Count every packet of UDP or TCP that reaches victim and attacker.
on client-8 nft add table inet lab
on client-8 nft 'add chain inet lab in { type filter hook prerouting priority raw; }'
on client-8 nft 'add rule inet lab in meta l4proto { tcp, udp } counter'
heard_by_victim() { on client-8 nft -j list chain inet lab in | jq '[.. | .counter? // empty | .packets] | add'; }
blast() { on client-9 "$lab_top/build/tests/blast" "$@"; }

join 1 24
join 2 23
wait_media 1 1 2
lab_until 5 has_event 1 path
lab_until 5 has_event 2 path
on server tcpdump -i c1 -w "$lab/capture.pcap" -U -q udp and dst port $UDP_PORT 2>"$lab/tcpdump.err" &
sniffer=$!
sleep 2
kill -TERM $sniffer
wait $sniffer
ctl_tcs status --json >"$lab/before.json"

# --- UDP: floods of nonsense, forged media and control, from the attacker and with the victim's address
for kind in random short media hop; do
	blast udp $SERVER $UDP_PORT $kind 3000 1 11 >"$lab/udp-$kind.json"
	lab_json "UDP $kind: sent, and not a byte came back" "$lab/udp-$kind.json" '.sent > 1000 and .bytes_in == 0'
done
blast udp $SERVER $UDP_PORT "capture:$lab/capture.pcap" 1000 1 12 >"$lab/udp-replay.json"
lab_json "replay of true packets from a foreign address: at most as much back as was sent" "$lab/udp-replay.json" \
	'.sent > 500 and .bytes_in <= .bytes_out'
ip -n client-9 address add 10.77.8.2/32 dev lo
ip -n client-9 route add $SERVER/32 via 10.77.9.1 dev wan src 10.77.8.2
for kind in random media hop "capture:$lab/capture.pcap"; do
	blast udp $SERVER $UDP_PORT "$kind" 500 1 13 >"$lab/spoofed.json"
	lab_json "UDP ${kind%%:*} with the victim's address: sent" "$lab/spoofed.json" '.sent > 200'
done
ip -n client-9 route del $SERVER/32
heard_by_victim >"$lab/heard.json"
on server bash -c 'echo now >/dev/udp/10.77.8.2/9'
lab_check "(a packet to the victim would be seen)" test "$(heard_by_victim)" = $(($(cat "$lab/heard.json") + 1))
# The replay has good tags: for those the relay may send path challenges, far fewer than came.
lab_json "the victim got no media: no more than path challenges" "$lab/heard.json" '. <= 20'

# With the true address and port of client-1: the tag is what tells them apart, and the counter.
port=$(on server tcpdump -r "$lab/capture.pcap" -n -c 1 2>/dev/null | grep -oE '10\.77\.1\.2\.[0-9]+' | cut -d. -f5)
ip -n client-9 address add 10.77.1.2/32 dev lo
ip -n client-9 route add $SERVER/32 via 10.77.9.1 dev wan src 10.77.1.2
blast udp $SERVER $UDP_PORT media 2000 1 16 "$port" >"$lab/true-media.json"
lab_json "forged media with client-1's address and port: sent" "$lab/true-media.json" '.sent > 1000'
blast udp $SERVER $UDP_PORT "capture:$lab/capture.pcap" 500 1 17 "$port" >"$lab/true-replay.json"
lab_json "replayed media with client-1's address and port: sent" "$lab/true-replay.json" '.sent > 200'
ip -n client-9 route del $SERVER/32

# --- TCP and UNIX sockets
for port in 443 8443; do
	for kind in random hello half-hello silent; do
		blast tcp $SERVER $port $kind 100 1 14 >"$lab/tcp-$kind.json"
		lab_json "TCP $port $kind: taken, and no more back than was sent" "$lab/tcp-$kind.json" \
			'.connections >= 50 and .bytes_in <= .bytes_out + 7 * .connections'
	done
done
for name in tmms tcs; do
	on server "$lab_top/build/tests/blast" unix "$lab/$name.sock" - random 20 1 15 >"$lab/unix.json"
	lab_json "garbage on the control socket of $name" "$lab/unix.json" '.connections > 0'
done

lab_check "tmms lives and answers" ctl_tmms status
lab_check "tcs lives and answers" ctl_tcs status
ctl_tcs status --json >"$lab/after.json"
for counter in packet_malformed handle_unknown tag_wrong counter_replayed address_foreign handshake_failed; do
	lab_more "counted: $counter" "$(relay_counter $counter)" 10
done
wait_left 2 1
jq -s '{accepted: .[0].counts.media_received, sent: (.[1].packets_sent + .[2].packets_sent)}' <(ctl_tcs status --json) \
	"$lab/result-1.json" "$lab/result-2.json" >"$lab/accepted.json"
lab_json "the relay accepted no more media than the clients sent" "$lab/accepted.json" '.accepted > 2000 and .accepted <= .sent'
for pair in "1 2" "2 1"; do
	read -r listener speaker <<<"$pair"
	lab_json "client-$listener: connected once, nothing failed to decrypt" "$lab/result-$listener.json" \
		'.connections == 1 and .path == "udp" and .decrypt_failures == 0'
	stream_json "client-$listener heard client-$speaker, 0 lost" "$listener" "$speaker" audio '.lost == 0 and .frames > 900'
	lab_less "client-$listener heard client-$speaker: longest gap" "$(longest_gap "$listener" "$speaker")" 0.3
done
