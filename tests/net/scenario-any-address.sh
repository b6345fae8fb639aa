#!/bin/bash
# Servers that listen on every address (::), as they do by default, on a host with several: answers come from the
# address that was asked. IPv6 without any IPv4 for one client.
#
#   client-1 ── veth, IPv6 only ──┐
#   client-2 ── veth ─────────────┼── server: fd77::1, 10.77.0.1, and an address on each link
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=50
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/meeting.sh"

lab_server
lab_client 1
lab_client 2
ip -n client-1 address del 10.77.1.2/24 dev wan
SERVER=$SERVER6 LISTEN=::
start_servers
enrol 1 2
make_media 1 2
create_meeting 1
lab_check "an IPv6 address in a link" grep -q 'a=.*fd77' <<<"$(ctl_tmms users enrol client-1)"

join 1 8 "${VIDEO[@]}"
lab_until 5 has_event 1 joined
join 2 6 "${VIDEO[@]}"
wait_media 2 1 2
wait_left 2 1
for pair in "1 2" "2 1"; do
	read -r listener speaker <<<"$pair"
	lab_json "client-$listener: media over UDP, nothing failed to decrypt" "$lab/result-$listener.json" \
		'.path == "udp" and .decrypt_failures == 0 and .connections == 1'
	stream_json "client-$listener hears client-$speaker, 0 lost" "$listener" "$speaker" audio '.lost == 0 and .frames > 200'
	stream_json "client-$listener sees client-$speaker, 0 lost" "$listener" "$speaker" video '.lost == 0 and .frames > 40'
done
