#!/bin/bash
# A flood of TLS handshakes does not delay media: latencies of a meeting's packets with and without it, where user space
# multiplies and where the kernel does. They are from a capture of the server's devices: in by one, out by the other.
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

# latencies NAME: copies have the bytes of what came in, behind new addresses.
latencies() {
	on server tcpdump -r "$lab/$1.pcap" -nn -tt -x 2>/dev/null | awk '
		function settle() {
			key = substr(hex, 57, 80) # behind IPv4 and UDP header
			if (hex != "" && key in came) printf "%.3f\n", (time - came[key]) * 1e6
			else if (hex != "") came[key] = time
			hex = ""
		}
		/^[0-9]/ { settle(); time = substr($1, 6) + 0; next } # without the digits that a double has no room for
		{ for (i = 2; i <= NF; i++) hex = hex $i }
		END { settle() }' |
		jq -s 'sort | { count: length, p50_us: .[length / 2 | floor], p99_us: .[length * 0.99 | floor] }' >"$lab/$1.json"
}

# meet NAME user|tcx [flood]: a relay that is new; latencies go to $lab/NAME.json
meet() {
	local name=$1 engine=$2 listener
	kill_server tcs
	sed -i '/^fast-path/d' "$lab/tcs.conf"
	echo "fast-path = $engine" >>"$lab/tcs.conf"
	start_tcs
	create_meeting 1
	join 1 8 "${VIDEO[@]}"
	join 2 7 "${VIDEO[@]}"
	wait_media 2 1 2
	on_background "$name-dump" server timeout 4 tcpdump -i any -s 128 --time-stamp-precision=nano -w "$lab/$name.pcap" udp port $UDP_PORT
	if [ -n "${3:-}" ]; then on client-9 shake $SERVER $relay_port $RELAY_NAME 8 4 >"$lab/$name-flood.json"; else sleep 4; fi
	wait $!
	[ "$engine" = user ] || lab_check "$name: the kernel multiplied" test "$(ctl_tcs status --json | jq .kernel.media_received)" -gt 300
	wait_left 2 1
	for listener in 1 2; do
		stream_json "$name: client-$listener hears the other, 0 lost" $listener $((3 - listener)) audio '.lost == 0'
	done
	latencies "$name"
}

# compare ENGINE: the limit is what nobody could notice, half the time between two packets of sound, on a busy machine too.
compare() {
	local state
	for state in calm flood; do
		jq -c . "$lab/$1-$state.json" | sed "s/^/# $1, $state: /"
		lab_json "$1: enough packets were measured" "$lab/$1-$state.json" '.count > 300'
	done
	lab_less "$1: p99 of media in the flood, us" "$(lab_json_value "$lab/$1-flood.json" .p99_us)" \
		"$(lab_json_value "$lab/$1-calm.json" '.p99_us * 2 + 10000')"
}

for engine in user tcx; do
	meet $engine-calm $engine
	meet $engine-flood $engine flood
	jq -c . "$lab/$engine-flood-flood.json" | lab_note
	lab_json "$engine: the flood was one" "$lab/$engine-flood-flood.json" '.answered > 500'
	compare $engine
done
