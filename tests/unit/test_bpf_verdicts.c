// What the programs do with one packet, by a table of cases: each reason to drop it or to pass it up, and what is none of
// their business. SPDX-License-Identifier: Apache-2.0
#include "kernel-bpf/fanout.skel.h"
#include "tests/fake/bpf_lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { SLOT = 1, MEDIA_BYTES = 200 };
#define NOTHING FANOUT_COUNTERS // is counted

static const char *skip_reason;

// What a case changes: the table, the datagram before its tag is made or after, the frame.
struct scene {
	struct bpf_lab lab;
	struct bpf_flow flow;
	uint8_t datagram[2048];
	size_t size;
	uint8_t frame[4096];
	size_t frame_size;
	struct bpf_run run;
};

struct verdict_case {
	const char *name;
	enum fanout_counter reason;
	void (*before)(struct scene *scene); // the frame is made
	void (*after)(struct scene *scene);
};

static struct fanout_sender *sender_of(struct scene *s) { return &s->lab.sender[BPF_LAB_SENDER]; }
static struct fanout_stream *stream_of(struct scene *s) { return &sender_of(s)->stream[0]; }
static uint8_t *ip_of(struct scene *s) { return s->frame + bpf_frame_ip(&s->flow); }
static uint8_t *udp_of(struct scene *s) { return s->frame + bpf_frame_udp(&s->flow); }
static struct fanout_extent *extent_of(struct scene *s) { return (struct fanout_extent *)&s->lab.receiver[BPF_LAB_FIRST]; }
static struct fanout_receiver *record_of(struct scene *s, int i) { return &s->lab.receiver[BPF_LAB_FIRST + 1 + i]; }

static void restamp(struct scene *s, uint32_t handle) { bpf_lab_stamp(&s->lab, handle, s->datagram, s->size); }

static void make_datagram(struct scene *s, size_t size)
{
	s->size = size;
	bpf_lab_datagram(&s->lab, 0, 1, s->datagram, size);
}

// ---------------------------------------------------------------- refused

static void too_short(struct scene *s) { make_datagram(s, 59); }
static void too_long(struct scene *s) { make_datagram(s, 1201); }
static void nothing_in_it(struct scene *s) { s->size = 0; }
static void three_bytes(struct scene *s) { s->size = 3; }
static void of_type_two(struct scene *s) { restamp(s, packet_handle(PACKET_RESERVED, 1, BPF_LAB_SENDER)); }
static void of_type_message(struct scene *s) { restamp(s, packet_handle(PACKET_MESSAGE, 1, BPF_LAB_SENDER)); }

static void padded_runt(struct scene *s)
{
	memset(s->frame + s->frame_size, 0, 60);
	s->frame_size = 60;
}

static void free_entry(struct scene *s) { restamp(s, packet_handle(PACKET_MEDIA, 1, BPF_LAB_SENDER + 1)); }
static void former_handle(struct scene *s) { restamp(s, packet_handle(PACKET_MEDIA, 2, BPF_LAB_SENDER)); }
static void beyond_the_table(struct scene *s) { restamp(s, packet_handle(PACKET_MEDIA, 1, BPF_LAB_SENDERS)); }
static void unknown_relay(struct scene *s) { s->flow.destination_port = BPF_LAB_RELAY_PORT; }

static void bad_tag(struct scene *s) { s->datagram[8] ^= 1; }
static void changed_head(struct scene *s) { s->datagram[39] ^= 1; }
static void changed_size(struct scene *s) { s->size--; }

static void foreign_and_bad(struct scene *s)
{
	bad_tag(s);
	s->flow.source_port++;
}

static void of_a_connection(struct scene *s) { sender_of(s)->flags |= FANOUT_SENDER_IS_TLS; }

static void replayed(struct scene *s) { s->lab.window[BPF_LAB_SENDER].slot[s->lab.count] = s->lab.count; }
static void too_old(struct scene *s) { s->lab.window[BPF_LAB_SENDER].slot[s->lab.count] = s->lab.count + FANOUT_WINDOW_SLOTS; }

static void counter_zero(struct scene *s)
{
	s->lab.count = UINT32_MAX;
	restamp(s, bpf_lab_handle());
}

static void padding_bit(struct scene *s)
{
	s->datagram[16] |= 0x20;
	restamp(s, bpf_lab_handle());
}

