// SPDX-License-Identifier: Apache-2.0
#include "client/engine/e2ee/media_crypt_send.h"

#include "base/cursor.h"
#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

// Packets kept per stream: a second of 5 Mbit/s. A power of two, so that sequence numbers index it.
enum { HISTORY_PACKETS = 512 };

struct kept {
	uint64_t sent_ms;
	uint16_t size; // 0: empty
	uint16_t sequence;
	uint8_t bytes[PACKET_MAX_BYTES - PACKET_HEADER_BYTES];
};

struct stream {
	uint8_t number;
	uint32_t generation;
	uint32_t next_sequence; // reaches generation_packets, never wraps
	struct srtp_box *box;   // NULL: needs a new generation
	struct kept *history;   // HISTORY_PACKETS
};

struct media_crypt_send {
	struct e2ee *e2ee; // borrowed
	uint32_t generation_packets;
	uint32_t next_generation;
	uint32_t index;
	size_t stream_count;
	struct stream streams[MEDIA_CRYPT_SEND_STREAMS];
};

enum err media_crypt_send_new(struct e2ee *e2ee, uint32_t generation_packets, struct media_crypt_send **out)
{
	struct media_crypt_send *send = calloc(1, sizeof(*send));
	if (!send)
		return ERR_NOMEM;
	send->e2ee = e2ee;
	send->generation_packets = generation_packets < MEDIA_CRYPT_SEND_GENERATION ? generation_packets : MEDIA_CRYPT_SEND_GENERATION;
	send->index = UINT32_MAX;
	*out = send;
	return ERR_OK;
}

void media_crypt_send_free(struct media_crypt_send *send)
{
	if (!send)
		return;
	for (size_t i = 0; i < send->stream_count; i++) {
		srtp_box_free(send->streams[i].box);
		free(send->streams[i].history);
	}
	free(send);
}

void media_crypt_send_set_index(struct media_crypt_send *send, uint32_t index)
{
	if (send->index == index)
		return;
	send->index = index;
	for (size_t i = 0; i < send->stream_count; i++) {
		struct stream *stream = &send->streams[i];
		srtp_box_free(stream->box);
		stream->box = NULL;
		memset(stream->history, 0, HISTORY_PACKETS * sizeof(*stream->history));
	}
}

static enum err find_stream(struct media_crypt_send *send, uint8_t number, struct stream **out)
{
	for (size_t i = 0; i < send->stream_count; i++) {
		if (send->streams[i].number == number) {
			*out = &send->streams[i];
			return ERR_OK;
		}
	}
	if (send->stream_count == MEDIA_CRYPT_SEND_STREAMS)
		return ERR_LIMIT;
	struct stream *stream = &send->streams[send->stream_count];
	stream->history = calloc(HISTORY_PACKETS, sizeof(*stream->history));
	if (!stream->history)
		return ERR_NOMEM;
	stream->number = number;
	send->stream_count++;
	*out = stream;
	return ERR_OK;
}

static enum err next_generation(struct media_crypt_send *send, struct stream *stream)
{
	uint8_t master[SRTP_MASTER_BYTES];
	uint32_t ssrc = packet_ssrc(send->index, stream->number);
	srtp_box_free(stream->box);
	stream->box = NULL;
	stream->next_sequence = 0;
	stream->generation = send->next_generation;
	enum err err = e2ee_send_key(send->e2ee, ssrc, stream->generation, master);
	if (err)
		return err;
	send->next_generation++;
	stream->box = srtp_box_new(ssrc, master);
	secret_wipe(master, sizeof(master));
	return stream->box ? ERR_OK : ERR_NOMEM;
}

static void keep(struct stream *stream, uint16_t sequence, const uint8_t *bytes, size_t size, uint64_t now_ms)
{
	struct kept *kept = &stream->history[sequence % HISTORY_PACKETS];
	kept->sent_ms = now_ms;
	kept->sequence = sequence;
	kept->size = (uint16_t)size;
	memcpy(kept->bytes, bytes, size);
}

enum err media_crypt_send_seal(struct media_crypt_send *send, uint8_t number, const struct packet_rtp *rtp,
			       const uint8_t *payload, size_t payload_size, uint64_t now_ms, uint8_t *bytes, size_t *size)
{
	if (payload_size > PACKET_MEDIA_PAYLOAD_MAX)
		return ERR_LIMIT;
	struct stream *stream;
	enum err err = find_stream(send, number, &stream);
	if (err)
		return err;
	if (!stream->box || stream->next_sequence >= send->generation_packets) {
		err = next_generation(send, stream);
		if (err)
			return err;
	}
	struct packet_rtp full = *rtp;
	full.ssrc = packet_ssrc(send->index, number);
	full.sequence = (uint16_t)stream->next_sequence++; // spent even if what follows fails: never used twice
	uint8_t *srtp = bytes + PACKET_HEADER_BYTES;
	packet_rtp_emit(&full, srtp);
	memcpy(srtp + PACKET_RTP_BYTES, payload, payload_size);
	size_t srtp_size = PACKET_RTP_BYTES + payload_size;
	err = srtp_box_protect_rtp(stream->box, srtp, &srtp_size);
	if (err)
		return err;
	struct cursor c = cursor_writer(srtp + srtp_size, PACKET_MKI_BYTES);
	cursor_write_u32(&c, e2ee_mki(e2ee_epoch(send->e2ee), stream->generation));
	srtp_size += PACKET_MKI_BYTES;
	keep(stream, full.sequence, srtp, srtp_size, now_ms);
	*size = PACKET_HEADER_BYTES + srtp_size;
	return ERR_OK;
}

enum err media_crypt_send_again(struct media_crypt_send *send, uint32_t ssrc, uint16_t sequence, uint64_t now_ms,
				uint8_t *bytes, size_t *size)
{
	if (packet_ssrc_index(ssrc) != send->index)
		return ERR_NOT_FOUND;
	for (size_t i = 0; i < send->stream_count; i++) {
		const struct stream *stream = &send->streams[i];
		if (stream->number != packet_ssrc_stream(ssrc))
			continue;
		const struct kept *kept = &stream->history[sequence % HISTORY_PACKETS];
		if (!kept->size || kept->sequence != sequence || now_ms - kept->sent_ms > MEDIA_CRYPT_SEND_HISTORY_MS)
			return ERR_NOT_FOUND;
		memcpy(bytes + PACKET_HEADER_BYTES, kept->bytes, kept->size);
		*size = PACKET_HEADER_BYTES + kept->size;
		return ERR_OK;
	}
	return ERR_NOT_FOUND;
}
