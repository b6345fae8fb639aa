#!/bin/bash
# A meeting of three over clean links, everybody in IPv4: nothing is lost, and pictures come at once.
#
#   client-1 ── veth ──┐
#   client-2 ── veth ──┼── server: tmms, tcs
#   client-3 ── veth ──┘
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=60
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/meeting.sh"

lab_server
for n in 1 2 3; do lab_client $n; done
start_servers
enrol 1 2 3
make_media 1 2 3
create_meeting 1

# Whoever joins last leaves first, so that each stays with all others to its own end.
join 1 9 "${VIDEO[@]}"
lab_until 5 has_event 1 joined
join 2 8 "${VIDEO[@]}"
lab_until 5 has_event 2 joined
join 3 6 "${VIDEO[@]}"
wait_media 4 1 2 3
wait_left 3 2 1

for listener in 1 2 3; do
	lab_json "client-$listener: media went over UDP, nothing failed to decrypt" "$lab/result-$listener.json" \
		'.path == "udp" and .decrypt_failures == 0 and .connections == 1'
	lab_json "client-$listener: first frame within 1 s of the ticket" "$lab/result-$listener.json" \
		'.first_frame_ms > 0 and (.first_frame_ms < 1000 or '"$listener"' == 1)'
	for speaker in 1 2 3; do
		[ $speaker != $listener ] || continue
		stream_json "client-$listener hears client-$speaker, 0 lost" $listener $speaker audio '.lost == 0 and .frames > 200'
		stream_json "client-$listener sees client-$speaker, 0 lost" $listener $speaker video \
			'.lost == 0 and .frames > 40 and .width == 320 and .height == 180'
		lab_less "client-$listener hears client-$speaker without a gap" "$(longest_gap $listener $speaker)" 0.2
	done
done
ctl_tcs status --json >"$lab/status.json"
lab_less "packets refused by the relay" "$(for c in tag_wrong handle_unknown counter_replayed ssrc_foreign; do
	relay_counter $c
done | awk '{ n += $1 } END { print n + 0 }')" 1
