// Media protection from one member to another, without a network. SPDX-License-Identifier: Apache-2.0
#include "base/cursor.h"
#include "client/engine/e2ee/media_crypt_receive.h"
#include "client/engine/e2ee/media_crypt_send.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ALICE_INDEX = 5, BOB_INDEX = 6 };

static const struct id meeting = { { 1 } }, alice = { { 0xa1 } }, bob = { { 0xb0 } }, carol = { { 0xc0 } };
static const uint8_t secret[TOKEN_SECRET_BYTES] = { 7 };

struct pair {
	struct e2ee *alice, *bob;
	struct media_crypt_send *send;
	struct media_crypt_receive *receive;
	struct session_counters counters;
	unsigned opened;
	struct packet_rtp rtp;
	uint8_t payload[PACKET_MAX_BYTES];
	size_t payload_size;
};

static void on_media(void *context, const struct packet_rtp *rtp, const uint8_t *payload, size_t size, uint64_t arrival_ns)
{
	struct pair *pair = context;
	assert_int_equal(arrival_ns, 42);
	pair->opened++;
	pair->rtp = *rtp;
	pair->payload_size = size;
	memcpy(pair->payload, payload, size);
}

static void set_up(struct pair *pair, uint32_t generation_packets)
{
	memset(pair, 0, sizeof(*pair));
	const struct e2ee_options a = { .meeting = meeting, .self = alice, .secret = secret };
	const struct e2ee_options b = { .meeting = meeting, .self = bob, .secret = secret };
	assert_int_equal(srtp_box_library_init(), ERR_OK);
	assert_int_equal(e2ee_new(&a, &pair->alice), ERR_OK);
	assert_int_equal(e2ee_new(&b, &pair->bob), ERR_OK);
	const struct media_crypt_receive_options options = { .e2ee = pair->bob, .counters = &pair->counters, .on_media = on_media, .context = pair };
	assert_int_equal(media_crypt_send_new(pair->alice, generation_packets, &pair->send), ERR_OK);
	assert_int_equal(media_crypt_receive_new(&options, &pair->receive), ERR_OK);
	media_crypt_send_set_index(pair->send, ALICE_INDEX);
	media_crypt_receive_set_self(pair->receive, BOB_INDEX);
	assert_int_equal(media_crypt_receive_member(pair->receive, ALICE_INDEX, &alice, e2ee_run(pair->alice)), ERR_OK);
}

static void tear_down(struct pair *pair)
{
	media_crypt_send_free(pair->send);
	media_crypt_receive_free(pair->receive);
	e2ee_free(pair->alice);
	e2ee_free(pair->bob);
}

static size_t seal(struct pair *pair, uint8_t stream, uint8_t *bytes)
{
	const struct packet_rtp rtp = { .timestamp = 960, .payload_type = PACKET_PT_OPUS, .is_marked = true };
	size_t size;
	memset(bytes, 0, PACKET_HEADER_BYTES);
	assert_int_equal(media_crypt_send_seal(pair->send, stream, &rtp, (const uint8_t *)"hello", 5, 1000, bytes, &size), ERR_OK);
	return size;
}

static void give(struct pair *pair, const uint8_t *bytes, size_t size, uint64_t now_ms)
{
	uint8_t copy[PACKET_MAX_BYTES + 1];
	memcpy(copy, bytes, size);
	media_crypt_receive_packet(pair->receive, copy, size, 42, now_ms);
}

static uint64_t counted(const struct pair *pair, enum counter counter)
{
	return pair->counters.value[counter];
}

static void test_round_trip(void **state)
{
	(void)state;
	struct pair pair;
	uint8_t bytes[PACKET_MAX_BYTES];
	set_up(&pair, MEDIA_CRYPT_SEND_GENERATION);
	for (unsigned i = 0; i < 10; i++) {
		size_t size = seal(&pair, 1, bytes);
		assert_int_equal(size, PACKET_MEDIA_MIN_BYTES + 5);
		assert_null(memmem(bytes, size, "hello", 5));
		give(&pair, bytes, size, 0);
		assert_int_equal(pair.opened, i + 1);
		assert_int_equal(pair.rtp.sequence, i);
		assert_int_equal(pair.rtp.ssrc, packet_ssrc(ALICE_INDEX, 1));
		assert_int_equal(pair.payload_size, 5);
		assert_memory_equal(pair.payload, "hello", 5);
	}
	tear_down(&pair);
}

