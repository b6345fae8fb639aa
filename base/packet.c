// SPDX-License-Identifier: Apache-2.0
#include "base/packet.h"

#include "base/siphash.h"

#include <string.h>

enum { RTP_VERSION_X = 0x90, RTP_EXTENSION_ID = 0xBEDE, RTP_EXTENSION_WORDS = 2,
       MARKING_HEADER = 1 << 4 | 2, // id 1, three bytes
       VOICE_HEADER = 2 << 4 | 0,   // id 2, one byte
       RTCP_READ_BYTES = 8 };

uint32_t packet_handle(enum packet_type type, uint32_t generation, uint32_t index)
{
	return (uint32_t)type << 30 | (generation & ((1u << PACKET_GENERATION_BITS) - 1)) << PACKET_INDEX_BITS |
	       (index & ((1u << PACKET_INDEX_BITS) - 1));
}

enum packet_type packet_handle_type(uint32_t handle) { return (enum packet_type)(handle >> 30); }
uint32_t packet_handle_generation(uint32_t handle) { return handle >> PACKET_INDEX_BITS & ((1u << PACKET_GENERATION_BITS) - 1); }
uint32_t packet_handle_index(uint32_t handle) { return handle & ((1u << PACKET_INDEX_BITS) - 1); }

static uint32_t get_u32(const uint8_t *at) { return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]; }

static void put_u32(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 24);
	at[1] = (uint8_t)(v >> 16);
	at[2] = (uint8_t)(v >> 8);
	at[3] = (uint8_t)v;
}

enum err packet_parse(const uint8_t *bytes, size_t size, struct packet_header *out)
{
	if (size < PACKET_HEADER_BYTES)
		return ERR_PARSE;
	if (size > PACKET_MAX_BYTES)
		return ERR_LIMIT;
	out->handle = get_u32(bytes);
	out->counter = get_u32(bytes + 4);
	out->tag = (uint64_t)get_u32(bytes + 8) << 32 | get_u32(bytes + 12);
	switch (packet_handle_type(out->handle)) {
	case PACKET_MEDIA:
		return size < PACKET_MEDIA_MIN_BYTES ? ERR_PARSE : ERR_OK;
	case PACKET_HOP:
		return size < PACKET_HOP_MIN_BYTES ? ERR_PARSE : ERR_OK;
	default:
		return ERR_PARSE;
	}
}

enum err packet_rtp_parse(const uint8_t *bytes, size_t size, struct packet_rtp *out)
{
	if (size < PACKET_MEDIA_MIN_BYTES)
		return ERR_PARSE;
	const uint8_t *rtp = bytes + PACKET_HEADER_BYTES, *extension = rtp + 12, *body = rtp + 16;
	static const uint8_t shape[4] = { RTP_EXTENSION_ID >> 8, RTP_EXTENSION_ID & 0xff, 0, RTP_EXTENSION_WORDS };
	if (rtp[0] != RTP_VERSION_X || memcmp(extension, shape, sizeof(shape)) != 0 || body[0] != MARKING_HEADER ||
	    body[4] != VOICE_HEADER || body[6] != 0 || body[7] != 0)
		return ERR_PARSE;
	*out = (struct packet_rtp){
		.payload_type = rtp[1] & 0x7f,
		.is_marked = rtp[1] >> 7,
		.sequence = (uint16_t)(rtp[2] << 8 | rtp[3]),
		.timestamp = get_u32(rtp + 4),
		.ssrc = get_u32(rtp + 8),
		.is_frame_start = body[1] & 0x80,
		.is_frame_end = body[1] & 0x40,
		.is_independent = body[1] & 0x20,
		.is_discardable = body[1] & 0x10,
		.is_base_sync = body[1] & 0x08,
		.temporal_id = body[1] & 0x07,
		.layer_id = body[2],
		.tl0picidx = body[3],
		.has_voice = body[5] & 0x80,
	};
	return ERR_OK;
}

void packet_rtp_emit(const struct packet_rtp *rtp, uint8_t out[static PACKET_RTP_BYTES])
{
	memset(out, 0, PACKET_RTP_BYTES);
	out[0] = RTP_VERSION_X;
	out[1] = (uint8_t)((rtp->is_marked ? 0x80 : 0) | (rtp->payload_type & 0x7f));
	out[2] = (uint8_t)(rtp->sequence >> 8);
	out[3] = (uint8_t)rtp->sequence;
	put_u32(out + 4, rtp->timestamp);
	put_u32(out + 8, rtp->ssrc);
	put_u32(out + 12, (uint32_t)RTP_EXTENSION_ID << 16 | RTP_EXTENSION_WORDS);
	out[16] = MARKING_HEADER;
	out[17] = (uint8_t)((rtp->is_frame_start ? 0x80 : 0) | (rtp->is_frame_end ? 0x40 : 0) | (rtp->is_independent ? 0x20 : 0) |
			    (rtp->is_discardable ? 0x10 : 0) | (rtp->is_base_sync ? 0x08 : 0) | (rtp->temporal_id & 7));
	out[18] = rtp->layer_id;
	out[19] = rtp->tl0picidx;
	out[20] = VOICE_HEADER;
	out[21] = rtp->has_voice ? 0x80 : 0;
}

static uint64_t get_u64_le(const uint8_t *at)
{
	uint64_t v = 0;
	for (int i = 7; i >= 0; i--)
		v = v << 8 | at[i];
	return v;
}

uint64_t packet_siphash(const uint8_t key[static PACKET_TAG_KEY_BYTES], const uint8_t *bytes, size_t size)
{
	struct siphash s = siphash_begin(get_u64_le(key), get_u64_le(key + 8));
	uint64_t last = (uint64_t)size << 56;
	size_t whole = size & ~(size_t)7;
	for (size_t i = 0; i < whole; i += 8)
		siphash_word(&s, get_u64_le(bytes + i));
	for (size_t i = whole; i < size; i++)
		last |= (uint64_t)bytes[i] << (8 * (i - whole));
	return siphash_end(&s, last);
}

// handle 4 | counter 4 | length 4 | zero 4 | header bytes: whole words, so that the kernel's copy has no tail.
uint64_t packet_tag(const uint8_t key[static PACKET_TAG_KEY_BYTES], const uint8_t *bytes, size_t size)
{
	uint8_t covered[16 + PACKET_RTP_BYTES];
	size_t read = bytes[0] >> 6 == PACKET_MEDIA ? (size_t)PACKET_RTP_BYTES : (size_t)RTCP_READ_BYTES;
	memcpy(covered, bytes, 8);
	put_u32(covered + 8, (uint32_t)size);
	put_u32(covered + 12, 0);
	memcpy(covered + 16, bytes + PACKET_HEADER_BYTES, read);
	return packet_siphash(key, covered, 16 + read);
}

void packet_stamp(const uint8_t key[static PACKET_TAG_KEY_BYTES], uint32_t handle, uint32_t counter, uint8_t *bytes, size_t size)
{
	put_u32(bytes, handle);
	put_u32(bytes + 4, counter);
	uint64_t tag = packet_tag(key, bytes, size);
	put_u32(bytes + 8, (uint32_t)(tag >> 32));
	put_u32(bytes + 12, (uint32_t)tag);
}
