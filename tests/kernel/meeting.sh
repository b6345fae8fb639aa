#!/bin/bash
# A meeting of three in Debian's kernel, sound only: the relay forwards with the engine that it is told to use.
#
#   client-1 ── veth ──┐
#   client-2 ── veth ──┼── server: tmms, tcs
#   client-3 ── veth ──┘
#
#   meeting.sh user|tcx|xdp
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=50
. "$(dirname "$0")/../net/lib.sh"
. "$(dirname "$0")/../net/meeting.sh"
engine=${1:-}
case $engine in user | tcx | xdp) ;; *) echo "usage: meeting.sh user|tcx|xdp" >&2; exit 2 ;; esac

lab_server
for n in 1 2 3; do lab_client $n; done
start_servers
enrol 1 2 3
mkdir -p "$lab/media"
for n in 1 2 3; do cp "$lab_top/build/kernel/tone.wav" "$lab/media/tone-$n.wav"; done
create_meeting 1
join 1 8
join 2 8
join 3 8
wait_media 2 1 2 3
wait_left 3 2 1
for listener in 1 2 3; do
	lab_json "client-$listener: media went over UDP, nothing failed to decrypt" "$lab/result-$listener.json" \
		'.path == "udp" and .decrypt_failures == 0 and .connections == 1'
done
ctl_tcs status --json | jq --monochrome-output -c .counts | lab_note
