// What only the members of a meeting can have: the keys of its media, made from the meeting secret in the link,
// and the encoded sound and pictures, opened with them from captured packets. That packets open proves that
// these are the keys in use. SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_TOOLS_OPENED_MEDIA_H
#define TESTS_TOOLS_OPENED_MEDIA_H

#include "base/packet.h"
#include "base/secret.h"
#include "base/srtp_box.h"
#include "base/token.h"
#include "client/engine/e2ee/e2ee.h"
#include "tests/tools/needles.h"
#include "tests/tools/pcap.h"
#include "tests/tools/train.h"

#include <openssl/evp.h>

enum { OPENED_MEMBERS_MAX = 16, OPENED_STREAMS_MAX = 256, OPENED_PIECES = 3, OPENED_SESSION_BYTES = 32 };

struct opened_member {
	struct id participant;
	uint8_t run[E2EE_RUN_BYTES];
};

struct opened_stream { // one SSRC and key
	uint32_t ssrc, mki;
	struct srtp_box *box;
	uint8_t master[SRTP_MASTER_BYTES];
	uint64_t packets;
};

struct opened_media {
	struct e2ee *e2ee;
	uint8_t secret[TOKEN_SECRET_BYTES];
	uint8_t prk[SECRET_PRK_BYTES];
	struct opened_member members[OPENED_MEMBERS_MAX];
	size_t member_count;
	struct opened_stream streams[OPENED_STREAMS_MAX];
	size_t stream_count;
	uint64_t audio_packets, video_packets; // opened
	uint64_t repeated;                     // copies of one that was opened before: what the relay sent on
	uint64_t unopened;                     // no member's key fits
	// The youngest good encoded picture and its key: what the positive control plants.
	uint8_t frame[PACKET_MAX_BYTES];
	size_t frame_size;
	uint8_t frame_master[SRTP_MASTER_BYTES];
};

static inline void opened_media_fini(struct opened_media *media)
{
	for (size_t i = 0; i < media->stream_count; i++)
		srtp_box_free(media->streams[i].box);
	e2ee_free(media->e2ee);
	secret_wipe(media, sizeof(*media));
}

// After srtp_box_library_init.
static inline enum err opened_media_init(struct opened_media *media, const struct token_link *link)
{
	struct e2ee_options options = { .meeting = link->meeting, .secret = link->secret };
	*media = (struct opened_media){};
	memcpy(media->secret, link->secret, sizeof(media->secret));
	enum err err = secret_extract(link->meeting.bytes, TEXT_ID_BYTES, link->secret, TOKEN_SECRET_BYTES, media->prk);
	if (err == ERR_OK)
		err = e2ee_new(&options, &media->e2ee);
	return err;
}

// The key that encrypts packets: RFC 3711 4.3.1 with AES-256 in counter mode (RFC 6188), label 0, key
// derivation rate 0; the 12-byte salt of RFC 7714 stands in the high bytes of the counter block.
static inline enum err opened_media_session_key(const uint8_t master[static SRTP_MASTER_BYTES], uint8_t key[static OPENED_SESSION_BYTES])
{
	uint8_t counter[16] = {}, zeros[OPENED_SESSION_BYTES] = {};
	int size = 0;
	memcpy(counter, master + SRTP_KEY_BYTES, SRTP_SALT_BYTES);
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	bool is_good = context && EVP_EncryptInit_ex2(context, EVP_aes_256_ctr(), master, counter, NULL) == 1 &&
		       EVP_EncryptUpdate(context, key, &size, zeros, sizeof(zeros)) == 1 && size == sizeof(zeros);
	EVP_CIPHER_CTX_free(context);
	return is_good ? ERR_OK : ERR_CRYPTO;
}

// Find the member whose key opens this packet. `scratch` holds a copy of the SRTP packet without its MKI.
static inline struct opened_stream *opened_media_try_members(struct opened_media *media, uint32_t ssrc, uint32_t mki,
							     const uint8_t *srtp, size_t size)
{
	uint8_t scratch[PACKET_MAX_BYTES];
	struct opened_stream stream = { .ssrc = ssrc, .mki = mki };
	if (media->stream_count == OPENED_STREAMS_MAX)
		return NULL;
	for (size_t i = 0; i < media->member_count; i++) {
		const struct opened_member *member = &media->members[i];
		size_t opened_size = size;
		if (e2ee_receive_key(media->e2ee, &member->participant, member->run, ssrc, mki, stream.master) != ERR_OK)
			return NULL;
		memcpy(scratch, srtp, size);
		struct srtp_box *box = srtp_box_new(ssrc, stream.master);
		bool is_good = box && srtp_box_unprotect_rtp(box, scratch, &opened_size) == ERR_OK;
		srtp_box_free(box);
		if (is_good && (stream.box = srtp_box_new(ssrc, stream.master))) {
			media->streams[media->stream_count] = stream;
			return &media->streams[media->stream_count++];
		}
	}
	return NULL;
}

static inline struct opened_stream *opened_media_stream(struct opened_media *media, uint32_t ssrc, uint32_t mki,
							const uint8_t *srtp, size_t size)
{
	for (size_t i = 0; i < media->stream_count; i++)
		if (media->streams[i].ssrc == ssrc && media->streams[i].mki == mki)
			return &media->streams[i];
	return opened_media_try_members(media, ssrc, mki, srtp, size);
}

