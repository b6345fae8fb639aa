# The benchmark's three hosts, for bench-relay and bench-peers. Sourced. SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
#
#   bench-gen  hg0 10.1.0.1 ──── hr0 10.1.0.2  bench-relay  hr1 10.2.0.1 ──── hc0 10.2.0.2  bench-rcv
#   senders                                                                  receivers, 10.9.0.0/16
#
# Everything measured is on one core, BENCH_CORE: generator, relay, sink. What arrives for the relay is received in a
# kernel thread (threaded NAPI of hr0), whose time is charged to the relay; the sink has such a thread of its own,
# which is not charged. Priorities make the relay work in peace: reception, then the relay, then sink, then generator.
# A closed loop sends a burst when all copies of the one before arrived, so nothing is lost and nobody waits for another
# core. Sourcing it runs the script anew in a mount namespace of its own, so that the hosts are gone when it ends.
set -uo pipefail
bench_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd -P)

if [ "${BENCH_INSIDE:-}" != $PPID ] && [ "${BENCH_INSIDE:-}" != 1 ]; then
	exec env BENCH_INSIDE=1 unshare --mount --propagation private -- "$0" "$@"
fi
unset BENCH_INSIDE

bench_dir=$(mktemp -d "${TMPDIR:-/tmp}/huisclos-bench.XXXXXX") || exit 1
mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns || exit 1
# One benchmark at a time on a machine: an abstract socket's name, held by descriptor, would do as well as a lock.
exec 7>"${BENCH_LOCK:-/dev/shm/huisclos-bench.lock}"
flock -n 7 || { echo "another benchmark runs: waiting" >&2; flock 7; }
PATH=$bench_top/build/bin:$bench_top/build/tests:$PATH
: "${BENCH_CORE:=1}" "${BENCH_OTHER_CORE:=0}"

bench_jobs=()
bench_end() {
	local pid
	trap '' INT TERM
	for pid in "${bench_jobs[@]}"; do kill -KILL "$pid" 2>/dev/null; done
	wait 2>/dev/null
	bench_lab_down
	rm -rf "$bench_dir"
}
trap bench_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

on() {
	local host=$1
	shift
	ip netns exec "$host" "$@"
}

# bench_job FILE COMMAND...: in the background; ends with the script. Its pid is in $!.
bench_job() {
	local file=$1
	shift
	"$@" >"$bench_dir/$file.out" 2>"$bench_dir/$file.err" </dev/null 7>&- &
	bench_jobs+=($!)
}

# bench_stop PID: politely, then not.
bench_stop() {
	kill -TERM "$1" 2>/dev/null
	local i
	for ((i = 0; i < 60; i++)); do
		kill -0 "$1" 2>/dev/null || break
		sleep 0.05
	done
	kill -KILL "$1" 2>/dev/null
	wait "$1" 2>/dev/null
	return 0
}

# bench_until SECONDS COMMAND...
bench_until() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -le $end ] || return 1
		sleep 0.05
	done
}

# bench_napi DEVICE HOST PRIORITY: reception of that device in a thread of its own on BENCH_CORE; its pid in $bench_pid
bench_napi() {
	local before after
	before=$(pgrep -f "^\[napi/$1-" | sort)
	on "$2" sh -c "echo 1 >/sys/class/net/$1/threaded" || return 1
	for _ in {1..40}; do
		after=$(pgrep -f "^\[napi/$1-" | sort)
		bench_pid=$(comm -13 <(echo "$before") <(echo "$after") | tail -n 1)
		[ -z "$bench_pid" ] || break
		sleep 0.05
	done
	[ -n "$bench_pid" ] && taskset -pc "$BENCH_CORE" "$bench_pid" >/dev/null && chrt -f -p "$3" "$bench_pid"
}

bench_lab_down() {
	local host
	for host in $(ip netns list | grep -o '^bench-[a-z-]*'); do ip netns del "$host" 2>/dev/null; done
	return 0
}

# Both ends of a veth pair; fixed addresses and neighbours, so that nothing has to be asked.
bench_link() { # HOST DEVICE ADDRESS MAC  HOST DEVICE ADDRESS MAC
	ip -n "$1" link add "$2" address "$4" type veth peer name "$6" address "$8" netns "$5" || return 1
	ip -n "$1" addr add "$3/24" dev "$2" && ip -n "$5" addr add "$7/24" dev "$6" || return 1
	on "$1" ethtool -K "$2" gro on tso off >/dev/null && on "$5" ethtool -K "$6" gro on tso off >/dev/null || return 1
	on "$1" sysctl -qw "net.ipv6.conf.$2.disable_ipv6=1" && on "$5" sysctl -qw "net.ipv6.conf.$6.disable_ipv6=1"
	ip -n "$1" link set "$2" up && ip -n "$5" link set "$6" up || return 1
	ip -n "$1" neigh replace "$7" lladdr "$8" dev "$2" nud permanent && ip -n "$5" neigh replace "$3" lladdr "$4" dev "$6" nud permanent
}

# bench_lab_up [NAME]: another lab's hosts are called bench-gen-NAME and so on; tools find it by BENCH_LAB=-NAME. The
# threads that receive for its relay and for its sink: $bench_reception, $bench_sink
bench_lab_up() {
	local lab=${1:+-$1} host
	for host in gen relay rcv; do
		ip netns add "bench-$host$lab" && ip -n "bench-$host$lab" link set lo up || return 1
	done
	bench_link "bench-gen$lab" hg0 10.1.0.1 02:00:00:00:01:01 "bench-relay$lab" hr0 10.1.0.2 02:00:00:00:01:02 || return 1
	bench_link "bench-relay$lab" hr1 10.2.0.1 02:00:00:00:02:01 "bench-rcv$lab" hc0 10.2.0.2 02:00:00:00:02:02 || return 1
	ip -n "bench-relay$lab" route add 10.9.0.0/16 via 10.2.0.2 dev hr1
	ip -n "bench-rcv$lab" route add local 10.9.0.0/16 dev lo
	ip -n "bench-rcv$lab" route add default via 10.2.0.1
	ip -n "bench-gen$lab" route add default via 10.1.0.2
	bench_napi hr0 "bench-relay$lab" 30 || return 1
	bench_reception=$bench_pid
	bench_napi hc0 "bench-rcv$lab" 1 || return 1
	bench_sink=$bench_pid
}
