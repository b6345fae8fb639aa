// Packets flow through the live programs while the table's writer changes who receives, where and in which order: nobody
// who stays loses one or gets it twice, nobody else ever gets one. SPDX-License-Identifier: Apache-2.0
#include "kernel-bpf/fanout.skel.h"
#include "relay/table.h"
#include "tests/fake/bpf_lab.h"
#include "tests/fake/bpf_wire.h"
#include "tests/unit/table_maps.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLOWER 3
#endif
#endif
#ifndef SLOWER
#define SLOWER 1
#endif

enum {
	SLOT = 1,
	FULL_NS = 100000, // between two looks whether a grace period is over
	// By number: the sender itself, those who stay, those who come and go; and the audience of another stream.
	OWN = 0, STAYING = 1, GUESTS = 9, AUDIENCE = 24, OTHERS = 32, NUMBERS = 40,
	PLACES = 2, // addresses that a receiver changes between
	PORT = 5000, PLACE_PORTS = 1000,
	BURST = 4, // twice as many, with all their copies, are fewer than a veth ring's 256
	PACKETS_MAX = 400000, KEPT = 16, DATAGRAM_BYTES = 300, LATE_MS = 2000, QUIET_MS = 50,
	RECORDS = 65536, HISTORY_SLOTS = 1024, SEED = 12345,
	CHANGES_AIM = 10000, CHANGES_MIN = 2000, // a second
	RUN_MS = 1600 / SLOWER,
};
_Static_assert(2 * BURST * AUDIENCE < 256, "rings must not overflow");

static const char *skip_reason;

struct scene {
	struct bpf_lab lab;
	struct bpf_wire wire;
	struct table_memory memory;
	struct table *table;
	uint32_t block[2], other_block; // the stream's, in turns
	struct fanout_receiver record[NUMBERS][PLACES];
	// The writer's.
	pthread_t thread;
	atomic_bool is_over;
	bool is_in[AUDIENCE];
	uint8_t place[NUMBERS];
	uint32_t random;
	uint64_t full; // times
	enum err err;
	// The packets'.
	uint8_t datagram[KEPT][DATAGRAM_BYTES];
	struct bpf_wire_frame sent, came;
	uint8_t (*seen)[AUDIENCE]; // by counter
	uint32_t packets;
	uint64_t due, copies; // of those who stay, that have not come yet; of all, that have
	char problem[160];
};

// ---------------------------------------------------------------- the table in the programs' maps

static bool open_programs(struct scene *s)
{
	struct fanout_bpf *p = s->lab.programs = fanout_bpf__open();
	if (!p)
		return false;
	bpf_map__set_max_entries(p->maps.senders, BPF_LAB_SENDERS);
	bpf_map__set_max_entries(p->maps.windows, BPF_LAB_SENDERS);
	bpf_map__set_max_entries(p->maps.blocks, BPF_LAB_BLOCKS);
	bpf_map__set_max_entries(p->maps.receivers, RECORDS);
	bpf_map__set_max_entries(p->maps.history_small, HISTORY_SLOTS);
	bpf_map__set_max_entries(p->maps.history_large, HISTORY_SLOTS);
	return fanout_bpf__load(p) == 0;
}

