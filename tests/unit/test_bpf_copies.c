// Every copy that the programs make, seen on a wire: addresses, ports, checksums, marks and tag are the receiver's, the
// payload is the sender's, and each receiver gets it exactly once. SPDX-License-Identifier: Apache-2.0
#include "kernel-bpf/fanout.skel.h"
#include "tests/fake/bpf_lab.h"
#include "tests/fake/bpf_wire.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SLOT = 1, SLOT_VLAN = 2, COPIES_MAX = 250, RECORDS_MAX = 256, VLAN = 5, LATE_MS = 200, QUIET_MS = 5, TRAIN_MAX = 64 };

static const char *skip_reason;

struct scene {
	struct bpf_lab lab;
	struct bpf_wire wire;
	struct fanout_receiver record[RECORDS_MAX];
	size_t records;
	uint8_t datagram[TRAIN_MAX][PACKET_MAX_BYTES];
	size_t size[TRAIN_MAX], datagrams;
	struct bpf_wire_frame sent, came;
	uint32_t seen[RECORDS_MAX][TRAIN_MAX];
	size_t came_count; // datagrams
	size_t trains;     // copies that came as one
};

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	*state = s;
	if (!s)
		return -1;
	if (!bpf_lab_open(&s->lab, &skip_reason))
		return 0;
	skip_reason = NULL;
	return bpf_wire_open(&s->wire) ? 0 : -1;
}

static int teardown(void **state)
{
	struct scene *s = *state;
	bpf_wire_close(&s->wire);
	bpf_lab_close(&s->lab);
	free(s);
	return 0;
}

enum engine { ENGINE_TCX, ENGINE_XDP };

static struct scene *scene_of(void **state, enum engine engine)
{
	if (skip_reason) {
		print_message("skipped: %s\n", skip_reason);
		skip();
	}
	struct scene *s = *state;
	bpf_wire_detach(&s->wire);
	assert_true(bpf_wire_attach_tcx(&s->wire, &s->lab, "r0"));
	if (engine == ENGINE_XDP)
		assert_true(bpf_wire_attach_xdp(&s->wire, &s->lab, "r0"));
	return s;
}

// ---------------------------------------------------------------- who receives

static void reset(struct scene *s)
{
	bpf_lab_reset(&s->lab);
	assert_true(bpf_lab_device(&s->lab, SLOT, "r1", 0));
	assert_int_equal(bpf_lab_device(&s->lab, SLOT_VLAN, "r1.5", 0), s->wire.has_vlan);
	s->records = s->datagrams = 0;
}

static void add(struct scene *s, uint8_t family, uint8_t device, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		s->record[s->records] = bpf_lab_receiver(family, (uint16_t)(s->records + 1), device);
		s->records++;
	}
}

static void own(struct scene *s, size_t at)
{
	s->record[at].member = BPF_LAB_MEMBER;
	s->lab.sender[BPF_LAB_SENDER].stream[0].position = (uint16_t)at;
}

static void publish(struct scene *s)
{
	uint32_t copies = (uint32_t)s->records;
	for (uint32_t n = copies > 1 ? copies - 1 : 1; n <= copies; n++)
		assert_true(bpf_lab_copies(&s->lab, SLOT, "r1", n));
	bpf_lab_extent(&s->lab, BPF_LAB_BLOCK, BPF_LAB_FIRST, s->record, s->records, FANOUT_EXTENT_TCX | FANOUT_EXTENT_XDP);
}

// ---------------------------------------------------------------- what is sent

static void datagram(struct scene *s, uint8_t stream, size_t size)
{
	s->size[s->datagrams] = size;
	bpf_lab_datagram(&s->lab, stream, (uint16_t)(s->datagrams + 1), s->datagram[s->datagrams], size);
	s->datagrams++;
}