static void other_extension(struct scene *s)
{
	s->datagram[29]++;
	restamp(s, bpf_lab_handle());
}

static void ssrc_of_another(struct scene *s)
{
	s->datagram[26]++;
	restamp(s, bpf_lab_handle());
}

static void may_not_send(struct scene *s) { sender_of(s)->flags &= ~(uint32_t)FANOUT_SENDER_MAY_SEND; }

static void stream_sixteen(struct scene *s)
{
	s->datagram[27] = FANOUT_STREAMS;
	restamp(s, bpf_lab_handle());
}

static void sent_again(struct scene *s)
{
	stream_of(s)->history = FANOUT_HISTORY(0, 6, 0);
	struct fanout_slot *slot = (struct fanout_slot *)(s->lab.small + FANOUT_SMALL_SLOT);
	*slot = (struct fanout_slot){ .ssrc = packet_ssrc(BPF_LAB_MEMBER, 0), .timestamp = 960, .sequence = 1, .size = MEDIA_BYTES };
}

static void beyond_the_rate(struct scene *s) { sender_of(s)->ns_per_kib = UINT32_MAX; }

// ---------------------------------------------------------------- copies that are not made

static void receiver_of_another_room(struct scene *s) { record_of(s, 0)->room++; }
static void device_gone(struct scene *s) { s->lab.config->ifindex[SLOT] = 0; }
static void next_hop_unknown(struct scene *s) { record_of(s, 0)->flags = FANOUT_RECEIVER_LOOKUP; }

// ---------------------------------------------------------------- passed up

static void hop_packet(struct scene *s) { restamp(s, packet_handle(PACKET_HOP, 1, BPF_LAB_SENDER)); }
static void foreign_port(struct scene *s) { s->flow.source_port++; }
static void hop_replayed(struct scene *s)
{
	hop_packet(s);
	replayed(s);
}

static void replayed_from_elsewhere(struct scene *s)
{
	replayed(s);
	foreign_port(s);
}
static void foreign_address(struct scene *s) { s->flow.source[3]++; }
static void foreign_family(struct scene *s)
{
	s->flow = bpf_lab_flow(6);
	bpf_lab_own(&s->lab, &s->flow);
}
static void address_not_proven(struct scene *s) { sender_of(s)->flags &= ~(uint32_t)FANOUT_SENDER_HAS_ADDRESS; }
static void no_block(struct scene *s) { stream_of(s)->block = 0; }
static void served_by_user_space(struct scene *s) { extent_of(s)->flags = 0; }
static void somebody_outside(struct scene *s) { extent_of(s)->count++; }

static void first_fragment(struct scene *s) { ip_of(s)[6] = 0x20; }

static void fragment_ipv6(struct scene *s)
{
	memmove(udp_of(s) + 8, udp_of(s), s->frame_size - bpf_frame_udp(&s->flow));
	memcpy(udp_of(s), (uint8_t[8]){ IPPROTO_UDP, 0, 0, 1 }, 8);
	s->frame_size += 8;
	ip_of(s)[6] = IPPROTO_FRAGMENT;
}

static void extension_ipv6(struct scene *s)
{
	fragment_ipv6(s);
	ip_of(s)[6] = IPPROTO_DSTOPTS;
	memcpy(udp_of(s), (uint8_t[8]){ IPPROTO_UDP, 0, 1, 4 }, 8);
}

static void options_ipv4(struct scene *s)
{
	memmove(udp_of(s) + 4, udp_of(s), s->frame_size - bpf_frame_udp(&s->flow));
	memset(udp_of(s), 1, 4);
	s->frame_size += 4;
	ip_of(s)[0] = 0x46;
}

static void ipv6_from_home(struct scene *s)
{
	s->flow = bpf_lab_flow(6);
	bpf_lab_move(&s->lab, &s->flow);
}

static void udp_length_small(struct scene *s) { udp_of(s)[5] -= 1; }
static void udp_length_large(struct scene *s) { udp_of(s)[5] += 1; }
static void udp_length_none(struct scene *s) { memset(udp_of(s) + 4, 0, 2); }
static void ip_length_large(struct scene *s) { ip_of(s)[3] += 1; }
static void frame_too_long(struct scene *s) { s->frame_size += 10; }
static void frame_too_short(struct scene *s) { s->frame_size -= 10; }

