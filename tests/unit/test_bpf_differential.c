// The kernel's programs against the same admission in user space: random and mutated packets must get the same verdict
// from both, and leave the same windows and histories behind. ROUNDS=n in the environment for more than a short run,
// SEED=n for another sequence. SPDX-License-Identifier: Apache-2.0
#include "kernel-bpf/fanout.skel.h"
#include "kernel-bpf/fanout_admit.h"
#include "tests/fake/bpf_lab.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SENDERS = 24, STREAMS = 18, SLOTS_LOG2 = 5, HEADERS_MAX = 48 };

static const char *skip_reason;
static unsigned long rounds = 30000;
static uint64_t seed = 1;

// What user space has of the same table.
struct mirror {
	struct fanout_sender sender[BPF_LAB_SENDERS];
	struct fanout_window window[BPF_LAB_SENDERS];
	fanout_block block[BPF_LAB_BLOCKS];
	uint8_t small[BPF_LAB_SLOTS * FANOUT_SMALL_SLOT];
};

struct scene {
	struct bpf_lab lab;
	struct mirror mirror;
	struct bpf_flow home[SENDERS]; // where a sender is
	uint32_t count[SENDERS];
	uint16_t sequence[SENDERS][STREAMS];
	struct bpf_flow flow;
	uint8_t datagram[2048], frame[4096];
	size_t size;
	uint64_t seen[FANOUT_COUNTERS]; // how often each verdict came
};

static uint32_t draw(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16) % below;
}

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	*state = s;
	if (!s)
		return -1;
	if (bpf_lab_open(&s->lab, &skip_reason))
		skip_reason = NULL;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;
	bpf_lab_close(&s->lab);
	free(s);
	return 0;
}

static struct scene *scene_of(void **state)
{
	if (skip_reason) {
		print_message("skipped: %s\n", skip_reason);
		skip();
	}
	return *state;
}

// Senders of every kind, with streams of every kind.
static void fill_sender(struct scene *s, uint32_t i)
{
	struct fanout_sender *sender = &s->lab.sender[i];
	*sender = (struct fanout_sender){ .handle = packet_handle(PACKET_MEDIA, i % 3, i), .index = 0x100 + i, .room = 1 + i % 4,
					  .flags = FANOUT_SENDER_HAS_ADDRESS | FANOUT_SENDER_MAY_SEND };
	memcpy(sender->tag_key, bpf_lab_key(), PACKET_TAG_KEY_BYTES);
	s->home[i] = bpf_lab_flow(i % 2 ? 6 : 4);
	s->home[i].source_port = (uint16_t)(4000 + i);
	bpf_lab_at_home(sender, &s->home[i]);
	if (i % 8 == 5)
		sender->flags &= ~(uint32_t)FANOUT_SENDER_MAY_SEND;
	if (i % 8 == 6)
		sender->flags &= ~(uint32_t)FANOUT_SENDER_HAS_ADDRESS;
	if (i % 8 == 7)
		sender->flags |= FANOUT_SENDER_IS_TLS;
	if (i % 12 == 11)
		sender->handle = 0;
	for (uint32_t k = 0; k < FANOUT_STREAMS; k++) {
		sender->stream[k].block = k % 4 == 3 ? 0 : 1 + k % 3;
		if (k < 2)
			sender->stream[k].history = FANOUT_HISTORY((i % 4 * 2 + k) << SLOTS_LOG2, SLOTS_LOG2, 0);
	}
}

static void reset(struct scene *s)
{
	bpf_lab_reset(&s->lab);
	for (uint32_t i = 0; i < SENDERS; i++)
		fill_sender(s, i);
	for (uint8_t family = 4; family <= 6; family += 2) { // both addresses are the machine's
		struct bpf_flow flow = bpf_lab_flow(family);
		bpf_lab_own(&s->lab, &flow);
	}
	memcpy(s->mirror.sender, s->lab.sender, sizeof(s->mirror.sender));
	memset(s->mirror.window, 0, sizeof(s->mirror.window));
	memset(s->mirror.small, 0, sizeof(s->mirror.small));
	memset(s->count, 0, sizeof(s->count));
	memset(s->sequence, 0, sizeof(s->sequence));
	memset(s->seen, 0, sizeof(s->seen));
}