static void open_memory(struct scene *s)
{
	struct table_memory *m = &s->memory;
	const struct bpf_map *maps[] = {
		[LOADER_MAP_CONFIG] = s->lab.programs->maps.config,
		[LOADER_MAP_SENDERS] = s->lab.programs->maps.senders,
		[LOADER_MAP_WINDOWS] = s->lab.programs->maps.windows,
		[LOADER_MAP_BLOCKS] = s->lab.programs->maps.blocks,
		[LOADER_MAP_RECEIVERS] = s->lab.programs->maps.receivers,
		[LOADER_MAP_HISTORY_SMALL] = s->lab.programs->maps.history_small,
		[LOADER_MAP_HISTORY_LARGE] = s->lab.programs->maps.history_large,
		[LOADER_MAP_RELAYS] = s->lab.programs->maps.relays,
		[LOADER_MAP_ADDRESSES] = s->lab.programs->maps.addresses,
		[LOADER_MAP_COUNTERS] = s->lab.programs->maps.counters,
		[LOADER_MAP_GRACE] = s->lab.programs->maps.grace,
	};
	*m = (struct table_memory){ .has_programs = true, .sizes = { .senders = BPF_LAB_SENDERS, .clients = BPF_LAB_SENDERS,
				    .blocks = BPF_LAB_BLOCKS, .receivers = RECORDS, .history_small = HISTORY_SLOTS, .history_large = HISTORY_SLOTS } };
	memset(m->map, -1, sizeof(m->map));
	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		m->map[i] = dup(bpf_map__fd(maps[i]));
	m->map[LOADER_MAP_GRACE_INNER] = bpf_map_create(BPF_MAP_TYPE_ARRAY, "grace_inner", sizeof(uint32_t), sizeof(uint32_t), 1, NULL);
	m->config = s->lab.config = table_maps_memory(m, LOADER_MAP_CONFIG);
	m->sender = table_maps_memory(m, LOADER_MAP_SENDERS);
	m->window = table_maps_memory(m, LOADER_MAP_WINDOWS);
	m->block = table_maps_memory(m, LOADER_MAP_BLOCKS);
	m->receiver = table_maps_memory(m, LOADER_MAP_RECEIVERS);
	m->history_small = table_maps_memory(m, LOADER_MAP_HISTORY_SMALL);
	m->history_large = table_maps_memory(m, LOADER_MAP_HISTORY_LARGE);
}

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	*state = s;
	if (!s)
		return -1;
	s->wire = (struct bpf_wire){ .in = -1, .out = -1 };
	memset(s->memory.map, -1, sizeof(s->memory.map));
	// The lab says whether we may, and makes the namespace; its own table is too small for so many changes.
	if (!bpf_lab_open(&s->lab, &skip_reason))
		return 0;
	skip_reason = NULL;
	bpf_lab_close(&s->lab);
	s->seen = calloc(PACKETS_MAX + 1, sizeof(*s->seen));
	if (!s->seen || !open_programs(s))
		return -1;
	open_memory(s);
	return table_new(&s->memory, &s->table) == ERR_OK && bpf_wire_open(&s->wire) ? 0 : -1;
}

static int teardown(void **state)
{
	struct scene *s = *state;
	bpf_wire_close(&s->wire);
	table_free(s->table);
	table_memory_free(&s->memory);
	fanout_bpf__destroy(s->lab.programs);
	free(s->seen);
	free(s);
	return 0;
}

// ---------------------------------------------------------------- who receives

// All that a copy has of its receiver tells the place.
static struct fanout_receiver record_of(uint16_t number, uint8_t place)
{
	struct fanout_receiver r = bpf_lab_receiver(number & 1 ? FANOUT_IPV6 : FANOUT_IPV4, number, SLOT);
	r.next_hop[4] = r.own[4] = place;
	r.destination[r.family == FANOUT_IPV6 ? 14 : 2] = place;
	r.source_port_be = htons((uint16_t)(BPF_LAB_PORT + place));
	r.destination_port_be = htons((uint16_t)(PORT + place * PLACE_PORTS + number));
	if (number == OWN)
		r.member = BPF_LAB_MEMBER;
	table_receiver_finish(&r);
	return r;
}

static uint32_t random_below(struct scene *s, uint32_t limit)
{
	s->random = s->random * 1664525u + 1013904223u;
	return (s->random >> 8) % limit;
}

static void write_records(struct scene *s, uint32_t block, const struct fanout_receiver *records, size_t count)
{
	enum err err;
	while ((err = table_block_write(s->table, block, BPF_LAB_ROOM, records, count, FANOUT_EXTENT_TCX | FANOUT_EXTENT_XDP)) == ERR_FULL &&
	       !atomic_load(&s->is_over)) {
		s->full++;
		clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_nsec = FULL_NS }, NULL);
	}
	if (err && err != ERR_FULL)
		s->err = err;
}

// In another order each time, so that the sender's position changes too.
static void write_audience(struct scene *s, uint32_t block)
{
	struct fanout_receiver records[AUDIENCE];
	size_t count = 0;
	uint32_t from = random_below(s, AUDIENCE);
	for (uint32_t i = 0; i < AUDIENCE; i++) {
		uint32_t number = (from + i) % AUDIENCE;
		if (s->is_in[number])
			records[count++] = s->record[number][s->place[number]];
	}
	write_records(s, block, records, count);
}

// Uses again what the audience's lists leave free.
static void write_others(struct scene *s)
{
	struct fanout_receiver records[AUDIENCE];
	uint32_t count = 1 + random_below(s, AUDIENCE);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t number = OTHERS + (i + count) % (NUMBERS - OTHERS);
		records[i] = s->record[number][random_below(s, PLACES)];
	}
	write_records(s, s->other_block, records, count);
}