// All datagrams in one frame.
static void send_frame(struct scene *s, const struct bpf_flow *flow)
{
	static uint8_t payload[BPF_FRAME_MAX];
	size_t size = 0;
	for (size_t i = 0; i < s->datagrams; i++) {
		memcpy(payload + size, s->datagram[i], s->size[i]);
		size += s->size[i];
	}
	s->sent.size = bpf_frame_make(flow, payload, size, s->sent.bytes);
	s->sent.is_partial = flow->is_partial;
	s->sent.gso_bytes = s->datagrams > 1 ? (uint16_t)s->size[0] : 0;
	bpf_lab_mark(&s->lab);
	assert_true(bpf_wire_send(&s->wire, &s->sent, flow));
}

// ---------------------------------------------------------------- what must come

static size_t record_of(const struct scene *s, const struct bpf_flow *flow)
{
	for (size_t i = 0; i < s->records; i++) {
		if (ntohs(s->record[i].destination_port_be) == flow->destination_port)
			return i;
	}
	fail_msg("a copy to port %u", flow->destination_port);
	return 0;
}

static void expect_headers(const struct bpf_flow *flow, const struct fanout_receiver *r, bool is_unchecked)
{
	size_t bytes = r->family == FANOUT_IPV4 ? 4 : 16;
	assert_memory_equal(flow->to, r->next_hop, BPF_FRAME_MAC_BYTES);
	assert_memory_equal(flow->from, r->own, BPF_FRAME_MAC_BYTES);
	assert_int_equal(flow->family, r->family);
	assert_memory_equal(flow->source, r->source, bytes);
	assert_memory_equal(flow->destination, r->destination, bytes);
	assert_int_equal(flow->source_port, ntohs(r->source_port_be));
	assert_int_equal(flow->traffic_class, r->traffic_class);
	assert_int_equal(flow->hops, 64);
	assert_int_equal(flow->vlan, r->device == SLOT_VLAN ? VLAN : ntohs(r->vlan_be));
	assert_int_equal(flow->is_unchecked, is_unchecked);
}

static void see(struct scene *s, size_t record, const uint8_t *payload, size_t size)
{
	for (size_t i = 0; i < s->datagrams; i++) {
		if (s->size[i] == size && memcmp(s->datagram[i], payload, size) == 0) {
			s->seen[record][i]++;
			s->came_count++;
			return;
		}
	}
	fail_msg("%zu bytes that nobody sent", size);
}

static void read_copy(struct scene *s, bool is_unchecked)
{
	struct bpf_flow flow = { .is_partial = s->came.is_partial };
	const uint8_t *payload;
	size_t size;
	const char *wrong = bpf_frame_read(s->came.bytes, s->came.size, &flow, &payload, &size);
	if (wrong)
		fail_msg("%s", wrong);
	size_t record = record_of(s, &flow), step = s->came.gso_bytes ? s->came.gso_bytes : size;
	expect_headers(&flow, &s->record[record], is_unchecked);
	s->trains += s->came.gso_bytes != 0;
	for (size_t at = 0; at < size; at += step)
		see(s, record, payload + at, size - at < step ? size - at : step);
}

static bool is_due(const struct fanout_receiver *r) { return r->member != BPF_LAB_MEMBER && r->family != FANOUT_OUTSIDE; }

static size_t expected(const struct scene *s)
{
	size_t receivers = 0;
	for (size_t i = 0; i < s->records; i++)
		receivers += is_due(&s->record[i]);
	return receivers * s->datagrams;
}

// Each receiver but the sender gets each datagram once.
static void expect_copies(struct scene *s, bool is_unchecked)
{
	memset(s->seen, 0, sizeof(s->seen));
	s->trains = s->came_count = 0;
	while (bpf_wire_receive(&s->wire, s->came_count < expected(s) ? LATE_MS : QUIET_MS, &s->came))
		read_copy(s, is_unchecked);
	uint64_t copies = 0;
	for (size_t i = 0; i < s->records; i++) {
		uint32_t due = is_due(&s->record[i]);
		for (size_t k = 0; k < s->datagrams; k++) {
			if (s->seen[i][k] != due)
				fail_msg("receiver %zu of %zu got datagram %zu %u times", i, s->records, k, s->seen[i][k]);
			copies += due;
		}
	}
	assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_media_received), s->datagrams);
	assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_media_forwarded), copies);
}

