#!/bin/bash
# tcs is killed in the middle of a meeting and started again: audio is back within 5 s, without tmms too.
#
#   client-1 ── veth ──┐
#   client-2 ── veth ──┼── server: tmms, tcs (kill -9, restarted)
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=60
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/meeting.sh"

lab_server
lab_client 1
lab_client 2
start_servers
enrol 1 2
make_media 1 2
create_meeting 1

join 1 16
join 2 15
wait_media 1 1 2
sleep 1
kill_server tcs
start_tcs
sleep 5
# The second time there is no tmms to ask: ended meetings and removed participants are in the relay's journal.
kill_server tmms
kill_server tcs
start_tcs alone
wait_left 2 1

for pair in "1 2" "2 1"; do
	read -r listener speaker <<<"$pair"
	lab_json "client-$listener connected three times" "$lab/result-$listener.json" '.connections == 3 and .decrypt_failures == 0'
	lab_less "client-$listener hears client-$speaker: longest gap" "$(longest_gap "$listener" "$speaker")" 5
	lab_more "client-$listener hears client-$speaker: seconds of tone" "$(tone_seconds "$listener" "$speaker")" 5
done
