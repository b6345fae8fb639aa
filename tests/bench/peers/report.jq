# Figures of bench-peers from its measurements (slurped). SPDX-License-Identifier: Apache-2.0
def median: sort | if length == 0 then null elif length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def iqr: sort | if length == 0 then null else .[((length - 1) * 0.75) | round] - .[((length - 1) * 0.25) | round] end;
def round_to(d): if . == null or . == 0 then . else . as $x | pow(10; d - 1 - ($x | fabs | log10 | floor)) as $f | ($x * $f | round) / $f end;

# Repetition by repetition.
def ratios(top; bottom): (bottom | map({ (.rep | tostring): .ns_per_copy }) | add // {}) as $b
	| top | map(select($b[.rep | tostring] != null) | $b[.rep | tostring] / .ns_per_copy);

def comparable: {
	A: "baseline: recvmmsg and sendmmsg, looks at nothing, keeps nothing",
	X: "product: checks tags and replay, keeps packets for retransmission, counts; end-to-end encrypted packets are not encrypted again",
	T: "product: checks tags and replay, keeps packets for retransmission, counts; end-to-end encrypted packets are not encrypted again",
	rtpengine: "comparable fan-out of plain RTP, publisher to subscribers, in user space; its kernel module, which is not in Debian\u0027s kernel, forwards faster; no packet authentication, no retransmission",
	janus: "not the same work: Streaming plugin, encrypts each copy for its viewer (SRTP) and keeps it for retransmission; source is plain RTP; one event loop on the one core",
	"janus-threads": "as janus, with its default of a thread for each viewer",
	coturn: "one to one only: ChannelData of a client to its peer as UDP; no fan-out, so set against A with one receiver"
};

def cell($rows; $engine; $n): $rows | map(select(.engine == $engine and .n == $n));
def figure($rows; $engine; $n; $base; $target):
	cell($rows; $engine; $n) as $mine
	| ratios($mine; cell($rows; $base; $n)) as $ratios
	| { name: "copies_per_core", value: ($mine | map(1e9 / .ns_per_copy) | median | round_to(4)), unit: "copies/s", target: $target,
	    met: (if $target == null then null else ($ratios | length > 0 and median >= $target) end), ratio_to: $base, ratio: ($ratios | median | round_to(4)),
	    runs: ($mine | length), iqr: ($mine | map(1e9 / .ns_per_copy) | iqr | round_to(3)), engine: $engine, n: $n, bytes: 1142,
	    ns_per_copy: ($mine | map(.ns_per_copy) | median | round_to(4)), version: ($versions[$engine] // null), comparable: comparable[$engine] };

# A closed loop that stalled measures something else. X or T has to reach the target: it is set for the faster.
map(select(.stalls == 0 and .delivered >= 0.999)) as $rows
| ($counts[] as $n | ("A", "rtpengine", "janus", "janus-threads", "X", "T") as $engine | figure($rows; $engine; $n; "A"; null)),
  (("A", "coturn") as $engine | figure($rows; $engine; 1; "A"; null)),
  ($counts[] as $n | [ "X", "T" | { engine: ., ns: (cell($rows; .; $n) | map(.ns_per_copy) | median) } | select(.ns) ] | min_by(.ns) | .engine // empty
   | figure($rows; .; $n; "rtpengine"; 12), figure($rows; .; $n; "janus"; 50), figure($rows; .; $n; "janus-threads"; null))