static void expect_counter(struct scene *s, enum fanout_counter counter, uint64_t count)
{
	assert_int_equal(bpf_lab_counted(&s->lab, counter), count);
}

static void expect_nothing(struct scene *s)
{
	assert_false(bpf_wire_receive(&s->wire, QUIET_MS, &s->came));
}

// One packet of each size and sender's family to `ipv4` and `ipv6` receivers.
static void forward_one(struct scene *s, uint8_t family, size_t ipv4, size_t ipv6, size_t size, struct bpf_flow *flow)
{
	reset(s);
	*flow = bpf_lab_flow(family);
	bpf_lab_move(&s->lab, flow);
	add(s, FANOUT_IPV4, SLOT, ipv4);
	add(s, FANOUT_IPV6, SLOT, ipv6);
	publish(s);
	datagram(s, 0, size);
}

static void forward_families(struct scene *s, bool is_partial)
{
	static const size_t sizes[] = { 60, 61, 177, 1200 };
	static const size_t crowds[][2] = { { 1, 0 }, { 3, 0 }, { 0, 1 }, { 0, 3 }, { 1, 1 }, { 4, 3 } };
	for (uint8_t family = 4; family <= 6; family += 2) {
		for (size_t i = 0; i < sizeof(crowds) / sizeof(*crowds); i++) {
			for (size_t k = 0; k < sizeof(sizes) / sizeof(*sizes); k++) {
				struct bpf_flow flow;
				forward_one(s, family, crowds[i][0], crowds[i][1], sizes[k], &flow);
				flow.is_partial = is_partial;
				send_frame(s, &flow);
				expect_copies(s, false);
			}
		}
	}
}

static void tcx_families(void **state) { forward_families(scene_of(state, ENGINE_TCX), false); }
static void tcx_checksum_left_to_the_card(void **state) { forward_families(scene_of(state, ENGINE_TCX), true); }
static void xdp_families(void **state)
{
	struct scene *s = scene_of(state, ENGINE_XDP);
	forward_families(s, false);
	expect_counter(s, FANOUT_up_xdp, 0);
}

// X leaves to T what has no checksum yet.
static void xdp_checksum_left_to_the_card(void **state)
{
	struct scene *s = scene_of(state, ENGINE_XDP);
	forward_families(s, true);
	expect_counter(s, FANOUT_up_xdp, 1);
}

static void no_checksum(void **state)
{
	for (enum engine engine = ENGINE_TCX; engine <= ENGINE_XDP; engine++) {
		struct scene *s = scene_of(state, engine);
		struct bpf_flow flow;
		forward_one(s, 4, 3, 0, 500, &flow);
		flow.is_unchecked = true;
		send_frame(s, &flow);
		expect_copies(s, true);
		expect_counter(s, FANOUT_up_xdp, 0);
	}
}

// The sender is among the receivers, anywhere; the hint is right, wrong, or not there.
static void sender_is_left_out(void **state)
{
	static const size_t positions[] = { 0, 2, 4, 5, 7 };
	for (enum engine engine = ENGINE_TCX; engine <= ENGINE_XDP; engine++) {
		struct scene *s = scene_of(state, engine);
		for (size_t i = 0; i < 3 * sizeof(positions) / sizeof(*positions); i++) {
			struct bpf_flow flow;
			forward_one(s, 4, 5, 3, 300, &flow);
			own(s, positions[i / 3]);
			publish(s);
			uint16_t hints[] = { (uint16_t)positions[i / 3], 1, FANOUT_NOWHERE };
			s->lab.sender[BPF_LAB_SENDER].stream[0].position = hints[i % 3];
			send_frame(s, &flow);
			expect_copies(s, false);
		}
	}
}