static void no_checksum_for_ipv6(struct scene *s)
{
	s->flow.is_unchecked = true;
	struct fanout_receiver mixed[] = { bpf_lab_receiver(4, 1, SLOT), bpf_lab_receiver(6, 2, SLOT) };
	bpf_lab_extent(&s->lab, BPF_LAB_BLOCK, BPF_LAB_FIRST, mixed, 2, FANOUT_EXTENT_TCX | FANOUT_EXTENT_MIXED);
}

static void narrow_device(struct scene *s) { s->lab.config->mtu[SLOT] = 200; }

static void train_of_odd_kind(struct scene *s)
{
	s->run.gso_size = 100;
	s->run.gso_segs = 2;
}

// ---------------------------------------------------------------- none of our business

static void other_port(struct scene *s) { s->flow.destination_port = 53; }
static void tcp(struct scene *s) { ip_of(s)[9] = IPPROTO_TCP; }
static void arp(struct scene *s) { s->frame[13] = 6; }
static void later_fragment(struct scene *s) { ip_of(s)[7] = 100; }
static void half_a_udp_header(struct scene *s) { s->frame_size = 38; }
static void switched_off(struct scene *s) { s->lab.config->is_enabled = 0; }

static void for_another_machine(struct scene *s)
{
	bad_tag(s);
	s->flow.destination[3] = 200;
}

static void to_another_machine(struct scene *s) { s->flow.destination[3] = 200; }

static void train_to_another_machine(struct scene *s)
{
	train_of_odd_kind(s);
	for_another_machine(s);
}

static const struct verdict_case drops[] = {
	{ "shorter than media", FANOUT_packet_malformed, too_short, NULL },
	{ "longer than a datagram of ours", FANOUT_packet_malformed, too_long, NULL },
	{ "empty", FANOUT_packet_malformed, nothing_in_it, NULL },
	{ "three bytes", FANOUT_packet_malformed, three_bytes, NULL },
	{ "three bytes, padded", FANOUT_packet_malformed, three_bytes, padded_runt },
	{ "type 2", FANOUT_packet_malformed, of_type_two, NULL },
	{ "type 3", FANOUT_packet_malformed, of_type_message, NULL },
	{ "free entry", FANOUT_handle_unknown, free_entry, NULL },
	{ "former handle", FANOUT_handle_unknown, former_handle, NULL },
	{ "index beyond the table", FANOUT_handle_unknown, beyond_the_table, NULL },
	{ "unknown relay", FANOUT_handle_unknown, unknown_relay, NULL },
	{ "foreign address, wrong tag", FANOUT_address_foreign, foreign_and_bad, NULL },
	{ "handle of a connection", FANOUT_address_foreign, of_a_connection, NULL },
	{ "wrong tag", FANOUT_tag_wrong, bad_tag, NULL },
	{ "changed header", FANOUT_tag_wrong, changed_head, NULL },
	{ "changed length", FANOUT_tag_wrong, changed_size, NULL },
	{ "replayed", FANOUT_counter_replayed, replayed, NULL },
	{ "hop control, replayed", FANOUT_counter_replayed, hop_replayed, NULL },
	{ "replayed from another port", FANOUT_counter_replayed, replayed_from_elsewhere, NULL },
	{ "too old", FANOUT_counter_replayed, too_old, NULL },
	{ "counter zero", FANOUT_counter_replayed, counter_zero, NULL },
	{ "padding", FANOUT_rtp_malformed, padding_bit, NULL },
	{ "other extension", FANOUT_rtp_malformed, other_extension, NULL },
	{ "somebody else's SSRC", FANOUT_ssrc_foreign, ssrc_of_another, NULL },
	{ "no right to send", FANOUT_send_not_allowed, may_not_send, NULL },
	{ "stream 16", FANOUT_stream_limit, stream_sixteen, NULL },
	{ "sent again", FANOUT_media_repeated, sent_again, NULL },
	{ "beyond the rate", FANOUT_rate_limit, beyond_the_rate, NULL },
};

