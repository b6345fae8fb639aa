#!/bin/bash
# Both servers on one address and port, behind huisclos-mux; the death of any of the three leaves the connections
# of the others alone.
#
#   client-1 ── veth ──┐
#   client-2 ── veth ──┼── server: 443 = huisclos-mux ──► tmms, tcs
#   client-3 ── veth ──┘
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=70
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/meeting.sh"

lab_server
for n in 1 2 3; do lab_client $n; done
start_servers mux
lab_check "nothing but the mux listens on TCP" \
	test "$(on server ss -Htln | awk '{ print $4 }')" = "$SERVER:443"
enrol 1 2 3
make_media 1 2 3
create_meeting 1

# Over TLS, so that media itself goes through connections that the mux passed.
join 1 16 --transport tls
join 2 15 --transport tls
wait_media 1 1 2
kill_server tmms
sleep 1
kill_server mux
sleep 1
start_mux
start_tmms
join 3 5
wait_media 2 3
wait_left 3

for garbage in random hello half-hello silent; do
	on client-3 blast tcp $SERVER 443 $garbage 20 1 7 >"$lab/blast-$garbage.json"
done
lab_json "garbage on 443 gets nothing but alerts back" "$lab/blast-random.json" '.connections > 0 and .bytes_in <= .bytes_out'
lab_check "the mux lives" kill -0 "${server_pid[mux]}"
wait_left 2 1
for pair in "1 2" "2 1"; do
	read -r listener speaker <<<"$pair"
	lab_json "client-$listener kept its connection when tmms and the mux died" "$lab/result-$listener.json" \
		'.connections == 1 and .path == "tls" and .decrypt_failures == 0'
	lab_less "client-$listener heard client-$speaker all the time: longest gap" "$(longest_gap "$listener" "$speaker")" 0.3
done
stream_json "client-3 joined through the new mux and heard client-1" 3 1 audio '.frames > 150'

# A dying relay leaves TMMS alone.
kill_server tcs
lab_check "with tcs gone, tmms answers through the mux" client 1 meet list
