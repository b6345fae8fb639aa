// The leak scan finds what is there and nothing else: needles in bytes and in a live process, media opened from
// a capture with the meeting's keys. SPDX-License-Identifier: Apache-2.0
#include "tests/tools/opened_media.h"
#include "tests/tools/process_memory.h"

// cmocka needs these before it
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#ifndef __has_feature // clang has it
#define __has_feature(feature) 0
#endif

static void needles_are_found_at_every_place(void **context)
{
	(void)context;
	struct needles set;
	uint8_t secret[44], haystack[4096] = {};
	secret_random(secret, sizeof(secret));
	assert_int_equal(needles_init(&set), ERR_OK);
	assert_int_equal(needles_add_secret(&set, secret, sizeof(secret), "secret"), ERR_OK);
	assert_int_equal(set.count, 3); // 0-15, 16-31, 28-43
	for (size_t at = 0; at + sizeof(secret) <= sizeof(haystack); at += 37) {
		struct needles_hits hits = {};
		memset(haystack, 0, sizeof(haystack));
		memcpy(haystack + at, secret, sizeof(secret));
		needles_search(&set, haystack, sizeof(haystack), 1000, &hits);
		assert_int_equal(hits.of_kind[NEEDLE_KEY], 3);
		assert_int_equal(hits.of_kind[NEEDLE_PLAINTEXT], 0);
		assert_int_equal(hits.first_offset, 1000 + at);
		assert_string_equal(hits.first->what, "secret");
		assert_int_equal(hits.bytes, sizeof(haystack));
	}
	// Half of it is found too, one wrong bit in each piece is not.
	struct needles_hits hits = {};
	needles_search(&set, secret, 20, 0, &hits);
	assert_int_equal(hits.of_kind[NEEDLE_KEY], 1);
	uint8_t changed[sizeof(secret)];
	memcpy(changed, secret, sizeof(secret));
	changed[15] ^= 1;
	changed[31] ^= 1;
	hits = (struct needles_hits){};
	needles_search(&set, changed, sizeof(changed), 0, &hits);
	assert_int_equal(hits.of_kind[NEEDLE_KEY], 0);
	needles_fini(&set);
}

static void many_needles_do_not_hide_each_other(void **context)
{
	(void)context;
	enum { COUNT = 20000 };
	struct needles set;
	struct needles_hits hits = {};
	uint8_t *haystack = malloc(COUNT * NEEDLE_BYTES);
	assert_non_null(haystack);
	secret_random(haystack, COUNT * NEEDLE_BYTES);
	assert_int_equal(needles_init(&set), ERR_OK);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(needles_add(&set, haystack + i * NEEDLE_BYTES, NEEDLE_PLAINTEXT, "piece"), ERR_OK);
	needles_search(&set, haystack, COUNT * NEEDLE_BYTES, 0, &hits);
	assert_int_equal(hits.of_kind[NEEDLE_PLAINTEXT], COUNT);
	free(haystack);
	needles_fini(&set);
}

static void dull_bytes_prove_nothing(void **context)
{
	(void)context;
	uint8_t bytes[NEEDLE_BYTES] = {};
	assert_true(needles_is_dull(bytes));
	assert_true(needles_is_dull((const uint8_t *)"abababab01234567"));
	assert_false(needles_is_dull((const uint8_t *)"abcdefgh01234567"));
}

