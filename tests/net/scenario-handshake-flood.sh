#!/bin/bash
# A flood of TLS handshakes does not delay media: latencies of a meeting's packets with and without it, where user space
# multiplies (the relay's own figure, from the device to its sending) and where the kernel does.
#
#   client-1 ── veth ──┐
#   client-2 ── veth ──┼── server: tmms, tcs
#   client-9 ── veth ──┘   handshakes, eight at a time, as fast as they go
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=85
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/meeting.sh"

lab_server
for n in 1 2 9; do lab_client $n; done
start_servers
enrol 1 2
make_media 1 2

# meet NAME user|tcx [flood]: a relay that is new, so that its figures are of this meeting; they go to $lab/NAME.json
meet() {
	local name=$1 engine=$2 n
	kill_server tcs
	sed -i '/^fast-path/d' "$lab/tcs.conf"
	echo "fast-path = $engine" >>"$lab/tcs.conf"
	start_tcs
	create_meeting 1
	join 1 8 "${VIDEO[@]}"
	join 2 7 "${VIDEO[@]}"
	wait_media 2 1 2
	if [ -n "${3:-}" ]; then on client-9 shake $SERVER $relay_port $RELAY_NAME 8 4 >"$lab/$name-flood.json"; else sleep 4; fi
	ctl_tcs status --json >"$lab/$name.json"
	wait_left 2 1
	for n in "1 2" "2 1"; do
		read -r listener speaker <<<"$n"
		stream_json "$name: client-$listener hears client-$speaker, 0 lost" "$listener" "$speaker" audio '.lost == 0'
	done
}

# compare ENGINE FIELD: of two meetings. Limit: what people could not notice, and what a busy machine adds.
compare() {
	local calm flooded
	calm=$(lab_json_value "$lab/$1-calm.json" ".$2.p99")
	flooded=$(lab_json_value "$lab/$1-flood.json" ".$2.p99")
	echo "# $1: p50 $(lab_json_value "$lab/$1-calm.json" ".$2.p50") us, p99 $calm us; in the flood p50 $(lab_json_value "$lab/$1-flood.json" ".$2.p50") us, p99 $flooded us"
	lab_json "$1: enough packets were measured" "$lab/$1-flood.json" ".$2.count > 300"
	lab_less "$1: p99 of media in the flood, us" "$flooded" "$(awk -v calm="$calm" 'BEGIN { print calm * 2 + 2000 }')"
}

for engine in user tcx; do
	meet $engine-calm $engine
	meet $engine-flood $engine flood
	jq -c . "$lab/$engine-flood-flood.json" | lab_note
	lab_json "$engine: the flood was one" "$lab/$engine-flood-flood.json" '.answered > 500'
done
compare user latency_us
compare tcx kernel_latency_us