static void change(struct scene *s)
{
	for (int i = 0; i < 3; i++) {
		uint32_t guest = GUESTS + random_below(s, AUDIENCE - GUESTS);
		s->is_in[guest] = !s->is_in[guest];
		s->place[random_below(s, AUDIENCE)] ^= 1;
	}
	uint32_t kind = random_below(s, 8);
	if (kind == 0) {
		write_others(s);
		return;
	}
	bool is_move = kind == 1;
	write_audience(s, s->block[is_move]);
	if (!is_move) {
		table_stream_position(s->table, bpf_lab_handle(), 0);
		return;
	}
	table_stream_set(s->table, bpf_lab_handle(), 0, s->block[1], 0);
	uint32_t before = s->block[0];
	s->block[0] = s->block[1];
	s->block[1] = before;
}

static void *run_writer(void *argument)
{
	struct scene *s = argument;
	while (!atomic_load(&s->is_over))
		change(s);
	return NULL;
}

static void fill(struct scene *s)
{
	struct bpf_flow flow = bpf_lab_flow(4);
	struct table_sender sender = { .handle = bpf_lab_handle(), .index = BPF_LAB_MEMBER, .room = BPF_LAB_ROOM, .may_send = true,
				       .tag_key = bpf_lab_key() };
	uint8_t peer[16];
	s->memory.config->port_be = htons(BPF_LAB_PORT);
	s->memory.config->is_enabled = 1;
	assert_true(bpf_lab_device(&s->lab, SLOT, "r1", AUDIENCE));
	bpf_lab_own(&s->lab, &flow);
	bpf_lab_mapped(4, flow.source, peer);
	assert_int_equal(table_sender_open(s->table, &sender), ERR_OK);
	table_sender_move(s->table, bpf_lab_handle(), peer, htons(flow.source_port));
	for (uint16_t number = 0; number < NUMBERS; number++) {
		for (uint8_t place = 0; place < PLACES; place++)
			s->record[number][place] = record_of(number, place);
	}
	memset(s->is_in, true, sizeof(s->is_in));
	s->random = SEED;
	assert_int_equal(table_block_new(s->table, &s->block[0]), ERR_OK);
	assert_int_equal(table_block_new(s->table, &s->block[1]), ERR_OK);
	assert_int_equal(table_block_new(s->table, &s->other_block), ERR_OK);
	write_audience(s, s->block[0]);
	write_others(s);
	table_stream_set(s->table, bpf_lab_handle(), 0, s->block[0], 0);
	table_stream_set(s->table, bpf_lab_handle(), 1, s->other_block, 0);
}

// ---------------------------------------------------------------- packets

#define PROBLEM(s, ...) snprintf((s)->problem, sizeof((s)->problem), __VA_ARGS__)

static void send_burst(struct scene *s)
{
	struct bpf_flow flow = bpf_lab_flow(4);
	for (int i = 0; i < BURST; i++) {
		uint8_t *datagram = s->datagram[++s->packets % KEPT];
		bpf_lab_datagram(&s->lab, 0, (uint16_t)s->packets, datagram, DATAGRAM_BYTES);
		s->sent.size = bpf_frame_make(&flow, datagram, DATAGRAM_BYTES, s->sent.bytes);
		if (!bpf_wire_send(&s->wire, &s->sent, &flow))
			PROBLEM(s, "packet %u could not be sent", s->packets);
		s->due += GUESTS - STAYING;
	}
}

static bool is_for(const struct bpf_flow *flow, const struct fanout_receiver *r)
{
	size_t bytes = r->family == FANOUT_IPV4 ? 4 : 16;
	return flow->family == r->family && memcmp(flow->to, r->next_hop, sizeof(flow->to)) == 0 &&
	       memcmp(flow->from, r->own, sizeof(flow->from)) == 0 && memcmp(flow->source, r->source, bytes) == 0 &&
	       memcmp(flow->destination, r->destination, bytes) == 0 && flow->source_port == ntohs(r->source_port_be) &&
	       flow->traffic_class == r->traffic_class;
}

static void see(struct scene *s, uint32_t number, const uint8_t *payload, size_t size)
{
	uint32_t count_be = 0;
	if (size >= 8)
		memcpy(&count_be, payload + 4, sizeof(count_be));
	uint32_t count = ntohl(count_be);
	if (count == 0 || count > s->packets || count + KEPT <= s->packets || size != DATAGRAM_BYTES ||
	    memcmp(payload, s->datagram[count % KEPT], size) != 0) {
		PROBLEM(s, "receiver %u got %zu bytes that nobody sent", number, size);
		return;
	}
	if (s->seen[count][number]++)
		PROBLEM(s, "receiver %u got packet %u twice", number, count);
	s->copies++;
	s->due -= number >= STAYING && number < GUESTS;
}

