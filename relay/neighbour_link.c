// SPDX-License-Identifier: Apache-2.0
#include "relay/neighbour_link.h"

#include "relay/netlink.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

void neighbour_links_clear(struct neighbour_links *links) { links->link_count = links->address_count = 0; }

void neighbour_links_fini(struct neighbour_links *links)
{
	free(links->link);
	free(links->address);
	*links = (struct neighbour_links){ 0 };
}

static struct neighbour_link *find(const struct neighbour_links *links, uint32_t ifindex)
{
	for (size_t i = 0; i < links->link_count; i++) {
		if (links->link[i].ifindex == ifindex)
			return &links->link[i];
	}
	return NULL;
}

const struct neighbour_link *neighbour_links_find(const struct neighbour_links *links, uint32_t ifindex) { return find(links, ifindex); }

// Grow an array of `size` bytes an item to hold one more; false at the limit or without memory.
static bool reserve(void **items, size_t size, size_t count, size_t *capacity, size_t max)
{
	if (count < *capacity)
		return true;
	size_t wanted = *capacity ? *capacity * 2 : 16;
	void *grown = wanted <= max ? realloc(*items, wanted * size) : NULL;
	if (!grown)
		return false;
	*items = grown;
	*capacity = wanted;
	return true;
}

// ---------------------------------------------------------------- devices

// A device of plain 802.1Q, whose parent is in this network namespace.
static void read_vlan(const struct rtattr *const *attribute, struct neighbour_link *out)
{
	const struct rtattr *info[IFLA_INFO_MAX + 1], *vlan[IFLA_VLAN_MAX + 1];
	netlink_nested(attribute[IFLA_LINKINFO], info, IFLA_INFO_MAX);
	const struct rtattr *kind = info[IFLA_INFO_KIND];
	if (!kind || RTA_PAYLOAD(kind) != sizeof("vlan") || memcmp(RTA_DATA(kind), "vlan", sizeof("vlan")) != 0 ||
	    attribute[IFLA_LINK_NETNSID])
		return;
	netlink_nested(info[IFLA_INFO_DATA], vlan, IFLA_VLAN_MAX);
	uint16_t id = netlink_u16(vlan[IFLA_VLAN_ID]);
	if (id == 0 || netlink_u16(vlan[IFLA_VLAN_PROTOCOL]) != htons(ETH_P_8021Q))
		return;
	out->vlan = id;
	out->parent = netlink_u32(attribute[IFLA_LINK]);
}

static bool forget_link(struct neighbour_links *links, uint32_t ifindex)
{
	struct neighbour_link *link = find(links, ifindex);
	if (link)
		*link = links->link[--links->link_count];
	return link != NULL;
}

static bool is_equal(const struct neighbour_link *a, const struct neighbour_link *b)
{
	return a->ifindex == b->ifindex && a->parent == b->parent && a->type == b->type && a->mtu == b->mtu && a->vlan == b->vlan &&
	       a->is_up == b->is_up && memcmp(a->mac, b->mac, sizeof(a->mac)) == 0;
}

static bool learn_link(struct neighbour_links *links, const struct nlmsghdr *message)
{
	const struct ifinfomsg *header = NLMSG_DATA(message);
	const struct rtattr *attribute[IFLA_MAX + 1];
	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*header)) || header->ifi_family != AF_UNSPEC)
		return false; // of a bridge's port, say
	if (message->nlmsg_type == RTM_DELLINK)
		return forget_link(links, (uint32_t)header->ifi_index);
	netlink_attributes(message, sizeof(*header), attribute, IFLA_MAX);
	struct neighbour_link now = { 0 };
	uint32_t mtu = netlink_u32(attribute[IFLA_MTU]);
	now.ifindex = (uint32_t)header->ifi_index;
	now.type = header->ifi_type;
	now.is_up = header->ifi_flags & IFF_UP;
	now.mtu = mtu > UINT16_MAX ? UINT16_MAX : (uint16_t)mtu;
	const struct rtattr *mac = attribute[IFLA_ADDRESS];
	if (mac && RTA_PAYLOAD(mac) == sizeof(now.mac))
		memcpy(now.mac, RTA_DATA(mac), sizeof(now.mac));
	read_vlan(attribute, &now);
	struct neighbour_link *link = find(links, now.ifindex);
	if (link && is_equal(link, &now))
		return false;
	if (!link && !reserve((void **)&links->link, sizeof(now), links->link_count, &links->link_capacity, NEIGHBOUR_LINKS_MAX))
		return false; // what leaves there is sent by user space
	if (!link)
		link = &links->link[links->link_count++];
	*link = now;
	return true;
}

// ---------------------------------------------------------------- addresses

static bool learn_address(struct neighbour_links *links, const struct nlmsghdr *message)
{
	const struct ifaddrmsg *header = NLMSG_DATA(message);
	const struct rtattr *attribute[IFA_MAX + 1];
	struct neighbour_address now = { 0 };
	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*header)))
		return false;
	netlink_attributes(message, sizeof(*header), attribute, IFA_MAX);
	const struct rtattr *address = attribute[IFA_LOCAL] ? attribute[IFA_LOCAL] : attribute[IFA_ADDRESS];
	size_t size = address ? RTA_PAYLOAD(address) : 0;
	if (size != (header->ifa_family == AF_INET ? 4 : 16))
		return false;
	if (size == 4)
		memset(&now.address.s6_addr[10], 0xff, 2);
	memcpy(&now.address.s6_addr[16 - size], RTA_DATA(address), size);
	now.ifindex = header->ifa_index;
	size_t at = 0;
	while (at < links->address_count && memcmp(&links->address[at], &now, sizeof(now)) != 0)
		at++;
	bool is_there = at < links->address_count, is_new = message->nlmsg_type == RTM_NEWADDR;
	if (is_there == is_new)
		return false;
	if (is_there)
		links->address[at] = links->address[--links->address_count];
	else if (reserve((void **)&links->address, sizeof(now), links->address_count, &links->address_capacity, NEIGHBOUR_ADDRESSES_MAX))
		links->address[links->address_count++] = now;
	return true;
}

bool neighbour_links_learn(struct neighbour_links *links, const struct nlmsghdr *message)
{
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return learn_link(links, message);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return learn_address(links, message);
	default:
		return false;
	}
}
