#!/bin/bash
# tmms under faults: roles and all of it killed, garbage on its sockets, stores that are full or not writable,
# wrong configuration. SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/mgmt-lib.sh"

start_tmms

# --- a role dies

for role in store auth http front; do
	old=$(role_pid $role)
	kill -9 "$old"
	check "$role killed: the service is back within 5 s" eventually 5 eval "ctl status && test \"\$(role_pid $role)\" != $old"
	check "$role killed: it takes writes" ctl users add "after $role"
done
check_equal "nothing was lost" "$(status_of .users)" 4
check_equal "it is said in the log" "$(grep -c 'is started again' "$dir/tmms.log")" 4
check_equal "and counted" "$(status_of .counters.supervisor_role_restarts)" 4
kill -STOP "$(role_pid store)"
check_status "a store that hangs: a clear error after 10 s" 1 eval 'ctl users list 2>"$dir/error"'
check "which says so" grep -q "did not answer in time" "$dir/error"
kill -CONT "$(pgrep -P "$tmms_pid" -x tmms-store)"
check "it goes on when the store does" eventually 5 ctl users list

# --- garbage

descriptors() { find "/proc/$(role_pid front)/fd" -type l | wc -l; }
before=$(descriptors)
for ((i = 0; i < 20; i++)); do
	head -c 3000 /dev/urandom | timeout 1 perl -MIO::Socket::INET -e '
		my $s = IO::Socket::INET->new("127.0.0.1:$ARGV[0]") or exit 1; local $/; my $b = <STDIN>; syswrite $s, $b; sysread $s, $b, 100' "$port"
	head -c 3000 /dev/urandom | unix_raw "$dir/tmms.sock" >/dev/null
done
check_equal "a header that never ends: closed" "$(head -c 100000 /dev/zero | tr '\0' a | unix_raw "$dir/tmms.sock" | grep -c '^HTTP/1.1 200')" 0
check_equal "HTTP garbage gets 4xx or nothing" "$(printf 'GET /v1/health HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n' |
	unix_raw "$dir/tmms.sock" | grep -c 'HTTP/1.1 5')" 0
check_equal "a chunked body has the same limit" "$({ printf 'POST /v1/enrol HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n'
	head -c 131072 /dev/zero | tr '\0' x; printf '\r\n0\r\n\r\n'; } | unix_raw "$dir/tmms.sock" | grep -c 'HTTP/1.1 2')" 0
check "garbage: it still serves" ctl status
check_equal "garbage: failed handshakes are counted" "$(status_of .counters.front_drop_handshake_failed)" 20
check_equal "garbage: no role died of it" "$(status_of .counters.supervisor_role_restarts)" 4
check "garbage: no descriptor is left" eventually 5 eval "test \"\$(descriptors)\" -le $before"

# --- kill -9 of everything in the middle of writes

write_users() { # write_users WRITER: acknowledges in a file of its own what the server acknowledged
	local n name
	for ((n = 0; n < 250; n++)); do
		name="writer-$1-$n"
		until ctl users add "$name" >/dev/null 2>"$dir/error-$1"; do
			grep -q "exists already" "$dir/error-$1" && break # the answer was lost, the user is there
			sleep 0.02
		done
		echo "$name" >>"$dir/acknowledged-$1"
	done
}
writers=()
for writer in 1 2 3 4; do
	write_users $writer &
	writers+=($!)
done
for ((kills = 0; kills < 5; kills++)); do
	sleep 0.6
	cp "$dir"/acknowledged-* "$dir/state" 2>/dev/null # what had been acknowledged by then
	kill_tmms
	check "killed for the $((kills + 1)). time, it starts again" start_tmms
	[ -n "$(role_pid store)" ] || { kill "${writers[@]}"; break; } # they would wait for ever
	ctl --json users list | jq -r '.users[].name' | sort >"$dir/there"
	sort "$dir"/state/acknowledged-* | comm -23 - "$dir/there" >>"$dir/lost"
done
wait "${writers[@]}"
ctl --json users list | jq -r '.users[].name' | sort >"$dir/there"
check_equal "5 kills amid 1000 writes: nothing acknowledged was lost" "$(cat "$dir"/acknowledged-* | sort | comm -23 - "$dir/there" | cat - "$dir/lost" | wc -l)" 0
check_equal "all 1000 are there once" "$(grep -c '^writer-' "$dir/there") $(grep '^writer-' "$dir/there" | uniq | wc -l)" "1000 1000"
check "each of them can be found by its name" ctl users remove writer-3-249

# --- stopped while it is busy

busy() { while [ -e "$dir/busy" ]; do ctl users list >/dev/null 2>&1; done; }
touch "$dir/busy"
for ((n = 0; n < 4; n++)); do
	busy &
	children+=($!)