static const struct verdict_case ups[] = {
	{ "hop control", FANOUT_up_hop, hop_packet, NULL },
	{ "other port, good tag", FANOUT_up_foreign, foreign_port, NULL },
	{ "other address, good tag", FANOUT_up_foreign, foreign_address, NULL },
	{ "other family, good tag", FANOUT_up_foreign, foreign_family, NULL },
	{ "address not proven", FANOUT_up_foreign, address_not_proven, NULL },
	{ "no block", FANOUT_up_stream, no_block, NULL },
	{ "user space's room", FANOUT_up_user, served_by_user_space, NULL },
	{ "first fragment", FANOUT_up_fragment, NULL, first_fragment },
	{ "IPv6 fragment", FANOUT_up_fragment, ipv6_from_home, fragment_ipv6 },
	{ "IPv4 options", FANOUT_up_options, NULL, options_ipv4 },
	{ "IPv6 extension", FANOUT_up_options, ipv6_from_home, extension_ipv6 },
	{ "UDP length too small", FANOUT_up_length, NULL, udp_length_small },
	{ "UDP length too large", FANOUT_up_length, NULL, udp_length_large },
	{ "UDP length 0", FANOUT_up_length, NULL, udp_length_none },
	{ "IP length too large", FANOUT_up_length, NULL, ip_length_large },
	{ "frame longer than IP", FANOUT_up_length, NULL, frame_too_long },
	{ "frame shorter than IP", FANOUT_up_length, NULL, frame_too_short },
	{ "IPv6 receivers, no checksum", FANOUT_up_checksum, no_checksum_for_ipv6, NULL },
	{ "narrow device", FANOUT_up_mtu, narrow_device, NULL },
	{ "train of another kind", FANOUT_up_train, train_of_odd_kind, NULL },
};

static const struct verdict_case foreign[] = {
	{ "other port", NOTHING, other_port, NULL },
	{ "TCP", NOTHING, NULL, tcp },
	{ "ARP", NOTHING, NULL, arp },
	{ "later fragment", NOTHING, NULL, later_fragment },
	{ "half a UDP header", NOTHING, NULL, half_a_udp_header },
	{ "switched off", NOTHING, switched_off, NULL },
	{ "refused, for another machine", NOTHING, for_another_machine, NULL },
	{ "fragment, for another machine", NOTHING, to_another_machine, first_fragment },
	{ "IPv4 options, for another machine", NOTHING, to_another_machine, options_ipv4 },
	{ "odd length, for another machine", NOTHING, to_another_machine, udp_length_small },
	{ "train, for another machine", NOTHING, train_to_another_machine, NULL },
};

static void prepare(struct scene *s, const struct verdict_case *c, int program)
{
	bpf_lab_reset(&s->lab);
	assert_true(bpf_lab_device(&s->lab, SLOT, "void0", 2));
	struct fanout_receiver records[] = { bpf_lab_receiver(4, 1, SLOT), bpf_lab_receiver(4, 2, SLOT) };
	bpf_lab_extent(&s->lab, BPF_LAB_BLOCK, BPF_LAB_FIRST, records, 2, FANOUT_EXTENT_TCX | FANOUT_EXTENT_XDP);
	s->flow = bpf_lab_flow(4);
	s->run = (struct bpf_run){ .program = program, .frame = s->frame, .mark = 77 };
	make_datagram(s, MEDIA_BYTES);
	if (c->before)
		c->before(s);
	s->frame_size = bpf_frame_make(&s->flow, s->datagram, s->size, s->frame);
	if (c->after)
		c->after(s);
	bpf_lab_mark(&s->lab);
}

static int run(struct scene *s, const struct verdict_case *c, int program)
{
	prepare(s, c, program);
	s->run.size = s->frame_size;
	return bpf_lab_run(&s->run);
}

// Nothing else may be counted.
static void expect_counted(struct scene *s, const struct verdict_case *c)
{
	for (int k = 0; k < FANOUT_COUNTERS; k++) {
		uint64_t counted = bpf_lab_counted(&s->lab, (enum fanout_counter)k);
		if (counted != (k == (int)c->reason))
			fail_msg("%s: counter %d is %llu", c->name, k, (unsigned long long)counted);
	}
}

static void expect_window_untouched(struct scene *s, const struct verdict_case *c)
{
	static const struct fanout_window empty;
	if (memcmp(&s->lab.window[BPF_LAB_SENDER], &empty, sizeof(empty)) != 0)
		fail_msg("%s: a counter was taken", c->name);
}

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	*state = s;
	if (!s)
		return -1;
	if (!bpf_lab_open(&s->lab, &skip_reason))
		return 0;
	skip_reason = NULL;
	return system("ip link add void0 type veth peer name void1 && ip link set void0 up && ip link set void1 up");
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

