#!/bin/bash
# huisclos-mux before tmms and a second server: by name, untouched, bounded. SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/mgmt-lib.sh"

inner=$port
port=$((inner + 1)) # of the mux: what handshake and https of the library connect to
start_mux() {
	"$bin/huisclos-mux" --set listen-address=127.0.0.1 --set "listen-port=$port" --set tmms-name=tmms.test \
		--set "tmms-socket=$dir/tmms-mux.sock" --set tcs-name=tcs.test --set "tcs-socket=$dir/tcs-mux.sock" "$@" 2>>"$dir/mux.log" &
	mux_pid=$!
	children+=("$mux_pid")
	eventually 5 eval "tail -n 1 '$dir/mux.log' | grep -q ready"
}
counter() { # counter NAME: as logged on SIGUSR1
	kill -USR1 "$mux_pid"
	sleep 0.2
	grep ' waiting ' "$dir/mux.log" | tail -n 1 | grep -o " $1 [0-9]*" | awk '{ print $2 }'
}
connect() { # connect SECONDS: send stdin to the mux, wait for the end, print how long that took in ms
	perl -MIO::Socket::INET -MTime::HiRes=time -e '
		my $s = IO::Socket::INET->new("127.0.0.1:$ARGV[0]") or exit 1; local $/; my $b = <STDIN>; syswrite $s, $b; my $t = time;
		$SIG{ALRM} = sub { exit 3 }; alarm $ARGV[1]; 1 while sysread $s, $b, 4096; printf "%d\n", 1000 * (time - $t)' "$port" "$1"
}

check "the mux starts without its servers" start_mux
check_equal "a server that is away: closed" "$(https_status GET /v1/health)" ""
check "tmms without a port of its own" start_tmms listen-port=0 "mux-socket=$dir/tmms-mux.sock" "public-port=$port"
check_equal "a connection by name" "$(https_status GET /v1/health)" 200
check "post-quantum hellos of two segments" handshake -groups SecP384r1MLKEM1024
check_equal "another name: closed" "$(timeout 5 openssl s_client -connect "127.0.0.1:$port" -servername other.test </dev/null 2>&1 | grep -c '^New, TLS')" 0
check_equal "no name: closed" "$(timeout 5 openssl s_client -connect "127.0.0.1:$port" -noservername </dev/null 2>&1 | grep -c '^New, TLS')" 0
check "HTTP in the clear: closed at once" test "$(printf 'GET / HTTP/1.1\r\n\r\n' | connect 5)" -lt 1000
slow=$(printf '\x16\x03\x01\x02\x00\x01' | connect 6)
check "half a hello: closed after 3 s ($slow ms)" test "$slow" -ge 2800 -a "$slow" -le 4000
check_equal "counted: passed" "$(counter passed_tmms)" 2
check_equal "counted: unknown name" "$(counter drop_unknown_name)" 1
check_equal "counted: no name" "$(counter drop_no_name)" 1
check_equal "counted: not TLS" "$(counter drop_not_tls)" 1
check_equal "counted: timeout" "$(counter drop_timeout)" 1
check_equal "counted: server away" "$(counter drop_server_away)" 1
check_equal "tmms counts them too" "$(status_of .counters.front_connections_from_mux)" 2

# A hello that comes byte by byte, whole in the end.
timeout 5 openssl s_client -connect "127.0.0.1:$port" -servername tmms.test -msg </dev/null >/dev/null 2>&1
perl -MIO::Socket::INET -e '
	my $listen = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1:$ARGV[0]", ReuseAddr => 1) or exit 1;
	my $client = $listen->accept; sysread $client, my $hello, 16384;
	my $server = IO::Socket::INET->new("127.0.0.1:$ARGV[1]") or exit 1; setsockopt $server, 6, 1, 1;
	for (split //, $hello) { syswrite $server, $_; select undef, undef, undef, 0.0005 }
	if (my $pid = fork) { while (sysread $server, my $b, 16384) { syswrite $client, $b } kill 9, $pid }
	else { while (sysread $client, my $b, 16384) { syswrite $server, $b } }' $((port + 1)) "$port" &
children+=($!)
sleep 0.3
ticks=$(awk '{ print $14 + $15 }' "/proc/$mux_pid/stat")
check "a hello of single bytes" eval 'port=$((port + 1)) handshake -groups X25519MLKEM768'
check "does not make the mux spin" test $(($(awk '{ print $14 + $15 }' "/proc/$mux_pid/stat") - ticks)) -lt 20

old=$(role_pid front)
kill -9 "$old"
check "front killed: the mux reaches the new one" eventually 5 eval 'test "$(https_status GET /v1/health)" = 200'
stop_tmms
start_tmms listen-port=0 "mux-socket=$dir/tmms-mux.sock" "public-port=$port"
check "tmms restarted: the mux reaches it" eventually 5 eval 'test "$(https_status GET /v1/health)" = 200'
check "garbage on tmms's mux socket does no harm" eval 'perl -MSocket -e '\''
	socket my $s, AF_UNIX, SOCK_SEQPACKET, 0; connect $s, sockaddr_un($ARGV[0]) or exit 1; send $s, "x" x 3, 0 for 1 .. 50;'\'' "$dir/tmms-mux.sock" && ctl status'
check_equal "it is counted" "$(status_of '.counters.front_drop_mux_message >= 50')" true
check_equal "and connections still come" "$(https_status GET /v1/health)" 200

# --- bounds

kill "$mux_pid"
check "SIGTERM ends it" wait "$mux_pid"
start_mux --set waiting-max=20 --set waiting-per-address=10
for ((i = 0; i < 15; i++)); do
	printf '\x16' | connect 5 >/dev/null &
	children+=($!)
done
sleep 0.7
check_equal "waiting connections of one address are bounded" "$(counter drop_too_many_of_address)" 5
check "they go after the deadline" eventually 6 eval 'test "$(https_status GET /v1/health)" = 200'
kill "$mux_pid"
wait "$mux_pid"
start_mux --set waiting-max=3 --set waiting-per-address=20
for ((i = 0; i < 6; i++)); do
	printf '\x16' | connect 5 >/dev/null &
	children+=($!)
done
sleep 0.5
check_equal "where all places are taken somebody who speaks still gets through" "$(https_status GET /v1/health)" 200
check "the oldest that waited made room" test "$(counter drop_too_many)" -ge 4
check_status "port taken" 1 timeout 10 "$bin/huisclos-mux" --set listen-address=127.0.0.1 --set "listen-port=$port" --set tmms-name=a --set tcs-name=b
check_status "wrong configuration" 2 timeout 10 "$bin/huisclos-mux" --set tmms-name=a --set tcs-name=a
check_status "wrong use" 2 timeout 10 "$bin/huisclos-mux" x
check "help" "$bin/huisclos-mux" --help
done_testing
