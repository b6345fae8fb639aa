// The UDP payload between client and relay: hop header, then SRTP (media) or SRTCP (hop control).
//
//   0        4          8                16
//   | handle | counter  | tag            | SRTP packet: RTP header, extensions, ciphertext, GCM tag, MKI |
//
// The relay forwards media verbatim, this header included; receivers skip the header and use what follows.
// The tag keeps strangers from using the relay; it says nothing about the ciphertext, which is authenticated
// end to end. SPDX-License-Identifier: Apache-2.0
#ifndef BASE_PACKET_H
#define BASE_PACKET_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PACKET_MAX_BYTES = 1200,     // UDP payload; smaller than any path MTU we accept
	PACKET_HEADER_BYTES = 16,    // handle, counter, tag
	PACKET_TAG_KEY_BYTES = 16,   // SipHash-2-4 key, one per direction, from the TLS exporter
	PACKET_RTP_BYTES = 24,       // RTP header as we send it: 12 fixed, 4 extension header, 8 extension body
	PACKET_GCM_TAG_BYTES = 16,   // RFC 7714
	PACKET_MKI_BYTES = 4,        // ours, after the SRTP packet
	PACKET_MEDIA_PAYLOAD_MAX = PACKET_MAX_BYTES - PACKET_HEADER_BYTES - PACKET_RTP_BYTES - PACKET_GCM_TAG_BYTES - PACKET_MKI_BYTES,
	PACKET_MEDIA_MIN_BYTES = PACKET_HEADER_BYTES + PACKET_RTP_BYTES + PACKET_GCM_TAG_BYTES + PACKET_MKI_BYTES,
	PACKET_HOP_MIN_BYTES = PACKET_HEADER_BYTES + 8 + PACKET_GCM_TAG_BYTES + 4, // SRTCP: header, GCM tag, index
};

// Two top bits of the handle, and so of a frame on the TLS connection.
enum packet_type { PACKET_MEDIA = 0, PACKET_HOP = 1, PACKET_RESERVED = 2, PACKET_MESSAGE = 3 };

// handle = type (2 bits) | generation (10 bits) | index (20 bits) of the sender's entry in the relay.
enum { PACKET_INDEX_BITS = 20, PACKET_GENERATION_BITS = 10 };
uint32_t packet_handle(enum packet_type type, uint32_t generation, uint32_t index);
enum packet_type packet_handle_type(uint32_t handle);
uint32_t packet_handle_generation(uint32_t handle);
uint32_t packet_handle_index(uint32_t handle);

struct packet_header {
	uint32_t handle;
	uint32_t counter; // per handle, strictly rising, rekeyed before it wraps
	uint64_t tag;
};

// What the relay reads of a media packet. All of it is covered by the tag.
struct packet_rtp {
	uint32_t ssrc;      // participant index << 8 | stream
	uint32_t timestamp; // in units of the stream's clock, zero at the start of the sender's capture clock
	uint16_t sequence;
	uint8_t payload_type; // 7 bits
	bool is_marked;       // last packet of a picture; first of a talk spurt
	// RFC 9626 frame marking (extension id 1, long form)
	bool is_frame_start, is_frame_end, is_independent, is_discardable, is_base_sync;
	uint8_t temporal_id; // 0-7
	uint8_t layer_id;
	uint8_t tl0picidx;
	bool has_voice; // voice activity (extension id 2, RFC 6464's V bit, level always zero)
};

enum { PACKET_PT_OPUS = 111, PACKET_PT_VP9 = 98 };
enum { PACKET_STREAM_AUDIO = 0, PACKET_STREAM_VIDEO = 1, PACKET_STREAMS = 256 };

static inline uint32_t packet_ssrc(uint32_t participant_index, uint8_t stream) { return participant_index << 8 | stream; }
static inline uint32_t packet_ssrc_index(uint32_t ssrc) { return ssrc >> 8; }
static inline uint8_t packet_ssrc_stream(uint32_t ssrc) { return ssrc & 0xff; }

// Header fields of a datagram: ERR_PARSE if it is too short for its type, ERR_LIMIT above PACKET_MAX_BYTES.
// Checks nothing else.
enum err packet_parse(const uint8_t *bytes, size_t size, struct packet_header *out) CHECK_RESULT;

// The RTP header of a media datagram: exactly the shape that we emit (version 2, no padding, no CSRC, one
// two-word 0xBEDE extension with ids 1 and 2), else ERR_PARSE. `bytes` starts at the hop header.
enum err packet_rtp_parse(const uint8_t *bytes, size_t size, struct packet_rtp *out) CHECK_RESULT;
// Write the 24 bytes of RTP header.
void packet_rtp_emit(const struct packet_rtp *rtp, uint8_t out[static PACKET_RTP_BYTES]);

// SipHash-2-4 over handle, counter, length of the datagram, and the header bytes that the relay reads (24 of
// a media packet, 8 of a hop packet). `bytes` is a whole datagram that packet_parse accepts.
uint64_t packet_tag(const uint8_t key[static PACKET_TAG_KEY_BYTES], const uint8_t *bytes, size_t size);
// Fill the hop header of a datagram whose SRTP or SRTCP part is in place.
void packet_stamp(const uint8_t key[static PACKET_TAG_KEY_BYTES], uint32_t handle, uint32_t counter, uint8_t *bytes, size_t size);

// SipHash-2-4 (Aumasson and Bernstein), little-endian as published.
uint64_t packet_siphash(const uint8_t key[static PACKET_TAG_KEY_BYTES], const uint8_t *bytes, size_t size);

#endif