static int tcx(struct scene *s) { return bpf_program__fd(s->lab.programs->progs.fanout_tcx); }
static int xdp(struct scene *s) { return bpf_program__fd(s->lab.programs->progs.fanout_xdp); }

static void tcx_drops(void **state)
{
	struct scene *s = scene_of(state);
	for (size_t i = 0; i < sizeof(drops) / sizeof(*drops); i++) {
		int verdict = run(s, &drops[i], tcx(s));
		if (verdict != TCX_DROP)
			fail_msg("%s: verdict %d", drops[i].name, verdict);
		expect_counted(s, &drops[i]);
	}
}

static void xdp_drops(void **state)
{
	struct scene *s = scene_of(state);
	for (size_t i = 0; i < sizeof(drops) / sizeof(*drops); i++) {
		int verdict = run(s, &drops[i], xdp(s));
		if (verdict != XDP_DROP)
			fail_msg("%s: verdict %d", drops[i].name, verdict);
		expect_counted(s, &drops[i]);
	}
}

static void tcx_passes_up(void **state)
{
	struct scene *s = scene_of(state);
	for (size_t i = 0; i < sizeof(ups) / sizeof(*ups); i++) {
		prepare(s, &ups[i], tcx(s));
		s->run.size = s->frame_size;
		s->run.mark = FANOUT_MARK(BPF_LAB_FIRST, 42); // would say that the kernel has served it
		int verdict = bpf_lab_run(&s->run);
		if (verdict != TCX_NEXT || s->run.mark_after != 0)
			fail_msg("%s: verdict %d, mark %u", ups[i].name, verdict, s->run.mark_after);
		expect_counted(s, &ups[i]);
		expect_window_untouched(s, &ups[i]);
	}
}

// X leaves counting to T, which gets the packet next, but for rooms that are T's.
static void xdp_passes_up(void **state)
{
	struct scene *s = scene_of(state);
	for (size_t i = 0; i < sizeof(ups) / sizeof(*ups); i++) {
		struct verdict_case c = ups[i];
		bool is_left_to_tcx = c.reason == FANOUT_up_user || c.reason == FANOUT_up_checksum || c.reason == FANOUT_up_mtu;
		if (c.reason == FANOUT_up_train)
			continue; // there are no trains before T
		int verdict = run(s, &c, xdp(s));
		if (verdict != XDP_PASS)
			fail_msg("%s: verdict %d", c.name, verdict);
		c.reason = is_left_to_tcx ? FANOUT_up_xdp : NOTHING;
		expect_counted(s, &c);
		expect_window_untouched(s, &c);
	}
}

static void leaves_the_rest_alone(void **state)
{
	struct scene *s = scene_of(state);
	for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++) {
		int verdict = run(s, &foreign[i], tcx(s));
		if (verdict != TCX_NEXT || s->run.mark_after != 77)
			fail_msg("%s: verdict %d, mark %u", foreign[i].name, verdict, s->run.mark_after);
		expect_counted(s, &foreign[i]);
		assert_int_equal(run(s, &foreign[i], xdp(s)), XDP_PASS);
		expect_counted(s, &foreign[i]);
	}
}

// A copy is not made, the others are: the case's reason is counted once, and the packet was received.
static void tcx_leaves_out_copies(void **state)
{
	static const struct verdict_case cases[] = {
		{ "room", FANOUT_room_foreign, receiver_of_another_room, NULL },
		{ "next hop", FANOUT_neighbour_unknown, next_hop_unknown, NULL },
		{ "device", FANOUT_redirect_failed, device_gone, NULL },
	};
	struct scene *s = scene_of(state);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		bool is_all = cases[i].reason == FANOUT_redirect_failed;
		assert_int_equal(run(s, &cases[i], tcx(s)), is_all ? TCX_DROP : TCX_REDIRECT);
		assert_int_equal(bpf_lab_counted(&s->lab, cases[i].reason), is_all ? 2 : 1);
		assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_media_forwarded), is_all ? 0 : 1);
		assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_media_received), 1);
	}
}

