#!/bin/bash
# tmms and tmmsctl in ordinary use: first start, users, relays, enrolment, access. SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/mgmt-lib.sh"

check "first start answers" start_tmms
pins=$(ctl --json status | jq -c '.pins, .root')
for file in root.key ca.key front/server.key backup.key ticket.key; do
	check_equal "$file is private" "$(stat -c %a "$dir/state/pki/$file" 2>&1)" 600
done
check_equal "no half-made keys are left" "$(ls "$dir/state")" "$(printf 'pki\nstore')"
check "identity root, issuing CA and server certificate are a chain" openssl verify -CAfile "$dir/state/pki/root.pem" \
	-untrusted "$dir/state/pki/front/ca.pem" -purpose sslserver -verify_hostname tmms.test "$dir/state/pki/front/server.pem"
check_equal "each role has its name" "$(ps -o comm= --ppid "$tmms_pid" | sort | paste -sd' ')" "tmms-auth tmms-front tmms-http tmms-store"
check_equal "roles may gain no privileges" \
	"$(cat /proc/"$(role_pid http)"/status | awk '/NoNewPrivs/ { print $2 }')" 1
check_equal "all of them are behind a system call filter" "$(pgrep -P "$tmms_pid" | xargs -I{} awk '/^Seccomp:/ { print $2 }' /proc/{}/status | paste -sd' ')" "2 2 2 2"
root=$(ctl --json status | jq -r .root)
check "the log of the first start names the identity root as the status does" grep -q "identity root $root\$" "$dir/tmms.log"
check "the status says until when the issuing CA is good" eval 'ctl status | grep -q "^issuing CA until *20[0-9-]* [0-9:]*\$"'
check "SIGTERM ends it in order" stop_tmms
check_equal "no role outlives it" "$(pgrep -c -P "${tmms_pid:-1}" tmms- || true)" 0
start_tmms
check_equal "keys and pins are the same after a restart" "$(ctl --json status | jq -c '.pins, .root')" "$pins"

# --- tmmsctl

check "users add" ctl users add Ada --mail ada@example.org
check "users add without mail" ctl users add "Bob de Vries"
check_status "a name is there once, whatever its case" 1 ctl users add ADA
check_equal "users list" "$(ctl users list | awk 'NR > 1 { print $2 }' | sort | paste -sd' ')" "Ada Bob"
check "users remove by name" ctl users remove ada
check_status "users remove of nobody" 1 ctl users remove ada
check "users remove by id" ctl users remove "$(ctl --json users list | jq -r '.users[0].user')"
check_equal "no user is left" "$(ctl --json users list)" '{"users":[]}'
for wrong in "" "users" "users fly" "users add" "users add a b" "users list x" "status --mail x" "relays add r" \
	"relays add r --address ::1 --port 0" "meetings end x" "--nonsense"; do
	# shellcheck disable=SC2086
	check_status "wrong use: tmmsctl $wrong" 2 ctl $wrong
done
for name in "" " a" "-- -a" $'a\x1b[2J' $'a\nb' "01234567-89ab-cdef-0123-456789abcdef"; do
	check_status "a name that is refused: $(printf %q "$name")" 1 ctl users add -- "${name#-- }"
done
check "help everywhere" eval 'ctl --help && ctl users --help && ctl relays add --help && "$bin/tmms" --help'
check_status "without a server it says so" 1 "$bin/tmmsctl" --socket "$dir/nobody.sock" status
check_status "characters that turn text around are refused in names" 1 ctl users add $'a\u202ebc'

# --- relays and enrolment

ctl users add Carol >"$dir/output"
check_status "no enrolment link before there is a relay" 1 ctl users enrol Carol
relay_port=$((port + 1))
check "relays add prints the link" eval 'ctl relays add tcs.test --address 127.0.0.1 --port $relay_port >"$dir/relay-link"'
check_status "a relay's name is there once" 1 ctl relays add tcs.test --address 127.0.0.1 --port 1
check_equal "it waits for the relay" "$(ctl --json relays list | jq -r '.relays[0].state')" waiting
mkdir "$dir/tcs"
check "tcs --enrol" "$bin/tcs" --set "state-directory=$dir/tcs" --enrol "$(cat "$dir/relay-link")"
check_status "the relay's link works once" 1 "$bin/tcs" --set "state-directory=$dir/tcs" --force --enrol "$(cat "$dir/relay-link")"
check_equal "the relay is registered" "$(ctl --json relays list | jq -r '.relays[0].state')" silent
check "users enrol prints the link" eval 'ctl users enrol Carol >"$dir/link"'
check "a device enrols" "$bin/tcc-cli" enrol "$(cat "$dir/link")" --home "$dir/carol"
check_status "the link works once" 1 "$bin/tcc-cli" enrol "$(cat "$dir/link")" --home "$dir/mallory"
check_equal "the device is counted" "$(status_of .devices)" 1

ctl users add Dora >/dev/null
ctl users enrol Dora >"$dir/race" 2>/dev/null
"$bin/tcc-cli" enrol "$(cat "$dir/race")" --home "$dir/dora-1" >/dev/null 2>&1 &
first=$!
second=0
"$bin/tcc-cli" enrol "$(cat "$dir/race")" --home "$dir/dora-2" >/dev/null 2>&1 || second=$?
winner=0
wait $first || winner=$?
check_equal "of two that redeem a link at once one wins" $((winner + second)) 1
check_equal "and has the only device" "$(status_of .devices)" 2

