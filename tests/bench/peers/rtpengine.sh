# rtpengine of Debian 13, forwarding in user space: one publisher, N subscribers. Sourced by bench-peers.
# shellcheck shell=bash disable=SC2154,SC2034
# SPDX-License-Identifier: Apache-2.0

# Ask over its "ng" protocol, as JSON; the answer to stdout.
rtpengine_ask() {
	on bench-relay-rtpengine bash -c '
		exec 3<>/dev/udp/127.0.0.1/2223
		printf "%s %s" "$RANDOM$RANDOM" "$1" >&3
		timeout 3 dd bs=65536 count=1 status=none <&3' - "$1" 2>/dev/null | sed 's/^[^ ]* //'
}
rtpengine_is_up() { [ "$(rtpengine_ask '{"command":"ping"}' | jq -r .result)" = pong ]; }

rtpengine_sdp() { # ADDRESS PORT DIRECTION
	printf 'v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %s RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\na=%s\r\n' \
		"$1" "$1" "$2" "$3"
}

rtpengine_subscribe() { # NUMBER
	local offer sdp
	sdp=$(rtpengine_sdp "$(peer_receiver "$1")" $((20000 + $1)) recvonly)
	offer=$(rtpengine_ask '{"command":"subscribe request","call-id":"bench","from-tag":"sender"}')
	rtpengine_ask "$(jq -c --arg sdp "$sdp" '{ command: "subscribe answer", "call-id": "bench", "from-tag": ."from-tag",
		"to-tag": ."to-tag", sdp: $sdp }' <<<"$offer")" | jq -e '.result == "ok"' >/dev/null
}

rtpengine_start() { # N: sets peer_port
	local answer i
	peer_job rtpengine "$peer_trixie" rtpengine --config-file=none --foreground --log-stderr --log-level=4 --table=-1 \
		--interface=10.1.0.2 --listen-ng=127.0.0.1:2223 --port-min=30000 --port-max=40000 --num-threads=1
	bench_until 5 rtpengine_is_up || return 1
	answer=$(rtpengine_ask "$(jq -nc --arg sdp "$(rtpengine_sdp 10.1.0.1 4000 sendonly)" \
		'{ command: "publish", "call-id": "bench", "from-tag": "sender", sdp: $sdp }')")
	peer_port=$(jq -r '.sdp // ""' <<<"$answer" | sed -n 's/^m=audio \([0-9]*\) .*/\1/p')
	[ -n "$peer_port" ] || return 1
	for ((i = 0; i < $1; i++)); do
		rtpengine_subscribe $i || return 1
	done
}
