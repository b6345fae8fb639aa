# Servers and meetings in the lab. Sourced by scenarios, after lib.sh.
# shellcheck shell=bash disable=SC2154,SC2034,SC2120
# SPDX-License-Identifier: Apache-2.0

# Both servers on one address: TMMS on 443, TCS on 8443, media on UDP 4443. With `mux` both are behind
# huisclos-mux on 443.
MGMT_NAME=tmms.lab RELAY_NAME=tcs.lab
UDP_PORT=4443 relay_port=8443
declare -A server_pid join_pid

ctl_tmms() { on server tmmsctl --socket "$lab/tmms.sock" "$@"; }
ctl_tcs() { on server tcsctl --socket "$lab/tcs.sock" "$@"; }
client() { # client N ARGUMENT...
	local n=$1
	shift
	on "client-$n" tcc-cli --home "$lab/home-$n" "$@"
}

give_up() { # a scenario cannot go on: say why, with the end of a log
	lab_fail "$1"
	[ -z "${2:-}" ] || tail -n 8 "$2" 2>/dev/null | lab_note
	exit 1
}

start_tmms() {
	on_background tmms server tmms --config "$lab/tmms.conf"
	server_pid[tmms]=$!
	lab_until 20 ctl_tmms status || give_up "tmms starts" "$lab/tmms.err"
}
start_mux() {
	on_background mux server huisclos-mux --config "$lab/mux.conf"
	server_pid[mux]=$!
	lab_until 5 on server bash -c "exec 3<>/dev/tcp/$SERVER/443" || give_up "huisclos-mux starts" "$lab/mux.err"
}
is_relay_synced() { [ "$(ctl_tcs status --json | jq .management.synced)" = true ]; }
# start_tcs [alone]: `tcs` that has heard of ended meetings from tmms; with `alone` it does not wait for that. Who
# starts it again when it ends is systemd in real life, here a loop.
start_tcs() {
	on_background tcs server bash -c 'for try in {1..50}; do "$@" && exit; echo "tcs ended, try $try" >&2; sleep 0.1; done' \
		- tcs --config "$lab/tcs.conf"
	server_pid[tcs]=$!
	if [ "${1:-}" = alone ]; then
		lab_until 10 ctl_tcs status || give_up "tcs starts" "$lab/tcs.err"
	else
		lab_until 20 is_relay_synced || give_up "tcs starts and hears tmms" "$lab/tcs.err"
	fi
}

# Process ids of a job and all that it made, parents first.
family() {
	local child
	echo "$1"
	for child in $(pgrep -P "$1"); do family "$child"; done
}
# kill_server NAME: SIGKILL to it and the processes that it made. Gone when this returns.
kill_server() {
	local pids
	pids=$(family "${server_pid[$1]}" | tr '\n' ' ')
	# shellcheck disable=SC2086
	kill -KILL $pids 2>/dev/null
	wait "${server_pid[$1]}" 2>/dev/null
	# shellcheck disable=SC2086
	lab_until 3 bash -c '! kill -0 "$@" 2>/dev/null' - $pids
	unset "server_pid[$1]"
}

