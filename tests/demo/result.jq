# build/demo/result.json: pairs, the relay's figures, the leak scan, and each target of the product with what
# was reached. A figure that was not measured is null, and so is whether it was met.
# SPDX-License-Identifier: Apache-2.0
def target($name; $value; $unit; $bound; is_met): {
	name: $name, value: $value, unit: $unit, target: $bound, met: (if $value == null then null else $value | is_met end)
};
def least(f): [$pairs[] | f] | if any(. == null) then null else min end;

# Media packets that woke user space: handed up by a program in the kernel (hop control is no media, and what X leaves T
# takes), or received there in the first place, whichever is more. Null from a relay that does not count them.
def woken: if .kernel == null then null else
	[([.ups // {} | to_entries[] | select(.key != "up_hop" and .key != "up_xdp") | .value] | add // 0),
	 .counts.media_received - .kernel.media_received] | max end;

# From the capture: all copies of a packet made, since it came. Over TLS there is nothing to see.
($transit[0] | if .forwarded > 0 then .last_copy_us.p99 / 1000 else null end) as $relay_p99_ms
| ($meetings[0].meetings // [] | map(select(.meeting == $meeting)) | first) as $room
| ($after[0].counts.media_received - $before[0].counts.media_received) as $media
# Over TLS all media comes through user space.
| (if $transport == "tls" or ($after[0] | woken) == null or $media <= 0 then null
	else (($after[0] | woken) - ($before[0] | woken)) / $media * 100 end) as $woken_percent
| ([$clients[].first_frame_ms] | if any(. <= 0) then null else max end) as $first_frame_ms
| ([$control[0].places[] | (.keys > 0 and .plaintext > 0) as $both | if .capture then {capture: $both} else {memory: $both} end]
	| {capture: any(.capture == true), memory: any(.memory == true)}) as $found
| {
	pairs: $pairs,
	relay_latency_p99_ms: $relay_p99_ms,
	transit: $transit[0],
	media_waking_user_space_percent: $woken_percent,
	leak_scan: {
		keys_found: $leak[0].keys_found,
		plaintext_found: $leak[0].plaintext_found,
		positive_control: ($found.capture and $found.memory),
		needles: $leak[0].needles,
		packets_opened: ($leak[0].audio_packets + $leak[0].video_packets),
		streams_opened: $leak[0].streams_opened,
		unopened_packets: $leak[0].unopened_packets,
		memory_bytes: $leak[0].memory_bytes,
		capture_bytes: ($leak[0].places[0].bytes),
		places: $leak[0].places,
		control: $control[0].places
	},
	transport: $transport,
	engine: (if ($room.engine // "user") == "user" then "user space, \($after[0].loop)" else $room.engine end),
	engines: ($after[0].engines // []),
	meeting: {engine: ($room.engine // null), in_kernel: ($room.in_kernel // null), receivers: ($room.receivers // null)},
	relay: ($relay[0] | {version, loop, latency_us, kernel_latency_us, drops, ups}),
	first_frame_ms: $first_frame_ms,
	decrypt_failures: ([$clients[].decrypt_failures] | add),
	targets: [
		target("audio correlation, least"; least(.audio_correlation); ""; ">= 0.9"; . >= 0.9),
		target("PSNR of photographs, mean"; [$pairs[] | select(.source == "photos") | .psnr_db]
			| if any(. == null) or length == 0 then null else add / length end; "dB"; ">= 40"; . >= 40),
		target("PSNR of fast motion, mean"; [$pairs[] | select(.source == "motion") | .psnr_db]
			| if any(. == null) or length == 0 then null else add / length end; "dB"; ">= 32"; . >= 32),
		target("packets lost"; ([$pairs[].packets_lost] | add); ""; "0"; . == 0),
		target("relay, receive to transmit, p99"; $relay_p99_ms; "ms"; "< 1"; . < 1),
		target("media that wakes user space"; $woken_percent; "%"; "<= 0.1"; . <= 0.1),
		target("ticket to first frame, slowest"; $first_frame_ms; "ms"; "< 1000"; . < 1000)
	]
}
| .is_held = ($pairs | length == 6 and all(.frames > 0 and .audio_correlation != null))
