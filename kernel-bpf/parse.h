// Ethernet, one VLAN tag where the caller expects one, IPv4 or IPv6, UDP to a port of ours. The common case only: what
// is rarer is told apart by odd.h. SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#ifndef KERNEL_BPF_PARSE_H
#define KERNEL_BPF_PARSE_H

#include "kernel-bpf/checksum.h"
#include "kernel-bpf/fanout.h"
#include "kernel-bpf/fanout_admit.h"

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>

enum parsed {
	PARSED_FOREIGN, // not for a port of ours
	PARSED_WHOLE,
	PARSED_ODD,    // options, extension headers or a fragment, perhaps for us; `destination` is set
	PARSED_LENGTH, // for us, but the lengths of frame, IP and UDP do not agree
	PARSED_HIDDEN, // what is to be read is not in the part of the frame that can be read in place
};

enum {
	PARSE_IPV4_BYTES = sizeof(struct iphdr), PARSE_IPV6_BYTES = sizeof(struct ipv6hdr), PARSE_UDP_BYTES = sizeof(struct udphdr),
	PARSE_TAG_BYTES = 4,
	// What the programs read of a packet at most, without a VLAN tag.
	PARSE_BYTES = ETH_HLEN + PARSE_IPV6_BYTES + PARSE_UDP_BYTES + FANOUT_HEAD_BYTES,
};

// What the parser sees.
struct frame {
	const void *at, *end;    // what can be read in place
	uint32_t bytes;          // all of it
	uint16_t port_be, relay_port_be;
};

// What it finds. Kept in per-CPU memory (maps.h), since a program's stack is small.
struct parse {
	struct fanout_packet packet; // peer, peer_port_be, size and head
	uint64_t destination[2];     // IPv4 mapped
	uint32_t header_bytes;       // in front of the payload
	uint32_t old_sum;            // folded, of addresses and ports
	uint32_t old_ports;          // folded sum of the ports alone
	uint16_t check_be;           // UDP checksum
	uint8_t family, ecn;
	bool is_from_relay;          // came to the port for other relays
};

enum { IP_MORE_OR_OFFSET = 0x3fff };

FANOUT_INLINE uint32_t parse_word(const void *at) { return *(const uint32_t *)at; }

FANOUT_INLINE uint64_t parse_sum128(const uint64_t words[2])
{
	return (words[0] & 0xffffffff) + (words[0] >> 32) + (words[1] & 0xffffffff) + (words[1] >> 32);
}

// An IPv4 address as IPv6 writes it: ten zeros, two 0xff.
FANOUT_INLINE void parse_mapped(uint64_t out[2], uint32_t address_be)
{
	out[0] = 0;
	out[1] = (uint64_t)bpf_htonl(0xffff) | (uint64_t)address_be << 32;
}

// `udp` and what follows; `ip_payload_bytes` is what the IP header says, `udp_room` what the frame has.
FANOUT_INLINE enum parsed parse_udp(struct parse *p, const struct frame *frame, const struct udphdr *udp, uint32_t ip_payload_bytes,
				    uint32_t udp_room)
{
	if (udp->dest != frame->port_be && (udp->dest != frame->relay_port_be || frame->relay_port_be == 0))
		return PARSED_FOREIGN;
	p->is_from_relay = udp->dest != frame->port_be;
	uint32_t udp_bytes = bpf_ntohs(udp->len);
	if (udp_bytes != ip_payload_bytes || udp_bytes < PARSE_UDP_BYTES || udp_bytes > udp_room)
		return PARSED_LENGTH;
	uint32_t size = udp_bytes - PARSE_UDP_BYTES;
	// Short frames are padded by the sender's card; such a packet is too short for anything that we take.
	if (udp_bytes != udp_room && size >= FANOUT_HOP_MIN_BYTES)
		return PARSED_LENGTH;
	p->packet.size = (uint16_t)size;
	p->packet.peer_port_be = udp->source;
	p->packet.is_tls = false;
	p->check_be = udp->check;
	const uint64_t *head = (const void *)(udp + 1);
	if (size < FANOUT_HEAD_BYTES) {
		__builtin_memset(p->packet.head, 0, FANOUT_HEAD_BYTES);
		return PARSED_WHOLE;
	}
	if ((const void *)(head + FANOUT_HEAD_BYTES / 8) > frame->end)
		return PARSED_HIDDEN;
#pragma unroll
	for (int i = 0; i < FANOUT_HEAD_BYTES / 8; i++)
		p->packet.head[i] = head[i];
	return PARSED_WHOLE;
}