static void test_largest_payload(void **state)
{
	(void)state;
	struct pair pair;
	uint8_t bytes[PACKET_MAX_BYTES], payload[PACKET_MEDIA_PAYLOAD_MAX + 1] = { 1, 2, 3 };
	const struct packet_rtp rtp = { .payload_type = PACKET_PT_VP9 };
	size_t size;
	set_up(&pair, MEDIA_CRYPT_SEND_GENERATION);
	assert_int_equal(media_crypt_send_seal(pair.send, 1, &rtp, payload, sizeof(payload), 0, bytes, &size), ERR_LIMIT);
	assert_int_equal(media_crypt_send_seal(pair.send, 1, &rtp, payload, sizeof(payload) - 1, 0, bytes, &size), ERR_OK);
	assert_int_equal(size, PACKET_MAX_BYTES);
	give(&pair, bytes, size, 0);
	assert_int_equal(pair.payload_size, PACKET_MEDIA_PAYLOAD_MAX);
	tear_down(&pair);
}

// Every byte after the hop header is authenticated, and the one true packet still opens afterwards.
static void test_every_changed_byte_is_refused(void **state)
{
	(void)state;
	struct pair pair;
	uint8_t bytes[PACKET_MAX_BYTES];
	set_up(&pair, MEDIA_CRYPT_SEND_GENERATION);
	size_t first = seal(&pair, 0, bytes);
	give(&pair, bytes, first, 0);
	size_t size = seal(&pair, 0, bytes);
	for (size_t i = PACKET_HEADER_BYTES; i < size; i++) {
		bytes[i] ^= 0x10;
		give(&pair, bytes, size, 0);
		bytes[i] ^= 0x10;
		assert_int_equal(pair.opened, 1);
	}
	give(&pair, bytes, size, 0);
	assert_int_equal(pair.opened, 2);
	tear_down(&pair);
}

static void test_replay(void **state)
{
	(void)state;
	struct pair pair;
	uint8_t bytes[PACKET_MAX_BYTES];
	set_up(&pair, MEDIA_CRYPT_SEND_GENERATION);
	size_t size = seal(&pair, 0, bytes);
	give(&pair, bytes, size, 0);
	give(&pair, bytes, size, 0);
	assert_int_equal(pair.opened, 1);
	assert_int_equal(counted(&pair, COUNTER_replayed), 1);
	// Somebody else at that index for a while, gone, and the same run back: still seen before.
	const uint8_t run[E2EE_RUN_BYTES] = { 3 };
	assert_int_equal(media_crypt_receive_member(pair.receive, ALICE_INDEX, &carol, run), ERR_OK);
	give(&pair, bytes, size, 0);
	assert_int_equal(counted(&pair, COUNTER_decrypt_failed), 1);
	media_crypt_receive_gone(pair.receive, &alice);
	assert_int_equal(media_crypt_receive_member(pair.receive, ALICE_INDEX, &alice, e2ee_run(pair.alice)), ERR_OK);
	give(&pair, bytes, size, 0);
	assert_int_equal(pair.opened, 1);
	assert_int_equal(counted(&pair, COUNTER_replayed), 2);
	// A run that was replaced does not come back.
	assert_int_equal(media_crypt_receive_member(pair.receive, ALICE_INDEX, &alice, run), ERR_OK);
	assert_int_equal(media_crypt_receive_member(pair.receive, ALICE_INDEX, &alice, e2ee_run(pair.alice)), ERR_REPLAY);
	assert_int_equal(counted(&pair, COUNTER_run_replayed), 1);
	give(&pair, bytes, size, 0);
	assert_int_equal(pair.opened, 1);
	tear_down(&pair);
}

static uint32_t mki_of(const uint8_t *bytes, size_t size)
{
	struct cursor c = cursor_reader(bytes + size - PACKET_MKI_BYTES, PACKET_MKI_BYTES);
	return cursor_read_u32(&c);
}

