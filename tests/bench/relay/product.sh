# Relays under test: the product with its crowd, the baseline, the bare loops. Sourced after lab.sh.
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2153
#
# A lab of its own for each: what one attaches to its devices does not slow down another. Everything is addressed by the
# lab's name.
declare -A lab_reception lab_sink lab_tcs lab_relay lab_crowd

# labs NAME...: make them
labs() {
	local lab
	for lab in "$@"; do
		bench_lab_up "$lab" || return 1
		lab_reception[$lab]=$bench_reception
		lab_sink[$lab]=$bench_sink
		mkdir -p "$bench_dir/$lab"
	done
}

# in_lab NAME COMMAND...: bench_relay finds the lab's hosts
in_lab() {
	BENCH_LAB=-$1 "${@:2}"
}

# tcs_start LAB ENGINE RECEIVERS ROOMS [CROWD-OPTION...] [-- TCS-OPTION...]: a relay and its crowd, joined
tcs_start() {
	local lab=$1 engine=$2 receivers=$3 rooms=$4 dir=$bench_dir/$1 crowd_options=()
	shift 4
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		crowd_options+=("$1")
		shift
	done
	[ $# = 0 ] || shift
	tcs_stop "$lab" # of a figure that failed
	rm -rf "$dir/state" "$dir/in" "$dir"/crowd.* "$dir"/tcs.*
	mkdir -p "$dir/state" && mkfifo "$dir/in" || return 1
	BENCH_LAB=-$lab bench_relay crowd --state "$dir/state" --senders "$dir/senders" --receivers "$receivers" --rooms "$rooms" \
		"${crowd_options[@]}" <>"$dir/in" >"$dir/crowd.out" 2>"$dir/crowd.err" 7>&- &
	lab_crowd[$lab]=$!
	bench_jobs+=($!)
	bench_until 5 grep -q registered "$dir/crowd.out" || return 1
	ip netns exec "bench-relay-$lab" taskset -c "$BENCH_CORE" "${TCS:-tcs}" --set state-directory="$dir/state" --set listen-port=443 \
		--set control-socket="$dir/ctl" --set connections-per-address-max=100000 --set handshakes-max=10000 \
		--set participants-max=20000 --set meetings-max=2000 --set sender-rate-max=0 --set fast-path="$engine" \
		--set fast-path-devices=hr0,hr1 --set threads=1 --set log-level=notice "$@" >"$dir/tcs.out" 2>"$dir/tcs.err" </dev/null 7>&- &
	lab_tcs[$lab]=$!
	bench_jobs+=($!)
	case " ${crowd_options[*]} " in *" --staged "*) return 0 ;; esac
	[ -z "${without_waiting:-}" ] || return 0
	tcs_joined "$lab" $((20 + receivers * rooms / 50))
}

tcs_joined() { # LAB SECONDS
	bench_until "$2" crowd_says "$1" joined
	! grep -q joined "$bench_dir/$1/crowd.out" || return 0
	echo "the crowd of lab $1 did not join:" >&2
	tail -n 3 "$bench_dir/$1/crowd.err" "$bench_dir/$1/tcs.err" >&2
	return 1
}

# Also true when the crowd has died: what follows then fails, without a long wait.
crowd_says() { grep -q "$2" "$bench_dir/$1/crowd.out" || ! kill -0 "${lab_crowd[$1]}" 2>/dev/null; }
crowd_do() { echo "$2" 1<>"$bench_dir/$1/in"; } # opened both ways: waits for no reader

tcs_stop() {
	local lab
	for lab in "$@"; do
		[ -n "${lab_crowd[$lab]:-}" ] || continue
		crowd_do "$lab" ""
		bench_stop "${lab_tcs[$lab]}"
		bench_stop "${lab_crowd[$lab]}"
		unset "lab_crowd[$lab]" "lab_tcs[$lab]"
	done
}

tcs_ctl() { # LAB COMMAND...
	local lab=$1
	shift
	"${TCSCTL:-tcsctl}" --socket "$bench_dir/$lab/ctl" "$@"
}

