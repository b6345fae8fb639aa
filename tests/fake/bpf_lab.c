// SPDX-License-Identifier: Apache-2.0
#include "tests/fake/bpf_lab.h"

#include "kernel-bpf/fanout.skel.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int say_nothing(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level;
	(void)format;
	(void)arguments;
	return 0;
}

static size_t map_bytes(const struct bpf_map *map)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = (bpf_map__value_size(map) + 7) / 8 * 8 * (size_t)bpf_map__max_entries(map);
	return (bytes + page - 1) / page * page;
}

static void *map_memory(const struct bpf_map *map)
{
	void *memory = mmap(NULL, map_bytes(map), PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
	return memory == MAP_FAILED ? NULL : memory;
}

static bool map_table(struct bpf_lab *lab)
{
	lab->config = map_memory(lab->programs->maps.config);
	lab->sender = map_memory(lab->programs->maps.senders);
	lab->window = map_memory(lab->programs->maps.windows);
	lab->block = map_memory(lab->programs->maps.blocks);
	lab->receiver = map_memory(lab->programs->maps.receivers);
	lab->small = map_memory(lab->programs->maps.history_small);
	lab->large = map_memory(lab->programs->maps.history_large);
	return lab->config && lab->sender && lab->window && lab->block && lab->receiver && lab->small && lab->large;
}

static void set_sizes(struct fanout_bpf *programs)
{
	bpf_map__set_max_entries(programs->maps.senders, BPF_LAB_SENDERS);
	bpf_map__set_max_entries(programs->maps.windows, BPF_LAB_SENDERS);
	bpf_map__set_max_entries(programs->maps.blocks, BPF_LAB_BLOCKS);
	bpf_map__set_max_entries(programs->maps.receivers, BPF_LAB_RECEIVERS);
	bpf_map__set_max_entries(programs->maps.history_small, BPF_LAB_SLOTS);
	bpf_map__set_max_entries(programs->maps.history_large, BPF_LAB_SLOTS);
}

bool bpf_lab_open(struct bpf_lab *lab, const char **why)
{
	*lab = (struct bpf_lab){ 0 };
	libbpf_set_print(say_nothing);
	*why = "no privilege for a network namespace";
	if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0)
		return false;
	*why = "the kernel does not take the programs";
	lab->programs = fanout_bpf__open();
	if (!lab->programs)
		return false;
	set_sizes(lab->programs);
	if (fanout_bpf__load(lab->programs) != 0 || !map_table(lab)) {
		bpf_lab_close(lab);
		return false;
	}
	return system("ip link set lo up") == 0;
}

void bpf_lab_close(struct bpf_lab *lab)
{
	if (lab->config)
		munmap(lab->config, map_bytes(lab->programs->maps.config));
	if (lab->sender)
		munmap(lab->sender, map_bytes(lab->programs->maps.senders));
	if (lab->window)
		munmap(lab->window, map_bytes(lab->programs->maps.windows));
	if (lab->block)
		munmap(lab->block, map_bytes(lab->programs->maps.blocks));
	if (lab->receiver)
		munmap(lab->receiver, map_bytes(lab->programs->maps.receivers));
	if (lab->small)
		munmap(lab->small, map_bytes(lab->programs->maps.history_small));
	if (lab->large)
		munmap(lab->large, map_bytes(lab->programs->maps.history_large));
	fanout_bpf__destroy(lab->programs);
	*lab = (struct bpf_lab){ 0 };
}

bool bpf_lab_copies(struct bpf_lab *lab, uint8_t slot, const char *name, uint32_t copies)
{
	int devices = bpf_map_create(BPF_MAP_TYPE_DEVMAP, "copies", sizeof(uint32_t), sizeof(struct bpf_devmap_val), copies, NULL);
	bool is_good = devices >= 0;
	struct bpf_devmap_val value = { .ifindex = if_nametoindex(name),
					.bpf_prog.fd = bpf_program__fd(lab->programs->progs.fanout_egress) };
	for (uint32_t i = 0; i < copies && is_good; i++)
		is_good = bpf_map_update_elem(devices, &i, &value, BPF_ANY) == 0;
	uint32_t key = slot * (FANOUT_XDP_MAX + 1u) + copies;
	is_good = is_good && bpf_map_update_elem(bpf_map__fd(lab->programs->maps.sizes), &key, &devices, BPF_ANY) == 0;
	if (devices >= 0)
		close(devices);
	return is_good;
}

bool bpf_lab_device(struct bpf_lab *lab, uint8_t slot, const char *name, uint32_t copies)
{
	lab->config->ifindex[slot] = if_nametoindex(name);
	lab->config->mtu[slot] = 1500;
	bool is_good = lab->config->ifindex[slot] != 0;
	for (uint32_t n = 1; n <= copies && is_good; n++)
		is_good = bpf_lab_copies(lab, slot, name, n);
	return is_good;
}

