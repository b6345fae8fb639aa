// RTP payloads of VP9 and Opus: packets from pictures and back, strict parsers, VP9 headers before decoding.
// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/audio_buffer.h"
#include "client/engine/media/opus_sender.h"
#include "client/engine/media/video_assembler.h"
#include "client/engine/media/vp9_header.h"
#include "client/engine/media/vp9_packetizer.h"
#include "client/engine/media/vp9_payload.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void descriptor_round_trip(void **state)
{
	(void)state;
	for (int bits = 0; bits < 64; bits++) {
		struct vp9_payload in = { .is_start = bits & 1, .is_end = bits & 2, .is_inter = bits & 4, .picture_id = (uint16_t)(32767 - bits),
					  .temporal_id = bits & 8 ? 2 : 0, .tl0picidx = (uint8_t)(bits * 4), .is_switching_point = bits & 16,
					  .width = bits & 32 ? 640 : 0, .height = bits & 32 ? 360 : 0 };
		uint8_t bytes[VP9_PAYLOAD_DESCRIPTOR_MAX + 1];
		struct vp9_payload out;
		size_t used, size = vp9_payload_emit(&in, bytes);
		assert_int_equal(vp9_payload_parse(bytes, size + 1, &out, &used), ERR_OK);
		assert_int_equal(used, size);
		assert_int_equal(out.picture_id, in.picture_id);
		assert_int_equal(out.is_start, in.is_start);
		assert_int_equal(out.is_end, in.is_end);
		assert_int_equal(out.is_inter, in.is_inter);
		assert_int_equal(out.temporal_id, in.temporal_id);
		assert_int_equal(out.tl0picidx, in.tl0picidx);
		assert_int_equal(out.is_switching_point, in.is_switching_point);
		assert_int_equal(out.width, in.width);
		assert_int_equal(out.height, in.height);
		// Every shorter form is refused, also the one without a byte of VP9.
		for (size_t cut = 0; cut <= size; cut++)
			assert_int_equal(vp9_payload_parse(bytes, cut, &out, &used), ERR_PARSE);
	}
}

static void descriptor_refused(void **state)
{
	(void)state;
	static const struct { uint8_t bytes[12]; enum err err; } rows[] = {
		{ { 0x0c, 0x80, 1, 2, 3 }, ERR_PARSE },         // no picture id
		{ { 0x8c, 0x01, 1, 2, 3 }, ERR_PARSE },         // picture id of 7 bits
		{ { 0x9c, 0x80, 1, 2, 3 }, ERR_VERSION },       // flexible mode
		{ { 0xac, 0x80, 1, 0x02, 3, 4 }, ERR_VERSION }, // spatial layer 1
		{ { 0x8e, 0x80, 1, 0x20, 3, 4 }, ERR_VERSION }, // two spatial layers announced
		{ { 0x8e, 0x80, 1, 0x08, 200, 0x0c }, ERR_PARSE }, // 200 pictures in the group, none there
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct vp9_payload out;
		size_t used;
		assert_int_equal(vp9_payload_parse(rows[i].bytes, sizeof rows[i].bytes, &out, &used), rows[i].err);
	}
}

struct link {
	struct tally tally;
	struct vp9_packetizer packetizer;
	struct video_assembler *assembler;
	uint8_t source[100000], taken[LIMIT_PICTURE_BYTES];
	struct packet_rtp rtp[128];
	uint8_t payload[128][PACKET_MEDIA_PAYLOAD_MAX];
	size_t size[128], count; // packets
};

static struct link *link_new(void)
{
	struct link *l = calloc(1, sizeof *l);
	assert_non_null(l);
	l->packetizer.width = 640;
	l->packetizer.height = 360;
	for (size_t i = 0; i < sizeof l->source; i++)
		l->source[i] = (uint8_t)(i * 7 + i / 251);
	assert_int_equal(video_assembler_new(&l->tally, &l->assembler), ERR_OK);
	return l;
}

static void link_free(struct link *l)
{
	video_assembler_free(l->assembler);
	free(l);
}

// Packets of one more picture are added; sequence numbers are the index in the list plus `first`.
static void add_picture(struct link *l, size_t size, uint32_t timestamp, bool is_key)
{
	vp9_packetizer_start(&l->packetizer, l->source, size, timestamp, is_key);
	while (vp9_packetizer_next(&l->packetizer, &l->rtp[l->count], l->payload[l->count], &l->size[l->count]))
		l->count++;
}

static void deliver(struct link *l, size_t at)
{
	video_assembler_insert(l->assembler, 70000 + (int64_t)at, &l->rtp[at], l->payload[at], l->size[at], 1000 + at, false);
}

static bool take(struct link *l, struct video_frame *frame)
{
	frame->bytes = l->taken;
	return video_assembler_take(l->assembler, frame);
}

