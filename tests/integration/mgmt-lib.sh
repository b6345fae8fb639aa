# Starts tmms in a directory of its own, and checks. Sourced by mgmt*.sh, which run in the Debian root from the top
# of the tree. SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
set -uo pipefail
export LC_ALL=C.UTF-8

top=$PWD
bin=${HUISCLOS_BIN:-$top/build/bin}
dir=$(mktemp -d /tmp/huisclos-mgmt-XXXXXX) || exit 1
port=$((10000 + $$ % 20000)) # below those that the kernel gives out
tmms_pid=
count=0
failed=0
children=() # other processes of the test
mounts=()

ok() {
	count=$((count + 1))
	echo "ok $count - $1"
}
not_ok() {
	count=$((count + 1))
	failed=$((failed + 1))
	echo "not ok $count - $1"
	[ ! -s "$dir/output" ] || tail -n 8 "$dir/output" | sed 's/^/# /'
}
# check TEXT COMMAND...: passes if the command does.
check() {
	local what=$1
	shift
	if "$@" >"$dir/output" 2>&1; then ok "$what"; else not_ok "$what"; fi
}
# check_status TEXT STATUS COMMAND...
check_status() {
	local what=$1 wanted=$2 status=0
	shift 2
	"$@" >"$dir/output" 2>&1 || status=$?
	if [ "$status" = "$wanted" ]; then ok "$what"; else
		echo "exit status $status, not $wanted" >>"$dir/output"
		not_ok "$what"
	fi
}
check_equal() {
	if [ "$2" = "$3" ]; then ok "$1"; else
		echo "\"$2\" is not \"$3\"" >"$dir/output"
		not_ok "$1"
	fi
}
# eventually SECONDS COMMAND...: until it succeeds.
eventually() {
	local end=$((SECONDS + $1))
	shift
	while ! "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

ctl() { "$bin/tmmsctl" --socket "$dir/tmms.sock" "$@"; }
status_of() { ctl --json status | jq -er "$1"; }
role_pid() { status_of ".roles[] | select(.role == \"$1\") | .pid"; }

# start_tmms [NAME=VALUE]...: with the usual options, those given last. Waits until it answers.
start_tmms() {
	local options=("state-directory=$dir/state" "server-name=tmms.test" "listen-address=127.0.0.1" "listen-port=$port"
		"control-socket=$dir/tmms.sock" "public-address=127.0.0.1" "public-port=$port" "$@") arguments=() option
	for option in "${options[@]}"; do arguments+=(--set "$option"); done
	"$bin/tmms" "${arguments[@]}" 2>>"$dir/tmms.log" &
	tmms_pid=$!
	eventually 10 ctl status
}
# Sends SIGTERM; the exit status is tmms's.
stop_tmms() {
	local status=0
	[ -n "$tmms_pid" ] || return 0
	kill "$tmms_pid" 2>/dev/null
	wait "$tmms_pid" 2>/dev/null || status=$?
	tmms_pid=
	return $status
}
kill_tmms() {
	kill -9 "$tmms_pid"
	wait "$tmms_pid" 2>/dev/null
	tmms_pid=
}
# tmms in the foreground, which is expected to end by itself. tmms_once NAME=VALUE...
tmms_once() {
	local arguments=() option
	for option in "state-directory=$dir/state" "server-name=tmms.test" "listen-address=127.0.0.1" "listen-port=$port" \
		"control-socket=$dir/other.sock" "$@"; do arguments+=(--set "$option"); done
	timeout 10 "$bin/tmms" "${arguments[@]}"
}

# One HTTP request over TLS, as anybody: https METHOD PATH [BODY] [HEADER]
https() {
	local body=${3:-}
	printf '%s %s HTTP/1.1\r\nHost: tmms.test\r\nConnection: close\r\n%sContent-Length: %d\r\n\r\n%s' "$1" "$2" "${4:+$4\r\n}" \
		"${#body}" "$body" | sed 's/\\r\\n/\r\n/g' |
		timeout 5 openssl s_client -connect "127.0.0.1:$port" -servername tmms.test -alpn http/1.1 -quiet 2>/dev/null
}
https_status() { https "$@" | head -n 1 | cut -d' ' -f2; }
# Send raw bytes to a UNIX stream socket and print what comes: unix_raw PATH <BYTES
unix_raw() {
	timeout 5 perl -MIO::Socket::UNIX -e '
		my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or exit 1;
		local $/; my $bytes = <STDIN>; syswrite $s, $bytes; shutdown $s, 1;
		while (sysread $s, my $part, 4096) { print $part }' "$1"
}
# fill PREFIX COUNT: add users with long mail addresses over one connection until one is refused. Prints how many
# were acknowledged; the refusal's body goes to $dir/refusal.
fill() {
	timeout 60 perl -MIO::Socket::UNIX -e '
		my ($path, $prefix, $count, $refusal) = @ARGV;
		my $s = IO::Socket::UNIX->new(Peer => $path) or exit 1;
		my $n = 0;
		for (; $n < $count; $n++) {
			my $body = sprintf q({"name":"%s%d","mail":"%s@example.org"}), $prefix, $n, "x" x 200;
			print $s "POST /v1/admin/users HTTP/1.1\r\nHost: x\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
			$s->flush;
			my ($status, $length) = (0, 0);
			while (defined(my $line = <$s>)) {
				$status = $1 if $line =~ m{^HTTP/1.1 (\d+)};
				$length = $1 if $line =~ m{^Content-Length: (\d+)}i;
				last if $line eq "\r\n";
			}
			read $s, my $answer, $length;
			next if $status == 201;
			open my $out, ">", $refusal; print $out $answer;
			last;
		}
		print $n' "$dir/tmms.sock" "$1" "$2" "$dir/refusal"
}
# handshake OPTION...: a TLS handshake with tmms; fails if there is none.
handshake() {
	timeout 5 openssl s_client -connect "127.0.0.1:$port" -servername tmms.test -alpn http/1.1 "$@" </dev/null 2>&1 | grep '^New, TLSv1.3, Cipher is' >/dev/null
}

finish() {
	local pid mount
	stop_tmms || true
	for pid in ${children[@]+"${children[@]}"}; do
		kill "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	for mount in ${mounts[@]+"${mounts[@]}"}; do umount "$mount"; done
	rm -rf "$dir"
}
trap finish EXIT
done_testing() {
	check_equal "no sanitizer and no crash spoke up" "$(grep -acE "runtime error|Sanitizer|Fatal|killed by signal (11|6|4|8)" "$dir/tmms.log")" 0
	echo "1..$count"
	exit $((failed > 0))
}
