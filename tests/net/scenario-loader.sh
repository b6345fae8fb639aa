#!/bin/bash
# The loader: what is attached where and why not, what goes away with whoever holds the links, and every way in which the
# kernel or a device can refuse. relay_hold stands for the relay.
#
#   server: lo, plain (veth, other end without GRO), ready (veth, other end with GRO), bare (no address), idle (down),
#           layer3 (tun: no Ethernet header)
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=60
. "$(dirname "$0")/lib.sh"

loader=$lab_top/build/bin/huisclos-loader
lab_host server
on server sysctl -qw net.ipv6.conf.all.disable_ipv6=0
for n in plain ready bare idle; do
	ip -n server link add $n type veth peer name "$n-end"
	ip -n server link set "$n-end" up
	[ $n = idle ] || ip -n server link set $n up
done
ip -n server address add 10.77.1.1/24 dev plain
ip -n server -6 address add fd77:2::1/64 dev ready nodad
ip -n server address add 10.77.3.1/24 dev idle
on server ip tuntap add dev layer3 mode tun
ip -n server address add 10.77.4.1/24 dev layer3
ip -n server link set layer3 up
on server ethtool -K ready-end gro on >/dev/null 2>&1

# hold LABEL DEVICES ENGINE [confined]: until release LABEL
declare -A hold_pid hold_pipe
hold() {
	local label=$1 pipe
	shift
	mkfifo "$lab/$label.in"
	ip netns exec server relay_hold "$loader" "$@" <"$lab/$label.in" >"$lab/$label.out" 2>"$lab/$label.err" &
	hold_pid[$label]=$!
	exec {pipe}>"$lab/$label.in"
	hold_pipe[$label]=$pipe
	lab_until 15 grep -qE '^(ready|problem)' "$lab/$label.out" || lab_fail "$label: the loader comes to an end"
}
release() {
	local pipe=${hold_pipe[$1]}
	exec {pipe}>&-
	wait "${hold_pid[$1]}"
}
engines() { sed -n "s/^device $2 .*engines \(.*\) ring.*/\1/p" "$lab/$1.out"; }
attached() { on server bpftool net show | grep -c fanout_tcx; }
attached_xdp() { on server bpftool net show | sed -n '/^xdp:/,/^tc:/p' | grep -c driver; }
are_attached() { [ "$(attached) $(attached_xdp)" = "$1 $2" ]; }
says() { grep -qE -- "$2" "$lab/$1.err" "$lab/$1.out"; }

# --- what auto takes
hold auto auto auto
lab_check "auto: programs where there is a global address, and on lo" \
	test "$(sed -n 's/^device \([a-z-]*\) .*/\1/p' "$lab/auto.out" | sort | tr '\n' ' ')" = "lo plain ready "
lab_check "auto: tcx on virtual devices" test "$(engines auto plain) $(engines auto ready)" = "tcx tcx"
lab_check "auto: says why there is no XDP" says auto 'plain: tcx; no XDP: a virtual device'
lab_check "auto: not where packets have no Ethernet header, and says so" says auto 'layer3: user space \(no Ethernet frames\)'
lab_check "three tcx programs, no XDP" are_attached 3 0
lab_check "memory and maps are the same" says auto '^ready'
release auto
lab_check "nothing is left" lab_until 2 are_attached 0 0

# --- XDP where it is asked for
hold xdp auto xdp
lab_check "xdp: on the device whose other end takes redirected packets" test "$(engines xdp ready)" = "tcx xdp"
lab_check "xdp: not where it does not, and says so" bash -c '[ "$1" = tcx ]' - "$(engines xdp plain)"
lab_check "xdp: the reason is the other end's GRO" says xdp 'plain: tcx; no XDP: .*without GRO'
lab_check "xdp: lo has no native XDP, and says so" says xdp 'lo: tcx; no XDP: the driver has no native XDP'
lab_check "three tcx programs, one XDP" are_attached 3 1