// Some receivers are user space's: it gets the packet as it came, and the extent's name.
static void tcx_hands_over_the_rest(void **state)
{
	struct scene *s = scene_of(state);
	const struct verdict_case c = { "outside", FANOUT_up_outside, somebody_outside, NULL };
	assert_int_equal(run(s, &c, tcx(s)), TCX_NEXT);
	assert_int_equal(s->run.mark_after, FANOUT_MARK(BPF_LAB_FIRST, 42));
	assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_up_outside), 1);
	assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_media_forwarded), 2);
	assert_int_equal(s->run.after_size, s->frame_size);
	assert_memory_equal(s->run.after, s->frame, s->frame_size);
}

static void nobody_receives(void **state)
{
	struct scene *s = scene_of(state);
	const struct verdict_case c = { "nobody", NOTHING, NULL, NULL };
	int programs[] = { tcx(s), xdp(s) }, verdicts[] = { TCX_DROP, XDP_DROP };
	for (int i = 0; i < 2; i++) {
		prepare(s, &c, programs[i]);
		s->lab.block[BPF_LAB_BLOCK] = 0;
		s->run.size = s->frame_size;
		assert_int_equal(bpf_lab_run(&s->run), verdicts[i]);
		assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_media_received), 1);
		assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_media_forwarded), 0);
		assert_int_equal(stream_of(s)->packets, 1);
	}
}

// What is kept is the datagram, under its sequence number; what finds the slot taken or too small is counted.
static void keeps_history(void **state)
{
	struct scene *s = scene_of(state);
	const struct verdict_case c = { "history", NOTHING, NULL, NULL };
	int programs[] = { tcx(s), xdp(s) };
	for (int i = 0; i < 4; i++) {
		bool is_large = i & 1;
		prepare(s, &c, programs[i / 2]);
		stream_of(s)->history = FANOUT_HISTORY(8, 4, is_large);
		s->run.size = s->frame_size;
		bpf_lab_run(&s->run);
		uint8_t *at = is_large ? s->lab.large + 9 * FANOUT_LARGE_SLOT : s->lab.small + 9 * FANOUT_SMALL_SLOT;
		struct fanout_slot *slot = (struct fanout_slot *)at;
		assert_int_equal(slot->lock, 2);
		assert_int_equal(slot->ssrc, packet_ssrc(BPF_LAB_MEMBER, 0));
		assert_int_equal(slot->sequence, 1);
		assert_int_equal(slot->size, MEDIA_BYTES);
		assert_memory_equal(slot->bytes, s->datagram, MEDIA_BYTES);
		assert_int_equal(stream_of(s)->newest, 1);
		slot->lock = 3; // somebody is writing
		make_datagram(s, MEDIA_BYTES);
		slot->timestamp = 1;
		s->run.size = bpf_frame_make(&s->flow, s->datagram, s->size, s->frame);
		bpf_lab_run(&s->run);
		assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_history_skipped), 1);
		assert_int_equal(slot->lock, 3);
		slot->lock = 4;
		make_datagram(s, FANOUT_SMALL_BYTES + 1);
		s->run.size = bpf_frame_make(&s->flow, s->datagram, s->size, s->frame);
		bpf_lab_run(&s->run);
		assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_history_skipped), is_large ? 1 : 2);
		assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_media_received), 3);
	}
}

// A relay's leg: the handle is looked up in that relay's part of the table.
static void serves_other_relays(void **state)
{
	struct scene *s = scene_of(state);
	const struct verdict_case c = { "relay", NOTHING, unknown_relay, NULL };
	int programs[] = { tcx(s), xdp(s) };
	for (int i = 0; i < 2; i++) {
		prepare(s, &c, programs[i]);
		struct fanout_sender *leg = &s->lab.sender[40 + BPF_LAB_SENDER];
		*leg = *sender_of(s);
		sender_of(s)->handle = 0;
		struct fanout_relay_key key = { .port_be = leg->peer_port_be };
		memcpy(key.address, leg->peer, sizeof(key.address));
		struct fanout_relay relay = { .base = 40, .count = BPF_LAB_SENDER + 1 };
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(s->lab.programs->maps.relays), &key, &relay, BPF_ANY), 0);
		s->lab.block[BPF_LAB_BLOCK] = 0;
		s->run.size = s->frame_size;
		bpf_lab_run(&s->run);
		assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_media_received), 1);
		relay.count--;
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(s->lab.programs->maps.relays), &key, &relay, BPF_ANY), 0);
		bpf_lab_run(&s->run);
		assert_int_equal(bpf_lab_counted(&s->lab, FANOUT_handle_unknown), 1);
		assert_int_equal(bpf_map_delete_elem(bpf_map__fd(s->lab.programs->maps.relays), &key), 0);
	}
}


