#!/bin/bash
# No UDP passes for client-1, client-3 wants none: all media takes the TLS connection, and nobody is missed.
#
#   client-1 ── impair: udp-blocked ──┐
#   client-2 ── veth ─────────────────┼── server: tmms, tcs
#   client-3 ── veth, --transport tls ┘
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=60
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/meeting.sh"

lab_server
lab_client 1 --case udp-blocked
lab_client 2
lab_client 3
start_servers
enrol 1 2 3
make_media 1 2 3
create_meeting 1

join 1 10 "${VIDEO[@]}"
lab_until 5 has_event 1 joined
join 2 9 "${VIDEO[@]}"
lab_until 5 has_event 2 joined
join 3 7 "${VIDEO[@]}" --transport tls
wait_media 4 1 2 3
wait_left 3 2 1
lab_link_stop 1

lab_json "the router blocked UDP, and only that" "$lab/link-1.json" '.up.udp_blocked > 0 and .up.pass > 100'
lab_json "client-1 went over TLS" "$lab/result-1.json" '.path == "tls"'
lab_json "client-2 went over UDP" "$lab/result-2.json" '.path == "udp"'
lab_json "client-3 went over TLS" "$lab/result-3.json" '.path == "tls"'
for listener in 1 2 3; do
	lab_json "client-$listener: nothing failed to decrypt" "$lab/result-$listener.json" '.decrypt_failures == 0 and .connections == 1'
	for speaker in 1 2 3; do
		[ $speaker != $listener ] || continue
		stream_json "client-$listener hears client-$speaker, 0 lost" $listener $speaker audio '.lost == 0 and .frames > 250'
		stream_json "client-$listener sees client-$speaker, 0 lost" $listener $speaker video '.lost == 0 and .frames > 40'
		lab_less "client-$listener hears client-$speaker without a gap" "$(longest_gap $listener $speaker)" 0.3
	done
done

# Without a way out: --transport udp where UDP is blocked must say so, not hang.
lab_client 4 --case udp-blocked
enrol 4
make_media 4
join 2 6
join 4 4 --transport udp
wait_left 4 2
stream_json "client-2 hears nothing of client-4, whose UDP is blocked and who wants nothing else" 2 4 audio '. == null or .frames == 0'