FANOUT_INLINE enum parsed parse_ipv4(struct parse *p, const struct frame *frame, const struct iphdr *ip, uint32_t header_bytes)
{
	const struct udphdr *udp = (const void *)(ip + 1);
	if (frame->bytes < header_bytes + PARSE_IPV4_BYTES + PARSE_UDP_BYTES)
		return PARSED_FOREIGN;
	if ((const void *)(udp + 1) > frame->end)
		return PARSED_HIDDEN;
	if (ip->protocol != IPPROTO_UDP || ip->version != 4)
		return PARSED_FOREIGN;
	parse_mapped(p->destination, ip->daddr);
	if (ip->ihl != 5 || (ip->frag_off & bpf_htons(IP_MORE_OR_OFFSET)))
		return PARSED_ODD;
	parse_mapped((uint64_t *)p->packet.peer, ip->saddr);
	p->family = FANOUT_IPV4;
	p->ecn = ip->tos & 3;
	p->old_ports = checksum_fold(parse_word(udp));
	p->old_sum = checksum_fold((uint64_t)ip->saddr + ip->daddr + p->old_ports);
	header_bytes += PARSE_IPV4_BYTES;
	p->header_bytes = header_bytes + PARSE_UDP_BYTES;
	return parse_udp(p, frame, udp, (uint32_t)bpf_ntohs(ip->tot_len) - PARSE_IPV4_BYTES, frame->bytes - header_bytes);
}

FANOUT_INLINE enum parsed parse_ipv6(struct parse *p, const struct frame *frame, const struct ipv6hdr *ip, uint32_t header_bytes)
{
	const struct udphdr *udp = (const void *)(ip + 1);
	if (frame->bytes < header_bytes + PARSE_IPV6_BYTES + PARSE_UDP_BYTES)
		return PARSED_FOREIGN;
	if ((const void *)(udp + 1) > frame->end)
		return PARSED_HIDDEN;
	if (ip->version != 6)
		return PARSED_FOREIGN;
	uint64_t *peer = (uint64_t *)p->packet.peer;
	const uint64_t *addresses = (const void *)&ip->saddr; // the destination follows
	p->destination[0] = addresses[2];
	p->destination[1] = addresses[3];
	if (ip->nexthdr != IPPROTO_UDP)
		return PARSED_ODD;
	peer[0] = addresses[0];
	peer[1] = addresses[1];
	p->family = FANOUT_IPV6;
	p->ecn = (uint8_t)(bpf_ntohl(parse_word(ip)) >> 20 & 3);
	p->old_ports = checksum_fold(parse_word(udp));
	p->old_sum = checksum_fold(parse_sum128(peer) + parse_sum128(p->destination) + p->old_ports);
	header_bytes += PARSE_IPV6_BYTES;
	p->header_bytes = header_bytes + PARSE_UDP_BYTES;
	return parse_udp(p, frame, udp, bpf_ntohs(ip->payload_len), frame->bytes - header_bytes);
}

// `is_tagged_too`: a frame with a VLAN tag is looked into as well.
FANOUT_INLINE enum parsed parse_frame(struct parse *p, const struct frame *frame, bool is_tagged_too)
{
	const struct ethhdr *ethernet = frame->at;
	const void *ip = ethernet + 1;
	if (ip > frame->end)
		return PARSED_FOREIGN;
	uint16_t type_be = ethernet->h_proto;
	uint32_t header_bytes = ETH_HLEN;
	if (is_tagged_too && type_be == bpf_htons(ETH_P_8021Q)) {
		ip += PARSE_TAG_BYTES;
		if (ip > frame->end)
			return PARSED_FOREIGN;
		type_be = *(const uint16_t *)(ip - sizeof(type_be));
		header_bytes += PARSE_TAG_BYTES;
	}
	if (type_be == bpf_htons(ETH_P_IP))
		return parse_ipv4(p, frame, ip, header_bytes);
	if (type_be == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(p, frame, ip, header_bytes);
	return PARSED_FOREIGN;
}

#endif