// A lowered limit stands in for 65,536 packets: each generation starts at sequence 0 under a key of its own.
static void test_generations(void **state)
{
	(void)state;
	enum { LIMIT = 4, PACKETS = 3 * LIMIT };
	struct pair pair;
	uint8_t packets[PACKETS][PACKET_MAX_BYTES];
	size_t sizes[PACKETS];
	set_up(&pair, LIMIT);
	for (unsigned i = 0; i < PACKETS; i++) {
		struct packet_rtp rtp;
		sizes[i] = seal(&pair, 0, packets[i]);
		assert_int_equal(packet_rtp_parse(packets[i], sizes[i], &rtp), ERR_OK);
		assert_int_equal(rtp.sequence, i % LIMIT);
		assert_int_equal(mki_of(packets[i], sizes[i]), i / LIMIT);
	}
	give(&pair, packets[0], sizes[0], 0);
	give(&pair, packets[4], sizes[4], 0); // generation 1
	give(&pair, packets[1], sizes[1], 0); // late, of the one before
	assert_int_equal(pair.opened, 3);
	give(&pair, packets[8], sizes[8], 0); // generation 2: 0 is gone
	give(&pair, packets[5], sizes[5], 0);
	assert_int_equal(pair.opened, 5);
	give(&pair, packets[2], sizes[2], 0);
	assert_int_equal(pair.opened, 5);
	assert_int_equal(counted(&pair, COUNTER_old_generation), 1);
	give(&pair, packets[0], sizes[0], 0);
	assert_int_equal(counted(&pair, COUNTER_old_generation), 2);
	tear_down(&pair);
}

// Garbage that names a future generation must not push the present one out.
static void test_forged_generation_changes_nothing(void **state)
{
	(void)state;
	struct pair pair;
	uint8_t bytes[PACKET_MAX_BYTES];
	set_up(&pair, MEDIA_CRYPT_SEND_GENERATION);
	size_t size = seal(&pair, 0, bytes);
	give(&pair, bytes, size, 0);
	size = seal(&pair, 0, bytes);
	for (uint32_t forged = 1; forged < 5; forged++) {
		struct cursor c = cursor_writer(bytes + size - PACKET_MKI_BYTES, PACKET_MKI_BYTES);
		cursor_write_u32(&c, forged);
		give(&pair, bytes, size, 0);
	}
	assert_int_equal(counted(&pair, COUNTER_decrypt_failed), 4);
	memset(bytes + size - PACKET_MKI_BYTES, 0, PACKET_MKI_BYTES);
	give(&pair, bytes, size, 0);
	assert_int_equal(pair.opened, 2);
	tear_down(&pair);
}

// All sequence numbers of a generation, into the next: the ROC stays 0, and who joins late needs nothing.
static void test_real_wrap(void **state)
{
	(void)state;
	struct pair pair;
	uint8_t bytes[PACKET_MAX_BYTES];
	set_up(&pair, MEDIA_CRYPT_SEND_GENERATION);
	for (uint32_t i = 0; i < MEDIA_CRYPT_SEND_GENERATION + 3; i++) {
		size_t size = seal(&pair, 0, bytes);
		assert_int_equal(mki_of(bytes, size), i / MEDIA_CRYPT_SEND_GENERATION);
		if (i >= 40000) // the first packet that the receiver hears has a high sequence number
			give(&pair, bytes, size, 0);
	}
	assert_int_equal(pair.opened, MEDIA_CRYPT_SEND_GENERATION + 3 - 40000);
	assert_int_equal(counted(&pair, COUNTER_decrypt_failed), 0);
	tear_down(&pair);
}

static void test_index_change_draws_new_keys(void **state)
{
	(void)state;
	struct pair pair;
	uint8_t bytes[PACKET_MAX_BYTES];
	set_up(&pair, MEDIA_CRYPT_SEND_GENERATION);
	size_t size = seal(&pair, 0, bytes);
	assert_int_equal(mki_of(bytes, size), 0);
	media_crypt_send_set_index(pair.send, ALICE_INDEX); // a reconnect with the same index goes on
	size = seal(&pair, 0, bytes);
	assert_int_equal(mki_of(bytes, size), 0);
	media_crypt_send_set_index(pair.send, 9);
	size = seal(&pair, 0, bytes);
	assert_int_equal(mki_of(bytes, size), 1);
	media_crypt_send_set_index(pair.send, ALICE_INDEX); // back on the old SSRC, never under its old key
	size = seal(&pair, 0, bytes);
	assert_int_equal(mki_of(bytes, size), 2);
	give(&pair, bytes, size, 0);
	assert_int_equal(pair.opened, 1);
	tear_down(&pair);
}