static void sender_alone(void **state)
{
	for (enum engine engine = ENGINE_TCX; engine <= ENGINE_XDP; engine++) {
		struct scene *s = scene_of(state, engine);
		struct bpf_flow flow;
		forward_one(s, 4, 1, 0, 300, &flow);
		own(s, 0);
		publish(s);
		send_frame(s, &flow);
		expect_copies(s, false);
	}
}

static void many_receivers(void **state)
{
	for (enum engine engine = ENGINE_TCX; engine <= ENGINE_XDP; engine++) {
		struct scene *s = scene_of(state, engine);
		struct bpf_flow flow;
		forward_one(s, 6, 100, COPIES_MAX - 100, 1000, &flow);
		own(s, 130);
		publish(s);
		send_frame(s, &flow);
		expect_copies(s, false);
	}
}

// Several packets at once: X's copies of one must not take the receivers of another.
static void packets_close_together(void **state)
{
	for (enum engine engine = ENGINE_TCX; engine <= ENGINE_XDP; engine++) {
		struct scene *s = scene_of(state, engine);
		struct bpf_flow flow;
		forward_one(s, 4, 5, 2, 400, &flow);
		for (int i = 1; i < 30; i++) {
			s->sent.size = bpf_frame_make(&flow, s->datagram[i - 1], s->size[i - 1], s->sent.bytes);
			s->sent.is_partial = false;
			s->sent.gso_bytes = 0;
			if (i == 1)
				bpf_lab_mark(&s->lab);
			assert_true(bpf_wire_send(&s->wire, &s->sent, &flow));
			datagram(s, 0, 400 + (size_t)i);
		}
		s->datagrams--; // the last one was not sent
		expect_copies(s, false);
	}
}

// T sends by the VLAN device, which puts the tag in.
static void tcx_tags(void **state)
{
	struct scene *s = scene_of(state, ENGINE_TCX);
	if (!s->wire.has_vlan) {
		print_message("skipped: this kernel has no VLAN devices\n");
		skip();
	}
	struct bpf_flow flow;
	forward_one(s, 4, 0, 0, 300, &flow);
	add(s, FANOUT_IPV4, SLOT_VLAN, 2);
	add(s, FANOUT_IPV4, SLOT, 1);
	add(s, FANOUT_IPV6, SLOT_VLAN, 2);
	publish(s);
	send_frame(s, &flow);
	expect_copies(s, false);
}

// X puts the tag in by itself.
static void xdp_tags(void **state)
{
	struct scene *s = scene_of(state, ENGINE_XDP);
	for (int i = 0; i < 2; i++) {
		struct bpf_flow flow;
		forward_one(s, 6, 3, 3, 300, &flow);
		s->record[1].vlan_be = s->record[4].vlan_be = htons(VLAN);
		publish(s);
		flow.vlan = i ? VLAN : 0; // the incoming packet has one too
		send_frame(s, &flow);
		expect_copies(s, false);
		expect_counter(s, FANOUT_up_xdp, 0);
	}
}

static void some_outside(void **state)
{
	struct scene *s = scene_of(state, ENGINE_TCX);
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct bpf_flow flow;
		forward_one(s, family, 2, 2, 300, &flow);
		add(s, FANOUT_OUTSIDE, 0, 1);
		publish(s);
		send_frame(s, &flow);
		expect_copies(s, false);
		expect_counter(s, FANOUT_up_outside, 1);
	}
}

static void room_of_another(void **state)
{
	for (enum engine engine = ENGINE_TCX; engine <= ENGINE_XDP; engine++) {
		struct scene *s = scene_of(state, engine);
		struct bpf_flow flow;
		forward_one(s, 4, 4, 0, 300, &flow);
		struct fanout_receiver stranger = s->record[3];
		stranger.room++;
		s->lab.receiver[BPF_LAB_FIRST + 4] = stranger;
		s->records = 3; // what may come
		send_frame(s, &flow);
		expect_copies(s, false);
		expect_counter(s, FANOUT_room_foreign, 1);
	}
}

