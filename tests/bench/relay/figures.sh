# The figures, each from runs that are lines of raw.jsonl. Sourced after product.sh. SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2153
#
# Senders: sixteen in a room, in turn, so that the kernel merges no packets into trains where single ones are measured.
SENDERS=16

burst_for() { # what the ring of a veth device holds, 256; less than a poll takes, 64: full ones are signs of overload
	local b=$((160 / $1))
	[ $b -le 48 ] || b=48
	[ $b -ge 1 ] || b=1
	echo $b
}

settings() {
	jq -cn --argjson counts "[$(tr ' ' , <<<"$COUNTS")]" --argjson tries "$TRIES" --argjson cores "$(nproc)" \
		'{ figure: "settings", $counts, $tries, $cores }' >>"$bench_dir/raw.jsonl"
}

start_engines() { # RECEIVERS
	tcs_start x xdp "$1" 1 --senders-per-room $SENDERS && tcs_start t tcx "$1" 1 --senders-per-room $SENDERS &&
		tcs_start u user "$1" 1 --senders-per-room $SENDERS
}

# One repetition of figures 1 to 4 and 6: everyone after the other.
copies_once() { # RECEIVERS BYTES REP
	local n=$1 bytes=$2 burst lab engine
	burst=$(burst_for "$n")
	local common=(--copies "$n" --bytes "$bytes" --seconds "$SECONDS_EACH")
	local keys="figure=copies,n=$n,bytes=$bytes,rep=$3"
	relay_start a bench_relay baseline "$BENCH_CORE" "$n" && run a "$keys,engine=A" "${common[@]}" --burst "$burst"
	relay_stop a
	for engine in xdp:X tcx:T; do
		[ "$bytes" = 1142 ] || continue
		[ -z "${QUICK:-}" ] || [ "$n" = 10 ] || continue
		relay_start a bench_relay bare ${engine%:*} "$n" && run a "$keys,engine=${engine#*:}-bare" "${common[@]}" --burst "$burst"
		relay_stop a
	done
	unset 'lab_relay[a]'
	run x "$keys,engine=X" "${common[@]}" --burst "$burst" --senders "$bench_dir/x/senders"
	run t "$keys,engine=T" "${common[@]}" --burst "$burst" --senders "$bench_dir/t/senders"
	run u "$keys,engine=U" "${common[@]}" --burst 8 --use 1 --senders "$bench_dir/u/senders"
	[ "$bytes" = 1142 ] || return 0
	run t "$keys,engine=T-train" "${common[@]}" --burst 8 --train --use 1 --senders "$bench_dir/t/senders"
	[ $((n * 2)) -le 256 ] || return 0
	[ -z "${QUICK:-}" ] || [ "$n" = 10 ] || return 0
	software_segments t on
	run t "$keys,engine=T-train-software" "${common[@]}" --burst $((n * 8 <= 200 ? 8 : 200 / n)) --train --use 1 --senders "$bench_dir/t/senders"
	software_segments t off
}

verify_engines() { # RECEIVERS
	local n=$1 rate=$((20000 / $1 + 10)) x
	for x in x:X t:T u:U; do
		verify "${x%:*}" "${x#*:}" "$n" 1142 --burst 1 --rate $rate
	done
	verify t T-train "$n" 1142 --burst 8 --train --use 1 --rate $rate
	verify u U-train "$n" 1142 --burst 8 --use 1 --rate $rate
	verify x X "$n" 150 --burst 1 --rate $rate
	verify t T "$n" 150 --burst 1 --rate $rate
}

figure_copies() {
	local n rep
	engines_down
	for n in $COUNTS; do
		say "copies to $n receivers"
		start_engines "$n" || return 1
		for ((rep = 0; rep < REPS; rep++)); do
			copies_once "$n" 1142 $rep
			[ "$n" != 10 ] || [ -n "${QUICK:-}" ] || copies_once "$n" 150 $rep
		done
		if [ "$n" = 10 ]; then
			say "every copy looked at"
			verify_engines "$n"
		fi
		tcs_stop x t u
	done
}