// All packets of a picture but its last are of one size, whatever stands in their descriptors, so they can leave as one.
static void packets_of_equal_size(void **state)
{
	(void)state;
	struct link *l = link_new();
	for (size_t size = 1; size < sizeof l->source; size += size < 5000 ? 1 : 397) {
		for (int is_key = 0; is_key < 2; is_key++) {
			size_t taken = 0;
			l->count = 0;
			add_picture(l, size, 0, is_key);
			assert_true(l->count > 0 && l->count <= size / 1100 + 1);
			for (size_t i = 0; i < l->count; i++) {
				struct vp9_payload descriptor;
				size_t head;
				assert_int_equal(vp9_payload_parse(l->payload[i], l->size[i], &descriptor, &head), ERR_OK);
				assert_int_equal(descriptor.is_start, i == 0);
				assert_int_equal(descriptor.is_end, i + 1 == l->count);
				assert_int_equal(descriptor.width, i == 0 && is_key ? 640 : 0);
				assert_memory_equal(l->payload[i] + head, l->source + taken, l->size[i] - head);
				taken += l->size[i] - head;
				assert_true(l->size[i] <= PACKET_MEDIA_PAYLOAD_MAX);
				assert_true(i + 1 < l->count ? l->size[i] == l->size[0] : l->size[i] <= l->size[0]);
			}
			assert_int_equal(taken, size);
		}
	}
	link_free(l);
}

static void pictures_in_any_order(void **state)
{
	(void)state;
	struct link *l = link_new();
	struct video_frame frame;
	add_picture(l, 30000, 0, true);
	size_t key = l->count;
	add_picture(l, 1, 3600, false);
	add_picture(l, 2500, 7200, false);
	assert_int_equal(l->rtp[0].is_frame_start, 1);
	assert_int_equal(l->rtp[key - 1].is_marked, 1);
	for (size_t i = 0; i < l->count; i++) {
		assert_true(l->size[i] <= PACKET_MEDIA_PAYLOAD_MAX);
		assert_int_equal(l->rtp[i].is_independent, i < key);
	}
	for (size_t i = l->count; i-- > 0;) { // the last packet first
		deliver(l, i);
		assert_int_equal(take(l, &frame), i == 0);
	}
	assert_int_equal(frame.size, 30000);
	assert_memory_equal(frame.bytes, l->source, 30000);
	assert_true(frame.is_key);
	assert_true(take(l, &frame));
	assert_int_equal(frame.size, 1);
	assert_int_equal(frame.timestamp, 3600);
	assert_true(take(l, &frame));
	assert_int_equal(frame.size, 2500);
	assert_memory_equal(frame.bytes, l->source, 2500);
	assert_false(take(l, &frame));
	link_free(l);
}

static void key_frame_after_loss(void **state)
{
	(void)state;
	struct link *l = link_new();
	struct video_frame frame;
	add_picture(l, 900, 0, true);      // 0
	add_picture(l, 900, 3600, false);  // 1: lost
	add_picture(l, 900, 7200, false);  // 2
	add_picture(l, 3000, 10800, true); // 3, 4, 5
	add_picture(l, 900, 14400, false); // 6
	assert_true(video_assembler_needs_key(l->assembler));
	deliver(l, 2);
	assert_false(take(l, &frame)); // never starts in the middle
	deliver(l, 0);
	assert_true(take(l, &frame));
	assert_false(video_assembler_needs_key(l->assembler));
	assert_false(take(l, &frame));
	video_assembler_give_up(l->assembler, 70001);
	assert_true(video_assembler_needs_key(l->assembler));
	assert_int_equal(tally_get(&l->tally, TALLY_VIDEO_GIVEN_UP), 1);
	deliver(l, 3);
	deliver(l, 5);
	assert_false(take(l, &frame));
	deliver(l, 4);
	assert_true(take(l, &frame));
	assert_int_equal(frame.timestamp, 10800);
	assert_int_equal(tally_get(&l->tally, TALLY_VIDEO_SKIPPED_TO_KEY), 1);
	deliver(l, 6);
	assert_true(take(l, &frame));
	deliver(l, 1);
	assert_int_equal(tally_get(&l->tally, TALLY_VIDEO_LATE), 1);
	link_free(l);
}

static void pictures_hostile(void **state)
{
	(void)state;
	struct link *l = link_new();
	struct video_frame frame;
	add_picture(l, 900, 0, true);
	add_picture(l, 3000, 3600, false); // 1, 2, 3
	deliver(l, 0);
	assert_true(take(l, &frame));
	l->rtp[2].timestamp = 5;           // a picture of two times
	deliver(l, 1);
	deliver(l, 2);
	deliver(l, 3);
	assert_false(take(l, &frame));
	assert_true(video_assembler_needs_key(l->assembler));
	// Packets without end and without beginning: bounded, counted.
	for (int64_t n = 71000; n < 80000; n++)
		video_assembler_insert(l->assembler, n, &l->rtp[2], l->payload[2], l->size[2], 5, false);
	assert_false(take(l, &frame));
	assert_true(tally_get(&l->tally, TALLY_VIDEO_OVERFLOW) > 7000);
	video_assembler_insert(l->assembler, 80001, &l->rtp[2], (const uint8_t *)"\0", 1, 5, false);
	assert_int_equal(tally_get(&l->tally, TALLY_VIDEO_MALFORMED), 1);
	link_free(l);
}