# --- meetings

check "a device creates a meeting" eval '"$bin/tcc-cli" meet create --title Secret --home "$dir/carol" >"$dir/meeting"'
meeting=$(ctl --json meetings list | jq -r '.meetings[0].meeting')
check "the administrator sees its id" test "$meeting" != null
check "its title is nowhere on the server" eval '! grep -raq Secret "$dir/state"'
check "its secret is nowhere on the server" eval '! grep -raqF "$(sed "s/.*#s=//" "$dir/meeting")" "$dir/state" "$dir/tmms.log"'
check "enrolment tokens are not kept" eval '! grep -raqF "$(sed "s/.*[#&]t=\([^&]*\).*/\1/" "$dir/link")" "$dir/state" "$dir/tmms.log"'
"$bin/tcs" --set "state-directory=$dir/tcs" --set "control-socket=$dir/tcs.sock" --set listen-address=127.0.0.1 \
	--set "listen-port=$relay_port" --set "udp-port=$relay_port" --set fast-path-devices=lo 2>"$dir/tcs.log" &
tcs_pid=$!
children+=("$tcs_pid")
check "the relay connects and reports" eventually 15 eval 'test "$(ctl --json relays list | jq -r ".relays[0].state")" = connected'
"$bin/tcc-cli" join "$meeting" --home "$dir/carol" --duration 60 >"$dir/join" 2>&1 &
join_pid=$!
children+=("$join_pid")
check "participants are reported" eventually 20 eval 'test "$(ctl --json meetings list | jq ".meetings[0].participants")" = 1'
check "the administrator ends the meeting" ctl meetings end "$meeting"
check "those in it are told at once" eventually 5 eval '! kill -0 $join_pid'
check_equal "it is ended" "$(ctl --json meetings list | jq -r '.meetings[0].state')" ended
check_status "nobody joins an ended meeting" 1 "$bin/tcc-cli" join "$meeting" --home "$dir/carol" --duration 1
"$bin/tcc-cli" meet create --title Other --home "$dir/carol" >"$dir/meeting"
"$bin/tcc-cli" join "$(cat "$dir/meeting")" --home "$dir/carol" --duration 60 >"$dir/join" 2>&1 &
join_pid=$!
children+=("$join_pid")
check "a second meeting runs" eventually 10 grep -q "in the meeting" "$dir/join"
check "its user is removed" ctl users remove Carol
check "and leaves the meeting at once" eventually 5 eval '! kill -0 $join_pid'
check_status "a removed user's device is refused" 1 "$bin/tcc-cli" meet list --home "$dir/carol"
check "a relay is removed" ctl relays remove tcs.test

# --- HTTP

check_equal "health" "$(https_status GET /v1/health)" 200
check_equal "unknown address" "$(https_status GET /)" 404
for path in /v1/health%00 /v1/%68ealth /v1%2fhealth /v1/health/ //v1/health; do
	check_equal "an address has one spelling: $path" "$(https_status GET "$path")" 404
done
check_equal "wrong method" "$(https_status PUT /v1/health)" 405
check_equal "the administrator's part is not on the network" "$(https_status GET /v1/admin/users)" 403
check_equal "a device's part needs a certificate" "$(https_status GET /v1/me)" 401
check_equal "requests of web pages are refused" "$(https_status POST /v1/enrol '{}' 'Origin: https://evil.example')" 403
check_equal "a body of 64 KiB is read" "$(https_status POST /v1/enrol "$(head -c 65536 /dev/zero | tr '\0' x)")" 400
check_equal "a longer one is not" "$(https_status POST /v1/enrol "$(head -c 65537 /dev/zero | tr '\0' x)")" 413
check "an error says what and which request" eval \
	'https POST /v1/enrol "{}" | tail -n 1 | jq -e "(.error | length > 0) and .code == \"bad_request\" and (.request | length == 36)"'
check "answers are not cached and not sniffed" eval \
	'https GET /v1/health >"$dir/head"; grep -qi "^cache-control: no-store" "$dir/head" && grep -qi "^x-content-type-options: nosniff" "$dir/head"'

# --- TLS

check "TLS 1.3 with a hybrid group" handshake -groups X25519MLKEM768
check "the other hybrid group" handshake -groups SecP384r1MLKEM1024
check_status "TLS 1.2 is refused" 1 handshake -tls1_2
check_status "classical groups are refused" 1 handshake -groups X25519:P-256:P-384
check_status "another cipher is refused" 1 handshake -ciphersuites TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256
check_status "another protocol is refused" 1 handshake -alpn h2
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -keyout "$dir/x.key" -out "$dir/x.pem" 2>/dev/null
check_equal "a foreign client certificate is refused" "$(printf 'GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n' | timeout 5 openssl s_client \
	-connect "127.0.0.1:$port" -alpn http/1.1 -cert "$dir/x.pem" -key "$dir/x.key" -quiet 2>/dev/null)" ""
done_testing
