// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/relay/senders.h"

#include "base/packet.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_one(FILE *file, struct wire_sender *sender)
{
	char key[TEXT_HEX_SIZE(PACKET_TAG_KEY_BYTES)];
	*sender = (struct wire_sender){ 0 };
	if (fscanf(file, "%" SCNu32 " %" SCNu32 " %32s %" SCNu32 " %" SCNu16 " %" SCNu32, &sender->handle, &sender->index, key,
		   &sender->counter, &sender->port, &sender->timestamp) != 6 ||
	    text_hex_parse(key, (uint8_t *)sender->key, PACKET_TAG_KEY_BYTES))
		return false;
	for (int i = 0; i < WIRE_STREAMS; i++) {
		if (fscanf(file, "%" SCNu16, &sender->sequence[i]) != 1)
			return false;
	}
	return true;
}

bool senders_read(const char *path, struct wire_sender *out, size_t *count)
{
	FILE *file = fopen(path, "r");
	*count = 0;
	while (file && *count < WIRE_SENDERS_MAX && read_one(file, &out[*count]))
		(*count)++;
	if (file)
		fclose(file);
	if (*count == 0)
		fprintf(stderr, "bench_relay: %s: no senders\n", path);
	return *count > 0;
}

bool senders_write(const char *path, const struct wire_sender *senders, size_t count)
{
	FILE *file = fopen(path, "w");
	for (size_t i = 0; file && i < count; i++) {
		char key[TEXT_HEX_SIZE(PACKET_TAG_KEY_BYTES)];
		text_hex_emit((const uint8_t *)senders[i].key, PACKET_TAG_KEY_BYTES, key);
		fprintf(file, "%" PRIu32 " %" PRIu32 " %s %" PRIu32 " %u %" PRIu32, senders[i].handle, senders[i].index, key,
			senders[i].counter, senders[i].port, senders[i].timestamp);
		for (int k = 0; k < WIRE_STREAMS; k++)
			fprintf(file, " %u", senders[i].sequence[k]);
		fputc('\n', file);
	}
	if (file && fclose(file) == 0)
		return true;
	perror(path);
	return false;
}

struct wire_sender senders_anybody(void)
{
	return (struct wire_sender){ .handle = 1, .index = 1, .counter = 1, .port = WIRE_SENDER_PORT };
}

void senders_template(uint8_t *datagram, size_t size)
{
	const struct packet_rtp rtp = { .payload_type = PACKET_PT_VP9, .is_marked = true, .is_frame_start = true, .is_frame_end = true };
	for (size_t i = 0; i < size; i++)
		datagram[i] = (uint8_t)(i * 7);
	memset(datagram, 0, PACKET_HEADER_BYTES);
	packet_rtp_emit(&rtp, datagram + PACKET_HEADER_BYTES);
	memset(datagram + WIRE_HEAD_BYTES, 0, WIRE_STAMP_BYTES);
}

static void put_be(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
}

void senders_plain_template(enum wire_plain plain, uint8_t *datagram, size_t size)
{
	static const uint8_t rtp[12] = { 0x80, 96, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56, 0x78 };
	for (size_t i = 0; i < size; i++)
		datagram[i] = (uint8_t)(i * 7);
	memcpy(datagram + (plain == WIRE_CHANNEL ? 4 : 0), rtp, sizeof(rtp));
	if (plain == WIRE_CHANNEL) {
		put_be(datagram, WIRE_CHANNEL_NUMBER, 2);
		put_be(datagram + 2, size - 4, 2);
	}
	memset(datagram + WIRE_HEAD_BYTES, 0, WIRE_STAMP_BYTES);
}

void senders_stamp(struct wire_sender *sender, uint32_t stream, uint64_t now_ns, uint64_t ordinal, uint8_t *datagram, size_t size)
{
	put_be(datagram + PACKET_HEADER_BYTES + 2, sender->sequence[stream % WIRE_STREAMS]++, 2);
	put_be(datagram + PACKET_HEADER_BYTES + 4, sender->timestamp, 4);
	put_be(datagram + PACKET_HEADER_BYTES + 8, packet_ssrc(sender->index, (uint8_t)stream), 4);
	memcpy(datagram + WIRE_HEAD_BYTES, &now_ns, 8);
	memcpy(datagram + WIRE_HEAD_BYTES + 8, &ordinal, 8);
	sender->timestamp += 90;
	packet_stamp((const uint8_t *)sender->key, sender->handle, sender->counter++, datagram, size);
}
