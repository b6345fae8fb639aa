# The figures, each from runs that are lines of raw.jsonl. Sourced after product.sh. SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2153
#
# Senders: sixteen in a room, in turn, so that the kernel merges no packets into trains where single ones are measured.
SENDERS=16

burst_for() { # what the ring of a veth device holds, 256
	local b=$((160 / $1))
	[ $b -le 64 ] || b=64
	[ $b -ge 1 ] || b=1
	echo $b
}

settings() {
	jq -cn --argjson counts "[$(tr ' ' , <<<"$COUNTS")]" --argjson tries "$TRIES" '{ figure: "settings", counts: $counts, tries: $tries }' >>"$bench_dir/raw.jsonl"
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
			figure_latency
			figure_overload
			figure_flood
			figure_forged
		fi
		tcs_stop x t u
	done
}

# Median ns a copy of an engine, so far.
ns_of() { # ENGINE N
	jq -s --arg engine "$1" --argjson n "$2" 'map(select(.figure == "copies" and .engine == $engine and .n == $n and .bytes == 1142) | .ns_per_copy) | sort | .[length / 2 | floor] // 0 | round' "$bench_dir/raw.jsonl"
}

# Runs at a given rate: relay or router has a core for itself, the generator another. Copies are counted where they leave
# the relay, in its time; those of X, which pass nothing there, where they arrive, on the generator's core (FAR=1: as well).
rate_run() { # LAB KEYS RATE MEASURE-OPTION...
	local lab=$1 keys=$2 rate=$3 sink=egress
	shift 3
	[ "$lab" != x ] && [ -z "${FAR:-}" ] || sink=tcx
	[ "$lab" = a ] || set -- "$@" --senders "$bench_dir/$lab/senders"
	run "$lab" "$keys" --core "$BENCH_OTHER_CORE" --sink $sink --rate "$rate" --seconds "$SECONDS_EACH" "$@"
}

# peak LAB KEYS CLOSED-LOOP-RATE MEASURE-OPTION...: most copies a second of runs at several rates, in $bench_peak
peak() {
	local lab=$1 keys=$2 rate=$3 load
	shift 3
	bench_peak=0
	for load in $PEAK_LOADS; do
		rate_run "$lab" "$keys,load=$load" "$(jq -n "$rate * $load | round")" "$@" || return 1
		bench_peak=$(tail -n 1 "$bench_dir/raw.jsonl" | jq --argjson peak "$bench_peak" '[.copies / .seconds, $peak] | max | round')
	done
}

