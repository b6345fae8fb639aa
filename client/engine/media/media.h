// The media engine of one meeting: captures, encodes and packetises what this member sends; buffers, decodes
// and plays out what it receives. It knows no network, no keys and no user interface: packets come and go in
// the clear through callbacks. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_MEDIA_H
#define CLIENT_ENGINE_MEDIA_MEDIA_H

#include "base/err.h"
#include "base/packet.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct media;

struct media_options {
	const char *audio_path;  // .wav to send in a loop, NULL: no audio
	const char *video_path;  // .y4m to send in a loop (a FIFO is read to its end), NULL: no video
	const char *record_path; // directory for what is received, NULL: not recorded; must exist
	uint32_t audio_bitrate, video_bitrate; // bit/s; 0: defaults (48,000 and 600,000)

	// Called on the media threads; must not block and not call back into media. `rtp` has everything but the
	// SSRC's participant part and the sequence number, which the caller fills in; `stream` is PACKET_STREAM_*.
	void (*on_packet)(void *context, uint8_t stream, const struct packet_rtp *rtp, const uint8_t *payload, size_t size);
	// The packets given since the last call are all that leave now. NULL: not of interest.
	void (*on_burst)(void *context);
	// A picture of `ssrc` cannot be decoded: ask its sender for a key frame (the caller limits the rate).
	void (*on_key_frame_needed)(void *context, uint32_t ssrc);
	// These sequence numbers of `ssrc` are missing and worth asking for.
	void (*on_missing)(void *context, uint32_t ssrc, const uint16_t *sequences, size_t count);
	void *context;
};

// Opens and checks files and recording directory. On failure `problem` (256 bytes) says which file and why.
enum err media_new(const struct media_options *options, struct media **out, char *problem) CHECK_RESULT;
void media_free(struct media *media); // stops, flushes and closes recordings

// Start capturing. Returns the capture epoch: Unix nanoseconds (CLOCK_REALTIME) at RTP timestamp 0 of all streams.
enum err media_start(struct media *media, uint64_t *capture_epoch_ns) CHECK_RESULT;
// How long the way to the relay and back takes: sound that is missing is asked for if it can come in time.
void media_set_round_trip(struct media *media, uint64_t round_trip_ns);
void media_force_key_frame(struct media *media, uint8_t stream);

// A member came or announced anew: its capture epoch, and the UUID under which it is recorded. `run_text` (hex)
// goes into the recording's description. The same participant with a new index or epoch goes on in the same
// recording.
enum err media_participant_set(struct media *media, const struct id *participant, uint32_t index, uint64_t capture_epoch_ns,
			       const char *run_text) CHECK_RESULT;
void media_participant_gone(struct media *media, const struct id *participant);

// A decrypted packet (copied). `now_ns` is the arrival, CLOCK_REALTIME.
void media_receive(struct media *media, const struct packet_rtp *rtp, const uint8_t *payload, size_t size, uint64_t now_ns);

struct media_stream_stats {
	struct id participant;
	uint32_t ssrc;
	bool is_video;
	uint64_t packets, bytes;        // received, without duplicates
	uint64_t lost;                  // never came, retransmissions included
	uint64_t recovered;             // came only after being asked for
	uint64_t frames;                // pictures shown, or 20 ms of audio played from packets
	uint64_t concealed;             // 20 ms of audio made up, or pictures repeated
	uint64_t key_frames_requested;
	double latency_p50_ms, latency_p95_ms, latency_p99_ms; // capture to play-out; clocks of both machines taken as equal
	double bitrate;                 // bit/s of payload, mean since the first packet
	uint64_t first_frame_ns;        // CLOCK_REALTIME of the first frame decoded, 0: none
	uint32_t width, height;
};
// At most `capacity` rows; returns how many.
size_t media_stats(struct media *media, struct media_stream_stats *out, size_t capacity);

struct media_counter {
	const char *name; // "audio_late": why something was dropped; never NULL, never freed
	uint64_t count;
};
// Every drop has a reason and is counted. At most `capacity` rows; returns how many.
size_t media_counters(const struct media *media, struct media_counter *out, size_t capacity);

#endif
