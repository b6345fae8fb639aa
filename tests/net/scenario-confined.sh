#!/bin/bash
# A relay that serves a meeting is taken over: system calls are injected into each of its threads, as somebody would make
# them who runs code there. All are refused, the meeting goes on; its death leaves no program in the kernel.
#
#   client-1 ── veth ──┐
#   client-2 ── veth ──┼── server: tmms, tcs as user nobody, its programs on both devices
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=80
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/meeting.sh"

relay_process() { pgrep -P "${server_pid[tcs]}" -x tcs; }
manager_process() { pgrep -P "$(pgrep -P "$relay" -x "tcs spawner")"; }
status_of() { awk -v name="$2:" '$1 == name { print $2 }' "/proc/$1/status"; }
# Relay, spawner and manager.
has_no_capabilities() {
	local process name set none
	spawner=$(pgrep -P "$relay" -x "tcs spawner")
	for process in "$relay" "$spawner" "$(manager_process)"; do
		name=$(cat "/proc/$process/comm")
		none=1
		for set in CapInh CapPrm CapEff CapBnd CapAmb; do [ "$(status_of "$process" $set)" = 0000000000000000 ] || none=0; done
		lab_check "$name, as $1, has no capability and gets none" test "$none $(status_of "$process" NoNewPrivs)" = "1 1"
	done
}
programs() { on server bpftool net show | grep -c fanout_tcx; }
has_programs() { [ "$(programs)" = "$1" ]; }

chmod 711 "$lab"
mkdir -m 700 "$lab/tcs"
chown nobody "$lab/tcs"
lab_server
lab_client 1
lab_client 2
start_servers "user = nobody" "fast-path = tcx" "fast-path-devices = c1,c2"
relay=$(relay_process)
lab_check "the programs are on both devices" has_programs 2
lab_check "the relay runs as nobody" test "$(status_of "$relay" Uid)" = "$(id -u nobody)"

enrol 1 2
make_media 1 2
create_meeting 1
join 1 14 "${VIDEO[@]}"
join 2 13 "${VIDEO[@]}"
wait_media 2 1 2

# --- beside it: the relay listens on $SERVER only. The host's own word that nobody is there shows that it got the datagram.
is_answered() { ! on client-1 bash -c "exec 5<>/dev/udp/10.77.1.1/$UDP_PORT; echo a >&5; sleep 0.2; echo b >&5" 2>/dev/null; }
lab_check "what comes to the same port of another address is not the relay's" is_answered

# --- from inside
relay_inject "$relay" confined >"$lab/inject.out" 2>&1
status=$?
threads=$(find "/proc/$relay/task" -mindepth 1 -maxdepth 1 | wc -l)
tried=$(grep -c '^ok' "$lab/inject.out")
lab_check "all of $tried calls in $threads threads are refused, only map look-up is not" test "$status" = 0 -a "$tried" -gt $((threads * 30))
[ "$status" = 0 ] || grep -v '^ok' "$lab/inject.out" | lab_note
lab_check "each thread may look up entries of its map" \
	test "$(grep -c '^ok.*BPF_MAP_LOOKUP_ELEM.*it was done' "$lab/inject.out")" = "$threads"
sleep 20 &
control=$!
lab_check "the same calls are not refused elsewhere" relay_inject $control free
kill $control

# --- from outside
has_no_capabilities nobody
unfiltered=$(grep -L '^Seccomp:.2' "/proc/$relay/task"/*/status)
lab_check "every thread of the relay has its calls filtered" test -z "$unfiltered"
descriptors=$(find "/proc/$relay/fd" -printf '%l\n' | sort | uniq -c)
lab_check "the relay has maps and links, and no program" \
	bash -c 'grep -q bpf-map <<<"$1" && grep -q bpf_link <<<"$1" && ! grep -q bpf-prog <<<"$1"' - "$descriptors"
descriptors=$(find "/proc/$spawner/fd" "/proc/$(manager_process)/fd" -printf '%l\n')
lab_check "spawner and manager have neither" bash -c '! grep -q bpf <<<"$1"' - "$descriptors"

# --- the manager dies: the relay cannot start it itself
before=$(manager_process)
kill -KILL "$before"
has_new_manager() { local now; now=$(manager_process) && [ "$now" != "$before" ]; }
lab_check "a manager that died is started again" lab_until 5 has_new_manager
lab_check "the relay hears of tmms again" lab_until 5 is_relay_synced

wait_left 2 1
for pair in "1 2" "2 1"; do
	read -r listener speaker <<<"$pair"
	lab_json "client-$listener kept its connection" "$lab/result-$listener.json" '.connections == 1 and .decrypt_failures == 0'
	lab_less "client-$listener hears client-$speaker: longest gap" "$(longest_gap "$listener" "$speaker")" 0.5
done

# --- death
manager=$(manager_process)
kill -KILL "$relay"
lab_check "a killed relay takes its spawner and its manager along" \
	lab_until 3 bash -c '! kill -0 "$1" 2>/dev/null && ! kill -0 "$2" 2>/dev/null' - "$spawner" "$manager"
old=$relay
has_new_relay() { relay=$(relay_process) && [ "$relay" != "$old" ] && is_relay_synced; }
lab_check "a new relay takes over" lab_until 10 has_new_relay
relay=$(relay_process)
lab_check "its programs are on both devices, and no others" has_programs 2
kill_server tcs
lab_check "without a relay there is no program" lab_until 3 has_programs 0

# --- without an account of its own
sed -i '/^user/d' "$lab/tcs.conf"
chown -R root "$lab/tcs"
start_tcs
relay=$(relay_process)
has_no_capabilities root
lab_check "as root, too, all calls are refused" relay_inject "$relay" confined