// As the kernel tells the third program after each poll.
static void poll_queue(struct scene *s, uint64_t queue, uint64_t packets)
{
	uint64_t arguments[] = { queue, packets, 64 };
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = arguments, .ctx_size_in = sizeof(arguments));
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(s->lab.programs->progs.fanout_poll), &options), 0);
}

static bool is_shed(struct scene *s, uint32_t flags)
{
	stream_of(s)->flags = flags;
	make_datagram(s, MEDIA_BYTES);
	s->run.size = bpf_frame_make(&s->flow, s->datagram, s->size, s->frame);
	bpf_lab_mark(&s->lab);
	bpf_lab_run(&s->run);
	uint64_t shed = bpf_lab_counted(&s->lab, FANOUT_overload_shed);
	assert_int_equal(shed + bpf_lab_counted(&s->lab, FANOUT_media_received), 1);
	return shed;
}

// A receive queue that was full twice in sequence: pictures are dropped until it is not, sound never is.
static void sheds_video_only(void **state)
{
	struct scene *s = scene_of(state);
	const struct verdict_case c = { "shed", NOTHING, NULL, NULL };
	int programs[] = { tcx(s), xdp(s) };
	cpu_set_t all, one;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	for (int i = 0; i < 2; i++) {
		prepare(s, &c, programs[i]);
		s->lab.config->shed_after = 2;
		assert_false(is_shed(s, FANOUT_STREAM_MAY_SHED));
		poll_queue(s, 7, 64);
		assert_false(is_shed(s, FANOUT_STREAM_MAY_SHED));
		poll_queue(s, 7, 64);
		assert_true(is_shed(s, FANOUT_STREAM_MAY_SHED));
		assert_false(is_shed(s, 0));
		poll_queue(s, 8, 3); // another queue
		assert_true(is_shed(s, FANOUT_STREAM_MAY_SHED));
		poll_queue(s, 7, 63);
		assert_false(is_shed(s, FANOUT_STREAM_MAY_SHED));
		poll_queue(s, 7, 64);
		assert_false(is_shed(s, FANOUT_STREAM_MAY_SHED));
		poll_queue(s, 7, 64);
		poll_queue(s, 7, 0); // nothing came for us: it says nothing
		assert_true(is_shed(s, FANOUT_STREAM_MAY_SHED));
		usleep(150000); // the queue is another processor's now
		assert_false(is_shed(s, FANOUT_STREAM_MAY_SHED));
		poll_queue(s, 7, 3);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

static void counts_congestion_and_latency(void **state)
{
	struct scene *s = scene_of(state);
	const struct verdict_case c = { "congestion", NOTHING, NULL, NULL };
	prepare(s, &c, tcx(s));
	uint64_t samples = 0;
	struct fanout_counters before = bpf_lab_counters(&s->lab);
	for (int i = 0; i < 640; i++) {
		s->flow.traffic_class = i % 4 == 0 ? 3 : 2;
		make_datagram(s, MEDIA_BYTES);
		s->run.size = bpf_frame_make(&s->flow, s->datagram, s->size, s->frame);
		assert_int_equal(bpf_lab_run(&s->run), TCX_REDIRECT);
	}
	assert_int_equal(stream_of(s)->congested, 160);
	assert_int_equal(stream_of(s)->packets, 640);
	assert_int_equal(stream_of(s)->bytes, 640 * MEDIA_BYTES);
	struct fanout_counters after = bpf_lab_counters(&s->lab);
	for (int i = 0; i < FANOUT_LATENCY_BUCKETS; i++)
		samples += after.latency[i] - before.latency[i];
	assert_in_range(samples, 9, 12); // CPUs may change in between
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcx_drops),
		cmocka_unit_test(xdp_drops),
		cmocka_unit_test(tcx_passes_up),
		cmocka_unit_test(xdp_passes_up),
		cmocka_unit_test(leaves_the_rest_alone),
		cmocka_unit_test(tcx_leaves_out_copies),
		cmocka_unit_test(tcx_hands_over_the_rest),
		cmocka_unit_test(nobody_receives),
		cmocka_unit_test(keeps_history),
		cmocka_unit_test(serves_other_relays),
		cmocka_unit_test(sheds_video_only),
		cmocka_unit_test(counts_congestion_and_latency),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