// ---------------------------------------------------------------- packets

static uint32_t draw_count(struct scene *s, uint32_t i)
{
	switch (draw(12)) {
	case 0:
		return s->count[i]; // again
	case 1:
		return s->count[i] - draw(3000); // from before, perhaps from before the beginning
	case 2:
		return s->count[i] += draw(2000);
	default:
		return ++s->count[i];
	}
}

static void draw_datagram(struct scene *s, uint32_t i)
{
	uint8_t stream = (uint8_t)draw(STREAMS);
	uint16_t sequence = draw(6) ? ++s->sequence[i][stream] : s->sequence[i][stream];
	struct packet_rtp rtp = { .ssrc = packet_ssrc(s->lab.sender[i].index, stream), .timestamp = sequence * 960u, .sequence = sequence,
				  .payload_type = PACKET_PT_OPUS, .temporal_id = (uint8_t)draw(8), .is_frame_start = draw(2) };
	static const size_t sizes[] = { 60, 61, 200, 200, 304, 305, 1200, 1201, 59, 44, 43, 39, 40, 16, 4, 3, 0 };
	s->size = draw(4) ? 200 : sizes[draw(sizeof(sizes) / sizeof(*sizes))];
	for (size_t k = 0; k < sizeof(s->datagram); k++)
		s->datagram[k] = (uint8_t)draw(256);
	packet_rtp_emit(&rtp, s->datagram + PACKET_HEADER_BYTES);
	uint32_t type = draw(10) ? PACKET_MEDIA : draw(4);
	uint32_t handle = packet_handle((enum packet_type)type, draw(15) ? i % 3 : draw(5), draw(30) ? i : draw(1 << 20));
	if (draw(5) == 0)
		s->datagram[16 + draw(24)] ^= (uint8_t)(1u << draw(8)); // tagged all the same
	packet_stamp(bpf_lab_key(), handle, draw_count(s, i), s->datagram, s->size < 44 ? 44 : s->size);
	if (draw(6) == 0)
		s->datagram[draw(HEADERS_MAX)] ^= (uint8_t)(1u << draw(8));
	if (draw(20) == 0)
		s->size += draw(3) - 1;
	if (s->size > sizeof(s->datagram) / 2)
		s->size = 1201;
}

static void draw_flow(struct scene *s, uint32_t i)
{
	s->flow = s->home[draw(12) ? i : draw(SENDERS)];
	if (draw(30) == 0)
		s->flow.source[draw(s->flow.family == 4 ? 4 : 16)] ^= 1;
	if (draw(30) == 0)
		s->flow.source_port ^= 1;
	if (draw(20) == 0)
		s->flow.destination_port = BPF_LAB_RELAY_PORT;
}

// ---------------------------------------------------------------- the same in user space

static struct fanout_packet packet_of(const struct scene *s)
{
	struct fanout_packet p = { .peer_port_be = htons(s->flow.source_port), .size = (uint16_t)s->size };
	if (s->size >= FANOUT_HEAD_BYTES)
		memcpy(p.head, s->datagram, FANOUT_HEAD_BYTES);
	bpf_lab_mapped(s->flow.family, s->flow.source, p.peer);
	return p;
}

static struct fanout_slot *slot_of(struct scene *s, uint64_t history, const struct fanout_packet *p)
{
	if (history == 0 || p->size > FANOUT_SMALL_BYTES)
		return NULL;
	return (struct fanout_slot *)(s->mirror.small + (size_t)fanout_slot_index(history, fanout_sequence(p)) * FANOUT_SMALL_SLOT);
}