# Relays with ten receivers for the figures that look at these.
engines_are_up=
engines_up() {
	[ -z "$engines_are_up" ] || return 0
	start_engines 10 && engines_are_up=1
}
engines_down() {
	[ -z "$engines_are_up" ] || tcs_stop x t u
	engines_are_up=
}

# Runs at a given rate: relay or router has a core for itself, the generator another, at real-time priority, so that it
# keeps its rate. Copies are counted where they leave the relay, in its time; those of X, which pass nothing there, where
# they arrive (FAR=1: as well).
rate_run() { # LAB KEYS RATE MEASURE-OPTION...
	local lab=$1 keys=$2 rate=$3 sink=egress status=0
	# shellcheck disable=SC2034
	local generator=(chrt -r "$GENERATOR_PRIORITY")
	shift 3
	[ -z "${FAR:-}" ] || sink=tcx
	[ "$lab" != x ] || sink=xdp
	[ "$lab" = a ] || set -- "$@" --senders "$bench_dir/$lab/senders"
	sink_first "$lab"
	run "$lab" "$keys" --core "$BENCH_OTHER_CORE" --sink $sink --rate "$rate" --seconds "$SECONDS_EACH" "$@" || status=1
	sink_last "$lab"
	return $status
}

# peak LAB KEYS CLOSED-LOOP-RATE MEASURE-OPTION...: most copies a second of runs at several rates, in $bench_peak; the
# rate of that run in $bench_peak_rate
peak() {
	local lab=$1 keys=$2 guess=$3 load rate copies
	shift 3
	bench_peak=0
	for load in $PEAK_LOADS; do
		rate=$(jq -n "$guess * $load | round")
		rate_run "$lab" "$keys,load=$load" "$rate" "$@" || return 1
		copies=$(last_run '.in_time / .seconds | round')
		[ "$copies" -gt "$bench_peak" ] || continue
		bench_peak=$copies bench_peak_rate=$rate
	done
}

last_run() { tail -n 1 "$bench_dir/raw.jsonl" | jq "$1"; }

# Packets a second that an engine takes in a closed loop with ten receivers, as far as that was measured.
guess_of() { # ENGINE
	jq -s --arg engine "$1" '(map(select(.figure == "copies" and .engine == $engine and .n == 10 and .bytes == 1142 and .ns_per_copy > 0) | .ns_per_copy)
		| sort | .[length / 2 | floor] // { X: 210, T: 480, U: 450 }[$engine]) | 1e8 / . | round' "$bench_dir/raw.jsonl"
}

