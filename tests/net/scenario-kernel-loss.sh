#!/bin/bash
# The kernel multiplies (engine T), and packets get lost on either side of it: the relay finds in the history that the
# program keeps what a receiver asks for, and asks the sender for what never came.
#
#   client-1 ── veth, loses 5 % of what it is sent ──┐
#   client-2 ── veth, loses 3 % of what it sends ────┼── server: tmms, tcs
#   client-3 ── veth, receives no pictures ──────────┘
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=60
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/meeting.sh"

lab_server
for n in 1 2 3; do lab_client $n; done
# The host of a client loses them: the relay's programs see packets before any filter of the server. On the way out behind
# the socket, which would be told otherwise.
on client-1 nft -f - <<-END
	table inet loss {
		chain in {
			type filter hook input priority 0
			udp sport $UDP_PORT udp length > 100 numgen random mod 100 < 5 counter drop
		}
	}
END
on client-2 nft -f - <<-END
	table netdev loss {
		chain out {
			type filter hook egress device wan priority 0
			udp dport $UDP_PORT udp length > 100 numgen random mod 100 < 3 counter drop
		}
	}
END
start_servers "fast-path = tcx"
enrol 1 2 3
make_media 1 2 3
create_meeting 2

join 2 14 "${VIDEO[@]}"
lab_until 8 has_event 2 joined
join 1 11 "${VIDEO[@]}"
lab_until 8 has_event 1 joined
join 3 9 --audio-only "${VIDEO[@]}"
wait_media 4 1 2
wait_media 2 3
sleep 2
ctl_tcs --json meetings >"$lab/meetings.json"
ctl_tcs --json status >"$lab/before.json"
sleep 4
ctl_tcs --json status >"$lab/after.json"
wait_left 3 1 2

# between EXPRESSION: by how much it has grown between the two looks
between() { jq -n --slurpfile a "$lab/before.json" --slurpfile b "$lab/after.json" "(\$b[0] | $1) - (\$a[0] | $1)"; }
# lost CLIENT: packets that its filter took
lost() { on "client-$1" nft --json list ruleset | jq '[.. | .counter? // empty | .packets] | add // 0'; }

lab_json "the kernel serves all three" "$lab/meetings.json" \
	'.meetings[0].engine == "tcx" and .meetings[0].in_kernel == 3'
lab_more "packets that client-1 lost" "$(lost 1)" 50
lab_more "packets or trains that client-2 lost" "$(lost 2)" 10
lab_more "packets forwarded in the kernel between two looks" "$(between .kernel.media_received)" 500
lab_less "packets forwarded in user space meanwhile" "$(between '(.counts.media_received - .kernel.media_received)')" 1
lab_less "media handed up to it" "$(between '([.ups | to_entries[] | select(.key != "up_hop") | .value] | add)')" 1
lab_more "packets brought again from the history" "$(jq .counts.media_retransmitted "$lab/after.json")" 30
for listener in 1 2 3; do
	for speaker in 1 2 3; do
		[ $speaker != $listener ] || continue
		stream_json "client-$listener hears client-$speaker to the end" $listener $speaker audio '.frames > 250'
		lab_less "client-$listener hears client-$speaker without a long gap" "$(longest_gap $listener $speaker)" 1
		[ $listener = 3 ] || stream_json "client-$listener sees client-$speaker to the end" $listener $speaker video '.frames > 40'
	done
	lab_json "client-$listener: nothing failed to decrypt" "$lab/result-$listener.json" '.decrypt_failures == 0'
done
lab_json "client-1 gets back what it lost" "$lab/result-1.json" \
	'([.streams[].recovered] | add) > 30 and ([.streams[].lost] | add) * 10 < ([.streams[].recovered] | add)'
lab_json "client-2 is asked for what never came" "$lab/result-2.json" '.counters.nack_answered > 5'
# A copy that was asked for may be lost as well, and sound is asked for twice at most.
lab_json "... and who receives no pictures misses no more of it" "$lab/result-3.json" \
	'[.streams[] | select(.kind == "audio")] | (map(.lost) | add) <= 4 and (map(.packets) | add) > 800'
lab_json "client-3 gets no pictures" "$lab/result-3.json" \
	'[.streams[] | select(.kind == "video") | .packets] | add // 0 | . < 100'