# LISTEN: where they listen, if not on SERVER alone.
# start_servers [mux] [EXTRA-LINE-OF-TCS-CONF...]
start_servers() {
	local is_mux=0 listen_tmms=443
	if [ "${1:-}" = mux ]; then
		is_mux=1 listen_tmms=0 relay_port=443
		shift
	fi
	mkdir -p "$lab/tmms" "$lab/tcs"
	cat >"$lab/tmms.conf" <<-END
		server-name = $MGMT_NAME
		listen-address = ${LISTEN:-$SERVER}
		listen-port = $listen_tmms
		control-socket = $lab/tmms.sock
		state-directory = $lab/tmms
		public-address = $SERVER
		public-port = 443
		store-size = 67108864
	END
	cat >"$lab/tcs.conf" <<-END
		listen-address = ${LISTEN:-$SERVER}
		listen-port = $([ $is_mux = 1 ] && echo 0 || echo $relay_port)
		udp-port = $UDP_PORT
		control-socket = $lab/tcs.sock
		state-directory = $lab/tcs
	END
	[ $# = 0 ] || printf '%s\n' "$@" >>"$lab/tcs.conf"
	cat >"$lab/mux.conf" <<-END
		listen-address = ${LISTEN:-$SERVER}
		tmms-name = $MGMT_NAME
		tmms-socket = $lab/tmms.mux
		tcs-name = $RELAY_NAME
		tcs-socket = $lab/tcs.mux
	END
	if [ $is_mux = 1 ]; then
		echo "mux-socket = $lab/tmms.mux" >>"$lab/tmms.conf"
		echo "mux-socket = $lab/tcs.mux" >>"$lab/tcs.conf"
	fi
	start_tmms
	[ $is_mux = 0 ] || start_mux
	local link
	link=$(ctl_tmms relays add "$RELAY_NAME" --address "$SERVER" --port "$relay_port" 2>"$lab/enrol.err") || give_up "tmmsctl relays add" "$lab/enrol.err"
	on server tcs --config "$lab/tcs.conf" --enrol "$link" >"$lab/enrol.err" 2>&1 || give_up "tcs --enrol" "$lab/enrol.err"
	start_tcs
}

enrol() { # enrol N...: a user and a client home each
	local n link
	for n; do
		ctl_tmms users add "client-$n" >/dev/null 2>"$lab/enrol.err"
		link=$(ctl_tmms users enrol "client-$n" 2>>"$lab/enrol.err") || give_up "tmmsctl users enrol" "$lab/enrol.err"
		client "$n" enrol "$link" >"$lab/enrol.err" 2>&1 || give_up "client-$n enrols" "$lab/enrol.err"
	done
}

create_meeting() { # create_meeting N: sets $meeting to the link
	meeting=$(client "$1" meet create --title "Lab" 2>"$lab/create.err") || give_up "client-$1 creates a meeting" "$lab/create.err"
	meeting=$(grep -o 'https://[^ "]*' <<<"$meeting" | head -n 1)
	[ -n "$meeting" ] || give_up "client-$1 prints the meeting's link"
}

# What client N sends: a tone of N * 300 Hz, loud all the time, so that a gap can be seen in a recording; and a
# moving picture.
make_media() {
	local n
	mkdir -p "$lab/media"
	for n; do
		ffmpeg -nostdin -v error -f lavfi -i "sine=frequency=$((n * 300)):sample_rate=48000:duration=2" -ac 1 -af volume=12dB \
			"$lab/media/tone-$n.wav" || give_up "tone for client-$n"
	done
	[ -f "$lab/media/picture.y4m" ] || ffmpeg -nostdin -v error -f lavfi -i "testsrc2=size=320x180:rate=15:duration=4" \
		-pix_fmt yuv420p "$lab/media/picture.y4m" || give_up "a moving picture"
}

VIDEO=(--video "$lab/media/picture.y4m")

# join N SECONDS [OPTION...]: in the background, with its tone, recorded. Events and statistics: $lab/join-N.out
join() {
	local n=$1 seconds=$2
	shift 2
	mkdir -p "$lab/record-$n"
	on_background "join-$n" "client-$n" timeout $((seconds + 20)) tcc-cli --home "$lab/home-$n" join "$meeting" \
		--audio "$lab/media/tone-$n.wav" --record "$lab/record-$n" --duration "$seconds" --json "$@"
	join_pid[$n]=$!
}

# Events of client N so far, as a JSON array; has_media N COUNT: it has decoded the first frames of COUNT streams.
events() { jq -s . "$lab/join-$1.out" 2>/dev/null; }
has_media() { [ "$(events "$1" | jq '[.[] | select(.event == "first_frame")] | length')" -ge "$2" ]; }
has_event() { [ "$(events "$1" | jq --arg e "$2" '[.[] | select(.event == $e)] | length')" -gt 0 ]; }

# wait_media COUNT N...: until each has decoded frames of that many streams.
wait_media() {
	local n count=$1
	shift
	for n; do
		lab_until 10 has_media "$n" "$count" || {
			events "$n" | jq -c '.[]' | tail -n 12 | lab_note
			give_up "client-$n gets $count streams" "$lab/join-$n.err"
		}
	done
}

# wait_left N...: until their time is over. Their statistics go to $lab/result-N.json, all events to events-N.json.
wait_left() {
	local n status
	for n; do
		status=0
		wait "${join_pid[$n]}" || status=$?
		lab_check "client-$n ends well" test "$status" = 0
		events "$n" >"$lab/events-$n.json"
		jq 'map(select(.event == "statistics")) | last' "$lab/events-$n.json" >"$lab/result-$n.json"
		[ "$status" = 0 ] || { tail -n 3 "$lab/join-$n.err"; jq -c '.[-3:][]' "$lab/events-$n.json"; } | cut -c1-300 | lab_note
	done
}

participant() { jq -r .participant "$lab/result-$1.json"; }

# stream_json DESCRIPTION LISTENER SPEAKER KIND EXPRESSION: true of that stream's statistics.
stream_json() {
	jq --arg p "$(participant "$3")" --arg k "$4" '[.streams[] | select(.participant == $p and .kind == $k)] | first' \
		"$lab/result-$2.json" >"$lab/stream.json"
	lab_json "$1" "$lab/stream.json" "$5"
}

# longest_gap LISTENER SPEAKER: seconds of silence in the recorded tone, after its beginning.
longest_gap() {
	local file
	file=$lab/record-$1/$(participant "$2").wav
	[ -s "$file" ] || { echo 9999; return; }
	ffmpeg -nostdin -hide_banner -i "$file" -af silencedetect=noise=-30dB:d=0.1 -f null - 2>&1 |
		awk '/silence_start:/ { sub(/.*silence_start: */, ""); start = $1 + 0; begun = 1 }
		     /silence_end:/ { sub(/.*silence_end: */, ""); if (start > 0.05 && $1 - start > longest) longest = $1 - start }
		     /Duration:/ { seen = 1 }
		     END { print seen ? longest + 0 : 9999 }'
}
# tone_seconds LISTENER SPEAKER: how much of the recorded tone is no silence.
tone_seconds() {
	local file
	file=$lab/record-$1/$(participant "$2").wav
	[ -s "$file" ] || { echo 0; return; }
	ffmpeg -nostdin -hide_banner -i "$file" -af silenceremove=stop_periods=-1:stop_duration=0.1:stop_threshold=-30dB \
		-f s16le -ac 1 -ar 48000 - 2>/dev/null | wc -c | awk '{ printf "%.2f\n", $1 / 96000 }'
}
is_less() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }'; }
lab_less() { # lab_less DESCRIPTION VALUE LIMIT: prints the value
	if is_less "$2" "$3"; then lab_ok "$1 ($2, limit $3)"; else lab_fail "$1 ($2, limit $3)"; fi
}
lab_more() {
	if is_less "$3" "$2"; then lab_ok "$1 ($2, at least $3)"; else lab_fail "$1 ($2, at least $3)"; fi
}

# relay_counter NAME
relay_counter() { ctl_tcs status --json | jq -r --arg n "$1" '.. | objects | select(has($n)) | .[$n]' | head -n 1; }
