// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/relay/bench.h"
#include "tests/bench/relay/lab.h"
#include "tests/bench/relay/wire.h"

#include "tests/bench/relay/bare.skel.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint32_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint32_t)sum;
}

static void set_receivers(struct bare_bpf *bare, uint32_t count)
{
	static const uint8_t ethernet[14] = { 2, 0, 0, 0, 2, 2, 2, 0, 0, 0, 2, 1, 8, 0 };
	bare->bss->count = count;
	bare->bss->source_be = htonl(WIRE_EGRESS_ADDRESS);
	bare->bss->ifindex = lab_device("hr1");
	for (uint32_t i = 0; i < count; i++) {
		uint32_t address_be = htonl(WIRE_RECEIVER_ADDRESS + i);
		uint16_t port_be = htons((uint16_t)(WIRE_RECEIVER_PORT + i));
		memcpy(bare->bss->receivers[i].ethernet, ethernet, sizeof(ethernet));
		bare->bss->receivers[i].address_be = address_be;
		bare->bss->receivers[i].port_be = port_be;
		bare->bss->receivers[i].sum = fold((uint64_t)address_be + bare->bss->source_be + port_be + htons(WIRE_RELAY_PORT));
	}
}

// As many entries as receivers, all the same device and program.
static void set_devices(struct bare_bpf *bare, uint32_t count)
{
	struct bpf_devmap_val value = { .ifindex = bare->bss->ifindex, .bpf_prog.fd = bpf_program__fd(bare->progs.bare_egress) };
	for (uint32_t i = 0; i < count; i++) {
		if (bpf_map_update_elem(bpf_map__fd(bare->maps.devices), &i, &value, BPF_ANY) != 0)
			lab_die("devmap");
	}
}

int bare_main(int argc, char **argv)
{
	if (argc != 3 || (strcmp(argv[1], "tcx") != 0 && strcmp(argv[1], "xdp") != 0)) {
		fputs("usage: bench_relay bare tcx|xdp RECEIVERS   until it is killed\n", stderr);
		return 2;
	}
	uint32_t count = (uint32_t)lab_number("RECEIVERS", argv[2], WIRE_BARE_MAX);
	lab_enter(LAB_RELAY);
	struct bare_bpf *bare = bare_bpf__open();
	if (!bare || count == 0 || bpf_map__set_max_entries(bare->maps.devices, count) != 0 || bare_bpf__load(bare) != 0)
		lab_die("BPF programs");
	set_receivers(bare, count);
	struct bpf_link *link;
	if (strcmp(argv[1], "tcx") == 0) {
		link = bpf_program__attach_tcx(bare->progs.bare_tcx, (int)lab_device("hr0"), NULL);
	} else {
		set_devices(bare, count);
		link = bpf_program__attach_xdp(bare->progs.bare_xdp, (int)lab_device("hr0"));
	}
	if (!link)
		lab_die("attaching");
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}