// A member that comes back again and again has a new index each time: its old streams make room, and what was said in
// them stays said.
static void test_many_indices(void **state)
{
	(void)state;
	enum { RETURNS = 3 * MEDIA_CRYPT_RECEIVE_STREAMS };
	struct pair pair;
	uint8_t first[PACKET_MAX_BYTES], bytes[PACKET_MAX_BYTES];
	set_up(&pair, MEDIA_CRYPT_SEND_GENERATION);
	size_t size = seal(&pair, 0, first);
	give(&pair, first, size, 0);
	for (uint32_t i = 1; i <= RETURNS; i++) {
		media_crypt_receive_gone(pair.receive, &alice);
		media_crypt_send_set_index(pair.send, ALICE_INDEX + 100 + i);
		assert_int_equal(media_crypt_receive_member(pair.receive, ALICE_INDEX + 100 + i, &alice, e2ee_run(pair.alice)), ERR_OK);
		for (uint8_t stream = 0; stream < 2; stream++) {
			size = seal(&pair, stream, bytes);
			give(&pair, bytes, size, 0);
		}
		assert_int_equal(pair.opened, 1 + 2 * i);
	}
	assert_int_equal(counted(&pair, COUNTER_stream_limit), 0);
	// A relay that puts her back where she was first.
	assert_int_equal(media_crypt_receive_member(pair.receive, ALICE_INDEX, &alice, e2ee_run(pair.alice)), ERR_OK);
	give(&pair, first, size, 0);
	assert_int_equal(pair.opened, 1 + 2 * RETURNS);
	assert_int_equal(counted(&pair, COUNTER_old_generation), 1);
	tear_down(&pair);
}

static void test_held_packets(void **state)
{
	(void)state;
	struct pair pair;
	uint8_t packets[3][PACKET_MAX_BYTES];
	size_t size = 0;
	set_up(&pair, MEDIA_CRYPT_SEND_GENERATION);
	media_crypt_receive_forget_indices(pair.receive);
	for (int i = 0; i < 3; i++)
		size = seal(&pair, 0, packets[i]);
	give(&pair, packets[0], size, 1000);
	give(&pair, packets[1], size, 1500);
	assert_int_equal(pair.opened, 0);
	assert_int_equal(media_crypt_receive_expire(pair.receive, 1600), 400);
	assert_int_equal(media_crypt_receive_expire(pair.receive, 2000), 500);
	assert_int_equal(counted(&pair, COUNTER_unknown_sender), 1);
	assert_int_equal(media_crypt_receive_member(pair.receive, ALICE_INDEX, &alice, e2ee_run(pair.alice)), ERR_OK);
	media_crypt_receive_release(pair.receive, ALICE_INDEX, 2100);
	assert_int_equal(pair.opened, 1);
	assert_int_equal(pair.rtp.sequence, 1);
	assert_int_equal(media_crypt_receive_expire(pair.receive, 2100), -1);
	give(&pair, packets[2], size, 2100);
	assert_int_equal(pair.opened, 2);
	tear_down(&pair);
}

static void test_unknown_epoch_is_held(void **state)
{
	(void)state;
	struct pair pair;
	uint8_t bytes[PACKET_MAX_BYTES];
	set_up(&pair, MEDIA_CRYPT_SEND_GENERATION);
	size_t size = seal(&pair, 0, bytes);
	bytes[size - PACKET_MKI_BYTES] = 0xff;
	give(&pair, bytes, size, 0);
	media_crypt_receive_release(pair.receive, ALICE_INDEX, 10); // still unknown: held on
	assert_int_equal(counted(&pair, COUNTER_unknown_epoch), 0);
	assert_int_equal(media_crypt_receive_expire(pair.receive, 1000), -1);
	assert_int_equal(counted(&pair, COUNTER_unknown_epoch), 1);
	tear_down(&pair);
}

static void test_holding_is_bounded(void **state)
{
	(void)state;
	struct pair pair;
	uint8_t bytes[PACKET_MAX_BYTES];
	set_up(&pair, MEDIA_CRYPT_SEND_GENERATION);
	media_crypt_send_set_index(pair.send, 77); // of whom the receiver knows nothing
	for (int i = 0; i < MEDIA_CRYPT_RECEIVE_HELD + 10; i++) {
		size_t size = seal(&pair, 0, bytes);
		give(&pair, bytes, size, 0);
	}
	assert_int_equal(counted(&pair, COUNTER_hold_full), 10);
	assert_int_equal(media_crypt_receive_expire(pair.receive, 5000), -1);
	assert_int_equal(counted(&pair, COUNTER_unknown_sender), MEDIA_CRYPT_RECEIVE_HELD);
	tear_down(&pair);
}

