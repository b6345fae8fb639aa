// UDP datagrams of a capture file (tcpdump -w; Ethernet or raw IP), and writing one.
// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_TOOLS_PCAP_H
#define TESTS_TOOLS_PCAP_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PCAP_HEADER_BYTES = 24, PCAP_RECORD_BYTES = 16, PCAP_ETHERNET = 1, PCAP_RAW = 101 };

struct pcap {
	uint8_t *bytes; // the whole file, owned
	size_t size;
	size_t at; // next record
	uint32_t link_type;
	uint32_t tick_ns; // of the fractions of a second in time stamps
};

struct pcap_datagram {
	uint64_t time_ns; // of its capture
	uint16_t from_port, to_port;
	const uint8_t *payload; // borrowed
	size_t size;
};

static inline void pcap_fini(struct pcap *pcap)
{
	free(pcap->bytes);
	*pcap = (struct pcap){};
}

static inline uint32_t pcap_u32(const uint8_t *bytes)
{
	uint32_t v;
	memcpy(&v, bytes, sizeof(v));
	return v;
}

// Of this machine's byte order, as tcpdump here writes it. A record cut short at the end is left out, so a
// capture may be read while it is being written.
static inline enum err pcap_read(const char *path, struct pcap *out)
{
	FILE *file = fopen(path, "rbe");
	long size = 0;
	enum err err = ERR_IO;
	*out = (struct pcap){ .at = PCAP_HEADER_BYTES };
	if (!file)
		return ERR_IO;
	if (fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= 0 && fseek(file, 0, SEEK_SET) == 0 &&
	    (out->bytes = malloc((size_t)size + 1))) {
		out->size = fread(out->bytes, 1, (size_t)size, file);
		bool is_pcap = out->size >= PCAP_HEADER_BYTES &&
			       (pcap_u32(out->bytes) == 0xa1b2c3d4 || pcap_u32(out->bytes) == 0xa1b23c4d);
		err = is_pcap ? ERR_OK : ERR_PARSE;
	}
	fclose(file);
	if (err != ERR_OK) {
		pcap_fini(out);
		return err;
	}
	out->link_type = pcap_u32(out->bytes + 20);
	out->tick_ns = pcap_u32(out->bytes) == 0xa1b23c4d ? 1 : 1000;
	if (out->link_type != PCAP_ETHERNET && out->link_type != PCAP_RAW) {
		pcap_fini(out);
		return ERR_VERSION;
	}
	return ERR_OK;
}

// The UDP datagram in an IP packet, if it is one and whole.
static inline bool pcap_udp(const uint8_t *ip, size_t size, struct pcap_datagram *out)
{
	size_t header = 40;
	if (size < 28)
		return false;
	if (ip[0] >> 4 == 4) {
		header = (size_t)(ip[0] & 15) * 4;
		if (ip[9] != 17)
			return false;
	} else if (ip[0] >> 4 != 6 || ip[6] != 17)
		return false;
	if (header < 20 || size < header + 8)
		return false;
	const uint8_t *udp = ip + header;
	size_t length = (size_t)udp[4] << 8 | udp[5], left = size - header;
	if (length < 8 || length > left) // a train of segments (GSO) has a length of its own
		length = left;
	*out = (struct pcap_datagram){ .from_port = (uint16_t)(udp[0] << 8 | udp[1]), .to_port = (uint16_t)(udp[2] << 8 | udp[3]),
				       .payload = udp + 8, .size = length - 8 };
	return true;
}

// The next UDP datagram; false at the end.
static inline bool pcap_next(struct pcap *pcap, struct pcap_datagram *out)
{
	while (pcap->at + PCAP_RECORD_BYTES <= pcap->size) {
		const uint8_t *record = pcap->bytes + pcap->at;
		size_t length = pcap_u32(record + 8), skip = pcap->link_type == PCAP_ETHERNET ? 14 : 0;
		if (length > pcap->size - pcap->at - PCAP_RECORD_BYTES)
			return false;
		pcap->at += PCAP_RECORD_BYTES + length;
		if (length > skip && pcap_udp(record + PCAP_RECORD_BYTES + skip, length - skip, out)) {
			out->time_ns = (uint64_t)pcap_u32(record) * 1000000000u + (uint64_t)pcap_u32(record + 4) * pcap->tick_ns;
			return true;
		}
	}
	return false;
}

static inline void pcap_write_header(FILE *file)
{
	uint32_t header[6] = { 0xa1b2c3d4, 4u << 16 | 2, 0, 0, 262144, PCAP_RAW };
	fwrite(header, sizeof(header), 1, file);
}

// One datagram from and to 127.0.0.1; check sums are left zero, times too.
static inline void pcap_write_datagram(FILE *file, uint16_t from_port, uint16_t to_port, const uint8_t *payload, size_t size)
{
	uint32_t length = (uint32_t)size + 28, record[4] = { 0, 0, length, length };
	uint16_t udp_size = (uint16_t)(size + 8);
	uint8_t headers[28] = { 0x45, 0, (uint8_t)(length >> 8), (uint8_t)length, 0, 0, 0, 0, 64, 17, 0, 0,
				127, 0, 0, 1, 127, 0, 0, 1,
				(uint8_t)(from_port >> 8), (uint8_t)from_port, (uint8_t)(to_port >> 8), (uint8_t)to_port,
				(uint8_t)(udp_size >> 8), (uint8_t)udp_size, 0, 0 };
	fwrite(record, sizeof(record), 1, file);
	fwrite(headers, sizeof(headers), 1, file);
	fwrite(payload, size, 1, file);
}

#endif