# 8: at half of what each can do.
figure_latency() {
	local rep n=10 x ns engine
	say "latency at half load"
	on bench-relay-a sysctl -qw net.ipv4.ip_forward=1
	for ((rep = 0; rep < SIDE_REPS; rep++)); do
		# X is compared with forwarding as far as the receivers.
		for x in a:forwarding a:forwarding-far x:X t:T; do
			engine=${x#*:} x=${x%:*}
			other_core "$x"
			if [ "$x" = a ]; then
				[ "$engine" = forwarding ] || local FAR=1
				peak a "figure=latency-peak,engine=$engine,rep=$rep" 600000 --forward $n --copies 1 --burst $n &&
					rate_run a "figure=latency,engine=$engine,n=$n,rep=$rep" $((bench_peak / 2)) --forward $n --copies 1 --burst $n --latency
				local FAR=
			else
				ns=$(ns_of "$engine" $n)
				[ "$ns" -gt 0 ] && peak "$x" "figure=latency-peak,engine=$engine,rep=$rep" $((1000000000 / ns / n)) --copies $n --burst 1 &&
					rate_run "$x" "figure=latency,engine=$engine,n=$n,rep=$rep" $((bench_peak / n / 2)) --copies $n --burst 1 --latency
			fi
			one_core "$x"
		done
	done
	on bench-relay-a sysctl -qw net.ipv4.ip_forward=0
}

# 9: the peak is found, then twice of it is sent. Every tenth packet is sound.
figure_overload() {
	local rep n=10 x engine ns
	say "overload"
	for ((rep = 0; rep < SIDE_REPS; rep++)); do
		for x in t:T u:U; do
			engine=${x#*:} x=${x%:*}
			ns=$(ns_of "$engine" $n)
			[ "$ns" -gt 0 ] || continue
			other_core "$x"
			peak "$x" "figure=overload,engine=$engine,n=$n,rep=$rep" $((1000000000 / ns / n)) --copies $n --burst 4 --audio-every 10 &&
				rate_run "$x" "figure=overload,engine=$engine,n=$n,rep=$rep,load=2" $((bench_peak * 2 / n)) --copies $n --burst 4 --audio-every 10
			one_core "$x"
		done
	done
}

# 13: one good packet among eleven.
figure_flood() {
	local rep x engine kind
	say "flood of forged packets"
	for ((rep = 0; rep < SIDE_REPS; rep++)); do
		for x in x:X t:T u:U; do
			engine=${x#*:} x=${x%:*}
			for kind in tag address; do
				other_core "$x"
				rate_run "$x" "figure=flood,engine=$engine,n=10,rep=$rep,kind=$kind" 110000 --copies 10 --burst 11 --good-every 11 --forgery $kind
				one_core "$x"
			done
		done
	done
}

received() { on "bench-relay-$1" cat /sys/class/net/hr0/statistics/rx_packets; } # LAB: packets for its relay so far

# Every packet of this run arrives, so the last counters of all senders have been seen: what "counter" forges.
all_counters_seen() { # LAB
	local try
	for try in 1 2 3 4 5; do
		run "$1" "figure=counters,try=$try" --copies 10 --burst 16 --seconds "$FORGED_SECONDS" --senders "$bench_dir/$1/senders" || return 1
		tail -n 1 "$bench_dir/raw.jsonl" | jq -e --argjson senders $SENDERS '.copies == .expected and .stalls == 0 and .good >= 64 * $senders' >/dev/null && return 0
	done
	echo "no run without loss before the replayed counters" >&2
	return 1
}

# 12: as fast as they go, until so many have reached the relay. A tenth of each kind for X and for T. "room" names an index
# that nobody in the room has; no second room is there.
figure_forged() {
	local kind x engine tried before now other
	say "forged packets: $TRIES tries"
	for x in x:X t:T; do
		engine=${x#*:} x=${x%:*}
		other=$(awk '{ i = $2 > i ? $2 : i } END { print i + 1000 }' "$bench_dir/$x/senders")
		for kind in tag counter stream room address; do
			tried=0
			[ $kind != counter ] || all_counters_seen "$x" || return 1
			while [ $tried -lt $((TRIES / 10)) ]; do
				before=$(received "$x")
				run "$x" "figure=forged,engine=$engine,kind=$kind" --copies 10 --burst 64 --rate 20000000 --forgery $kind --other-index "$other" \
					--seconds "$FORGED_SECONDS" --senders "$bench_dir/$x/senders" || return 1
				now=$(received "$x")
				[ "$now" -gt "$before" ] || return 1
				tried=$((tried + now - before))
				jq -cn --arg engine "$engine" --arg kind $kind --argjson seen $((now - before)) '{ figure: "forged-seen", $engine, $kind, $seen }' >>"$bench_dir/raw.jsonl"
			done
		done
	done
}

# 7: the same with many rooms in use, one after the other.
figure_table() {
	local rooms rep x engine most=$((($(ulimit -Hn) / 2 - 100) / 11)) # two descriptors for each of the crowd
	for rooms in 1 $((ROOMS < most ? ROOMS : most)); do
		say "table with $((rooms * 10)) receivers"
		tcs_start t tcx 10 "$rooms" && tcs_start x xdp 10 "$rooms" || return 1
		for ((rep = 0; rep < TABLE_REPS; rep++)); do
			for x in x:X t:T; do
				engine=${x#*:} x=${x%:*}
				# One packet at a time: several of one sender would become a train where there is one room.
				run "$x" "figure=table,engine=$engine,n=10,bytes=1142,rep=$rep,receivers=$((rooms * 10))" --copies 10 --burst 1 \
					--seconds "$SECONDS_EACH" --senders "$bench_dir/$x/senders"
			done
		done
		tcs_stop t x
	done
}

packets_flow() { [ "$(on "bench-relay-$1" cat /sys/class/net/hr0/statistics/rx_packets)" -gt 5000 ]; }

# 10: pictures are sent all the time; one receiver wants them, or not.
figure_subscription() {
	local x engine rate=20000
	say "subscription to first packet"
	for x in t:T u:U; do
		engine=${x#*:} x=${x%:*}
		tcs_start "$x" "$([ "$x" = t ] && echo tcx || echo user)" 3 1 || return 1
		other_core "$x"
		# Sent from a socket, at real-time priority: a gap between packets must not look like a slow relay.
		in_lab "$x" chrt -r 6 bench_relay measure --core "$BENCH_OTHER_CORE" --copies 3 --train --burst 1 --rate $rate --sink none \
			--seconds "$SUBSCRIBE_SECONDS" --senders "$bench_dir/$x/senders" >/dev/null 2>&1 &
		bench_jobs+=($!)
		chrt -r -p 5 "${lab_crowd[$x]}"
		bench_until 5 packets_flow "$x"
		crowd_do "$x" "subscribe $CHANGES"
		bench_until 60 grep -q changes "$bench_dir/$x/crowd.out"
		grep changes "$bench_dir/$x/crowd.out" | jq -c --arg engine "$engine" --argjson rate $rate \
			'. + { figure: "subscription", engine: $engine, interval_us: (1e6 / $rate) }' >>"$bench_dir/raw.jsonl"
		one_core "$x"
		tcs_stop "$x"
	done
}

resident_kib() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }

# 11: connected, then joined; what the table keeps for each is known from its maps.
figure_memory() {
	local n=$MEMBERS before connected joined
	say "memory of $n participants"
	tcs_start t tcx 10 $((n / 11)) --staged || return 1
	n=$((n / 11 * 11))
	bench_until 10 grep -q "is up" "$bench_dir/t/tcs.err"
	before=$(resident_kib "${lab_tcs[t]}")
	bench_until 60 crowd_says t connected
	connected=$(resident_kib "${lab_tcs[t]}")
	crowd_do t go
	tcs_joined t 40 || return 1
	sleep 0.5
	joined=$(resident_kib "${lab_tcs[t]}")
	jq -cn --argjson before "$before" --argjson connected "$connected" --argjson joined "$joined" --argjson n "$n" \
		'{ figure: "memory", name: "memory_per_participant", value: (($joined - $connected) / $n * 100 | round / 100), unit: "KiB", target: 10, met: (($joined - $connected) / $n <= 10), runs: 1, iqr: null, participants: $n },
		 { figure: "memory", name: "memory_per_connection", value: (($connected - $before) / $n * 100 | round / 100), unit: "KiB", target: null, met: null, runs: 1, iqr: null, participants: $n },
		 { figure: "memory", name: "memory_of_an_idle_relay", value: ($before / 1024 | round), unit: "MiB", target: null, met: null, runs: 1, iqr: null }' >>"$bench_dir/raw.jsonl"
	tcs_stop t
}
