#!/bin/bash
# A room of three paths: client-1 over TLS, client-2 over IPv4, client-3 over IPv6. The kernel serves the two on UDP from
# one list, user space the third. Then UDP opens for client-1, and closes again: nobody misses a packet or hears one twice.
#
#   client-1 ── veth, drops UDP at first, and in the end ──┐
#   client-2 ── veth, its media by IPv4 ───────────────────┼── server: tmms, tcs on fd77::1 and 10.77.0.1
#   client-3 ── veth, its media by IPv6 ───────────────────┘
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=60
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/meeting.sh"

lab_server
for n in 1 2 3; do lab_client $n; done
SERVER=$SERVER6 LISTEN=::
start_servers "fast-path = tcx"
# The relay has one address for all, here of IPv6. Media of client-2 goes there by IPv4.
on_background family client-2 family 4444 10.77.0.1 $UDP_PORT 40
on client-2 nft -f - <<-END
	table ip6 nat {
		chain out {
			type nat hook output priority -100
			ip6 daddr $SERVER6 udp dport $UDP_PORT redirect to :4444
		}
	}
END
enrol 1 2 3
make_media 1 2 3
create_meeting 1

close_udp() {
	on client-1 nft -f - <<-END
		table inet closed {
			chain in { type filter hook input priority 0; udp sport $UDP_PORT drop; }
			chain out { type filter hook output priority 0; udp dport $UDP_PORT drop; }
		}
	END
}
is_meeting() { [ "$(ctl_tcs --json meetings | jq ".meetings[0] | $1")" = true ]; }
# look NAME SECONDS: counters before and after
look() {
	ctl_tcs --json status >"$lab/$1-before.json"
	sleep "$2"
	ctl_tcs --json status >"$lab/$1-after.json"
	jq -s '{ all: (.[1].counts.media_received - .[0].counts.media_received),
		kernel: (.[1].kernel.media_received - .[0].kernel.media_received),
		outside: (.[1].ups.up_outside - .[0].ups.up_outside) }' "$lab/$1-before.json" "$lab/$1-after.json" >"$lab/$1.json"
}

# start SECONDS: all three, until they hear each other
start() {
	join 1 "$1" "${VIDEO[@]}"
	lab_until 8 has_event 1 joined
	join 2 $(($1 - 1)) "${VIDEO[@]}"
	join 3 $(($1 - 1)) "${VIDEO[@]}"
	wait_media 4 1 2 3
}
pairs="12 13 21 23 31 32"

close_udp
lab_watch 30
start 14
for n in 2 3; do lab_until 5 has_event $n path; done
lab_check "two in the kernel, one outside of it" lab_until 3 is_meeting '.engine == "tcx" and .in_kernel == 2 and .receivers == 3'
lab_check "one over TLS, one over IPv4, one over IPv6" is_meeting '.participants | map(.path + (if .path == "tls" then "" elif
	(.address | startswith("[fd77")) then "6" else "4" end)) | sort == ["tls", "udp4", "udp6"]'
look mixed 2
lab_json "what comes by UDP is multiplied in the kernel and goes up for the third, what comes by TLS is not" "$lab/mixed.json" \
	'.kernel > 100 and .kernel < .all and .outside > 100 and .outside <= .kernel'

on client-1 nft delete table inet closed
lab_check "UDP opens for client-1: all three in the kernel" lab_until 6 is_meeting '.in_kernel == 3'
sleep 0.5
look open 2
lab_json "... which serves all of it" "$lab/open.json" '.kernel > 200 and .kernel == .all and .outside == 0'
ctl_tcs --json counters >"$lab/counters.json"
wait_left 3 2 1
for n in 1 2 3; do
	lab_json "client-$n: nothing failed to decrypt, nothing came twice" "$lab/result-$n.json" \
		'.path == "udp" and .decrypt_failures == 0 and .connections == 1 and .counters.replayed == 0'
done
for pair in $pairs; do
	stream_json "client-${pair%?} hears client-${pair#?}, 0 lost" "${pair%?}" "${pair#?}" audio '.lost == 0 and .frames > 350'
	stream_json "client-${pair%?} sees client-${pair#?}, 0 lost" "${pair%?}" "${pair#?}" video '.lost == 0 and .frames > 50'
done
lab_json "nothing came to the relay twice or was refused" "$lab/counters.json" \
	'.drops | .tag_wrong == 0 and .counter_replayed == 0 and .media_repeated == 0 and .room_foreign == 0 and .neighbour_unknown == 0'
for n in 1 2 3; do mv "$lab/record-$n" "$lab/record-first-$n"; done

# --- and back: for two seconds nobody can know that UDP is closed
start 13
lab_check "all three in the kernel" lab_until 6 is_meeting '.in_kernel == 3'
close_udp
lab_check "UDP closes: client-1 is served over TLS again" lab_until 6 is_meeting '.in_kernel == 2 and .receivers == 3'
wait_left 3 2 1
stall=$(lab_stall)
lab_json "client-1 ended on TLS, by the connection that it had" "$lab/result-1.json" '.path == "tls" and .connections == 1'
for pair in $pairs; do
	if [[ $pair = *1* ]]; then
		stream_json "client-${pair%?} hears client-${pair#?} to the end" "${pair%?}" "${pair#?}" audio '.frames > 250'
		lab_less "client-${pair%?} hears client-${pair#?} but for the time until TLS takes over" \
			"$(longest_gap "${pair%?}" "${pair#?}")" "$(lab_patience 3 "$stall")"
	else
		stream_json "client-${pair%?} hears client-${pair#?}, 0 lost" "${pair%?}" "${pair#?}" audio '.lost == 0 and .frames > 400'
		stream_json "client-${pair%?} sees client-${pair#?}, 0 lost" "${pair%?}" "${pair#?}" video '.lost == 0 and .frames > 60'
		lab_less "client-${pair%?} hears client-${pair#?} without a gap" "$(longest_gap "${pair%?}" "${pair#?}")" \
			"$(lab_patience 0.3 "$stall")"
	fi
done