// A block that leads to another room's list, by whatever mistake: nobody gets anything.
static void list_of_another_room(void **state)
{
	for (enum engine engine = ENGINE_TCX; engine <= ENGINE_XDP; engine++) {
		struct scene *s = scene_of(state, engine);
		struct bpf_flow flow;
		forward_one(s, 4, 4, 0, 300, &flow);
		s->lab.sender[BPF_LAB_SENDER].room++;
		send_frame(s, &flow);
		expect_nothing(s);
		expect_counter(s, FANOUT_room_foreign, 4);
		expect_counter(s, FANOUT_media_forwarded, 0);
	}
}

// ---------------------------------------------------------------- trains

static void train(struct scene *s, uint8_t family, size_t ipv4, size_t ipv6, size_t count, size_t bytes, size_t last)
{
	struct bpf_flow flow;
	forward_one(s, family, ipv4, ipv6, bytes, &flow);
	for (size_t i = 1; i < count; i++)
		datagram(s, 0, i + 1 == count ? last : bytes);
	flow.is_partial = true;
	send_frame(s, &flow);
}

static void trains_of_all_sizes(void **state)
{
	static const size_t shapes[][3] = { { 2, 200, 200 }, { 8, 1100, 1100 }, { 8, 1200, 60 }, { 30, 333, 61 }, { 54, 1200, 1200 }, { 64, 60, 60 } };
	static const size_t crowds[][2] = { { 3, 0 }, { 0, 3 }, { 3, 2 } };
	struct scene *s = scene_of(state, ENGINE_TCX);
	for (size_t i = 0; i < 2 * sizeof(shapes) / sizeof(*shapes); i++) {
		for (size_t k = 0; k < sizeof(crowds) / sizeof(*crowds); k++) {
			const size_t *shape = shapes[i / 2], *crowd = crowds[k];
			train(s, i & 1 ? 6 : 4, crowd[0], crowd[1], shape[0], shape[1], shape[2]);
			expect_copies(s, false);
			assert_int_equal(s->trains, crowd[0] + crowd[1]);
			expect_counter(s, FANOUT_trains, 1);
			expect_counter(s, FANOUT_train_packets, s->datagrams);
		}
	}
}

static void trains_cut_in_software(void **state)
{
	struct scene *s = scene_of(state, ENGINE_TCX);
	assert_int_equal(system("ethtool -K r1 tx-udp-segmentation off"), 0);
	train(s, 4, 3, 2, 8, 1100, 500);
	expect_copies(s, false);
	assert_int_equal(system("ethtool -K r1 tx-udp-segmentation on"), 0);
	assert_int_equal(s->trains, 0);
}

static void trains_of_two_streams(void **state)
{
	struct scene *s = scene_of(state, ENGINE_TCX);
	struct bpf_flow flow;
	forward_one(s, 4, 3, 0, 400, &flow);
	s->lab.sender[BPF_LAB_SENDER].stream[1].block = BPF_LAB_BLOCK;
	datagram(s, 1, 400);
	datagram(s, 0, 100);
	flow.is_partial = true;
	send_frame(s, &flow);
	expect_copies(s, false);
	assert_int_equal(s->lab.sender[BPF_LAB_SENDER].stream[0].packets, 2);
	assert_int_equal(s->lab.sender[BPF_LAB_SENDER].stream[1].packets, 1);
}

static void trains_fill_history(void **state)
{
	struct scene *s = scene_of(state, ENGINE_TCX);
	struct bpf_flow flow;
	forward_one(s, 4, 2, 0, 600, &flow);
	s->lab.sender[BPF_LAB_SENDER].stream[0].history = FANOUT_HISTORY(0, 5, 1);
	for (int i = 1; i < 10; i++)
		datagram(s, 0, 600);
	flow.is_partial = true;
	send_frame(s, &flow);
	expect_copies(s, false);
	for (size_t i = 0; i < 10; i++) {
		const struct fanout_slot *slot = (const void *)(s->lab.large + (i + 1) * FANOUT_LARGE_SLOT);
		assert_int_equal(slot->sequence, i + 1);
		assert_memory_equal(slot->bytes, s->datagram[i], 600);
	}
}