const uint8_t *bpf_lab_key(void)
{
	static const uint8_t key[PACKET_TAG_KEY_BYTES] = { 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 11, 12, 13, 14, 15, 16 };
	return key;
}

uint32_t bpf_lab_handle(void) { return packet_handle(PACKET_MEDIA, 1, BPF_LAB_SENDER); }

struct bpf_flow bpf_lab_flow(uint8_t family)
{
	struct bpf_flow flow = { .to = { 2, 0, 0, 0, 0, 1 }, .from = { 2, 0, 0, 0, 0, 9 }, .family = family, .source_port = 4000,
				 .destination_port = BPF_LAB_PORT, .hops = 60 };
	inet_pton(family == 4 ? AF_INET : AF_INET6, family == 4 ? "10.0.0.9" : "fd00::9", flow.source);
	inet_pton(family == 4 ? AF_INET : AF_INET6, family == 4 ? "10.0.0.1" : "fd00::1", flow.destination);
	return flow;
}

void bpf_lab_mapped(uint8_t family, const uint8_t *address, uint8_t out[static 16])
{
	memset(out, 0, 16);
	if (family == 6) {
		memcpy(out, address, 16);
		return;
	}
	out[10] = out[11] = 0xff;
	memcpy(out + 12, address, 4);
}

void bpf_lab_at_home(struct fanout_sender *sender, const struct bpf_flow *flow)
{
	bpf_lab_mapped(flow->family, flow->source, sender->peer);
	sender->peer_port_be = htons(flow->source_port);
}

void bpf_lab_own(struct bpf_lab *lab, const struct bpf_flow *flow)
{
	uint8_t own[16], one = 1;
	bpf_lab_mapped(flow->family, flow->destination, own);
	bpf_map_update_elem(bpf_map__fd(lab->programs->maps.addresses), own, &one, BPF_ANY);
}

void bpf_lab_move(struct bpf_lab *lab, const struct bpf_flow *flow)
{
	bpf_lab_at_home(&lab->sender[BPF_LAB_SENDER], flow);
	bpf_lab_own(lab, flow);
}

// What the CPUs remember of former packets.
static void forget(struct bpf_lab *lab)
{
	const struct bpf_map *cpus = lab->programs->maps.cpus;
	uint8_t *nothing = calloc((size_t)libbpf_num_possible_cpus(), (bpf_map__value_size(cpus) + 7) / 8 * 8);
	uint32_t zero = 0;
	bpf_map_update_elem(bpf_map__fd(cpus), &zero, nothing, BPF_ANY);
	free(nothing);
}

void bpf_lab_reset(struct bpf_lab *lab)
{
	forget(lab);
	memset(lab->sender, 0, BPF_LAB_SENDERS * sizeof(*lab->sender));
	memset(lab->window, 0, BPF_LAB_SENDERS * sizeof(*lab->window));
	memset(lab->block, 0, BPF_LAB_BLOCKS * sizeof(*lab->block));
	memset(lab->receiver, 0, BPF_LAB_RECEIVERS * sizeof(*lab->receiver));
	memset(lab->small, 0, (size_t)BPF_LAB_SLOTS * FANOUT_SMALL_SLOT);
	memset(lab->large, 0, (size_t)BPF_LAB_SLOTS * FANOUT_LARGE_SLOT);
	memset(lab->config, 0, sizeof(*lab->config));
	lab->config->port_be = htons(BPF_LAB_PORT);
	lab->config->relay_port_be = htons(BPF_LAB_RELAY_PORT);
	lab->config->is_enabled = 1;
	struct fanout_sender *sender = &lab->sender[BPF_LAB_SENDER];
	*sender = (struct fanout_sender){ .handle = bpf_lab_handle(), .index = BPF_LAB_MEMBER, .room = BPF_LAB_ROOM,
					  .flags = FANOUT_SENDER_HAS_ADDRESS | FANOUT_SENDER_MAY_SEND };
	memcpy(sender->tag_key, bpf_lab_key(), PACKET_TAG_KEY_BYTES);
	sender->stream[0].block = BPF_LAB_BLOCK;
	sender->stream[0].position = FANOUT_NOWHERE;
	struct bpf_flow flow = bpf_lab_flow(4);
	bpf_lab_move(lab, &flow);
	lab->count = 0;
	bpf_lab_mark(lab);
}

void bpf_lab_stamp(struct bpf_lab *lab, uint32_t handle, uint8_t *datagram, size_t size)
{
	packet_stamp(bpf_lab_key(), handle, ++lab->count, datagram, size);
}

void bpf_lab_datagram(struct bpf_lab *lab, uint8_t stream, uint16_t sequence, uint8_t *out, size_t size)
{
	struct packet_rtp rtp = { .ssrc = packet_ssrc(BPF_LAB_MEMBER, stream), .timestamp = sequence * 960u, .sequence = sequence,
				  .payload_type = PACKET_PT_OPUS };
	for (size_t i = 0; i < size; i++)
		out[i] = (uint8_t)(i * 31 + sequence);
	packet_rtp_emit(&rtp, out + PACKET_HEADER_BYTES);
	bpf_lab_stamp(lab, bpf_lab_handle(), out, size);
}

