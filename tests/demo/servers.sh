# Starting, watching and stopping the demo's servers. Sourced by tests/demo/demo.
# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: Apache-2.0

state=$demo/state
bin=build/bin
# Server names as clients see them (SNI, by which the mux tells the two servers apart); not in any DNS.
mgmt_name=tmms.demo relay_name=tcs.demo

# fail TEXT [LOG]: one line why, the last lines of a log, end.
fail() {
	echo >&2
	echo "demo: $1" >&2
	[ -z "${2:-}" ] || [ ! -s "$2" ] || tail -n 8 "$2" | sed 's/^/      /' >&2
	exit 1
}

now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# is_ours PID PROGRAM: alive, and the program that we started (process ids are used again).
is_ours() {
	local exe
	exe=$(readlink "/proc/$1/exe" 2>/dev/null) && [ "${exe##*/}" = "$2" ]
}

# wait_for SECONDS WHAT LOG PID COMMAND…: until the command succeeds; fails as soon as the process is gone.
wait_for() {
	local end=$(($(now_ms) + $1 * 1000)) what=$2 log=$3 pid=$4
	shift 4
	until "$@" >/dev/null 2>&1; do
		kill -0 "$pid" 2>/dev/null || fail "$what ended before it was ready:" "$log"
		[ "$(now_ms)" -lt "$end" ] || fail "$what was not ready in time:" "$log"
		sleep 0.05
	done
}

# A port that nothing listens on, neither TCP nor UDP, below those that the kernel hands out by itself.
free_port() {
	local port hex
	while :; do
		port=$((20000 + RANDOM % 12000))
		hex=$(printf ':%04X ' $port)
		grep -qs "$hex" /proc/net/{tcp,tcp6,udp,udp6} || break
	done
	echo $port
}

# start NAME PROGRAM ARGUMENT…: in the background, its pid in $state/NAME.pid and $started.
start() {
	local name=$1
	shift
	"$@" </dev/null >"$state/$name.log" 2>&1 8>&- & # without the lock: it may outlive us
	started=$!
	disown # no message when it ends
	echo "$started" >"$state/$name.pid"
}

# stop_process PID PROGRAM: SIGTERM, and SIGKILL after three seconds.
stop_process() {
	local end
	is_ours "$1" "$2" || return 0
	kill "$1" 2>/dev/null
	end=$(($(now_ms) + 3000))
	while is_ours "$1" "$2"; do
		[ "$(now_ms)" -lt "$end" ] || kill -KILL "$1" 2>/dev/null
		sleep 0.05
	done
}

# stop NAME PROGRAM: what start started, perhaps in an earlier run.
stop() {
	local pid
	pid=$(cat "$state/$1.pid" 2>/dev/null) || return 0
	rm -f "$state/$1.pid"
	stop_process "$pid" "$2"
}

stop_servers() {
	stop tcs tcs
	stop mux huisclos-mux
	stop tmms tmms
}

ctl_tmms() { "$bin/tmmsctl" --socket "$state/tmms.sock" "$@"; }
ctl_tcs() { "$bin/tcsctl" --socket "$state/tcs.sock" "$@"; }

write_configurations() {
	cat >"$state/tmms.conf" <<-END
		server-name = $mgmt_name
		listen-port = 0
		mux-socket = $PWD/$state/tmms.mux
		control-socket = $PWD/$state/tmms.sock
		state-directory = $PWD/$state/tmms
		public-address = 127.0.0.1
		public-port = $port
		store-size = 67108864
	END
	cat >"$state/mux.conf" <<-END
		listen-address = 127.0.0.1
		listen-port = $port
		tmms-name = $mgmt_name
		tmms-socket = $PWD/$state/tmms.mux
		tcs-name = $relay_name
		tcs-socket = $PWD/$state/tcs.mux
	END
	cat >"$state/tcs.conf" <<-END
		listen-address = 127.0.0.1
		listen-port = 0
		udp-port = $udp_port
		mux-socket = $PWD/$state/tcs.mux
		control-socket = $PWD/$state/tcs.sock
		state-directory = $PWD/$state/tcs
		fast-path-devices = lo
	END
}

start_servers() {
	local link
	port=$(free_port)
	udp_port=$(free_port)
	mkdir -p "$state/tmms" "$state/tcs"
	write_configurations
	start tmms "$bin/tmms" --config "$state/tmms.conf"
	wait_for 20 "tmms" "$state/tmms.log" "$started" ctl_tmms status
	start mux "$bin/huisclos-mux" --config "$state/mux.conf"
	wait_for 10 "huisclos-mux" "$state/mux.log" "$started" grep -q "$(printf ':%04X ' "$port")" /proc/net/tcp
	link=$(ctl_tmms relays add "$relay_name" --address 127.0.0.1 --port "$port" 2>"$state/error") || fail "tmmsctl relays add failed:" "$state/error"
	"$bin/tcs" --config "$state/tcs.conf" --enrol "$link" >"$state/enrol.log" 2>&1 || fail "tcs --enrol failed:" "$state/enrol.log"
	start tcs "$bin/tcs" --config "$state/tcs.conf"
	wait_for 20 "tcs" "$state/tcs.log" "$started" is_relay_ready
}

is_relay_ready() { [ "$(ctl_tcs status --json | jq .management.synced)" = true ]; }

# NAME:PID of every process of the servers.
server_processes() {
	local name pid child
	for name in tcs mux tmms; do
		pid=$(cat "$state/$name.pid")
		echo "$name:$pid"
		# shellcheck disable=SC2046
		for child in $(pgrep -P "$pid"); do
			echo "$name $(tr '\0' ' ' <"/proc/$child/comm"):$child" | tr -d '\n' | sed 's/ *:/:/'
			echo
		done
	done
}

# enrol NAME: a user of the server, and a client home of that user.
enrol() {
	local link
	ctl_tmms users add "$1" >"$state/error" 2>&1 || fail "tmmsctl users add failed:" "$state/error"
	link=$(ctl_tmms users enrol "$1" 2>"$state/error") || fail "tmmsctl users enrol failed:" "$state/error"
	client "$1" enrol "$link" >"$state/error" 2>&1 || fail "tcc-cli enrol failed:" "$state/error"
}

# client NAME ARGUMENT…
client() {
	local name=$1
	shift
	"$bin/tcc-cli" --home "$state/home-$name" "$@"
}
