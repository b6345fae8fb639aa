// Hop header, RTP view, tag, and hop control packets. SPDX-License-Identifier: Apache-2.0
#include "base/cursor.h"
#include "base/hop.h"
#include "base/packet.h"
#include "base/secret.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

static void test_cursor_is_sticky(void **state)
{
	(void)state;
	uint8_t bytes[7] = { 0, 3, 'a', 'b', 'c', 9, 9 };
	struct cursor c = cursor_reader(bytes, sizeof(bytes));
	size_t size;
	const uint8_t *view = cursor_read_vector16(&c, 3, &size);
	assert_ptr_equal(view, bytes + 2);
	assert_int_equal(size, 3);
	assert_int_equal(cursor_finish(&c), ERR_PARSE); // two bytes left over
	assert_int_equal(cursor_read_u32(&c), 0);
	assert_true(c.is_failed);
	assert_int_equal(cursor_read_u8(&c), 0); // although one byte would be there
	assert_null(cursor_read_view(&c, 0));
	c = cursor_reader(bytes, sizeof(bytes));
	assert_null(cursor_read_vector16(&c, 2, &size)); // longer than allowed
	assert_int_equal(size, 0);
	c = cursor_writer(bytes, 3);
	cursor_write_u32(&c, 1);
	assert_int_equal(cursor_finish(&c), ERR_PARSE);
	assert_int_equal(bytes[0], 0);
}

static void test_siphash_vectors(void **state)
{
	(void)state;
	// Aumasson and Bernstein, appendix A, and the reference implementation's first and ninth vectors
	uint8_t key[16], message[15];
	for (size_t i = 0; i < 16; i++)
		key[i] = (uint8_t)i;
	for (size_t i = 0; i < 15; i++)
		message[i] = (uint8_t)i;
	assert_true(packet_siphash(key, message, 15) == 0xa129ca6149be45e5);
	assert_true(packet_siphash(key, message, 0) == 0x726fdb47dd0e0e31);
	assert_true(packet_siphash(key, message, 8) == 0x93f5f5799a932462);
}

static void test_handle(void **state)
{
	(void)state;
	uint32_t handle = packet_handle(PACKET_HOP, 1023, (1u << 20) - 1);
	assert_int_equal(packet_handle_type(handle), PACKET_HOP);
	assert_int_equal(packet_handle_generation(handle), 1023);
	assert_int_equal(packet_handle_index(handle), (1u << 20) - 1);
	assert_int_equal(packet_handle(PACKET_MEDIA, 1024, 1u << 20), 0); // excess bits do not spill
}

static const struct packet_rtp example = {
	.ssrc = 0x00000701, .timestamp = 0xfffffff0, .sequence = 65535, .payload_type = PACKET_PT_VP9, .is_marked = true,
	.is_frame_start = true, .is_independent = true, .temporal_id = 5, .layer_id = 3, .tl0picidx = 200, .has_voice = true,
};

static void test_rtp_round_trip_and_shape(void **state)
{
	(void)state;
	uint8_t datagram[PACKET_MEDIA_MIN_BYTES] = { 0 };
	struct packet_rtp rtp;
	packet_rtp_emit(&example, datagram + PACKET_HEADER_BYTES);
	assert_int_equal(packet_rtp_parse(datagram, sizeof(datagram), &rtp), ERR_OK);
	uint8_t again[PACKET_RTP_BYTES];
	packet_rtp_emit(&rtp, again);
	assert_memory_equal(again, datagram + PACKET_HEADER_BYTES, sizeof(again));
	assert_true(rtp.ssrc == example.ssrc && rtp.timestamp == example.timestamp && rtp.sequence == example.sequence);
	assert_int_equal(packet_rtp_parse(datagram, sizeof(datagram) - 1, &rtp), ERR_PARSE);
	static const uint8_t shaped[] = { 0, 12, 13, 14, 15, 16, 20, 22, 23 }; // bytes with one allowed value
	for (size_t i = 0; i < sizeof(shaped); i++) {
		datagram[PACKET_HEADER_BYTES + shaped[i]] ^= 1;
		assert_int_equal(packet_rtp_parse(datagram, sizeof(datagram), &rtp), ERR_PARSE);
		datagram[PACKET_HEADER_BYTES + shaped[i]] ^= 1;
	}
}

// The tag covers all that the relay reads, and the length; not the ciphertext.
static void test_tag_coverage(void **state)
{
	(void)state;
	uint8_t key[16] = { 1, 2, 3 }, datagram[200] = { 0 };
	struct packet_header header;
	packet_rtp_emit(&example, datagram + PACKET_HEADER_BYTES);
	packet_stamp(key, packet_handle(PACKET_MEDIA, 3, 77), 5, datagram, sizeof(datagram));
	assert_int_equal(packet_parse(datagram, sizeof(datagram), &header), ERR_OK);
	assert_int_equal(header.counter, 5);
	assert_true(header.tag == packet_tag(key, datagram, sizeof(datagram)));
	for (size_t i = 0; i < sizeof(datagram); i++) {
		if (i >= 8 && i < 16)
			continue; // the tag itself
		if (i == 0)
			continue; // type bits change what is covered: below
		datagram[i] ^= 0x10;
		bool is_same = header.tag == packet_tag(key, datagram, sizeof(datagram));
		assert_int_equal(is_same, i >= PACKET_HEADER_BYTES + PACKET_RTP_BYTES);
		datagram[i] ^= 0x10;
	}
	assert_true(header.tag != packet_tag(key, datagram, sizeof(datagram) - 1));
	datagram[0] ^= 0x40;
	assert_true(header.tag != packet_tag(key, datagram, sizeof(datagram)));
}

