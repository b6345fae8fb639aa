# coturn of Debian 13: ChannelData from one client to one peer. Sourced by bench-peers.
# shellcheck shell=bash disable=SC2154,SC2034
# SPDX-License-Identifier: Apache-2.0

coturn_start() { # sets peer_port
	peer_job coturn "$peer_trixie" turnserver -n --no-auth --no-tls --no-dtls --no-cli --no-rfc5780 --listening-ip=10.1.0.2 \
		--relay-ip=10.2.0.1 --listening-port=3478 --log-file=stdout --pidfile=/run/turnserver.pid --userdb=/tmp/turndb \
		--relay-threads=1
	peer_port=3478
	bench_until 5 on bench-gen-coturn peer_turn 10.1.0.1 4000 10.1.0.2 3478 "$(peer_receiver 0)" 20000
}
