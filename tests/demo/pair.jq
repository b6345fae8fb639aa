# One pair of receiver and sender: the receiver's statistics ($id's streams in them) and the meter's figures.
# SPDX-License-Identifier: Apache-2.0
[.streams[] | select(.participant == $id)] as $streams
| {
	to: $to,
	from: $from,
	source: $source,
	audio_correlation: $meter[0].audio_correlation,
	audio_delay_ms: $meter[0].audio_delay_ms,
	psnr_db: $meter[0].psnr_db,
	frames: $meter[0].frames,
	packets_lost: ([$streams[].lost] | add),
	latency_p99_ms: ([$streams[].latency_p99_ms] | max),
	latency_p50_ms: ([$streams[].latency_p50_ms] | max),
	packets: ([$streams[].packets] | add),
	audio_concealed: ([$streams[] | select(.kind == "audio") | .concealed] | add),
	bitrate: ([$streams[].bitrate] | add)
}
+ ($meter[0] | {audio_correlation_rigid, audio_delay_spread_ms, psnr_min_db, psnr_weighted_db, video_delay_ms, repeats})