// Pieces of an encoded payload, from its first quarter, its middle and its last quarter.
static inline enum err opened_media_add_pieces(struct needles *set, const uint8_t *payload, size_t size, const char *what)
{
	enum err err = ERR_OK;
	for (size_t i = 1; size >= 4 * NEEDLE_BYTES && i <= OPENED_PIECES && err == ERR_OK; i++) {
		const uint8_t *piece = payload + size * i / (OPENED_PIECES + 1) - NEEDLE_BYTES / 2;
		if (!needles_is_dull(piece))
			err = needles_add(set, piece, NEEDLE_PLAINTEXT, what);
	}
	return err;
}

// One media datagram: hop header, SRTP, MKI. What it holds goes into `set`.
static inline enum err opened_media_datagram(struct opened_media *media, const uint8_t *bytes, size_t size, struct needles *set)
{
	uint8_t srtp[PACKET_MAX_BYTES];
	struct packet_rtp rtp;
	if (size < PACKET_MEDIA_MIN_BYTES || size > PACKET_MAX_BYTES || packet_rtp_parse(bytes, size, &rtp) != ERR_OK)
		return ERR_OK; // not media
	size_t srtp_size = size - PACKET_HEADER_BYTES - PACKET_MKI_BYTES;
	const uint8_t *tail = bytes + size - PACKET_MKI_BYTES;
	uint32_t mki = (uint32_t)tail[0] << 24 | (uint32_t)tail[1] << 16 | (uint32_t)tail[2] << 8 | tail[3];
	memcpy(srtp, bytes + PACKET_HEADER_BYTES, srtp_size);
	struct opened_stream *stream = opened_media_stream(media, rtp.ssrc, mki, srtp, srtp_size);
	enum err err = stream ? srtp_box_unprotect_rtp(stream->box, srtp, &srtp_size) : ERR_AUTH;
	if (err != ERR_OK) {
		*(err == ERR_REPLAY ? &media->repeated : &media->unopened) += 1;
		return ERR_OK;
	}
	const uint8_t *payload = srtp + PACKET_RTP_BYTES;
	size_t payload_size = srtp_size - PACKET_RTP_BYTES;
	bool is_video = rtp.payload_type == PACKET_PT_VP9;
	stream->packets++;
	*(is_video ? &media->video_packets : &media->audio_packets) += 1;
	if (is_video && payload_size >= 256 && !needles_is_dull(payload + payload_size / 2 - NEEDLE_BYTES / 2)) {
		memcpy(media->frame, payload, payload_size);
		media->frame_size = payload_size;
		memcpy(media->frame_master, stream->master, sizeof(media->frame_master));
	}
	return opened_media_add_pieces(set, payload, payload_size, is_video ? "encoded VP9" : "encoded Opus");
}

// The datagram or train of datagrams in a captured UDP payload.
static inline enum err opened_media_train(struct opened_media *media, const uint8_t *bytes, size_t size, struct needles *set)
{
	size_t each = train_segment_bytes(bytes, size);
	enum err err = ERR_OK;
	for (size_t at = 0; at < size && err == ERR_OK; at += each)
		err = opened_media_datagram(media, bytes + at, size - at < each ? size - at : each, set);
	return err;
}

static inline enum err opened_media_capture(struct opened_media *media, const char *path, struct needles *set)
{
	struct pcap pcap;
	struct pcap_datagram datagram;
	enum err err = pcap_read(path, &pcap);
	if (err != ERR_OK)
		return err;
	while (err == ERR_OK && pcap_next(&pcap, &datagram))
		err = opened_media_train(media, datagram.payload, datagram.size, set);
	pcap_fini(&pcap);
	return err;
}

// Everything secret of the meeting: S as bytes and as it stands in the link, what is derived from it, and for
// each stream master key, salt and the key in the cipher.
static inline enum err opened_media_add_keys(const struct opened_media *media, struct needles *set)
{
	char text[TEXT_BASE64_SIZE(TOKEN_SECRET_BYTES)];
	text_base64_emit(media->secret, sizeof(media->secret), text);
	enum err err = needles_add_secret(set, media->secret, sizeof(media->secret), "meeting secret");
	if (err == ERR_OK)
		err = needles_add_secret(set, (const uint8_t *)text, strlen(text), "meeting secret as text");
	if (err == ERR_OK)
		err = needles_add_secret(set, media->prk, sizeof(media->prk), "key made from the meeting secret");
	for (size_t i = 0; err == ERR_OK && i < media->member_count; i++) {
		uint8_t run[SECRET_PRK_BYTES], context[TEXT_ID_BYTES + E2EE_RUN_BYTES];
		memcpy(context, media->members[i].participant.bytes, TEXT_ID_BYTES);
		memcpy(context + TEXT_ID_BYTES, media->members[i].run, E2EE_RUN_BYTES);
		err = secret_expand(media->prk, "huisclos media v1", context, sizeof(context), run, sizeof(run));
		if (err == ERR_OK)
			err = needles_add_secret(set, run, sizeof(run), "key of a member's run");
	}
	for (size_t i = 0; err == ERR_OK && i < media->stream_count; i++) {
		uint8_t session[OPENED_SESSION_BYTES];
		err = needles_add_secret(set, media->streams[i].master, SRTP_MASTER_BYTES, "SRTP master key and salt");
		if (err == ERR_OK)
			err = opened_media_session_key(media->streams[i].master, session);
		if (err == ERR_OK)
			err = needles_add_secret(set, session, sizeof(session), "SRTP session key");
	}
	return err;
}

#endif
