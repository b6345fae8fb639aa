#!/bin/bash
# A meeting of three in Debian's kernel, sound only: the relay forwards with the engine that it is told to use, or, where
# the kernel gives it no program, with U.
#
#   client-1, client-2, client-3 ── veth ── server: tmms, tcs
#
#   meeting.sh tcx|xdp|user|refused    refused: tcx is wanted, but its loader lacks CAP_BPF and CAP_NET_ADMIN
#
# SPDX-License-Identifier: Apache-2.0
LIMIT_S=60
. "$(dirname "$0")/../net/lib.sh"
. "$(dirname "$0")/../net/meeting.sh"
wanted=${1:-} engine=${1:-}
case $wanted in
tcx | xdp | user) ;;
refused) wanted=tcx engine=user ;;
*) give_up "usage: meeting.sh tcx|xdp|user|refused" ;;
esac

# All clients are one host, since X multiplies to one device. Its device takes redirected packets if it does GRO.
lab_server
lab_client 1
on client-1 ethtool -K wan gro on
for n in 2 3; do ln -s client-1 /run/netns/client-$n; done
if [ "${1:-}" = refused ]; then
	# Until here as root, from here on without: what start_tcs runs inherits it.
	mkdir "$lab/bin"
	printf '#!/bin/bash\nexec setpriv --bounding-set=-bpf,-net_admin,-sys_admin --inh-caps=-all %s "$@"\n' "$(command -v tcs)" >"$lab/bin/tcs"
	chmod +x "$lab/bin/tcs"
	PATH=$lab/bin:$PATH
fi
start_servers "fast-path = $wanted" "fast-path-devices = c1" "loader = $lab_top/build/bin/huisclos-loader"
enrol 1 2 3
mkdir -p "$lab/media"
for n in 1 2 3; do cp "$lab_top/build/kernel/tone.wav" "$lab/media/tone-$n.wav"; done
create_meeting 1

# They stay until enough was seen: an emulated processor takes its time.
for n in 1 2 3; do
	join $n 40
	lab_until 20 has_event $n joined || give_up "client-$n joins" "$lab/join-$n.err"
done
for n in 1 2 3; do
	lab_until 20 has_media $n 2 || give_up "client-$n gets 2 streams" "$lab/join-$n.err"
	lab_until 10 has_event $n path
done
sleep 1
ctl_tcs --json status >"$lab/before.json"
ctl_tcs --json meetings >"$lab/meetings.json"
sleep 3
ctl_tcs --json status >"$lab/after.json"
for n in 3 2 1; do kill -INT "${join_pid[$n]}"; done
wait_left 3 2 1

if [ "${1:-}" = refused ]; then
	lab_check "one line says why no program is loaded" test "$(grep -c 'fast path' "$lab/tcs.err")" = 1
	lab_note < <(grep 'fast path' "$lab/tcs.err")
else
	lab_json "the device has its engine" "$lab/before.json" \
		"[.engines[] | select(.device == \"c1\" and .engine == \"$engine\")] | length == $([ "$engine" = user ] && echo 0 || echo 1)"
fi
lab_json "the meeting's engine" "$lab/meetings.json" ".meetings[0].engine == \"$engine\""
jq -s '{ media: (.[1].counts.media_received - .[0].counts.media_received),
	kernel: (.[1].kernel.media_received - .[0].kernel.media_received) }' "$lab/before.json" "$lab/after.json" >"$lab/media.json"
if [ "$engine" = user ]; then
	lab_json "user space forwards all of it" "$lab/media.json" '.media > 100 and .kernel == 0'
else
	lab_json "the kernel forwards all of it" "$lab/media.json" '.kernel > 100 and .kernel == .media'
	lab_json "the kernel has granted grace to all that was replaced" "$lab/after.json" '.table.changes > 3 and .table.waiting == 0'
fi
for listener in 1 2 3; do
	lab_json "client-$listener: media went over UDP, nothing failed to decrypt, nothing came twice" "$lab/result-$listener.json" \
		'.path == "udp" and .decrypt_failures == 0 and .connections == 1 and .counters.replayed == 0'
	for speaker in 1 2 3; do
		[ $speaker = $listener ] || stream_json "client-$listener hears client-$speaker, 0 lost" $listener $speaker audio \
			'.lost == 0 and .frames > 150'
	done
done
[ "$lab_failures" = 0 ] || { tail -n 5 "$lab/tcs.err"; jq -c '{ counts, kernel, drops, engines }' "$lab/after.json"; } | lab_note
