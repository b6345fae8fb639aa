// How long the relay kept packets, from captures with known times. SPDX-License-Identifier: Apache-2.0
#include "tests/tools/transit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <unistd.h>

enum { RELAY = 5000, SENDER = 6000, MEDIA_BYTES = 300 };

static const uint8_t tag_key[PACKET_TAG_KEY_BYTES] = { 9 };

// A media packet as a client makes it: header, RTP, something.
static void make_packet(uint32_t counter, uint8_t bytes[static MEDIA_BYTES])
{
	const struct packet_rtp rtp = { .ssrc = packet_ssrc(3, 1), .sequence = (uint16_t)counter, .payload_type = PACKET_PT_VP9 };
	memset(bytes, (int)counter, MEDIA_BYTES);
	packet_rtp_emit(&rtp, bytes + PACKET_HEADER_BYTES);
	packet_stamp(tag_key, packet_handle(PACKET_MEDIA, 1, 7), counter, bytes, MEDIA_BYTES);
}

static void pass(struct transit *transit, uint64_t time_ns, uint16_t from, uint16_t to, const uint8_t *bytes, size_t size)
{
	const struct pcap_datagram datagram = { .time_ns = time_ns, .from_port = from, .to_port = to, .payload = bytes, .size = size };
	assert_int_equal(transit_datagram(transit, &datagram), ERR_OK);
}

static void test_times_of_copies(void **state)
{
	(void)state;
	enum { PACKETS = 20000 }; // the table grows
	struct transit transit = { .relay_port = RELAY };
	struct transit_times times;
	uint8_t bytes[MEDIA_BYTES];
	for (uint32_t i = 1; i <= PACKETS; i++) {
		uint64_t at = 1000000ull * i, slow = i % 50 == 0 ? 500000 : 0; // two of a hundred
		make_packet(i, bytes);
		pass(&transit, at, SENDER, RELAY, bytes, sizeof(bytes));
		pass(&transit, at + 10000 + slow, RELAY, 6001, bytes, sizeof(bytes));
		pass(&transit, at + 30000 + slow, RELAY, 6002, bytes, sizeof(bytes));
	}
	assert_int_equal(transit_times(&transit, &times), ERR_OK);
	assert_int_equal(times.count, PACKETS);
	assert_int_equal(transit.copies, 2 * PACKETS);
	assert_int_equal(times.first_p50, 10000);
	assert_int_equal(times.first_p99, 510000);
	assert_int_equal(times.last_p50, 30000);
	assert_int_equal(times.last_p99, 530000);
	assert_int_equal(times.last_max, 530000);
	assert_int_equal(transit.strays + transit.retransmitted + transit.trains_in, 0);
	transit_fini(&transit);
}

static void test_what_is_no_copy(void **state)
{
	(void)state;
	struct transit transit = { .relay_port = RELAY };
	struct transit_times times;
	uint8_t bytes[MEDIA_BYTES], hop[100] = { 0x40 };
	make_packet(1, bytes);
	pass(&transit, 100, RELAY, 6001, bytes, sizeof(bytes)); // before it came
	pass(&transit, 200, SENDER, RELAY, bytes, sizeof(bytes));
	pass(&transit, 250, RELAY, 6001, bytes, sizeof(bytes));
	pass(&transit, 90000, RELAY, 6001, bytes, sizeof(bytes)); // asked for again
	bytes[MEDIA_BYTES - 1] ^= 1;
	pass(&transit, 260, RELAY, 6002, bytes, sizeof(bytes)); // not the same bytes
	pass(&transit, 270, RELAY, 6002, hop, sizeof(hop));
	pass(&transit, 270, SENDER, RELAY, hop, sizeof(hop));
	pass(&transit, 280, SENDER, 4000, bytes, sizeof(bytes)); // somebody else's
	make_packet(2, bytes);
	pass(&transit, 300, SENDER, RELAY, bytes, sizeof(bytes)); // goes to nobody
	assert_int_equal(transit_times(&transit, &times), ERR_OK);
	assert_int_equal(transit.count, 2);
	assert_int_equal(times.count, 1);
	assert_int_equal(times.last_max, 50);
	assert_int_equal(transit.strays, 2);
	assert_int_equal(transit.retransmitted, 1);
	transit_fini(&transit);
}

// Trains, on either side, are their packets.
static void test_trains(void **state)
{
	(void)state;
	enum { PACKETS = 5, LAST = 150 };
	struct transit transit = { .relay_port = RELAY };
	struct transit_times times;
	uint8_t bytes[PACKETS * MEDIA_BYTES];
	for (uint32_t i = 0; i < PACKETS; i++)
		make_packet(i + 1, bytes + i * MEDIA_BYTES);
	size_t size = sizeof(bytes) - MEDIA_BYTES + LAST;
	pass(&transit, 1000, SENDER, RELAY, bytes, size);
	pass(&transit, 3000, RELAY, 6001, bytes, size);
	for (size_t i = 0; i < PACKETS; i++)
		pass(&transit, 4000, RELAY, 6002, bytes + i * MEDIA_BYTES, i + 1 < PACKETS ? MEDIA_BYTES : LAST);
	assert_int_equal(transit_times(&transit, &times), ERR_OK);
	assert_int_equal(transit.trains_in, 1);
	assert_int_equal(transit.packets_in_trains, PACKETS);
	assert_int_equal(transit.trains_out, 1);
	assert_int_equal(transit.copies, 2 * PACKETS);
	assert_int_equal(times.count, PACKETS);
	assert_int_equal(times.first_p50, 2000);
	assert_int_equal(times.last_p50, 3000);
	assert_int_equal(transit.strays, 0);
	transit_fini(&transit);
}

// Time stamps of captures in micro- and nanoseconds.
static void test_capture_files(void **state)
{
	(void)state;
	static const struct { uint32_t magic, fraction; } kinds[] = { { 0xa1b2c3d4, 250 }, { 0xa1b23c4d, 250000 } };
	for (size_t kind = 0; kind < 2; kind++) {
		struct transit transit = { .relay_port = RELAY };
		struct transit_times times;
		uint8_t bytes[MEDIA_BYTES];
		uint32_t seconds = 1;
		char path[] = "/tmp/test-transit-XXXXXX";
		int fd = mkstemp(path);
		FILE *file = fd >= 0 ? fdopen(fd, "wb") : NULL;
		if (!file) {
			fail_msg("no temporary file");
			return;
		}
		make_packet(1, bytes);
		pcap_write_header(file);
		pcap_write_datagram(file, SENDER, RELAY, bytes, sizeof(bytes)); // at zero
		long second = ftell(file);
		pcap_write_datagram(file, RELAY, 6001, bytes, sizeof(bytes));
		fseek(file, second, SEEK_SET);
		fwrite(&seconds, sizeof(seconds), 1, file);
		fwrite(&kinds[kind].fraction, sizeof(uint32_t), 1, file);
		fseek(file, 0, SEEK_SET);
		fwrite(&kinds[kind].magic, sizeof(uint32_t), 1, file);
		assert_int_equal(fclose(file), 0);
		assert_int_equal(transit_capture(&transit, path), ERR_OK);
		assert_int_equal(transit_times(&transit, &times), ERR_OK);
		assert_int_equal(times.count, 1);
		assert_int_equal(times.last_max, 1000250000);
		transit_fini(&transit);
		unlink(path);
	}
	struct transit transit = { .relay_port = RELAY };
	assert_int_equal(transit_capture(&transit, "/nonexistent"), ERR_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times_of_copies), cmocka_unit_test(test_what_is_no_copy), cmocka_unit_test(test_trains),
		cmocka_unit_test(test_capture_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