// One bad datagram: nothing is forwarded, no counter is taken.
static void trains_with_a_flaw(void **state)
{
	enum flaw { TAG, COUNTER_BACK, COUNTER_TAKEN, OTHER_BLOCK, UNKNOWN_STREAM, HOP, SHORT_LAST, REPEATED, FLAWS };
	struct scene *s = scene_of(state, ENGINE_TCX);
	for (int flaw = 0; flaw < FLAWS; flaw++) {
		struct bpf_flow flow;
		forward_one(s, 4, 3, 0, 400, &flow);
		struct fanout_sender *sender = &s->lab.sender[BPF_LAB_SENDER];
		sender->stream[1].block = BPF_LAB_BLOCK + 1;
		for (int i = 1; i < 5; i++)
			datagram(s, 0, i == 4 && flaw == SHORT_LAST ? 59 : 400);
		if (flaw == TAG)
			s->datagram[4][9] ^= 1;
		if (flaw == COUNTER_BACK) {
			s->lab.count = 1;
			bpf_lab_stamp(&s->lab, bpf_lab_handle(), s->datagram[3], 400);
		}
		if (flaw == COUNTER_TAKEN)
			s->lab.window[BPF_LAB_SENDER].slot[4] = 4;
		if (flaw == OTHER_BLOCK || flaw == UNKNOWN_STREAM) {
			s->datagram[4][27] = flaw == OTHER_BLOCK ? 1 : 2;
			bpf_lab_stamp(&s->lab, bpf_lab_handle(), s->datagram[4], 400);
		}
		if (flaw == HOP)
			bpf_lab_stamp(&s->lab, bpf_lab_handle() | 1u << 30, s->datagram[2], 400);
		if (flaw == REPEATED) {
			sender->stream[0].history = FANOUT_HISTORY(0, 5, 1);
			struct fanout_slot *slot = (void *)(s->lab.large + 5 * FANOUT_LARGE_SLOT);
			*slot = (struct fanout_slot){ .ssrc = packet_ssrc(BPF_LAB_MEMBER, 0), .timestamp = 5 * 960, .sequence = 5, .size = 400 };
		}
		struct fanout_window before = s->lab.window[BPF_LAB_SENDER];
		flow.is_partial = true;
		send_frame(s, &flow);
		expect_nothing(s);
		expect_counter(s, FANOUT_up_train, 1);
		expect_counter(s, FANOUT_media_received, 0);
		assert_memory_equal(&before, &s->lab.window[BPF_LAB_SENDER], sizeof(before));
	}
}

static void trains_beyond_the_rate(void **state)
{
	struct scene *s = scene_of(state, ENGINE_TCX);
	struct bpf_flow flow;
	forward_one(s, 4, 3, 0, 400, &flow);
	s->lab.sender[BPF_LAB_SENDER].ns_per_kib = UINT32_MAX;
	datagram(s, 0, 400);
	flow.is_partial = true;
	send_frame(s, &flow);
	expect_nothing(s);
	expect_counter(s, FANOUT_rate_limit, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcx_families),
		cmocka_unit_test(tcx_checksum_left_to_the_card),
		cmocka_unit_test(xdp_families),
		cmocka_unit_test(xdp_checksum_left_to_the_card),
		cmocka_unit_test(no_checksum),
		cmocka_unit_test(sender_is_left_out),
		cmocka_unit_test(sender_alone),
		cmocka_unit_test(many_receivers),
		cmocka_unit_test(packets_close_together),
		cmocka_unit_test(tcx_tags),
		cmocka_unit_test(xdp_tags),
		cmocka_unit_test(some_outside),
		cmocka_unit_test(room_of_another),
		cmocka_unit_test(list_of_another_room),
		cmocka_unit_test(trains_of_all_sizes),
		cmocka_unit_test(trains_cut_in_software),
		cmocka_unit_test(trains_of_two_streams),
		cmocka_unit_test(trains_fill_history),
		cmocka_unit_test(trains_with_a_flaw),
		cmocka_unit_test(trains_beyond_the_rate),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