static void vp9_headers(void **state)
{
	(void)state;
	struct vp9_header header;
	// frame marker 2, profile 0, key frame, shown, sync code, BT.601, 640x360
	uint8_t key[] = { 0x82, 0x49, 0x83, 0x42, 0x20, 0x27, 0xf0, 0x16, 0x70, 0x00 };
	assert_int_equal(vp9_header_parse(key, sizeof key, &header), ERR_OK);
	assert_true(header.is_key);
	assert_int_equal(header.width, 640);
	assert_int_equal(header.height, 360);
	for (size_t cut = 0; cut < 9; cut++)
		assert_int_not_equal(vp9_header_parse(key, cut, &header), ERR_OK);
	uint8_t huge[] = { 0x82, 0x49, 0x83, 0x42, 0x2f, 0xff, 0xff, 0xff, 0xf0, 0x00 };
	assert_int_equal(vp9_header_parse(huge, sizeof huge, &header), ERR_LIMIT);
	uint8_t profile[] = { 0xa2, 0x49, 0x83, 0x42, 0x20, 0x27, 0xf0, 0x16, 0x70, 0x00 };
	assert_int_equal(vp9_header_parse(profile, sizeof profile, &header), ERR_VERSION);
	uint8_t superframe[] = { 0x82, 0x49, 0x83, 0x42, 0x20, 0x27, 0xf0, 0x16, 0x70, 0xc1 };
	assert_int_equal(vp9_header_parse(superframe, sizeof superframe, &header), ERR_VERSION);
	uint8_t marker[] = { 0x42, 0, 0, 0 };
	assert_int_equal(vp9_header_parse(marker, sizeof marker, &header), ERR_PARSE);
	// Inter picture that brings its own size: shown, refresh 0, three references, no size found, 65536 x 65536.
	uint8_t inter[] = { 0x86, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0x80, 0x00 };
	enum err err = vp9_header_parse(inter, sizeof inter, &header);
	assert_int_equal(err, ERR_LIMIT);
}

static void opus_packets(void **state)
{
	(void)state;
	struct opus_sender *sender;
	struct audio_packet packet;
	int16_t samples[MEDIA_AUDIO_FRAME] = { 0 };
	assert_int_equal(opus_sender_new(48000, &sender), ERR_OK);
	for (int n = 0; n < 20; n++) {
		for (int i = 0; i < MEDIA_AUDIO_FRAME; i++)
			samples[i] = (int16_t)(((n * MEDIA_AUDIO_FRAME + i) % 240 - 120) * 60);
		assert_int_equal(opus_sender_encode(sender, samples, packet.bytes, &packet.size), ERR_OK);
		assert_int_equal(packet.size, 120); // constant bit rate: sizes say nothing
		audio_buffer_inspect(&packet);
		assert_int_equal(packet.samples, MEDIA_AUDIO_FRAME);
	}
	assert_true(packet.has_fec);
	packet.size = 0;
	audio_buffer_inspect(&packet);
	assert_int_equal(packet.samples, 0);
	packet.size = 1; // code 3 without its frame count
	packet.bytes[0] = 0xff;
	audio_buffer_inspect(&packet);
	assert_int_equal(packet.samples, 0);
	opus_sender_free(sender);
}

static void audio_buffer_orders(void **state)
{
	(void)state;
	static struct audio_buffer buffer;
	static struct audio_packet packet;
	bool has_dropped;
	audio_buffer_init(&buffer);
	packet.size = 1;
	for (int i = 0; i < LIMIT_AUDIO_PACKETS; i++) {
		packet.timestamp = (i * 37 % LIMIT_AUDIO_PACKETS) * 960;
		assert_true(audio_buffer_insert(&buffer, &packet, &has_dropped));
		assert_false(has_dropped);
	}
	assert_false(audio_buffer_insert(&buffer, &packet, &has_dropped)); // the same timestamp
	packet.timestamp = LIMIT_AUDIO_PACKETS * 960;
	assert_true(audio_buffer_insert(&buffer, &packet, &has_dropped));
	assert_true(has_dropped);
	for (int i = 1; i <= LIMIT_AUDIO_PACKETS; i++) {
		assert_int_equal(audio_buffer_first(&buffer)->timestamp, i * 960);
		audio_buffer_drop_first(&buffer);
	}
	assert_null(audio_buffer_first(&buffer));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptor_round_trip),
		cmocka_unit_test(descriptor_refused),
		cmocka_unit_test(packets_of_equal_size), cmocka_unit_test(pictures_in_any_order),
		cmocka_unit_test(key_frame_after_loss),
		cmocka_unit_test(pictures_hostile),
		cmocka_unit_test(vp9_headers),
		cmocka_unit_test(opus_packets),
		cmocka_unit_test(audio_buffer_orders),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