done
stops=0
for ((n = 0; n < 8; n++)); do
	sleep 0.2
	stop_tmms && start_tmms && stops=$((stops + 1))
done
rm "$dir/busy"
check_equal "stopped 8 times while busy: in order each time" "$stops" 8

# --- ports, sockets, directories, configuration

check_status "port taken: exit status 1" 1 tmms_once "state-directory=$dir/second"
check_equal "port taken: one line says so" "$(grep -c "cannot listen on 127.0.0.1 port $port: Address already in use" "$dir/output") $(grep -vc 'first start\|identity root' "$dir/output")" "1 1"
check_status "control socket taken" 1 tmms_once "control-socket=$dir/tmms.sock" "listen-port=$((port + 9))"
check "the first one is not harmed" ctl status
check_status "state directory cannot be made" 1 tmms_once state-directory=/proc/nothing
check_equal "one line says so" "$(grep -c 'cannot make the directory /proc/nothing' "$dir/output")" 1
echo >"$dir/file"
check_status "state directory is a file" 1 tmms_once "state-directory=$dir/file"
check_status "no such user" 1 tmms_once user=nobody-of-this-name
mkdir "$dir/locked"
check_status "a user that may not write there" 1 tmms_once user=nobody "state-directory=$dir/locked" "listen-port=$((port + 9))"
printf 'server-name = tmms.test\n\nlisten-port = 99999\n' >"$dir/wrong.conf"
check_status "wrong configuration row: exit status 2" 2 timeout 10 "$bin/tmms" -c "$dir/wrong.conf"
check_equal "file, line and what is allowed" "$(cat "$dir/output")" "tmms: $dir/wrong.conf:3: listen-port = 99999: a number from 0 to 65535 is allowed"
check_status "server name missing" 2 timeout 10 "$bin/tmms" --set "state-directory=$dir/state"
check_status "no listener at all" 2 timeout 10 "$bin/tmms" --set server-name=tmms.test --set listen-port=0
check_status "unknown option" 2 timeout 10 "$bin/tmms" --set nonsense=1
check_status "no such file" 2 timeout 10 "$bin/tmms" -c "$dir/nowhere"
check_status "an argument" 2 timeout 10 "$bin/tmms" run

# --- connections that do nothing take all places

stop_tmms
start_tmms connections-max=8
for ((i = 0; i < 12; i++)); do
	sleep 6 | timeout 6 openssl s_client -connect "127.0.0.1:$port" -servername tmms.test -alpn http/1.1 -quiet >/dev/null 2>&1 &
	children+=($!)
done
check "all places are taken" eventually 5 eval "test \"\$(status_of .counters.front_drop_too_many_connections)\" -ge 4"
check_equal "a new one gets in" "$(https_status GET /v1/health)" 200
check "the administrator too" ctl status

# --- store full

stop_tmms
start_tmms "state-directory=$dir/small" store-size=1048576
full=$(fill filler- 20000)
check "a full store says so" grep -q '"code":"full"' "$dir/refusal"
check "at the store's limit, not before ($full users)" test "$full" -gt 1000
check_equal "all acknowledged users are there, and no other" "$(status_of .users)" "$full"
check_status "the one that was refused is not there" 1 ctl users remove "filler-$full"
check "in words" grep -q "the store or its disk is full: nothing was changed" "$dir/refusal"
for ((n = 0; n < 150; n++)); do ctl users remove "filler-$n" >/dev/null || break; done
check_equal "users can be removed from a full store" "$(status_of .users)" "$((full - 150))"
check "then there is room again" ctl users add "has room"
check "the alarm is in the log" grep -q "the store is 80 % full" "$dir/tmms.log"
check_equal "refusals are counted" "$(status_of '.counters.store_full >= 1')" true
stop_tmms

# --- disk full

mkdir "$dir/disk"
if mount -t tmpfs -o size=600k tmpfs "$dir/disk" 2>/dev/null; then
	mounts+=("$dir/disk")
	start_tmms "state-directory=$dir/disk/state"
	there=$(fill filler- 20000)
	check "a full disk says so ($there users)" grep -q '"code":"full"' "$dir/refusal"
	check_equal "all acknowledged users are there, and no other" "$(status_of .users)" "$there"
	mount -o remount,size=8m "$dir/disk"
	check "it goes on when there is room" eventually 5 ctl users add "after the disk was full"
	stop_tmms
	mount -o remount,ro "$dir/disk"
	check_status "a store that cannot be written at start" 1 tmms_once "state-directory=$dir/disk/state"
	check_equal "one line says so" "$(grep -c 'cannot open the store in' "$dir/output")" 1
else
	ok "disk full # SKIP tmpfs cannot be mounted here"
fi
done_testing
