// SPDX-License-Identifier: Apache-2.0
#include "tests/fake/bpf_wire.h"

#include "kernel-bpf/fanout.skel.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int packet_socket(const char *device)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)), one = 1, bytes = 1 << 24;
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(device) };
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) || bind(fd, (struct sockaddr *)&at, sizeof(at))) {
		close(fd);
		return -1;
	}
	return fd;
}

bool bpf_wire_open(struct bpf_wire *wire)
{
	*wire = (struct bpf_wire){ .in = -1, .out = -1 };
	if (system("set -e; for pair in 'g0 r0' 'r1 c0'; do set -- $pair; ip link add $1 type veth peer name $2;"
		   "for d in $1 $2; do echo 1 > /proc/sys/net/ipv6/conf/$d/disable_ipv6; ip link set $d up; ethtool -K $d gro on; done; done"))
		return false;
	wire->has_vlan = system("ip link add link r1 name r1.5 type vlan id 5 2>/dev/null &&"
				" echo 1 > /proc/sys/net/ipv6/conf/r1.5/disable_ipv6 && ip link set r1.5 up") == 0;
	wire->in = packet_socket("g0");
	wire->out = packet_socket("c0");
	return wire->in >= 0 && wire->out >= 0;
}

void bpf_wire_detach(struct bpf_wire *wire)
{
	bpf_link__destroy(wire->tcx);
	bpf_link__destroy(wire->xdp);
	wire->tcx = wire->xdp = NULL;
}

void bpf_wire_close(struct bpf_wire *wire)
{
	bpf_wire_detach(wire);
	if (wire->in >= 0)
		close(wire->in);
	if (wire->out >= 0)
		close(wire->out);
	wire->in = wire->out = -1;
}

bool bpf_wire_attach_tcx(struct bpf_wire *wire, struct bpf_lab *lab, const char *device)
{
	wire->tcx = bpf_program__attach_tcx(lab->programs->progs.fanout_tcx, (int)if_nametoindex(device), NULL);
	return wire->tcx;
}

bool bpf_wire_attach_xdp(struct bpf_wire *wire, struct bpf_lab *lab, const char *device)
{
	wire->xdp = bpf_program__attach_xdp(lab->programs->progs.fanout_xdp, (int)if_nametoindex(device));
	return wire->xdp;
}

bool bpf_wire_send(struct bpf_wire *wire, const struct bpf_wire_frame *frame, const struct bpf_flow *flow)
{
	struct virtio_net_hdr header = { 0 };
	size_t udp_at = bpf_frame_udp(flow);
	if (frame->is_partial) {
		header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		header.csum_start = (uint16_t)udp_at;
		header.csum_offset = 6;
	}
	if (frame->gso_bytes) {
		header.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
		header.gso_size = frame->gso_bytes;
		header.hdr_len = (uint16_t)(udp_at + 8);
	}
	struct iovec parts[] = { { &header, sizeof(header) }, { (void *)frame->bytes, frame->size } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	return sendmsg(wire->in, &message, 0) == (ssize_t)(sizeof(header) + frame->size);
}

// The kernel takes a tag out of the frame; put it back where it was.
static void put_tag(const struct msghdr *message, struct bpf_wire_frame *frame)
{
	const struct cmsghdr *control = CMSG_FIRSTHDR(message);
	if (!control || control->cmsg_level != SOL_PACKET || control->cmsg_type != PACKET_AUXDATA)
		return;
	struct tpacket_auxdata aux;
	memcpy(&aux, CMSG_DATA(control), sizeof(aux));
	if (!(aux.tp_status & TP_STATUS_VLAN_VALID))
		return;
	memmove(frame->bytes + 16, frame->bytes + 12, frame->size - 12);
	memcpy(frame->bytes + 12, (uint8_t[4]){ 0x81, 0, (uint8_t)(aux.tp_vlan_tci >> 8), (uint8_t)aux.tp_vlan_tci }, 4);
	frame->size += 4;
}

bool bpf_wire_receive(struct bpf_wire *wire, int timeout_ms, struct bpf_wire_frame *frame)
{
	struct pollfd ready = { .fd = wire->out, .events = POLLIN };
	if (poll(&ready, 1, timeout_ms) != 1)
		return false;
	struct virtio_net_hdr header;
	uint8_t control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct iovec parts[] = { { &header, sizeof(header) }, { frame->bytes, sizeof(frame->bytes) - 4 } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(wire->out, &message, 0);
	if (got < (ssize_t)sizeof(header))
		return false;
	frame->size = (size_t)got - sizeof(header);
	frame->is_partial = header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	frame->gso_bytes = header.gso_type ? header.gso_size : 0;
	put_tag(&message, frame);
	return true;
}
