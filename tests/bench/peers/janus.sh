# Janus of Debian 12: its Streaming plugin, one RTP source, N viewers over WebRTC. Sourced by bench-peers.
# shellcheck shell=bash disable=SC2154,SC2034
# SPDX-License-Identifier: Apache-2.0

# One event loop is its better choice where it has one core; 0: a thread for each viewer, its default.
janus_configure() { # DIRECTORY LOOPS
	mkdir -p "$1"
	cat >"$1/janus.jcfg" <<-END
		general: { debug_level = 2; session_timeout = 0; event_loops = $2; admin_secret = "bench" }
		nat: { ice_enforce_list = "10.2.0.1" }
		plugins: { disable = "libjanus_audiobridge.so,libjanus_duktape.so,libjanus_echotest.so,libjanus_lua.so,libjanus_nosip.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_textroom.so,libjanus_videocall.so,libjanus_videoroom.so,libjanus_voicemail.so" }
		transports: { disable = "libjanus_http.so,libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_rabbitmq.so,libjanus_websockets.so" }
	END
	cat >"$1/janus.transport.pfunix.jcfg" <<-END
		general: { enabled = true; path = "${1#"$peer_bookworm"}/janus.sock"; type = "SOCK_SEQPACKET" }
	END
	cat >"$1/janus.plugin.streaming.jcfg" <<-'END'
		general: { }
		bench: { type = "rtp"; id = 1; audio = false; video = true; videoport = 4443; videopt = 96; videocodec = "vp8" }
	END
}

janus_start() { # N PEER: sets peer_port
	local try loops=1 directory=$peer_bookworm/run/$2
	local socket=$directory/janus.sock
	[ "$2" = janus ] || loops=0
	janus_configure "$directory" $loops
	peer_port=4443
	# Its transport's thread ends at once if it runs before it was told that it may: try again.
	for try in 1 2 3 4 5 6 7 8; do
		rm -f "$socket"
		peer_job "$2" "$peer_bookworm" janus --configs-folder="/run/$2" --disable-colors
		bench_until 5 test -S "$socket" && sleep 0.3 && [ -S "$socket" ] && break
		relay_stop "$2"
	done
	bench_job "$2/viewers" ip netns exec "bench-rcv-$2" peer_viewers "$socket" "$(peer_receiver 0)" 20000 "$1"
	peer_viewers[$2]=$!
	bench_until 20 grep -q ready "$bench_dir/$2/viewers.out"
}