static void read_copy(struct scene *s)
{
	struct bpf_flow flow = { .is_partial = s->came.is_partial };
	const uint8_t *payload;
	size_t size;
	const char *wrong = bpf_frame_read(s->came.bytes, s->came.size, &flow, &payload, &size);
	uint32_t at = (uint32_t)flow.destination_port - PORT, number = at % PLACE_PORTS, place = at / PLACE_PORTS;
	if (wrong)
		PROBLEM(s, "%s", wrong);
	else if (place >= PLACES || number == OWN || number >= AUDIENCE)
		PROBLEM(s, "a copy to port %u, which is the sender's or of another audience", flow.destination_port);
	else if (!is_for(&flow, &s->record[number][place]))
		PROBLEM(s, "a copy to receiver %u that is half another's", number);
	else
		see(s, number, payload, size);
}

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// For the time of the run, one burst after the other has arrived. Milliseconds that it took.
static uint64_t exchange(struct scene *s)
{
	uint64_t begin_ms = now_ms();
	while (!s->problem[0] && now_ms() - begin_ms < RUN_MS && s->packets + BURST <= PACKETS_MAX) {
		send_burst(s);
		while (s->due && !s->problem[0]) {
			if (bpf_wire_receive(&s->wire, LATE_MS, &s->came))
				read_copy(s);
			else
				PROBLEM(s, "%llu copies up to packet %u are lost", (unsigned long long)s->due, s->packets);
		}
	}
	return now_ms() - begin_ms;
}

static void expect_all(struct scene *s)
{
	uint64_t guests = 0;
	for (uint32_t count = 1; count <= s->packets; count++) {
		for (uint32_t number = 0; number < AUDIENCE; number++) {
			bool is_staying = number >= STAYING && number < GUESTS;
			if (s->seen[count][number] != 1 && is_staying)
				fail_msg("receiver %u got packet %u %u times", number, count, s->seen[count][number]);
			guests += !is_staying && s->seen[count][number];
		}
	}
	uint64_t most = (uint64_t)s->packets * (AUDIENCE - GUESTS);
	assert_in_range(guests, most / 4, most * 3 / 4); // they do come and go
	struct fanout_counters counted;
	table_counters(s->table, &counted);
	assert_int_equal(counted.counter[FANOUT_media_received], s->packets);
	assert_int_equal(counted.counter[FANOUT_media_forwarded], s->copies);
	assert_int_equal(counted.counter[FANOUT_room_foreign], 0);
	assert_int_equal(counted.counter[FANOUT_redirect_failed], 0);
	// X leaves to T whose checksum looks as if a card should make it, which is one of 65,536.
	assert_in_range(counted.counter[FANOUT_up_xdp], 0, 1 + s->packets / 4096);
}

static void churn(struct scene *s, const char *engine)
{
	fill(s);
	uint64_t changes = table_changes(s->table);
	assert_int_equal(pthread_create(&s->thread, NULL, run_writer, s), 0);
	uint64_t ms = exchange(s);
	atomic_store(&s->is_over, true);
	pthread_join(s->thread, NULL);
	while (!s->problem[0] && bpf_wire_receive(&s->wire, QUIET_MS, &s->came))
		read_copy(s);
	uint64_t rate = (table_changes(s->table) - changes) * 1000 / (ms ? ms : 1);
	print_message("# %s: %llu changes a second (wanted: %d, and at least %d on a busy machine%s), "
		      "%u packets, %llu copies in %llu ms, table %llu times full\n",
		      engine, (unsigned long long)rate, CHANGES_AIM, CHANGES_MIN, rate < CHANGES_AIM ? ": it is busy" : "", s->packets,
		      (unsigned long long)s->copies, (unsigned long long)ms, (unsigned long long)s->full);
	if (s->problem[0])
		fail_msg("%s", s->problem);
	assert_int_equal(s->err, ERR_OK);
	expect_all(s);
	assert_true(rate >= CHANGES_MIN);
}

static struct scene *scene_of(void **state)
{
	if (skip_reason) {
		print_message("skipped: %s\n", skip_reason);
		skip();
	}
	struct scene *s = *state;
	assert_true(bpf_wire_attach_tcx(&s->wire, &s->lab, "r0"));
	return s;
}

static void tcx_while_the_table_changes(void **state) { churn(scene_of(state), "T"); }

static void xdp_while_the_table_changes(void **state)
{
	struct scene *s = scene_of(state);
	assert_true(bpf_wire_attach_xdp(&s->wire, &s->lab, "r0"));
	churn(s, "X");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tcx_while_the_table_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(xdp_while_the_table_changes, setup, teardown),
	};
	return cmocka_run_group_tests_name("bpf_churn", tests, NULL, NULL);
}
