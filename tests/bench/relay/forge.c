// Forged packets by BPF_PROG_TEST_RUN, straight into the programs and the table of a running relay: many more than come
// through a device. A packet that is not forged goes first and must be taken. SPDX-License-Identifier: Apache-2.0
#include "tests/bench/relay/bench.h"
#include "tests/bench/relay/lab.h"
#include "tests/bench/relay/senders.h"

#include "base/packet.h"
#include "kernel-bpf/fanout.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEAT = 256, FRAME_BYTES = 1142, PAYLOAD_BYTES = FRAME_BYTES - WIRE_HEADERS_BYTES, CPUS_MAX = 256, MAPS_MAX = 32, PROGRAMS_MAX = 8 };

static const char usage_text[] = "usage: bench_relay forge --senders FILE --use K --engine xdp|tcx --tries N\n"
				 "Of the senders, the first K are of one room, the rest of others. Prints JSON; FILE is written back.\n";

struct forge {
	struct wire_sender senders[WIRE_SENDERS_MAX];
	size_t sender_count, use;
	uint64_t tries;
	bool is_xdp;
	int program, counters;
	uint32_t device;
	uint8_t frame[FRAME_BYTES];
};

struct totals {
	uint64_t counter[FANOUT_COUNTERS];
};

#define NAME(name, text) [FANOUT_##name] = #name,
static const char *const names[FANOUT_COUNTERS] = { FANOUT_DROPS(NAME) FANOUT_UPS(NAME) FANOUT_COUNTS(NAME) };
#undef NAME
static const char *const kinds[] = { "tag", "counter", "stream", "room", "key", "address" };
enum kind { KIND_TAG, KIND_COUNTER, KIND_STREAM, KIND_ROOM, KIND_KEY, KIND_ADDRESS, KINDS };

// ---------------------------------------------------------------- the relay's program and counters

static void find_program(struct forge *forge)
{
	uint32_t ids[PROGRAMS_MAX] = { 0 };
	lab_enter(LAB_RELAY);
	forge->device = lab_device("hr0");
	LIBBPF_OPTS(bpf_prog_query_opts, query, .prog_ids = ids, .prog_cnt = PROGRAMS_MAX);
	if (forge->is_xdp ? bpf_xdp_query_id((int)forge->device, 0, &ids[0]) : bpf_prog_query_opts((int)forge->device, BPF_TCX_INGRESS, &query))
		lab_die("the relay's program");
	forge->program = bpf_prog_get_fd_by_id(ids[0]);
	if (forge->program < 0)
		lab_die("the relay's program");
}

static void find_counters(struct forge *forge)
{
	uint32_t ids[MAPS_MAX];
	struct bpf_prog_info info = { .nr_map_ids = MAPS_MAX, .map_ids = (uint64_t)(uintptr_t)ids };
	uint32_t size = sizeof(info);
	if (bpf_prog_get_info_by_fd(forge->program, &info, &size) != 0)
		lab_die("the relay's program");
	for (uint32_t i = 0; i < info.nr_map_ids && i < MAPS_MAX; i++) {
		struct bpf_map_info map = { 0 };
		size = sizeof(map);
		forge->counters = bpf_map_get_fd_by_id(ids[i]);
		if (forge->counters >= 0 && bpf_map_get_info_by_fd(forge->counters, &map, &size) == 0 && strcmp(map.name, "counters") == 0 &&
		    map.value_size == sizeof(struct fanout_counters))
			return;
	}
	lab_die("the relay's counters");
}

static struct totals read_counters(const struct forge *forge)
{
	static struct fanout_counters of_cpu[CPUS_MAX];
	struct totals totals = { { 0 } };
	uint32_t zero = 0;
	int cpus = libbpf_num_possible_cpus();
	if (cpus <= 0 || cpus > CPUS_MAX || bpf_map_lookup_elem(forge->counters, &zero, of_cpu) != 0)
		lab_die("the relay's counters");
	for (int cpu = 0; cpu < cpus; cpu++) {
		for (int i = 0; i < FANOUT_COUNTERS; i++)
			totals.counter[i] += of_cpu[cpu].counter[i];
	}
	return totals;
}

// ---------------------------------------------------------------- packets