// How often a secret is found in a child process that holds it, or does not.
static uint64_t hits_in_child(const uint8_t *secret, size_t size, bool does_hold)
{
	struct needles set;
	struct needles_hits hits = {};
	uint64_t unreadable;
	int ready[2];
	uint8_t disguised[64];
	char byte;
	for (size_t i = 0; i < size; i++)
		disguised[i] = secret[i] ^ 0x55; // or the child's copy of this process' memory would do
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		volatile uint8_t *held = malloc(3 << 20); // larger than one read, the secret across the border of two
		for (size_t i = 0; held && does_hold && i < size; i++)
			held[(2 << 20) + i - 20] = disguised[i] ^ 0x55;
		if (write(ready[1], held ? "+" : "-", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(byte, '+');
	assert_int_equal(needles_init(&set), ERR_OK);
	assert_int_equal(needles_add_secret(&set, secret, size, "secret"), ERR_OK);
	assert_int_equal(process_memory_search(child, &set, &hits, &unreadable), ERR_OK);
	assert_true(hits.bytes > 3 << 20);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(ready[0]);
	close(ready[1]);
	needles_fini(&set);
	return hits.of_kind[NEEDLE_KEY];
}

static void secrets_are_found_in_a_live_process(void **context)
{
	(void)context;
#if __has_feature(address_sanitizer)
	skip(); // its shadow memory is terabytes to search
#endif
	// In pages of its own that the child does not inherit.
	uint8_t *secret = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(secret, MAP_FAILED);
	assert_int_equal(madvise(secret, 4096, MADV_DONTFORK), 0);
	secret_random(secret, 32);
	assert_int_equal(hits_in_child(secret, 32, true), 2);
	secret_random(secret, 32);
	assert_int_equal(hits_in_child(secret, 32, false), 0);
	munmap(secret, 4096);
	struct needles_hits hits = {};
	struct needles set;
	uint64_t unreadable;
	assert_int_equal(needles_init(&set), ERR_OK);
	assert_int_equal(process_memory_search(0x3fffffff, &set, &hits, &unreadable), ERR_IO);
	needles_fini(&set);
}

struct sender {
	struct opened_member member;
	struct srtp_box *box;
	uint32_t ssrc;
};

// A media datagram of `payload` as the sender's client puts it on the wire.
static size_t make_datagram(struct sender *sender, uint16_t sequence, uint8_t payload_type, const uint8_t *payload, size_t size, uint8_t *out)
{
	struct packet_rtp rtp = { .ssrc = sender->ssrc, .sequence = sequence, .timestamp = sequence, .payload_type = payload_type };
	size_t srtp_size = PACKET_RTP_BYTES + size;
	memset(out, 0x11, PACKET_HEADER_BYTES);
	memset(out, 0, 4);
	packet_rtp_emit(&rtp, out + PACKET_HEADER_BYTES);
	memcpy(out + PACKET_HEADER_BYTES + PACKET_RTP_BYTES, payload, size);
	assert_int_equal(srtp_box_protect_rtp(sender->box, out + PACKET_HEADER_BYTES, &srtp_size), ERR_OK);
	memset(out + PACKET_HEADER_BYTES + srtp_size, 0, PACKET_MKI_BYTES); // epoch 0, generation 0
	return PACKET_HEADER_BYTES + srtp_size + PACKET_MKI_BYTES;
}

struct meeting {
	struct token_link link;
	struct e2ee *e2ee;
	struct sender anna, boris;
	char path[64];
	FILE *capture;
};

static void add_sender(struct meeting *meeting, struct sender *sender, uint32_t ssrc)
{
	struct e2ee_options options = { .meeting = meeting->link.meeting, .secret = meeting->link.secret };
	uint8_t master[SRTP_MASTER_BYTES];
	secret_random(&options.self, sizeof(options.self));
	assert_int_equal(e2ee_new(&options, &meeting->e2ee), ERR_OK);
	sender->member.participant = options.self;
	memcpy(sender->member.run, e2ee_run(meeting->e2ee), E2EE_RUN_BYTES);
	sender->ssrc = ssrc;
	assert_int_equal(e2ee_send_key(meeting->e2ee, ssrc, 0, master), ERR_OK);
	sender->box = srtp_box_new(ssrc, master);
	assert_non_null(sender->box);
	e2ee_free(meeting->e2ee);
}

static int start_library(void **context)
{
	(void)context;
	return srtp_box_library_init() == ERR_OK ? 0 : -1;
}

static int start_meeting(void **context)
{
	struct meeting *meeting = calloc(1, sizeof(*meeting));
	assert_non_null(meeting);
	meeting->link.kind = TOKEN_LINK_MEETING;
	secret_random(&meeting->link.meeting, sizeof(meeting->link.meeting));
	secret_random(meeting->link.secret, sizeof(meeting->link.secret));
	add_sender(meeting, &meeting->anna, packet_ssrc(1, PACKET_STREAM_VIDEO));
	add_sender(meeting, &meeting->boris, packet_ssrc(2, PACKET_STREAM_AUDIO));
	strcpy(meeting->path, "/tmp/test_leakscan.XXXXXX");
	meeting->capture = fdopen(mkstemp(meeting->path), "wb");
	assert_non_null(meeting->capture);
	pcap_write_header(meeting->capture);
	*context = meeting;
	return 0;
}

static int end_meeting(void **context)
{
	struct meeting *meeting = *context;
	srtp_box_free(meeting->anna.box);
	srtp_box_free(meeting->boris.box);
	unlink(meeting->path);
	free(meeting);
	return 0;
}

static void open_capture(struct meeting *meeting, struct opened_media *media, struct needles *set)
{
	assert_int_equal(fclose(meeting->capture), 0);
	assert_int_equal(needles_init(set), ERR_OK);
	assert_int_equal(opened_media_init(media, &meeting->link), ERR_OK);
	media->members[0] = meeting->boris.member;
	media->members[1] = meeting->anna.member;
	media->member_count = 2;
	assert_int_equal(opened_media_capture(media, meeting->path, set), ERR_OK);
}

static void media_is_opened_from_single_datagrams_and_trains(void **context)
{
	struct meeting *meeting = *context;
	struct opened_media media;
	struct needles set;
	struct needles_hits hits = {};
	uint8_t datagram[PACKET_MAX_BYTES], train[5000], picture[900], sound[120];
	secret_random(picture, sizeof(picture));
	secret_random(sound, sizeof(sound));
	size_t size = make_datagram(&meeting->boris, 7, PACKET_PT_OPUS, sound, sizeof(sound), datagram);
	pcap_write_datagram(meeting->capture, 4000, 5000, datagram, size);
	pcap_write_datagram(meeting->capture, 5000, 4001, datagram, size); // what the relay sent on
	size_t train_size = 0;
	for (uint16_t i = 0; i < 3; i++) { // the last one shorter, as UDP_SEGMENT has it
		picture[0] = (uint8_t)i;
		train_size += make_datagram(&meeting->anna, i, PACKET_PT_VP9, picture, sizeof(picture) - (i == 2 ? 300 : 0), train + train_size);
	}
	pcap_write_datagram(meeting->capture, 4000, 5000, train, train_size);
	datagram[size - 5] ^= 1; // a tag that no key fits
	datagram[PACKET_HEADER_BYTES + 11] = 9;
	pcap_write_datagram(meeting->capture, 4000, 5000, datagram, size);
	pcap_write_datagram(meeting->capture, 4000, 5000, (const uint8_t *)"garbage", 7);
	open_capture(meeting, &media, &set);
	assert_int_equal(media.audio_packets, 1);
	assert_int_equal(media.video_packets, 3);
	assert_int_equal(media.repeated, 1);
	assert_int_equal(media.unopened, 1);
	assert_int_equal(media.stream_count, 2);
	assert_int_equal(media.frame_size, sizeof(picture) - 300);
	assert_memory_equal(media.frame, picture, media.frame_size);
	needles_search(&set, picture, sizeof(picture), 0, &hits);
	needles_search(&set, sound, sizeof(sound), 0, &hits);
	assert_true(hits.of_kind[NEEDLE_PLAINTEXT] >= 6);
	// The ciphertext shows nothing of it.
	hits = (struct needles_hits){};
	needles_search(&set, train, train_size, 0, &hits);
	assert_int_equal(hits.of_kind[NEEDLE_PLAINTEXT], 0);
	opened_media_fini(&media);
	needles_fini(&set);
}

static void keys_of_every_level_are_needles(void **context)
{
	struct meeting *meeting = *context;
	struct opened_media media;
	struct needles set;
	uint8_t datagram[PACKET_MAX_BYTES], payload[120], session[OPENED_SESSION_BYTES], plain[200];
	char text[TEXT_BASE64_SIZE(TOKEN_SECRET_BYTES)];
	secret_random(payload, sizeof(payload));
	size_t size = make_datagram(&meeting->boris, 1, PACKET_PT_OPUS, payload, sizeof(payload), datagram);
	pcap_write_datagram(meeting->capture, 4000, 5000, datagram, size);
	open_capture(meeting, &media, &set);
	assert_int_equal(opened_media_add_keys(&media, &set), ERR_OK);
	assert_int_equal(opened_media_session_key(media.streams[0].master, session), ERR_OK);
	text_base64_emit(meeting->link.secret, TOKEN_SECRET_BYTES, text);
	struct needles_hits hits[4] = {};
	needles_search(&set, meeting->link.secret, TOKEN_SECRET_BYTES, 0, &hits[0]);
	needles_search(&set, (const uint8_t *)text, strlen(text), 0, &hits[1]);
	needles_search(&set, media.streams[0].master, SRTP_MASTER_BYTES, 0, &hits[2]);
	needles_search(&set, session, sizeof(session), 0, &hits[3]);
	assert_int_equal(hits[0].of_kind[NEEDLE_KEY], 2);
	assert_int_equal(hits[1].of_kind[NEEDLE_KEY], 3);
	assert_int_equal(hits[2].of_kind[NEEDLE_KEY], 3);
	assert_int_equal(hits[3].of_kind[NEEDLE_KEY], 2);
	// The session key is the one that libsrtp used: counter mode of GCM from block 2 on, salt by label 2 (RFC 7714 8.1).
	uint8_t iv[16] = {}, salt[16] = {}, block[16] = {};
	int length = 0;
	memcpy(block, media.streams[0].master + SRTP_KEY_BYTES, SRTP_SALT_BYTES);
	block[7] ^= 2; // label << 48 over the 14-byte salt
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	assert_int_equal(EVP_EncryptInit_ex2(cipher, EVP_aes_256_ctr(), media.streams[0].master, block, NULL), 1);
	assert_int_equal(EVP_EncryptUpdate(cipher, salt, &length, (const uint8_t[16]){}, 16), 1);
	memcpy(iv + 2, datagram + PACKET_HEADER_BYTES + 8, 4);   // SSRC
	memcpy(iv + 10, datagram + PACKET_HEADER_BYTES + 2, 2);  // sequence number; ROC 0
	for (int i = 0; i < 12; i++)
		iv[i] ^= salt[i];
	iv[15] = 2;
	assert_int_equal(EVP_EncryptInit_ex2(cipher, EVP_aes_256_ctr(), session, iv, NULL), 1);
	assert_int_equal(EVP_EncryptUpdate(cipher, plain, &length, datagram + PACKET_HEADER_BYTES + PACKET_RTP_BYTES, sizeof(payload)), 1);
	EVP_CIPHER_CTX_free(cipher);
	assert_memory_equal(plain, payload, sizeof(payload));
	opened_media_fini(&media);
	needles_fini(&set);
}

static void another_meetings_link_opens_nothing(void **context)
{
	struct meeting *meeting = *context;
	struct opened_media media;
	struct needles set;
	uint8_t datagram[PACKET_MAX_BYTES], payload[120];
	secret_random(payload, sizeof(payload));
	size_t size = make_datagram(&meeting->boris, 1, PACKET_PT_OPUS, payload, sizeof(payload), datagram);
	pcap_write_datagram(meeting->capture, 4000, 5000, datagram, size);
	meeting->link.secret[0] ^= 1;
	open_capture(meeting, &media, &set);
	assert_int_equal(media.audio_packets + media.video_packets, 0);
	assert_int_equal(media.unopened, 1);
	opened_media_fini(&media);
	needles_fini(&set);
}

static void captures_of_other_kinds_are_refused(void **context)
{
	struct meeting *meeting = *context;
	struct pcap pcap;
	assert_int_equal(fclose(meeting->capture), 0);
	assert_int_equal(pcap_read(meeting->path, &pcap), ERR_OK);
	pcap_fini(&pcap);
	FILE *file = fopen(meeting->path, "wb");
	assert_non_null(file);
	fputs("not a capture, but longer than its header", file);
	fclose(file);
	assert_int_equal(pcap_read(meeting->path, &pcap), ERR_PARSE);
	assert_int_equal(pcap_read("/nonexistent", &pcap), ERR_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(needles_are_found_at_every_place),
		cmocka_unit_test(many_needles_do_not_hide_each_other),
		cmocka_unit_test(dull_bytes_prove_nothing),
		cmocka_unit_test(secrets_are_found_in_a_live_process),
		cmocka_unit_test_setup_teardown(media_is_opened_from_single_datagrams_and_trains, start_meeting, end_meeting),
		cmocka_unit_test_setup_teardown(keys_of_every_level_are_needles, start_meeting, end_meeting),
		cmocka_unit_test_setup_teardown(another_meetings_link_opens_nothing, start_meeting, end_meeting),
		cmocka_unit_test_setup_teardown(captures_of_other_kinds_are_refused, start_meeting, end_meeting),
	};
	return cmocka_run_group_tests(tests, start_library, NULL);
}