static void test_parse_bounds(void **state)
{
	(void)state;
	uint8_t bytes[PACKET_MAX_BYTES + 1] = { 0 };
	struct packet_header header;
	assert_int_equal(packet_parse(bytes, 15, &header), ERR_PARSE);
	assert_int_equal(packet_parse(bytes, PACKET_MEDIA_MIN_BYTES - 1, &header), ERR_PARSE);
	assert_int_equal(packet_parse(bytes, PACKET_MEDIA_MIN_BYTES, &header), ERR_OK);
	assert_int_equal(packet_parse(bytes, PACKET_MAX_BYTES + 1, &header), ERR_LIMIT);
	bytes[0] = 0x40;
	assert_int_equal(packet_parse(bytes, PACKET_HOP_MIN_BYTES - 1, &header), ERR_PARSE);
	assert_int_equal(packet_parse(bytes, PACKET_HOP_MIN_BYTES, &header), ERR_OK);
	bytes[0] = 0x80;
	assert_int_equal(packet_parse(bytes, 100, &header), ERR_PARSE);
	bytes[0] = 0xC0;
	assert_int_equal(packet_parse(bytes, 100, &header), ERR_PARSE);
}

struct ends {
	struct hop client, relay;
};

static void open_ends(struct ends *ends)
{
	struct hop_keys keys;
	secret_random(&keys, sizeof(keys));
	assert_int_equal(hop_init(&ends->client, HOP_CLIENT, 9, packet_handle(PACKET_MEDIA, 1, 4), &keys), ERR_OK);
	assert_int_equal(hop_init(&ends->relay, HOP_RELAY, 9, packet_handle(PACKET_MEDIA, 1, 4), &keys), ERR_OK);
}

static void close_ends(struct ends *ends)
{
	hop_fini(&ends->client);
	hop_fini(&ends->relay);
}

static void test_hop_round_trip(void **state)
{
	(void)state;
	struct ends ends;
	open_ends(&ends);
	struct hop_message rows[] = {
		{ .kind = HOP_KEEPALIVE },
		{ .kind = HOP_CHALLENGE, .cookie = { 1, 2, 3 } },
		{ .kind = HOP_RESPONSE, .cookie = { 4, 5, 6 } },
		{ .kind = HOP_PLI, .ssrc = 0x701 },
		{ .kind = HOP_NACK, .ssrc = 0x701, .sequences = { 65534, 65535, 0, 16, 40 }, .sequence_count = 5 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int is_up = 0; is_up < 2; is_up++) {
			uint8_t bytes[PACKET_MAX_BYTES];
			size_t size;
			struct hop_message out;
			assert_int_equal(hop_emit(is_up ? &ends.client : &ends.relay, &rows[i], bytes, &size), ERR_OK);
			assert_int_equal(hop_parse(is_up ? &ends.relay : &ends.client, bytes, size, &out), ERR_OK);
			assert_memory_equal(&out, &rows[i], sizeof(out));
		}
	}
	close_ends(&ends);
}

static void test_hop_refuses(void **state)
{
	(void)state;
	struct ends ends;
	open_ends(&ends);
	struct hop_message message = { .kind = HOP_PLI, .ssrc = 0x701 }, out;
	uint8_t bytes[PACKET_MAX_BYTES], copy[PACKET_MAX_BYTES];
	size_t size;
	assert_int_equal(hop_emit(&ends.client, &message, bytes, &size), ERR_OK);
	for (size_t i = 0; i < size; i++) {
		memcpy(copy, bytes, size);
		copy[i] ^= 1;
		assert_int_not_equal(hop_parse(&ends.relay, copy, size, &out), ERR_OK);
	}
	memcpy(copy, bytes, size);
	assert_int_equal(hop_parse(&ends.client, copy, size, &out), ERR_AUTH); // reflected
	assert_int_equal(hop_parse(&ends.relay, copy, size, &out), ERR_OK);
	assert_int_equal(hop_parse(&ends.relay, bytes, size, &out), ERR_REPLAY);
	close_ends(&ends);
}

static void test_nack_limit(void **state)
{
	(void)state;
	struct hop_message message = { .kind = HOP_NACK, .ssrc = 1, .sequence_count = HOP_NACK_MAX }, out;
	for (uint16_t i = 0; i < HOP_NACK_MAX; i++)
		message.sequences[i] = (uint16_t)(i * 100);
	uint8_t bytes[PACKET_MAX_BYTES];
	size_t size = hop_rtcp_emit(1, &message, bytes);
	assert_int_equal(hop_rtcp_parse(bytes, size, &out), ERR_OK);
	assert_memory_equal(&out, &message, sizeof(out));
	bytes[15] = 1; // one more in the first mask
	assert_int_equal(hop_rtcp_parse(bytes, size, &out), ERR_PARSE);
}

static int prepare(void **state)
{
	(void)state;
	return srtp_box_library_init() ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cursor_is_sticky), cmocka_unit_test(test_siphash_vectors),
		cmocka_unit_test(test_handle),		 cmocka_unit_test(test_rtp_round_trip_and_shape),
		cmocka_unit_test(test_tag_coverage),	 cmocka_unit_test(test_parse_bounds),
		cmocka_unit_test(test_hop_round_trip),	 cmocka_unit_test(test_hop_refuses),
		cmocka_unit_test(test_nack_limit),
	};
	return cmocka_run_group_tests(tests, prepare, NULL);
}