static uint16_t ip_sum(const uint8_t *ip)
{
	uint32_t sum = 0;
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~(sum + (sum >> 16));
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

// Ethernet, IPv4, UDP without checksum, which the programs need not look at before they refuse.
static void make_headers(uint8_t *frame, uint16_t port)
{
	static const uint8_t start[] = { 2, 0, 0, 0, 1, 2, 2, 0, 0, 0, 1, 1, 8, 0, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0 };
	const uint32_t addresses[2] = { htonl(WIRE_SENDER_ADDRESS), htonl(WIRE_RELAY_ADDRESS) };
	memset(frame, 0, WIRE_HEADERS_BYTES);
	memcpy(frame, start, sizeof(start));
	put16(frame + 16, FRAME_BYTES - 14);
	memcpy(frame + 26, addresses, sizeof(addresses));
	put16(frame + 24, ip_sum(frame + 14));
	put16(frame + 34, port);
	put16(frame + 36, WIRE_RELAY_PORT);
	put16(frame + 38, FRAME_BYTES - 34);
}

static void make_good(struct forge *forge, struct wire_sender *sender)
{
	make_headers(forge->frame, sender->port);
	senders_template(forge->frame + WIRE_HEADERS_BYTES, PAYLOAD_BYTES);
	senders_stamp(sender, PACKET_STREAM_VIDEO, 0, 0, forge->frame + WIRE_HEADERS_BYTES, PAYLOAD_BYTES);
}

// A copy of the sender is spent: what is forged uses up none of its counters.
static void make_forged(struct forge *forge, enum kind kind, uint64_t i)
{
	struct wire_sender sender = forge->senders[i % forge->use];
	// Of another room and, since participants are numbered by room, of another number.
	const struct wire_sender *stranger = &forge->senders[forge->use + (i + 1) % (forge->sender_count - forge->use)];
	uint8_t *payload = forge->frame + WIRE_HEADERS_BYTES;
	sender.counter += (uint32_t)random() & 511;
	if (kind == KIND_COUNTER)
		sender.counter = forge->senders[i % forge->use].counter - 1 - ((uint32_t)random() & 31);
	if (kind == KIND_STREAM)
		sender.index = sender.index + 1 + ((uint32_t)random() & 0xffff);
	if (kind == KIND_ROOM)
		sender.index = stranger->index;
	if (kind == KIND_KEY)
		memcpy(sender.key, stranger->key, sizeof(sender.key));
	if (kind == KIND_ADDRESS)
		sender.port = (uint16_t)(30000 + (random() & 0xfff));
	make_good(forge, &sender);
	if (kind == KIND_TAG) {
		for (int at = 8; at < 16; at++)
			payload[at] = (uint8_t)random();
	}
}

static uint32_t run(const struct forge *forge, uint32_t repeat)
{
	struct xdp_md xdp = { .data_end = FRAME_BYTES, .ingress_ifindex = forge->device };
	struct __sk_buff skb = { .ifindex = forge->device };
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = forge->frame, .data_size_in = FRAME_BYTES, .repeat = (int)repeat,
		    .ctx_in = forge->is_xdp ? (void *)&xdp : (void *)&skb, .ctx_size_in = forge->is_xdp ? sizeof(xdp) : sizeof(skb));
	if (bpf_prog_test_run_opts(forge->program, &options) != 0)
		lab_die("BPF_PROG_TEST_RUN");
	return options.retval;
}

// ---------------------------------------------------------------- all

static void print_change(const char *name, const struct totals *before, const struct totals *after)
{
	const char *comma = "";
	printf(",\"%s\":{", name);
	for (int i = 0; i < FANOUT_COUNTERS; i++) {
		if (after->counter[i] == before->counter[i] || !names[i])
			continue;
		printf("%s\"%s\":%" PRIu64, comma, names[i], after->counter[i] - before->counter[i]);
		comma = ",";
	}
	putchar('}');
}

static int forge_run(struct forge *forge)
{
	uint64_t redirects = 0, tries = 0, forwarded = 0;
	find_program(forge);
	find_counters(forge);
	struct totals before = read_counters(forge);
	make_good(forge, &forge->senders[0]);
	bool is_taken = run(forge, 1) == (forge->is_xdp ? (uint32_t)XDP_REDIRECT : (uint32_t)TC_ACT_REDIRECT);
	struct totals after = read_counters(forge);
	printf("{\"control\":%s", is_taken && after.counter[FANOUT_media_received] > before.counter[FANOUT_media_received] ? "true" : "false");
	for (enum kind kind = 0; kind < KINDS; kind++) {
		before = read_counters(forge);
		for (uint64_t done = 0; done < forge->tries / KINDS + 1; done += REPEAT, tries += REPEAT) {
			make_forged(forge, kind, done / REPEAT);
			uint32_t verdict = run(forge, REPEAT);
			redirects += forge->is_xdp ? verdict == XDP_REDIRECT || verdict == XDP_TX : verdict == TC_ACT_REDIRECT;
		}
		after = read_counters(forge);
		print_change(kinds[kind], &before, &after);
		forwarded += after.counter[FANOUT_media_received] - before.counter[FANOUT_media_received];
		forwarded += after.counter[FANOUT_media_forwarded] - before.counter[FANOUT_media_forwarded];
	}
	printf(",\"tries\":%" PRIu64 ",\"copies\":%" PRIu64 "}\n", tries, forwarded + redirects);
	return 0;
}

int forge_main(int argc, char **argv)
{
	static const struct option rows[] = { { "senders", 1, NULL, 's' }, { "use", 1, NULL, 'u' }, { "engine", 1, NULL, 'e' },
					      { "tries", 1, NULL, 'n' }, { NULL, 0, NULL, 0 } };
	static struct forge forge = { .use = 1, .tries = 1000 };
	const char *senders = NULL;
	int option;
	while ((option = getopt_long(argc, argv, "", rows, NULL)) != -1) {
		switch (option) {
		case 's': senders = optarg; break;
		case 'u': forge.use = lab_number("--use", optarg, WIRE_SENDERS_MAX); break;
		case 'e': forge.is_xdp = strcmp(optarg, "xdp") == 0; break;
		case 'n': forge.tries = lab_number("--tries", optarg, 1000000000000); break;
		default: senders = NULL;
		}
	}
	if (!senders || forge.use == 0) {
		fputs(usage_text, stderr);
		return 2;
	}
	if (!senders_read(senders, forge.senders, &forge.sender_count))
		return 1;
	if (forge.sender_count <= forge.use) {
		fputs("bench_relay: forge: there is no other room\n", stderr);
		return 1;
	}
	int status = forge_run(&forge);
	return senders_write(senders, forge.senders, forge.sender_count) ? status : 1;
}
