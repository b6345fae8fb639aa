# The proof that the servers could not listen, made while the meeting runs. Sourced by tests/demo/demo.
# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: Apache-2.0

tools=build/tests

start_capture() {
	tcpdump -Z root -i lo -n -s 0 -U -c 400000 --time-stamp-precision=nano -w "$state/capture.pcap" "port $port or port $udp_port" \
		</dev/null >/dev/null 2>"$state/tcpdump.log" 8>&- &
	capture=$!
	wait_for 5 "tcpdump" "$state/tcpdump.log" "$capture" grep -q "listening on" "$state/tcpdump.log"
}

stop_capture() {
	[ -n "${capture:-}" ] || return 0
	kill -INT "$capture" 2>/dev/null
	wait "$capture" 2>/dev/null
	capture=
}

# await TEXT: until the hostile member has said so.
await() {
	wait_for 15 "the hostile member" "$state/plant.log" "$plant" grep -q "^$1" "$state/plant.out"
}

# scan_for_leaks LINK MEETING MEMBER…: three steps. A hostile member joins with a ticket of its own. Search one:
# keys and media must be nowhere. Then the member plants a true key and a true encoded frame; search two, by the
# same program in the same places, must find them. Results in $state/leak.json and $state/control.json.
scan_for_leaks() {
	local link=$1 meeting=$2 processes=() members=() watch=() name member
	shift 2
	while read -r name; do processes+=(--process "$name"); done < <(server_processes)
	for member; do members+=(--member "$member"); done
	# Over TLS a capture shows no media packets. The hostile member is sent them too, as ciphertext like all.
	[ "$transport" != tls ] || watch=(--watch "$state/watched.pcap" --seconds 2)
	mkfifo "$state/plant.fifo"
	"$tools/plant" --home "$state/home-mallory" --meeting "$meeting" --control "$state/control" "${watch[@]}" \
		<"$state/plant.fifo" >"$state/plant.out" 2>"$state/plant.log" &
	plant=$!
	exec {order}>"$state/plant.fifo"
	await joined
	if [ "$transport" = tls ]; then
		await watched
		members+=(--packets "$state/watched.pcap")
	fi
	"$tools/leakscan" --pcap "$state/capture.pcap" "${members[@]}" "${processes[@]}" --control-out "$state/control" \
		>"$state/leak.json" 2>"$state/leak.log" <<<"$link"
	leak_status=$?
	[ $leak_status != 2 ] || fail "the leak scan could not judge:" "$state/leak.log"
	echo >&"$order"
	await planted
	# The datagram is in the capture once tcpdump has written it.
	local end=$(($(now_ms) + 3000))
	until "$tools/leakscan" --pcap "$state/capture.pcap" "${processes[@]}" --control-in "$state/control" \
		>"$state/control.json" 2>"$state/leak.log" || [ "$(now_ms)" -gt $end ]; do sleep 0.1; done
	exec {order}>&-
	wait "$plant" 2>/dev/null
	rm -f "$state/control"
}