void bpf_lab_finish(struct fanout_receiver *record)
{
	uint32_t sum = record->source_port_be + record->destination_port_be;
	for (int i = 0; i < 16; i += 2) {
		uint16_t source, destination;
		memcpy(&source, record->source + i, 2);
		memcpy(&destination, record->destination + i, 2);
		sum += source + destination;
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	record->sum = (uint16_t)sum;
}

struct fanout_receiver bpf_lab_receiver(uint8_t family, uint16_t n, uint8_t device)
{
	struct fanout_receiver r = { .next_hop = { 2, 0, 0, 1, (uint8_t)(n >> 8), (uint8_t)n }, .own = { 2, 0, 0, 0, 1, device },
				     .family = family, .device = device, .source_port_be = htons(BPF_LAB_PORT),
				     .destination_port_be = htons((uint16_t)(5000 + n)), .room = BPF_LAB_ROOM, .member = 100u + n,
				     .traffic_class = 0x88 };
	inet_pton(family == 6 ? AF_INET6 : AF_INET, family == 6 ? "fd01::ffff:1" : "10.1.255.1", r.source);
	inet_pton(family == 6 ? AF_INET6 : AF_INET, family == 6 ? "fd01::" : "10.1.0.0", r.destination);
	size_t last = family == 6 ? 14 : 2;
	r.destination[last] = (uint8_t)(n >> 8);
	r.destination[last + 1] = (uint8_t)n;
	bpf_lab_finish(&r);
	return r;
}

struct fanout_extent *bpf_lab_extent(struct bpf_lab *lab, uint32_t block, uint32_t first, const struct fanout_receiver *records,
				     size_t count, uint16_t flags)
{
	struct fanout_extent *extent = (struct fanout_extent *)&lab->receiver[first];
	*extent = (struct fanout_extent){ .room = BPF_LAB_ROOM, .count = (uint16_t)count, .flags = flags, .generation = 42 };
	for (size_t i = 0; i < count; i++) {
		lab->receiver[first + 1 + i] = records[i];
		extent->in_kernel += records[i].family != FANOUT_OUTSIDE;
		extent->ipv4 += records[i].family == FANOUT_IPV4;
	}
	extent->device = count ? records[0].device : 0;
	__atomic_store_n(&lab->block[block], first, __ATOMIC_RELEASE);
	return extent;
}

struct fanout_counters bpf_lab_counters(const struct bpf_lab *lab)
{
	struct fanout_counters sum = { 0 };
	int cpus = libbpf_num_possible_cpus();
	struct fanout_counters *each = calloc((size_t)cpus, sizeof(*each));
	uint32_t zero = 0;
	if (!each || bpf_map_lookup_elem(bpf_map__fd(lab->programs->maps.counters), &zero, each) != 0)
		cpus = 0;
	for (int i = 0; i < cpus; i++) {
		for (int k = 0; k < FANOUT_COUNTERS; k++)
			sum.counter[k] += each[i].counter[k];
		for (int k = 0; k < FANOUT_LATENCY_BUCKETS; k++)
			sum.latency[k] += each[i].latency[k];
	}
	free(each);
	return sum;
}

void bpf_lab_mark(struct bpf_lab *lab) { lab->counted = bpf_lab_counters(lab); }

uint64_t bpf_lab_counted(const struct bpf_lab *lab, enum fanout_counter counter)
{
	return bpf_lab_counters(lab).counter[counter] - lab->counted.counter[counter];
}

int bpf_lab_run(struct bpf_run *run)
{
	struct __sk_buff in = { .mark = run->mark, .gso_size = run->gso_size, .gso_segs = run->gso_segs }, out = { 0 };
	struct bpf_prog_info info = { 0 };
	uint32_t info_bytes = sizeof(info);
	if (bpf_obj_get_info_by_fd(run->program, &info, &info_bytes) != 0)
		return -errno;
	bool is_skb = info.type == BPF_PROG_TYPE_SCHED_CLS;
	uint8_t *after = malloc(BPF_FRAME_MAX);
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = run->frame, .data_size_in = (uint32_t)run->size, .data_out = after,
		    .data_size_out = BPF_FRAME_MAX, .repeat = (int)(run->repeat ? run->repeat : 1));
	if (is_skb) {
		options.ctx_in = &in;
		options.ctx_size_in = sizeof(in);
		options.ctx_out = &out;
		options.ctx_size_out = sizeof(out);
	}
	int result = after ? bpf_prog_test_run_opts(run->program, &options) : -ENOMEM;
	run->mark_after = out.mark;
	run->after_size = options.data_size_out;
	if (result == 0 && run->after_size <= sizeof(run->after))
		memcpy(run->after, after, run->after_size);
	free(after);
	return result ? result : (int)options.retval;
}