static enum fanout_counter admit(struct scene *s)
{
	struct fanout_packet p = packet_of(s);
	bool is_leg = s->flow.destination_port == BPF_LAB_RELAY_PORT; // of a relay that nobody knows
	uint32_t index = fanout_index(&p);
	struct fanout_sender *sender = !is_leg && index < BPF_LAB_SENDERS ? &s->mirror.sender[index] : NULL;
	enum fanout_counter verdict = fanout_judge(&p, sender, sender ? &s->mirror.window[index] : NULL);
	if (verdict != FANOUT_FORWARD)
		return verdict;
	struct fanout_stream *stream = &sender->stream[fanout_stream_id(&p)];
	if (stream->block == 0)
		return FANOUT_up_stream;
	struct fanout_slot *slot = slot_of(s, stream->history, &p);
	verdict = fanout_commit(&p, sender, &s->mirror.window[index], slot, 0);
	if (verdict != FANOUT_FORWARD)
		return verdict;
	if (slot && fanout_slot_lock(slot, &p)) {
		memcpy(slot->bytes, s->datagram, s->size);
		fanout_slot_unlock(slot);
	}
	return FANOUT_media_received;
}

// ---------------------------------------------------------------- comparison

static enum fanout_counter counted(struct scene *s)
{
	struct fanout_counters now = bpf_lab_counters(&s->lab);
	enum fanout_counter found = FANOUT_COUNTERS;
	for (int k = 0; k < FANOUT_COUNTERS; k++) {
		uint64_t more = now.counter[k] - s->lab.counted.counter[k];
		if (more == 0 || k == FANOUT_history_skipped)
			continue;
		if (more != 1 || found != FANOUT_COUNTERS)
			fail_msg("counters %d and %d", (int)found, k);
		found = (enum fanout_counter)k;
	}
	s->lab.counted = now;
	return found;
}

static bool is_up(enum fanout_counter verdict) { return verdict >= FANOUT_UPS_FIRST && verdict < FANOUT_COUNTS_FIRST; }

static void compare(struct scene *s, int program, bool is_xdp)
{
	reset(s);
	for (unsigned long round = 0; round < rounds; round++) {
		uint64_t before = seed;
		uint32_t i = draw(SENDERS);
		draw_datagram(s, i);
		draw_flow(s, i);
		struct bpf_run run = { .program = program, .frame = s->frame };
		run.size = bpf_frame_make(&s->flow, s->datagram, s->size, s->frame);
		enum fanout_counter expected = admit(s);
		int verdict = bpf_lab_run(&run);
		enum fanout_counter found = counted(s);
		int pass = is_xdp ? (int)XDP_PASS : (int)TCX_NEXT, drop = is_xdp ? (int)XDP_DROP : (int)TCX_DROP;
		if (is_xdp && is_up(expected))
			assert_int_equal(found, FANOUT_COUNTERS); // T counts it
		else if (found != expected)
			fail_msg("round %lu, seed %llu: %d in the kernel, %d in user space", round, (unsigned long long)before, (int)found, (int)expected);
		if (verdict != (is_up(expected) ? pass : drop))
			fail_msg("round %lu, seed %llu: verdict %d", round, (unsigned long long)before, verdict);
		s->seen[expected]++;
	}
	assert_memory_equal(s->lab.window, s->mirror.window, sizeof(s->mirror.window));
	assert_memory_equal(s->lab.small, s->mirror.small, sizeof(s->mirror.small));
}

// The packets were of all kinds: a comparison of refusals only would prove little.
static void expect_variety(const struct scene *s)
{
	static const enum fanout_counter each[] = {
		FANOUT_packet_malformed, FANOUT_handle_unknown, FANOUT_address_foreign, FANOUT_tag_wrong, FANOUT_counter_replayed,
		FANOUT_rtp_malformed, FANOUT_ssrc_foreign, FANOUT_send_not_allowed, FANOUT_stream_limit, FANOUT_media_repeated,
		FANOUT_up_hop, FANOUT_up_foreign, FANOUT_up_stream, FANOUT_media_received,
	};
	for (size_t i = 0; i < sizeof(each) / sizeof(*each); i++)
		assert_true(s->seen[each[i]] >= rounds / 5000);
}

