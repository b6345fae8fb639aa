// What the media engine accepts at most; what goes beyond is dropped and counted.
// SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_MEDIA_LIMITS_H
#define CLIENT_ENGINE_MEDIA_LIMITS_H

#include <stdint.h>

enum {
	LIMIT_PARTICIPANTS = 64,         // remembered at once, those who left included
	LIMIT_WIDTH = 1920,              // pixels, sent, received and read from files
	LIMIT_HEIGHT = 1080,
	LIMIT_SIDE_MIN = 16,
	LIMIT_FPS = 60,
	LIMIT_PICTURE_PACKETS = 1024,    // packets of video held for a stream, and so of one picture
	LIMIT_PICTURE_BYTES = 1024 * 1024,
	LIMIT_AUDIO_PACKETS = 100,       // held for a stream
	LIMIT_AUDIO_PACKET_SAMPLES = 5760, // 120 ms, the longest Opus packet
	LIMIT_DECODED_PICTURES = 8,      // waiting for their time, per stream
	LIMIT_RECORDED_PICTURES = 12,    // waiting for the disk, per participant
	LIMIT_RECORDING_FILES = 16,      // of pictures, per participant: one more at each change of size
	LIMIT_MISSING = 256,             // sequence numbers asked for, per stream
	LIMIT_SOURCE_PICTURES = 4 * 1024 * 1024, // in a file that is sent
};

enum {
	MEDIA_AUDIO_RATE = 48000,
	MEDIA_AUDIO_FRAME = 960, // samples of 20 ms
	MEDIA_AUDIO_TICK = 480,  // samples played out at once: 10 ms
	MEDIA_VIDEO_CLOCK = 90000,
	MEDIA_PROBLEM_BYTES = 256,
};

// Delays are local time minus the sender's capture clock; they may well be negative.
#define MEDIA_DELAY_NONE INT64_MIN

#define MEDIA_MS 1000000ull      // nanoseconds
#define MEDIA_SECOND 1000000000ull

#endif
