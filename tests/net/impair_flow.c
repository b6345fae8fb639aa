// SPDX-License-Identifier: Apache-2.0
#include "tests/net/impair_flow.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { IPV4_BYTES = 20, IPV6_BYTES = 40, UDP_BYTES = 8, TCP_BYTES = 20, TCP_CHECKSUM = 16, UDP_CHECKSUM = 6, IPV4_CHECKSUM = 10 };

static uint16_t read_u16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static void write_u16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static enum err parse_ipv4(const uint8_t *packet, size_t size, struct impair_flow *out)
{
	if (size < IPV4_BYTES)
		return ERR_PARSE;
	size_t header = (packet[0] & 15) * 4;
	if (header < IPV4_BYTES || header > size || read_u16(packet + 2) > size)
		return ERR_PARSE;
	out->protocol = packet[9];
	out->is_fragment = (read_u16(packet + 6) & 0x3fff) != 0;
	memcpy(out->source.address, packet + 12, 4);
	memcpy(out->destination.address, packet + 16, 4);
	out->transport = header;
	return ERR_OK;
}

static enum err parse_ipv6(const uint8_t *packet, size_t size, struct impair_flow *out)
{
	if (size < IPV6_BYTES || (size_t)read_u16(packet + 4) + IPV6_BYTES > size)
		return ERR_PARSE;
	memcpy(out->source.address, packet + 8, 16);
	memcpy(out->destination.address, packet + 24, 16);
	out->protocol = packet[6];
	out->transport = IPV6_BYTES;
	while (out->protocol == IPPROTO_HOPOPTS || out->protocol == IPPROTO_ROUTING || out->protocol == IPPROTO_DSTOPTS ||
	       out->protocol == IPPROTO_FRAGMENT) {
		if (out->transport + 8 > size)
			return ERR_PARSE;
		const uint8_t *extension = packet + out->transport;
		out->is_fragment |= out->protocol == IPPROTO_FRAGMENT;
		out->transport += out->protocol == IPPROTO_FRAGMENT ? 8 : (size_t)(extension[1] + 1) * 8;
		out->protocol = extension[0];
	}
	return out->transport <= size ? ERR_OK : ERR_PARSE;
}

enum err impair_flow_parse(const uint8_t *packet, size_t size, struct impair_flow *out)
{
	*out = (struct impair_flow){ .version = size ? packet[0] >> 4 : 0 };
	enum err err = ERR_PARSE;
	if (out->version == 4)
		err = parse_ipv4(packet, size, out);
	else if (out->version == 6)
		err = parse_ipv6(packet, size, out);
	if (err)
		return err;
	size_t need = out->protocol == IPPROTO_UDP ? UDP_BYTES : out->protocol == IPPROTO_TCP ? TCP_BYTES : 0;
	out->has_ports = need && !out->is_fragment;
	if (!out->has_ports)
		return ERR_OK;
	if (out->transport + need > size)
		return ERR_PARSE;
	out->source.port = read_u16(packet + out->transport);
	out->destination.port = read_u16(packet + out->transport + 2);
	return ERR_OK;
}

// RFC 1624, equation 3: HC' = ~(~HC + ~m + m'), for each 16-bit word that changes.
static void adjust_checksum(uint8_t *checksum, const uint8_t *before, const uint8_t *after, size_t size)
{
	uint32_t sum = (uint16_t)~read_u16(checksum);
	for (size_t i = 0; i < size; i += 2)
		sum += (uint32_t)(uint16_t)~read_u16(before + i) + read_u16(after + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	write_u16(checksum, (uint16_t)~sum);
}

static void rewrite(uint8_t *packet, const struct impair_flow *flow, size_t address_at, size_t port_at, const struct impair_endpoint *to)
{
	size_t address_size = flow->version == 4 ? 4 : 16;
	bool is_udp = flow->protocol == IPPROTO_UDP;
	uint8_t *checksum = packet + flow->transport + (is_udp ? UDP_CHECKSUM : TCP_CHECKSUM);
	uint8_t port[2];
	write_u16(port, to->port);
	// UDP over IPv4 may go without a checksum; one that comes out as zero is sent as all ones (RFC 768).
	if (!is_udp || read_u16(checksum)) {
		adjust_checksum(checksum, packet + address_at, to->address, address_size);
		adjust_checksum(checksum, packet + port_at, port, sizeof(port));
		if (is_udp && !read_u16(checksum))
			write_u16(checksum, 0xffff);
	}
	if (flow->version == 4)
		adjust_checksum(packet + IPV4_CHECKSUM, packet + address_at, to->address, address_size);
	memcpy(packet + address_at, to->address, address_size);
	memcpy(packet + port_at, port, sizeof(port));
}

void impair_flow_set_source(uint8_t *packet, struct impair_flow *flow, const struct impair_endpoint *to)
{
	rewrite(packet, flow, flow->version == 4 ? 12 : 8, flow->transport, to);
	flow->source = *to;
}

void impair_flow_set_destination(uint8_t *packet, struct impair_flow *flow, const struct impair_endpoint *to)
{
	rewrite(packet, flow, flow->version == 4 ? 16 : 24, flow->transport + 2, to);
	flow->destination = *to;
}

bool impair_endpoint_equal(const struct impair_endpoint *a, const struct impair_endpoint *b)
{
	return a->port == b->port && memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

void impair_flow_text(const struct impair_flow *flow, char out[static IMPAIR_FLOW_TEXT])
{
	char from[INET6_ADDRSTRLEN] = "?", to[INET6_ADDRSTRLEN] = "?", protocol[8];
	bool is_v6 = flow->version == 6;
	inet_ntop(is_v6 ? AF_INET6 : AF_INET, flow->source.address, from, sizeof(from));
	inet_ntop(is_v6 ? AF_INET6 : AF_INET, flow->destination.address, to, sizeof(to));
	snprintf(protocol, sizeof(protocol), "%u", flow->protocol);
	const char *name = flow->protocol == IPPROTO_UDP ? "udp" :
			   flow->protocol == IPPROTO_TCP ? "tcp" :
			   flow->protocol == IPPROTO_ICMP ? "icmp" :
			   flow->protocol == IPPROTO_ICMPV6 ? "icmp6" : protocol;
	const char *open = is_v6 ? "[" : "", *close = is_v6 ? "]" : "";
	if (flow->has_ports)
		snprintf(out, IMPAIR_FLOW_TEXT, "%s %s%s%s:%u>%s%s%s:%u", name, open, from, close, flow->source.port, open, to, close,
			 flow->destination.port);
	else
		snprintf(out, IMPAIR_FLOW_TEXT, "%s %s%s%s>%s%s%s", name, open, from, close, open, to, close);
}