static void tcx_as_user_space(void **state)
{
	struct scene *s = scene_of(state);
	compare(s, bpf_program__fd(s->lab.programs->progs.fanout_tcx), false);
	expect_variety(s);
}

static void xdp_as_user_space(void **state)
{
	struct scene *s = scene_of(state);
	compare(s, bpf_program__fd(s->lab.programs->progs.fanout_xdp), true);
	expect_variety(s);
}

// Headers of every shape: what is taken as media is a whole packet from the sender's address to our port, by a strict
// reader's judgement. (Checksums are the receivers' business: they are carried on, wrong ones as wrong.)
static void only_whole_packets_are_taken(void **state)
{
	struct scene *s = scene_of(state);
	int programs[] = { bpf_program__fd(s->lab.programs->progs.fanout_tcx), bpf_program__fd(s->lab.programs->progs.fanout_xdp) };
	unsigned long taken = 0;
	reset(s);
	for (unsigned long round = 0; round < rounds; round++) {
		uint32_t i = draw(2);
		s->flow = s->home[i];
		s->size = 100;
		bpf_lab_datagram(&s->lab, 0, (uint16_t)round, s->datagram, s->size);
		struct packet_rtp rtp = { .ssrc = packet_ssrc(s->lab.sender[i].index, 0), .sequence = (uint16_t)round };
		packet_rtp_emit(&rtp, s->datagram + PACKET_HEADER_BYTES);
		packet_stamp(bpf_lab_key(), s->lab.sender[i].handle, ++s->count[i], s->datagram, s->size);
		struct bpf_run run = { .program = programs[draw(2)], .frame = s->frame };
		run.size = bpf_frame_make(&s->flow, s->datagram, s->size, s->frame);
		for (uint32_t k = draw(3); k > 0; k--)
			s->frame[12 + draw((uint32_t)bpf_frame_udp(&s->flow) - 4)] ^= (uint8_t)(1u << draw(8));
		if (draw(10) == 0)
			run.size -= draw(90);
		else if (draw(10) == 0)
			run.size += draw(90);
		if (bpf_lab_run(&run) < 0)
			continue; // the kernel does not even begin with it
		struct fanout_counters now = bpf_lab_counters(&s->lab);
		if (now.counter[FANOUT_media_received] != s->lab.counted.counter[FANOUT_media_received]) {
			struct bpf_flow flow = { 0 };
			const uint8_t *payload;
			size_t size;
			const char *wrong = bpf_frame_read(s->frame, run.size, &flow, &payload, &size);
			if (wrong && !strstr(wrong, "checksum") && !strstr(wrong, "flow label") && !strstr(wrong, "fragment bits"))
				fail_msg("round %lu: %s", round, wrong);
			if (!wrong || strstr(wrong, "UDP checksum")) {
				assert_int_equal(flow.destination_port, BPF_LAB_PORT);
				assert_memory_equal(flow.source, s->flow.source, flow.family == 4 ? 4 : 16);
				assert_memory_equal(payload, s->datagram, s->size);
			}
			taken++;
		}
		s->lab.counted = now;
	}
	assert_in_range(taken, rounds / 10, rounds * 9 / 10);
}

int main(void)
{
	if (getenv("ROUNDS"))
		rounds = strtoul(getenv("ROUNDS"), NULL, 10);
	if (getenv("SEED"))
		seed = strtoull(getenv("SEED"), NULL, 10) | 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcx_as_user_space),
		cmocka_unit_test(xdp_as_user_space),
		cmocka_unit_test(only_whole_packets_are_taken),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
