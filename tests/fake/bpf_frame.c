// SPDX-License-Identifier: Apache-2.0
#include "tests/fake/bpf_frame.h"

#include <string.h>

enum { ETHERNET = 14, TAG = 4, IPV4 = 20, IPV6 = 40, UDP = 8, PROTOCOL_UDP = 17, DONT_FRAGMENT = 0x40 };

static uint16_t get16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static void put16(uint8_t *at, size_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static uint32_t sum(const uint8_t *at, size_t bytes, uint32_t before)
{
	for (size_t i = 0; i < bytes; i++)
		before += i % 2 ? at[i] : (uint32_t)at[i] << 8;
	while (before >> 16)
		before = (before & 0xffff) + (before >> 16);
	return before;
}

static size_t address_bytes(uint8_t family) { return family == 4 ? 4 : 16; }

static uint32_t pseudo(const struct bpf_flow *flow, size_t udp_bytes)
{
	uint32_t s = sum(flow->source, address_bytes(flow->family), 0);
	s = sum(flow->destination, address_bytes(flow->family), s);
	uint8_t rest[4] = { 0, PROTOCOL_UDP };
	put16(rest + 2, udp_bytes);
	return sum(rest, sizeof(rest), s);
}

size_t bpf_frame_ip(const struct bpf_flow *flow) { return ETHERNET + (flow->vlan ? TAG : 0); }
size_t bpf_frame_udp(const struct bpf_flow *flow) { return bpf_frame_ip(flow) + (flow->family == 4 ? IPV4 : IPV6); }

static void make_ip(const struct bpf_flow *flow, size_t udp_bytes, uint8_t *ip)
{
	if (flow->family == 6) {
		ip[0] = (uint8_t)(0x60 | flow->traffic_class >> 4);
		ip[1] = (uint8_t)(flow->traffic_class << 4);
		put16(ip + 4, udp_bytes);
		ip[6] = PROTOCOL_UDP;
		ip[7] = flow->hops;
		memcpy(ip + 8, flow->source, 16);
		memcpy(ip + 24, flow->destination, 16);
		return;
	}
	ip[0] = 0x45;
	ip[1] = flow->traffic_class;
	put16(ip + 2, IPV4 + udp_bytes);
	ip[6] = DONT_FRAGMENT;
	ip[8] = flow->hops;
	ip[9] = PROTOCOL_UDP;
	memcpy(ip + 12, flow->source, 4);
	memcpy(ip + 16, flow->destination, 4);
	put16(ip + 10, ~sum(ip, IPV4, 0) & 0xffff);
}

size_t bpf_frame_make(const struct bpf_flow *flow, const uint8_t *payload, size_t payload_bytes, uint8_t *out)
{
	size_t ip_at = bpf_frame_ip(flow), udp_at = bpf_frame_udp(flow), udp_bytes = UDP + payload_bytes;
	memset(out, 0, udp_at + UDP);
	memcpy(out, flow->to, BPF_FRAME_MAC_BYTES);
	memcpy(out + BPF_FRAME_MAC_BYTES, flow->from, BPF_FRAME_MAC_BYTES);
	if (flow->vlan) {
		put16(out + 12, 0x8100);
		put16(out + 14, flow->vlan);
	}
	put16(out + ip_at - 2, flow->family == 4 ? 0x0800 : 0x86dd);
	make_ip(flow, udp_bytes, out + ip_at);
	uint8_t *udp = out + udp_at;
	put16(udp, flow->source_port);
	put16(udp + 2, flow->destination_port);
	put16(udp + 4, udp_bytes);
	memcpy(udp + UDP, payload, payload_bytes);
	uint32_t check = pseudo(flow, udp_bytes);
	if (!flow->is_partial) {
		check = ~sum(udp, udp_bytes, check) & 0xffff;
		check = check ? check : 0xffff;
	}
	put16(udp + 6, flow->is_unchecked ? 0 : check);
	return udp_at + udp_bytes;
}

static const char *read_ip(const uint8_t *ip, size_t bytes, struct bpf_flow *flow, size_t *udp_bytes)
{
	if (flow->family == 6) {
		if (bytes < IPV6 + UDP || ip[0] >> 4 != 6 || ip[6] != PROTOCOL_UDP)
			return "not UDP over IPv6";
		if (get16(ip + 4) + (size_t)IPV6 != bytes)
			return "wrong length in the IPv6 header";
		if ((ip[1] & 0xf) || ip[2] || ip[3])
			return "flow label";
		flow->traffic_class = (uint8_t)(ip[0] << 4 | ip[1] >> 4);
		flow->hops = ip[7];
		memcpy(flow->source, ip + 8, 16);
		memcpy(flow->destination, ip + 24, 16);
		*udp_bytes = bytes - IPV6;
		return NULL;
	}
	if (bytes < IPV4 + UDP || ip[0] != 0x45 || ip[9] != PROTOCOL_UDP)
		return "not UDP over IPv4";
	if (get16(ip + 2) != bytes)
		return "wrong length in the IPv4 header";
	if (sum(ip, IPV4, 0) != 0xffff)
		return "wrong IPv4 header checksum";
	if (ip[6] != DONT_FRAGMENT || ip[7])
		return "fragment bits";
	flow->traffic_class = ip[1];
	flow->hops = ip[8];
	memcpy(flow->source, ip + 12, 4);
	memcpy(flow->destination, ip + 16, 4);
	*udp_bytes = bytes - IPV4;
	return NULL;
}

static const char *read_udp(const uint8_t *udp, size_t udp_bytes, struct bpf_flow *flow)
{
	flow->source_port = get16(udp);
	flow->destination_port = get16(udp + 2);
	if (get16(udp + 4) != udp_bytes)
		return "wrong length in the UDP header";
	uint32_t check = get16(udp + 6);
	flow->is_unchecked = check == 0;
	if (flow->is_unchecked)
		return flow->family == 4 ? NULL : "no UDP checksum over IPv6";
	if (flow->is_partial)
		return check == pseudo(flow, udp_bytes) ? NULL : "wrong sum of the pseudo-header";
	return sum(udp, udp_bytes, pseudo(flow, udp_bytes)) == 0xffff ? NULL : "wrong UDP checksum";
}

const char *bpf_frame_read(const uint8_t *frame, size_t frame_bytes, struct bpf_flow *flow, const uint8_t **payload, size_t *payload_bytes)
{
	*flow = (struct bpf_flow){ .is_partial = flow->is_partial };
	if (frame_bytes < ETHERNET + TAG + IPV4 + UDP)
		return "short frame";
	memcpy(flow->to, frame, BPF_FRAME_MAC_BYTES);
	memcpy(flow->from, frame + BPF_FRAME_MAC_BYTES, BPF_FRAME_MAC_BYTES);
	if (get16(frame + 12) == 0x8100)
		flow->vlan = get16(frame + 14);
	size_t ip_at = bpf_frame_ip(flow), udp_bytes;
	uint16_t type = get16(frame + ip_at - 2);
	if (type != 0x0800 && type != 0x86dd)
		return "neither IPv4 nor IPv6";
	flow->family = type == 0x0800 ? 4 : 6;
	const char *wrong = read_ip(frame + ip_at, frame_bytes - ip_at, flow, &udp_bytes);
	if (wrong)
		return wrong;
	const uint8_t *udp = frame + bpf_frame_udp(flow);
	*payload = udp + UDP;
	*payload_bytes = udp_bytes - UDP;
	return read_udp(udp, udp_bytes, flow);
}
