# The lab: network namespaces joined by impairing routers. Sourced by each scenario.
# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A scenario runs in mount, network and PID namespaces of its own: two runs cannot meet, and when it ends, however
# it ends, every process and every namespace that it made is gone. LIMIT_S bounds it.
#
#   client-N  10.77.N.2, fd77:N::2  ── link N ──  server  10.77.0.1, fd77::1
#
# A link is a veth pair, or build/tests/impair (a user-space router, see its --help).
set -uo pipefail
lab_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)

if [ "${LAB_INSIDE:-}" != $PPID ] && [ "${LAB_INSIDE:-}" != 1 ]; then
	exec env LAB_INSIDE=1 timeout --signal=KILL "${LIMIT_S:-80}" \
		unshare --mount --net --pid --fork --kill-child=KILL --mount-proc --propagation private -- "$0" "$@"
fi
unset LAB_INSIDE

lab_name=$(basename "$0" .sh)
lab=$(mktemp -d "${TMPDIR:-/tmp}/huisclos-net.XXXXXX") || exit 1
mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns || exit 1
PATH=$lab_top/build/bin:$lab_top/build/tests:$PATH
SERVER=10.77.0.1 SERVER6=fd77::1
: "${SEED:=1}"

# ---------------------------------------------------------------- TAP

lab_failures=0
lab_ok() { echo "ok - $1"; }
lab_fail() {
	echo "not ok - $1"
	lab_failures=$((lab_failures + 1))
}
lab_skip() { echo "ok - $1 # SKIP $2"; }
lab_note() { sed 's/^/# /'; }

# lab_check DESCRIPTION COMMAND...
lab_check() {
	local what=$1
	shift
	if "$@" >"$lab/check" 2>&1; then lab_ok "$what"; else
		lab_fail "$what"
		echo "# failed: $*" | head -n 3 | cut -c1-300
		tail -n 5 "$lab/check" | lab_note
	fi
}
# lab_json DESCRIPTION FILE JQ-EXPRESSION: the expression is true of the file.
lab_json() {
	if [ "$(jq -r "$3" "$2" 2>"$lab/check")" = true ]; then lab_ok "$1"; else
		lab_fail "$1"
		echo "# not true: $3"
		{ cat "$lab/check"; jq -c . "$2" 2>&1; } | cut -c1-1500 | tail -n 5 | lab_note
	fi
}
# lab_json_value FILE JQ-EXPRESSION
lab_json_value() { jq -r "$2" "$1" 2>/dev/null; }

# lab_until SECONDS COMMAND...: repeat until it succeeds; fails when the time is over.
lab_until() {
	local end=$(($(date +%s%N) / 1000000 + $1 * 1000))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $(($(date +%s%N) / 1000000)) -lt $end ] || return 1
		sleep 0.05
	done
}

# ---------------------------------------------------------------- hosts and links

# lab_host NAME
lab_host() {
	ip netns add "$1"
	ip netns exec "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
		net.ipv6.conf.default.router_solicitations=0 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
		net.ipv4.icmp_ratelimit=0
	ip -n "$1" link set lo up
}

# Run in a host: in foreground, or as a job whose pid is in $!. Output of jobs: $lab/LABEL.out and .err
on() {
	local host=$1
	shift
	ip netns exec "$host" "$@"
}
on_background() { # on_background LABEL HOST COMMAND...
	local label=$1 host=$2
	shift 2
	ip netns exec "$host" "$@" >"$lab/$label.out" 2>"$lab/$label.err" </dev/null &
}

lab_address() { # lab_address N HOST INTERFACE LAST: both families, the whole prefix routed to the interface
	ip -n "$2" address add "10.77.$1.$4/24" dev "$3"
	ip -n "$2" -6 address add "fd77:$1::$4/64" dev "$3" nodad
	ip -n "$2" link set "$3" up
}

# lab_server: the host that all links lead to
lab_server() {
	lab_host server
	ip -n server address add $SERVER/32 dev lo
	ip -n server -6 address add $SERVER6/128 dev lo nodad
	on server sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

# lab_client N [IMPAIR-OPTION...]: host client-N and its link. With options the link is a router with them;
# its log is $lab/link-N.log, its counters $lab/link-N.json, its pid in lab_router[N].
declare -A lab_router
lab_client() {
	local n=$1
	shift
	lab_host "client-$n"
	if [ $# = 0 ]; then
		ip -n server link add "c$n" type veth peer name wan netns "client-$n"
	else
		impair --inside "client-$n:wan" --outside "server:c$n" --seed "$SEED" --duration 300 --log "$lab/link-$n.log" "$@" \
			>"$lab/link-$n.json" 2>"$lab/link-$n.err" &
		lab_router[$n]=$!
		lab_until 3 ip -n server link show "c$n" || { lab_fail "router of client-$n"; lab_note <"$lab/link-$n.err"; exit 1; }
	fi
	lab_address "$n" server "c$n" 1
	lab_address "$n" "client-$n" wan 2
	ip -n "client-$n" route add default dev wan via "10.77.$n.1"
	ip -n "client-$n" -6 route add default dev wan via "fd77:$n::1"
}

# Let the routers' cases begin (option --arm).
lab_arm() {
	local n
	for n in "${!lab_router[@]}"; do kill -USR1 "${lab_router[$n]}"; done
}

# End the router of client-N, so that its counters and log are complete.
lab_link_stop() {
	kill -TERM "${lab_router[$1]}" && wait "${lab_router[$1]}"
	unset "lab_router[$1]"
}

# ---------------------------------------------------------------- the machine

# lab_watch SECONDS: from now on note for how long this machine leaves a process waiting that has next to nothing to do.
# When the time is over, lab_stall prints the worst of it in seconds: a limit of a gap that people would hear is meant for
# a machine that works at once.
lab_watch() {
	lab_host watch
	on_background watch-echo watch probe echo 127.0.0.1 9 "$1"
	sleep 0.1
	on_background watch watch probe udp 127.0.0.1 9 $((($1 - 1) * 50)) 20 64
	lab_watcher=$!
}
lab_stall() {
	wait "$lab_watcher"
	jq '([.gap_max_ms, .rtt_max_ms] | max) / 1000' "$lab/watch.out"
}
# lab_patience SECONDS STALL: as a limit here
lab_patience() { awk -v seconds="$1" -v stall="$2" 'BEGIN { printf "%.2f\n", seconds + 2 * stall }'; }

# ---------------------------------------------------------------- the end

# Called by every exit: what failed leaves its logs in build/net/SCENARIO.
lab_end() {
	local status=$?
	[ "$status" = 0 ] || [ "$lab_failures" != 0 ] || lab_fail "$lab_name ended with status $status"
	rm -rf "$lab_top/build/net/$lab_name"
	if [ "$lab_failures" != 0 ]; then
		mkdir -p "$lab_top/build/net"
		find "$lab" -name '*.y4m' -delete
		cp -r "$lab" "$lab_top/build/net/$lab_name"
		echo "# logs: build/net/$lab_name"
	fi
	rm -rf "$lab"
	# The end of this process, first of its PID namespace, ends all others.
	[ "$lab_failures" = 0 ] || exit 1
}
trap lab_end EXIT