static void test_streams_and_members_are_bounded(void **state)
{
	(void)state;
	struct pair pair;
	uint8_t bytes[PACKET_MAX_BYTES], run[E2EE_RUN_BYTES] = { 0 };
	size_t size;
	const struct packet_rtp rtp = { .payload_type = PACKET_PT_OPUS };
	set_up(&pair, MEDIA_CRYPT_SEND_GENERATION);
	for (unsigned i = 0; i < MEDIA_CRYPT_SEND_STREAMS; i++) {
		size = seal(&pair, (uint8_t)i, bytes);
		give(&pair, bytes, size, 0);
	}
	assert_int_equal(pair.opened, MEDIA_CRYPT_RECEIVE_STREAMS);
	assert_int_equal(media_crypt_send_seal(pair.send, 99, &rtp, bytes, 0, 0, bytes, &size), ERR_LIMIT);
	struct media_crypt_send *more;
	assert_int_equal(media_crypt_send_new(pair.alice, MEDIA_CRYPT_SEND_GENERATION, &more), ERR_OK);
	media_crypt_send_set_index(more, ALICE_INDEX);
	assert_int_equal(media_crypt_send_seal(more, 200, &rtp, (const uint8_t *)"x", 1, 0, bytes, &size), ERR_OK);
	give(&pair, bytes, size, 0);
	assert_int_equal(counted(&pair, COUNTER_stream_limit), 1);
	media_crypt_send_free(more);
	for (uint32_t i = 1; i <= MEDIA_CRYPT_RECEIVE_MEMBERS; i++) {
		struct id id = { { 0xee, (uint8_t)(i >> 8), (uint8_t)i } };
		enum err expected = i < MEDIA_CRYPT_RECEIVE_MEMBERS ? ERR_OK : ERR_LIMIT;
		assert_int_equal(media_crypt_receive_member(pair.receive, 1000 + i, &id, run), expected);
	}
	assert_int_equal(counted(&pair, COUNTER_member_limit), 1);
	tear_down(&pair);
}

static void test_malformed_and_own(void **state)
{
	(void)state;
	struct pair pair;
	uint8_t bytes[PACKET_MAX_BYTES + 1] = { 0 };
	set_up(&pair, MEDIA_CRYPT_SEND_GENERATION);
	for (size_t size = 0; size <= PACKET_MAX_BYTES; size++)
		give(&pair, bytes, size, 0);
	assert_int_equal(counted(&pair, COUNTER_media_malformed), PACKET_MAX_BYTES + 1);
	size_t size = seal(&pair, 0, bytes);
	media_crypt_receive_set_self(pair.receive, ALICE_INDEX);
	give(&pair, bytes, size, 0);
	assert_int_equal(counted(&pair, COUNTER_media_own), 1);
	tear_down(&pair);
}

static void test_sending_again(void **state)
{
	(void)state;
	struct pair pair;
	uint8_t bytes[PACKET_MAX_BYTES], again[PACKET_MAX_BYTES];
	size_t again_size;
	uint32_t ssrc = packet_ssrc(ALICE_INDEX, 0);
	set_up(&pair, MEDIA_CRYPT_SEND_GENERATION);
	size_t size = seal(&pair, 0, bytes);
	assert_int_equal(media_crypt_send_again(pair.send, ssrc, 0, 2000, again, &again_size), ERR_OK);
	assert_int_equal(size, again_size);
	assert_memory_equal(bytes + PACKET_HEADER_BYTES, again + PACKET_HEADER_BYTES, size - PACKET_HEADER_BYTES);
	assert_int_equal(media_crypt_send_again(pair.send, ssrc, 0, 2001, again, &again_size), ERR_NOT_FOUND);
	assert_int_equal(media_crypt_send_again(pair.send, ssrc, 1, 1000, again, &again_size), ERR_NOT_FOUND);
	assert_int_equal(media_crypt_send_again(pair.send, ssrc + 1, 0, 1000, again, &again_size), ERR_NOT_FOUND);
	assert_int_equal(media_crypt_send_again(pair.send, packet_ssrc(8, 0), 0, 1000, again, &again_size), ERR_NOT_FOUND);
	media_crypt_send_set_index(pair.send, 8);
	assert_int_equal(media_crypt_send_again(pair.send, packet_ssrc(8, 0), 0, 1000, again, &again_size), ERR_NOT_FOUND);
	tear_down(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_largest_payload),
		cmocka_unit_test(test_every_changed_byte_is_refused), cmocka_unit_test(test_replay),
		cmocka_unit_test(test_generations), cmocka_unit_test(test_forged_generation_changes_nothing),
		cmocka_unit_test(test_real_wrap), cmocka_unit_test(test_index_change_draws_new_keys),
		cmocka_unit_test(test_many_indices),
		cmocka_unit_test(test_held_packets), cmocka_unit_test(test_unknown_epoch_is_held),
		cmocka_unit_test(test_holding_is_bounded), cmocka_unit_test(test_streams_and_members_are_bounded),
		cmocka_unit_test(test_malformed_and_own), cmocka_unit_test(test_sending_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