# --- a second one while the first still lives
hold second auto xdp
lab_check "a new relay attaches beside the old one" test "$(engines second plain)" = tcx
lab_check "its XDP waits until the old one has gone, and says so" says second 'ready: tcx; no XDP: another XDP program'
kill -KILL "${hold_pid[xdp]}"
wait "${hold_pid[xdp]}" 2>/dev/null
lab_check "a killed holder takes its programs along" lab_until 2 are_attached 3 0
release second

# --- a device goes away
hold gone plain,ready tcx
ip -n server link del plain
lab_check "a deleted device takes its program along, the other keeps its own" lab_until 2 are_attached 1 0
release gone
lab_check "the holder of a dead link ends well" test $? = 0

# --- what cannot be
hold names ready,nosuch tcx
lab_check "a name that is no device is said, the others are served" \
	test "$(engines names ready) $(grep -c 'nosuch: user space (there is no such device)' "$lab/names.err")" = "tcx 1"
release names
on server ethtool -K ready rx-udp-gro-forwarding on >/dev/null 2>&1
hold gro ready tcx
lab_check "settings that have locked up hosts are said" says gro 'rx-udp-gro-forwarding is on'
release gro
one_line() { # one_line LABEL TEXT: that and nothing else
	[ "$(wc -l <"$lab/$1.out") $(wc -l <"$lab/$1.err")" = "1 0" ] && grep -qE "$2" "$lab/$1.out"
}
on server setpriv --reuid nobody --clear-groups relay_hold "$loader" auto auto </dev/null >"$lab/rights.out" 2>"$lab/rights.err"
lab_check "without privileges: one line" one_line rights '^problem: no privilege'
with_capabilities() { # as a service manager may start the relay: not as root
	on server setpriv --reuid nobody --clear-groups --inh-caps "$1" --ambient-caps "$1" --no-new-privs \
		relay_hold "$loader" auto auto </dev/null
}
with_capabilities +bpf,+perfmon,+net_admin >"$lab/caps.out" 2>"$lab/caps.err"
lab_check "three capabilities are enough" grep -qx ready "$lab/caps.out"
lab_check "... also to see overload" bash -c '! grep -q "too much to do" "$1"' - "$lab/caps.err"
with_capabilities +bpf,+net_admin >"$lab/few.out" 2>"$lab/few.err"
lab_check "two are not: one line that names all" one_line few '^problem: no privilege: CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN'
on server relay_hold /nonexistent/loader auto auto </dev/null >"$lab/missing.out" 2>"$lab/missing.err"
lab_check "without a loader: one line" one_line missing '^problem: /nonexistent/loader cannot be run'
on server relay_hold /bin/true auto auto </dev/null >"$lab/other.out" 2>"$lab/other.err"
lab_check "with another program instead: one line" one_line other '^problem: the loader ended too early'
lab_check "none of these left a program" are_attached 0 0

# --- for people
on server huisclos-loader --check >"$lab/check.out" 2>&1
lab_check "--check attaches nothing and shows each device" \
	bash -c 'grep -q "^programs .*takes them" "$1" && grep -q "^ready .*driver veth (virtual), MTU 1500, ring 256, native XDP yes, redirected packets yes" "$1"' - "$lab/check.out"
on server setpriv --reuid nobody --clear-groups huisclos-loader --check >"$lab/check.out" 2>&1
lab_check "--check without privileges fails with one line about it" \
	test "$? $(grep -c 'refused: no privilege' "$lab/check.out")" = "1 1"
usage_error() { ! "$@" >"$lab/usage.out" 2>&1 && [ "$(wc -l <"$lab/usage.out")" = 1 ]; }
for wrong in "--port 4443" "--check --engine best" "--port 0" "--check --senders -1" "--check --devices" "--check more"; do
	# shellcheck disable=SC2086
	lab_check "one line for: huisclos-loader $wrong" usage_error huisclos-loader $wrong
done