# relay_start LAB COMMAND...: a relay of bench_relay's own
relay_start() {
	local lab=$1
	shift
	BENCH_LAB=-$lab bench_job "$lab/relay" "$@"
	lab_relay[$lab]=$!
	bench_until 5 grep -q ready "$bench_dir/$lab/relay.out"
}
relay_stop() {
	kill -KILL "${lab_relay[$1]}" 2>/dev/null
	wait "${lab_relay[$1]}" 2>/dev/null
	return 0
}

# run LAB KEY=VALUE,... MEASURE-OPTION...: one measurement, as a line of raw.jsonl with these keys
run() {
	local lab=$1 keys=$2 charge=() line
	shift 2
	for line in "${lab_reception[$lab]}" "${lab_tcs[$lab]:-}" "${lab_relay[$lab]:-}"; do
		[ -z "$line" ] || charge+=(--charge "$line")
	done
	line=$(in_lab "$lab" "${generator[@]}" bench_relay measure --core "$BENCH_CORE" "${charge[@]}" "$@" 2>"$bench_dir/$lab/measure.err") || {
		echo "measurement failed ($lab, $keys): $(tail -n 1 "$bench_dir/$lab/measure.err")" >&2
		return 1
	}
	jq -c --arg keys "$keys" '. + ($keys | split(",") | map(split("=") | { (.[0]): (.[1] | tonumber? // .) }) | add)' <<<"$line" >>"$bench_dir/raw.jsonl"
}

# verify LAB ENGINE RECEIVERS BYTES MEASURE-OPTION...: every copy of a short run at a low rate
verify() {
	local lab=$1 engine=$2 receivers=$3 bytes=$4 senders=() use=() pid status=0
	shift 4
	[ ! -s "$bench_dir/$lab/senders" ] || [ -z "${lab_tcs[$lab]:-}" ] || senders=(--senders "$bench_dir/$lab/senders")
	case " $* " in *" --use 1 "*) use=(--use 1) ;; esac
	BENCH_LAB=-$lab bench_job "$lab/verify" bench_relay verify "${senders[@]}" "${use[@]}" --senders-per-room "$SENDERS" --receivers "$receivers" --bytes "$bytes" --seconds 0.7
	pid=$!
	bench_until 5 grep -q ready "$bench_dir/$lab/verify.out"
	in_lab "$lab" bench_relay measure --core "$BENCH_CORE" "${senders[@]}" --copies "$receivers" --bytes "$bytes" --seconds 0.25 \
		"$@" >"$bench_dir/$lab/verify.sent" || status=1
	[ -s "$bench_dir/$lab/verify.sent" ] || echo "verification of $engine: nothing was sent" >&2
	wait $pid || status=1
	jq -cs --arg engine "$engine" --argjson n "$receivers" --argjson bytes "$bytes" --argjson status $status \
		'.[0] + { figure: "verify", engine: $engine, n: $n, bytes: $bytes, sent: .[1].good, failed: ($status != 0 or .[0].packets != .[1].good) }' \
		<(tail -n 1 "$bench_dir/$lab/verify.out") "$bench_dir/$lab/verify.sent" >>"$bench_dir/raw.jsonl"
}

# software_segments LAB on|off: whether trains are cut before the relay's device, in the relay's time
software_segments() {
	local state=on
	[ "$2" = off ] || state=off
	on "bench-relay-$1" ethtool -K hr1 tx-udp-segmentation $state >/dev/null
}

# For runs at a given rate the generator has the other core for itself. A sink where receivers are stays on the core of the
# relay, where it comes first: on the generator's it would hold that up. Reception stays above the relay, as where the
# kernel receives in soft interrupts.
# shellcheck disable=SC2034 # of figures.sh
GENERATOR_PRIORITY=6
generator=() # how it is started
sink_first() { chrt -f -p 31 "${lab_sink[$1]}"; } # LAB
sink_last() { chrt -f -p 1 "${lab_sink[$1]}"; }

received() { on "bench-relay-$1" cat /sys/class/net/hr0/statistics/rx_packets; } # LAB: packets for its relay so far
counter() { tcs_ctl "$1" --json counters | jq ".. | objects | .$2? // empty" | head -n 1; } # LAB NAME