# 8: at half of what each can do, in turn. X is compared with forwarding as far as the receivers.
figure_latency() {
	local rep n=10 x engine FAR=
	local -A half
	say "latency at half load"
	engines_up || return 1
	on bench-relay-a sysctl -qw net.ipv4.ip_forward=1
	for x in a:forwarding a:forwarding-far x:X t:T; do
		engine=${x#*:} x=${x%:*} FAR=
		[ "$engine" != forwarding-far ] || FAR=1
		if [ "$x" = a ]; then
			peak a "figure=latency-peak,engine=$engine" 800000 --forward $n --copies 1 --burst $n
			half[$engine]=$((bench_peak / 2))
		else
			peak "$x" "figure=latency-peak,engine=$engine" "$(guess_of "$engine")" --copies $n --burst 1
			half[$engine]=$((bench_peak / n / 2))
		fi
		[ "${half[$engine]}" -gt 0 ] || return 1
	done
	for ((rep = 0; rep < LATENCY_REPS; rep++)); do
		for x in a:forwarding t:T a:forwarding-far x:X; do
			engine=${x#*:} x=${x%:*} FAR=
			[ "$engine" != forwarding-far ] || FAR=1
			set -- --copies $n --burst 1
			[ "$x" != a ] || set -- --forward $n --copies 1 --burst $n
			rate_run "$x" "figure=latency,engine=$engine,n=$n,rep=$rep" "${half[$engine]}" --latency "$@"
		done
	done
	on bench-relay-a sysctl -qw net.ipv4.ip_forward=0
}

# 9: the peak is found, then it and twice of it are sent in turn. Every twentieth packet is sound. To U one sender sends,
# whose packets leave as trains.
figure_overload() {
	local rep n=10 x engine before shed
	local -A rate options
	say "overload"
	engines_up || return 1
	for x in x:X t:T u:U; do
		engine=${x#*:} x=${x%:*}
		options[$x]="--copies $n --burst 4 --audio-every 20"
		[ "$x" != u ] || options[$x]="--copies $n --burst 8 --use 1 --audio-every 20"
		# shellcheck disable=SC2086
		peak "$x" "figure=overload-peak,engine=$engine,n=$n" "$(guess_of "$engine")" ${options[$x]} || return 1
		rate[$x]=$bench_peak_rate
	done
	for ((rep = 0; rep < OVERLOAD_REPS; rep++)); do
		for x in x:X t:T u:U; do
			engine=${x#*:} x=${x%:*}
			# shellcheck disable=SC2086
			rate_run "$x" "figure=overload,engine=$engine,n=$n,rep=$rep,load=1" "${rate[$x]}" ${options[$x]} || continue
			bench_peak=$(last_run '.in_time / .seconds | round')
			before=$(received "$x") shed=$(counter "$x" overload_shed)
			# shellcheck disable=SC2086
			rate_run "$x" "figure=overload,engine=$engine,n=$n,rep=$rep,load=2" $((bench_peak * 2 / n)) ${options[$x]}
			jq -cn --arg engine "$engine" --argjson rep $rep --argjson reached $(($(received "$x") - before)) \
				--argjson shed $(($(counter "$x" overload_shed) - shed)) '{ figure: "overload-seen", $engine, $rep, $reached, $shed }' >>"$bench_dir/raw.jsonl"
		done
	done
}

# 13: one good packet among eleven.
figure_flood() {
	local rep x engine kind before
	say "flood of forged packets"
	engines_up || return 1
	for ((rep = 0; rep < SIDE_REPS; rep++)); do
		for x in x:X t:T u:U; do
			engine=${x#*:} x=${x%:*}
			for kind in tag address; do
				before=$(received "$x")
				rate_run "$x" "figure=flood,engine=$engine,n=10,rep=$rep,kind=$kind" 110000 --copies 10 --burst 11 --good-every 11 --forgery $kind
				jq -cn --arg engine "$engine" --arg kind $kind --argjson rep $rep --argjson reached $(($(received "$x") - before)) \
					'{ figure: "flood-seen", $engine, $kind, $rep, $reached }' >>"$bench_dir/raw.jsonl"
			done
		done
	done
}

# Every packet of this run arrives, so the last counters of all senders have been seen: what "counter" forges.
all_counters_seen() { # LAB
	local try
	for try in 1 2 3 4 5; do
		run "$1" "figure=counters,try=$try" --copies 10 --burst 16 --use $SENDERS --seconds "$FORGED_SECONDS" --senders "$bench_dir/$1/senders" || return 1
		tail -n 1 "$bench_dir/raw.jsonl" | jq -e --argjson senders $SENDERS '.copies == .expected and .stalls == 0 and .good >= 64 * $senders' >/dev/null && return 0
	done
	echo "no run without loss before the replayed counters" >&2
	return 1
}

# 12: two rooms. Half of the tries for each of X and T, most of them straight into their programs, then a twentieth through
# the device, as fast as it goes, each kind in turn. Copies to anybody count, of either room.
figure_forged() {
	local kind x engine tried before now other
	engines_down
	say "forged packets: $TRIES tries"
	tcs_start x xdp 10 2 --senders-per-room $SENDERS && tcs_start t tcx 10 2 --senders-per-room $SENDERS || return 1
	for x in x:X t:T; do
		engine=${x#*:} x=${x%:*}
		all_counters_seen "$x" || return 1
		in_lab "$x" bench_relay forge --senders "$bench_dir/$x/senders" --use $SENDERS --engine "$([ "$x" = x ] && echo xdp || echo tcx)" \
			--tries $((TRIES / 2)) | jq -c --arg engine "$engine" '. + { figure: "forged-straight", $engine }' >>"$bench_dir/raw.jsonl" || return 1
		# Participants are numbered by room: a receiver of either.
		other=$(awk '{ i = $2 > i ? $2 : i } END { print i + 3 }' "$bench_dir/$x/senders")
		for kind in tag counter stream room address; do
			tried=0
			[ $kind != counter ] || all_counters_seen "$x" || return 1
			while [ $tried -lt $((TRIES / 200)) ]; do
				before=$(received "$x")
				run "$x" "figure=forged,engine=$engine,kind=$kind" --copies 10 --burst 64 --use $SENDERS --rate 20000000 --forgery $kind \
					--other-index "$other" --seconds "$FORGED_SECONDS" --senders "$bench_dir/$x/senders" || return 1
				now=$(received "$x")
				[ "$now" -gt "$before" ] || return 1
				tried=$((tried + now - before))
				jq -cn --arg engine "$engine" --arg kind $kind --argjson seen $((now - before)) '{ figure: "forged-seen", $engine, $kind, $seen }' >>"$bench_dir/raw.jsonl"
			done
		done
	done
	tcs_stop x t
}

# 7: with 240 receivers against 10, in turn; the labs of A and U hold the small rooms.
figure_width() {
	local rep x n
	engines_down
	say "240 receivers against 10"
	tcs_start x xdp 240 1 --senders-per-room $SENDERS && tcs_start t tcx 240 1 --senders-per-room $SENDERS &&
		tcs_start a xdp 10 1 --senders-per-room $SENDERS && tcs_start u tcx 10 1 --senders-per-room $SENDERS || return 1
	for ((rep = 0; rep < TABLE_REPS; rep++)); do
		for x in a:X:10 x:X:240 u:T:10 t:T:240; do
			n=${x##*:} x=${x%:*}
			run "${x%:*}" "figure=width,engine=${x#*:},n=$n,bytes=1142,rep=$rep" --copies "$n" --burst "$(burst_for "$n")" \
				--seconds "$SECONDS_EACH" --senders "$bench_dir/${x%:*}/senders"
		done
	done
	tcs_stop x t a u
}

# The crowd sleeps while others are measured: its keepalives would be charged as well.
crowd_signal() { # SIGNAL LAB...
	local lab
	for lab in "${@:2}"; do kill "-$1" "${lab_crowd[$lab]}"; done
}

# 7: with thousands of receivers in the table against 10, in turn: first with all packets for one room, then for all rooms,
# one after the other, which finds nothing in the caches of the processor. One packet at a time: several of one sender
# would become a train.
figure_table() {
	local rep x engine receivers use
	engines_down
	say "table with $((ROOMS * 10)) receivers"
	# Both at the same time: tcs_start does not wait.
	# shellcheck disable=SC2034
	local without_waiting=1
	tcs_start x xdp 10 "$ROOMS" && tcs_start t tcx 10 "$ROOMS" || return 1
	# shellcheck disable=SC2034
	without_waiting=
	tcs_start a xdp 10 1 && tcs_start u tcx 10 1 || return 1
	tcs_joined x $((30 + ROOMS / 4)) && tcs_joined t $((30 + ROOMS / 4)) || return 1
	say "joined"
	crowd_signal STOP x t a u
	for ((rep = 0; rep < TABLE_REPS; rep++)); do
		for x in a:X:10:1 x:X:$((ROOMS * 10)):1 x:X:$((ROOMS * 10)):0 u:T:10:1 t:T:$((ROOMS * 10)):1 t:T:$((ROOMS * 10)):0; do
			IFS=: read -r x engine receivers use <<<"$x"
			run "$x" "figure=table,engine=$engine,n=10,bytes=1142,rep=$rep,receivers=$receivers,use=$use" --copies 10 --burst 1 \
				--seconds "$SECONDS_EACH" --use "$use" --senders "$bench_dir/$x/senders"
		done
		# Nobody may be silent for long.
		crowd_signal CONT x t a u
		sleep 0.2
		crowd_signal STOP x t a u
	done
	crowd_signal CONT x t a u
	tcs_stop x t a u
}

packets_flow() { [ "$(on "bench-relay-$1" cat /sys/class/net/hr0/statistics/rx_packets)" -gt 5000 ]; }

# 10: pictures are sent all the time; one receiver wants them, or not.
figure_subscription() {
	local x engine each_s=20000
	engines_down
	say "subscription to first packet"
	for x in t:T u:U; do
		engine=${x#*:} x=${x%:*}
		tcs_start "$x" "$([ "$x" = t ] && echo tcx || echo user)" 3 1 || return 1
		# Sent from a socket, at real-time priority: a gap between packets must not look like a slow relay.
		in_lab "$x" chrt -r 6 bench_relay measure --core "$BENCH_OTHER_CORE" --copies 3 --train --burst 1 --rate "$each_s" --sink none \
			--seconds "$SUBSCRIBE_SECONDS" --senders "$bench_dir/$x/senders" >/dev/null 2>&1 &
		bench_jobs+=($!)
		chrt -r -p 5 "${lab_crowd[$x]}"
		bench_until 5 packets_flow "$x"
		crowd_do "$x" "subscribe $CHANGES"
		bench_until 60 grep -q changes "$bench_dir/$x/crowd.out"
		grep changes "$bench_dir/$x/crowd.out" | jq -c --arg engine "$engine" --argjson rate "$each_s" \
			'. + { figure: "subscription", engine: $engine, interval_us: (1e6 / $rate) }' >>"$bench_dir/raw.jsonl"
		tcs_stop "$x"
	done
}

# What a relay has touched of the maps that it shares with the kernel, and its own memory, as one JSON object.
memory_of() { in_lab "$1" bench_relay memory --pid "${lab_tcs[$1]}"; }

# 11: connected, then joined, then with a second of pictures from the first sixteen.
figure_memory() {
	local n=$MEMBERS before connected joined filled senders
	engines_down
	say "memory of $n participants"
	tcs_start t tcx 10 $((n / 11)) --staged || return 1
	n=$((n / 11 * 11)) senders=$((n / 11 < SENDERS ? n / 11 : SENDERS))
	bench_until 10 grep -q "is up" "$bench_dir/t/tcs.err"
	sleep 0.3
	before=$(memory_of t)
	crowd_do t go
	bench_until 60 crowd_says t connected
	sleep 0.3
	connected=$(memory_of t)
	crowd_do t go
	tcs_joined t 40 || return 1
	sleep 0.5
	joined=$(memory_of t)
	in_lab t bench_relay measure --core "$BENCH_OTHER_CORE" --copies 10 --burst 1 --rate $((250 * senders)) --use $senders --seconds 2 \
		--senders "$bench_dir/t/senders" >/dev/null 2>&1
	sleep 0.5
	filled=$(memory_of t)
	jq -cn --argjson before "$before" --argjson connected "$connected" --argjson joined "$joined" --argjson filled "$filled" --argjson n "$n" \
		--argjson senders $senders '{ figure: "memory", $before, $connected, $joined, $filled, $n, $senders }' >>"$bench_dir/raw.jsonl"
	tcs_stop t
}
