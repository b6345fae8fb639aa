# Figures from raw.jsonl (slurped). SPDX-License-Identifier: Apache-2.0
def quantile(q): sort | if length == 0 then null else .[((length - 1) * q) | round] end;
def median: sort | if length == 0 then null elif length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def iqr: if length == 0 then null else quantile(0.75) - quantile(0.25) end;
def sig(d): if . == null then null else (. as $x | if $x == 0 then 0 else ($x | fabs | log10 | floor) as $e | pow(10; d - 1 - $e) as $f | ($x * $f | round) / $f end) end;

# Rows of a figure by engine, n, bytes.
def rows(f): map(select(.figure == f));
def cell(engine; n; bytes): map(select(.engine == engine and .n == n and .bytes == bytes));

# Runs are good if nothing was lost: a closed loop that stalled measures something else.
def clean: map(select(.delivered >= 0.999 and .stalls == 0));
# Ratios of two cells, repetition by repetition.
def ratios(top; bottom; f): (bottom | map({ (.rep | tostring): f }) | add // {}) as $b | top | map(select($b[.rep | tostring] != null) | f / $b[.rep | tostring]);
def met(target): if . == null then false else . >= target end;
def met_below(target): if . == null then false else . <= target end;

# Copies per core of an engine against that of A with as many receivers.
def copies_per_core(engine; n; bytes; target):
	. as $all
	| ($all | rows("copies") | clean) as $rows
	| ($rows | cell(engine; n; bytes)) as $mine | ($rows | cell("A"; n; bytes)) as $base
	| (ratios($base; $mine; .ns_per_copy)) as $ratios
	| if ($all | rows("copies") | cell(engine; n; bytes) | length) == 0 then empty
	  elif ($mine | length) == 0 then
		{ name: "copies_per_core", value: null, unit: "copies/s", target: target, met: false, ratio_to: "A", ratio: null, runs: 0, iqr: null, engine: engine, n: n, bytes: bytes, note: "no run without loss" }
	  else
		{ name: "copies_per_core", value: ($mine | map(1e9 / .ns_per_copy) | median | sig(4)), unit: "copies/s", target: target,
		  met: (if target == null then null else ($ratios | median | met(target)) end), ratio_to: "A", ratio: ($ratios | median | sig(4)), runs: ($mine | length),
		  iqr: ($mine | map(1e9 / .ns_per_copy) | iqr | sig(3)), ratio_iqr: ($ratios | iqr | sig(3)), engine: engine, n: n, bytes: bytes,
		  ns_per_copy: ($mine | map(.ns_per_copy) | median | sig(4)), reception_share: ($mine | map(.cpu[0] / ([.cpu_ns, 1] | max)) | median | sig(2)) }
	  end;

# ns of one cell against that of another (smaller is better).
def cost_ratio(name; target; mine; base; labels):
	(ratios(mine; base; .ns_per_copy)) as $ratios
	| { name: name, value: ($ratios | median | sig(4)), unit: "ratio", target: target, met: (if target == null then null else ($ratios | median | met_below(target)) end), runs: ($ratios | length), iqr: ($ratios | iqr | sig(3)) } + labels
	| if (mine | length) + (base | length) == 0 then empty elif .runs == 0 then . + { note: "no run without loss" } else . end;

. as $raw
| ($raw | rows("settings") | .[0]) as $settings
| ($raw | rows("copies") | clean) as $copies
| [
	# 1-4
	($settings.counts[] as $n | 1142, (if ($copies | cell("A"; $n; 150) | length) > 0 then 150 else empty end) | . as $bytes
	 | { engine: "A", target: null, bytes: $bytes, n: $n }, { engine: "X", target: (if ($n == 10 or $n == 50) and $bytes == 1142 then 8 else null end), bytes: $bytes, n: $n },
	   { engine: "T", target: (if ($n == 10 or $n == 50) and $bytes == 1142 then 4 else null end), bytes: $bytes, n: $n },
	   (select($bytes == 1142) | { engine: "T-train", target: (if $n == 10 then 15 else null end), bytes: $bytes, n: $n },
	   { engine: "T-train-software", target: (if $n == 10 then 4.5 else null end), bytes: $bytes, n: $n } | select(.engine != "T-train-software" or $n * 2 <= 256)),
	   { engine: "U", target: (if $bytes != 1142 then null elif $n == 10 then 3.5 elif $n == 50 then 4.5 else null end), bytes: $bytes, n: $n }
	 | . as $row | $raw | copies_per_core($row.engine; $row.n; $row.bytes; $row.target)),
	# 5: by the faster of X and T
	(({ peer: "rtpengine", target: 12 }, { peer: "janus", target: 50 }, { peer: "janus-threads", target: null }) as $row | (10, 50) as $n
	  | ([ "X", "T" | { engine: ., rates: (. as $engine | $copies | cell($engine; $n; 1142) | map(1e9 / .ns_per_copy)) } | select(.rates | length > 0) ] | max_by(.rates | median)) as $mine
	  | select($mine)
	  | ($peers | map(select(.name == "copies_per_core" and .engine == $row.peer and .n == $n and .value and .ratio_to == "A")) | .[0]) as $peer
	  | (if $peer then ($mine.rates | median) / $peer.value else null end) as $ratio
	  | { name: "copies_per_core", value: ($mine.rates | median | sig(4)), unit: "copies/s", target: $row.target, met: (if $ratio == null or $row.target == null then null else ($ratio >= $row.target) end),
	      ratio_to: $row.peer, ratio: ($ratio | sig(4)), runs: ($mine.rates | length), iqr: ($mine.rates | iqr | sig(3)), engine: $mine.engine, n: $n, bytes: 1142,
	      note: (if $peer then "the peer is of another run, bench-peers" else "make bench-peers has not been run" end) }),
	# 6
	(($settings.counts[] | select(. == 10 or . == 50)) as $n | ("X", "T") as $engine
	 | select($raw | rows("copies") | cell($engine + "-bare"; $n; 1142) | length > 0)
	 | cost_ratio("price_over_bare_loop"; 1.3; ($copies | cell($engine; $n; 1142)); ($copies | cell($engine + "-bare"; $n; 1142)); { engine: $engine, n: $n, bytes: 1142 })),
	# 7
	(($raw | rows("width") | clean) as $rows | ("X", "T") as $engine
	 | cost_ratio("cost_of_250_against_10"; 1.1; ($rows | cell($engine; 240; 1142)); ($rows | cell($engine; 10; 1142)); { engine: $engine, n: 240, bytes: 1142, note: "for 250: a veth device takes 248 frames at once" })),
	(($raw | rows("table")) as $all | select($all | length > 0) | ($all | clean) as $rows | ("X", "T") as $engine | ($all | map(.receivers) | max) as $most
	 | ({ name: "cost_of_a_full_table", use: 1, target: 1.25, note: "all packets for one room" },
	    { name: "cost_of_a_full_table_spread", use: 0, target: null, note: "packets for all rooms in turn: nothing is in the caches of the processor" }) as $row
	 | cost_ratio($row.name; $row.target; ($rows | map(select(.engine == $engine and .receivers == $most and .use == $row.use))); ($rows | map(select(.engine == $engine and .receivers == 10)));
		      { engine: $engine, n: 10, bytes: 1142, receivers: $most, note: $row.note })),
	# 8
	(($raw | rows("latency")) as $rows | select($rows | length > 0) | ($rows | map(.engine) | unique[] | select(startswith("forwarding") | not)) as $engine
	 | ({ q: "p50_us", target: 1.5 }, { q: "p99_us", target: 2 }) as $row
	 | ($rows | map(select(.engine == $engine))) as $mine | ($rows | map(select(.engine == (if $engine == "X" then "forwarding-far" else "forwarding" end)))) as $base
	 | ratios($mine; $base; .[$row.q]) as $ratios
	 | { name: ("latency_" + ($row.q | rtrimstr("_us"))), value: ($mine | map(.[$row.q]) | median | sig(4)), unit: "us", target: $row.target, met: ($ratios | median | met_below($row.target)),
	     ratio_to: "kernel IP forwarding", ratio: ($ratios | median | sig(4)), runs: ($ratios | length), iqr: ($mine | map(.[$row.q]) | iqr | sig(3)), engine: $engine, n: 10, bytes: 1142,
	     base: ($base | map(.[$row.q]) | median | sig(4)), delivered: ($mine | map(.delivered) | min) }),
	# 9
	(($raw | rows("overload")) as $rows | ($raw | rows("overload-seen")) as $seen | select($rows | length > 0) | ($rows | map(.engine) | unique[]) as $engine
	 | ($rows | map(select(.engine == $engine))) as $mine
	 | (if $engine == "X" and $settings.cores < 3 then { target: null, note: "with two cores the sink shares the relay\u0027s: what X sends in one poll of its queue exceeds the sink\u0027s ring of 256 and is lost there, behind the relay" } else { target: 1 } end) as $scope
	 | ($mine | map(.rep) | unique | map(. as $rep | ($mine | map(select(.rep == $rep and .load == 1)) | .[0]) as $one | ($mine | map(select(.rep == $rep and .load == 2)) | .[0]) as $two | select($one and $two)
	    | ($seen | map(select(.rep == $rep and .engine == $engine)) | .[0]) as $at
	    | { peak: ([$one.in_time / $one.seconds, $two.in_time / $two.seconds] | max), goodput: ($two.in_time / $two.seconds), sent: $two.sent, late: $two.late, reached: ($at.reached // 0), shed: ($at.shed // 0),
	        audio_loss: ([0, 1 - $two.audio_copies / ([$two.audio * $two.n, 1] | max)] | max) })) as $reps
	 | select($reps | length > 0)
	 | { name: "goodput_at_double_load", value: ($reps | map(.goodput) | median | sig(4)), unit: "copies/s", target: ($scope.target | if . then 0.95 else null end),
	     met: (if $scope.target then ($reps | map(.goodput / .peak) | median | met(0.95)) else null end),
	     ratio_to: "peak", ratio: ($reps | map(.goodput / .peak) | median | sig(4)), runs: ($reps | length), iqr: ($reps | map(.goodput / .peak) | iqr | sig(3)), engine: $engine, n: $mine[0].n, bytes: 1142, note: $scope.note },
	   { name: "audio_loss_at_double_load", value: ($reps | map(.audio_loss) | median | sig(3)), unit: "share", target: ($scope.target | if . then 0.001 else null end),
	     met: (if $scope.target then ($reps | map(.audio_loss) | median | met_below(0.001)) else null end),
	     runs: ($reps | length), iqr: ($reps | map(.audio_loss) | iqr | sig(3)), engine: $engine, n: $mine[0].n, bytes: 1142,
	     sent: ($reps | map(.sent) | median), reached_the_programs: ($reps | map(.reached) | median), shed: ($reps | map(.shed) | median), generator_late: ($reps | map(.late) | max), note: $scope.note }),
	# 10
	($raw | rows("subscription")[] | { name: "subscription_to_first_packet_p99", value: .p99_us, unit: "us", target: 1000, met: (.missed == 0 and .p99_us <= 1000), runs: .changes, iqr: null, engine: .engine, p50_us: .p50_us, max_us: .max_us, over_1_ms: .over_1_ms,
	   missed: .missed, packet_interval_us: .interval_us }),
	# 11: own pages, and pages of the shared maps that are in use
	($raw | rows("memory")[] | . as $m | (.senders) as $streams
	 | def maps: .senders.pages + .windows.pages + .blocks.pages + .receivers.pages;
	   def history: .history_small.pages + .history_large.pages;
	   (((.joined.own_kib - .connected.own_kib) + ((.filled | maps) - (.connected | maps)) / 1024) / .n) as $participant
	 | { name: "memory_per_participant", value: ($participant | sig(4)), unit: "KiB", target: 10, met: ($participant <= 10), runs: 1, iqr: null, participants: .n,
	     own: ((.joined.own_kib - .connected.own_kib) / .n | sig(3)), replay_window: ((.filled.windows.pages - .connected.windows.pages) / 1024 / .n | sig(3)),
	     rest_of_table: (((.filled | maps) - (.connected | maps) - .filled.windows.pages + .connected.windows.pages) / 1024 / .n | sig(3)) },
	   { name: "memory_per_connection", value: ((.connected.own_kib - .before.own_kib) / .n | sig(4)), unit: "KiB", target: null, met: null, runs: 1, iqr: null, participants: .n },
	   { name: "memory_of_a_history", value: (((.filled | history) - (.joined | history)) / 1024 / $streams | sig(4)), unit: "KiB", target: null, met: null, runs: 1, iqr: null, streams: $streams, note: "a stream of 250 packets/s for 2 s" },
	   { name: "memory_of_an_idle_relay", value: (.before.own_kib / 1024 | sig(3)), unit: "MiB", target: null, met: null, runs: 1, iqr: null, with_shared_maps: (.before.resident_kib / 1024 | sig(3)) }),
	# 12
	(($raw | rows("forged")) as $rows | ($raw | rows("forged-seen")) as $seen | ($raw | rows("forged-straight")) as $straight | select(($rows | length) + ($straight | length) > 0)
	 | ((($rows + $straight) | map(.copies) | add)) as $copies | ((($seen | map(.seen)) + ($straight | map(.tries)) | add)) as $tries
	 | { name: "forged_packets_forwarded", value: $copies, unit: "copies", target: 0,
	     met: ($copies == 0 and $tries >= $settings.tries and ($straight | length == 2 and all(.control))), runs: ($straight | length), iqr: null, tries: $tries, tries_wanted: 100000000,
	     through_the_device: ($seen | group_by(.engine + " " + .kind) | map({ (.[0].engine + " " + .[0].kind): (map(.seen) | add) }) | add),
	     verdicts: ($straight | map({ (.engine): del(.figure, .engine, .copies) }) | add), note: (if $tries < 100000000 then "fewer tries than wanted" else null end) }),
	# 13
	(($raw | rows("flood")) as $rows | select($rows | length > 0) | ($rows | map(.engine) | unique[]) as $engine | ($rows | map(select(.engine == $engine))) as $mine
	 | { name: "delivered_under_flood", value: ($mine | map(.delivered) | median), unit: "share", target: 0.999, met: ($mine | map(.delivered) | median | met(0.999)), runs: ($mine | length),
	     iqr: ($mine | map(.delivered) | iqr | sig(3)), engine: $engine, n: 10, bytes: 1142, worst: ($mine | map(.delivered) | min), packets_per_s: ($mine | map(.sent / .seconds) | median | round) }),
	($raw | rows("verify")[] | { name: "copies_verified", value: .copies, unit: "copies", target: (.sent * .n), met: (.failed | not), runs: 1, iqr: null, engine: .engine, n: .n, bytes: .bytes, bad: .bad, missing: .missing, trains: .trains })
  ]
| .[]
