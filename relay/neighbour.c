// SPDX-License-Identifier: Apache-2.0
//
// Asked of the kernel: the route to an address, then the neighbour that it leads to; both remembered. Told by it: changes
// of links, addresses, rules, routes and neighbours. A change of a route forgets all routes; of a neighbour, only its own entry.
#include "relay/neighbour.h"

#include "relay/neighbour_link.h"
#include "relay/netlink.h"

#include <linux/neighbour.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUCKETS = 1024, REMEMBERED_MAX = 65536, IPV4_AT = 12 };
#define PAUSE_NS 100000000u // every change of a route means asking for all of them again
#define GROUP(number) (1u << ((number) - 1))
enum { NUD_USABLE = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP };

struct neighbour {
	uint32_t ifindex;
	struct in6_addr address; // IPv4 mapped
	uint8_t mac[6];
	bool is_known;
	struct neighbour *next;
};

struct route {
	struct in6_addr to, gateway, source; // gateway: next hop, may be `to` itself
	uint32_t ifindex;
	uint16_t mtu; // 0: the device's
	bool is_there;
	struct route *next;
};

struct neighbours {
	void (*on_change)(void *context);
	void *context;
	int events, requests;
	uint32_t sequence; // of the last request
	struct neighbour_links links;
	struct neighbour *neighbour[BUCKETS];
	struct route *route[BUCKETS];
	size_t remembered;
	bool is_changed, is_route_changed, is_lossy; // since renewed_ns; is_lossy: some events were lost
	uint64_t renewed_ns;
};

static size_t bucket_of(const struct in6_addr *address)
{
	uint32_t words[4], hash = 0;
	memcpy(words, address, sizeof(words));
	for (size_t i = 0; i < 4; i++)
		hash = (hash ^ words[i]) * 0x9e3779b1u;
	return hash >> 22;
}
_Static_assert(BUCKETS == 1 << 10, "the hash's top bits");

static void forget_routes(struct neighbours *n)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		while (n->route[i]) {
			struct route *route = n->route[i];
			n->route[i] = route->next;
			free(route);
			n->remembered--;
		}
	}
}

static void forget_neighbours(struct neighbours *n)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		while (n->neighbour[i]) {
			struct neighbour *neighbour = n->neighbour[i];
			n->neighbour[i] = neighbour->next;
			free(neighbour);
			n->remembered--;
		}
	}
}

// Room for one more; those who are still needed are asked for again.
static void make_room(struct neighbours *n)
{
	if (n->remembered < REMEMBERED_MAX)
		return;
	forget_routes(n);
	forget_neighbours(n);
}

// ---------------------------------------------------------------- addresses in messages

static bool read_address(const struct rtattr *attribute, struct in6_addr *out)
{
	size_t size = attribute ? RTA_PAYLOAD(attribute) : 0;
	if (size != 4 && size != 16)
		return false;
	*out = (struct in6_addr){ 0 };
	if (size == 4)
		memset(&out->s6_addr[10], 0xff, 2);
	memcpy(&out->s6_addr[16 - size], RTA_DATA(attribute), size);
	return true;
}

static uint8_t family_of(const struct in6_addr *address) { return IN6_IS_ADDR_V4MAPPED(address) ? AF_INET : AF_INET6; }

static void add_address(struct netlink_request *request, uint16_t type, const struct in6_addr *address)
{
	size_t skip = IN6_IS_ADDR_V4MAPPED(address) ? IPV4_AT : 0;
	netlink_add(request, type, &address->s6_addr[skip], sizeof(*address) - skip);
}

// ---------------------------------------------------------------- neighbours

static struct neighbour *find_neighbour(const struct neighbours *n, uint32_t ifindex, const struct in6_addr *address)
{
	struct neighbour *neighbour = n->neighbour[bucket_of(address)];
	while (neighbour && (neighbour->ifindex != ifindex || !IN6_ARE_ADDR_EQUAL(&neighbour->address, address)))
		neighbour = neighbour->next;
	return neighbour;
}

static void on_neighbour(struct neighbours *n, const struct nlmsghdr *message)
{
	const struct ndmsg *header = NLMSG_DATA(message);
	const struct rtattr *attribute[NDA_MAX + 1];
	struct in6_addr address;
	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*header)))
		return;
	netlink_attributes(message, sizeof(*header), attribute, NDA_MAX);
	if (!read_address(attribute[NDA_DST], &address))
		return;
	struct neighbour *neighbour = find_neighbour(n, (uint32_t)header->ndm_ifindex, &address);
	if (!neighbour)
		return; // nobody asked for it
	const struct rtattr *mac = attribute[NDA_LLADDR];
	bool is_known = message->nlmsg_type == RTM_NEWNEIGH && (header->ndm_state & NUD_USABLE) && mac && RTA_PAYLOAD(mac) == sizeof(neighbour->mac);
	if (is_known == neighbour->is_known && (!is_known || memcmp(neighbour->mac, RTA_DATA(mac), sizeof(neighbour->mac)) == 0))
		return;
	neighbour->is_known = is_known;
	if (is_known)
		memcpy(neighbour->mac, RTA_DATA(mac), sizeof(neighbour->mac));
	n->is_changed = true;
}

static void on_neighbour_answer(void *context, const struct nlmsghdr *message)
{
	if (message->nlmsg_type == RTM_NEWNEIGH)
		on_neighbour(context, message);
}

static struct neighbour *ask_neighbour(struct neighbours *n, uint32_t ifindex, const struct in6_addr *address)
{
	struct neighbour *neighbour = calloc(1, sizeof(*neighbour));
	if (!neighbour)
		return NULL;
	*neighbour = (struct neighbour){ .ifindex = ifindex, .address = *address, .next = n->neighbour[bucket_of(address)] };
	n->neighbour[bucket_of(address)] = neighbour;
	n->remembered++;
	const struct ndmsg header = { .ndm_family = family_of(address), .ndm_ifindex = (int)ifindex };
	struct netlink_request request;
	bool was_changed = n->is_changed;
	netlink_begin(&request, RTM_GETNEIGH, 0, &header, sizeof(header));
	add_address(&request, NDA_DST, address);
	if (netlink_ask(n->requests, &request, ++n->sequence, &(struct netlink_handler){ on_neighbour_answer, n }))
		neighbour->is_known = false; // the kernel does not know it yet; an event will tell
	n->is_changed = was_changed;
	return neighbour;
}

// ---------------------------------------------------------------- routes

static void on_route_answer(void *context, const struct nlmsghdr *message)
{
	struct route *route = context;
	const struct rtmsg *header = NLMSG_DATA(message);
	const struct rtattr *attribute[RTA_MAX + 1], *metric[RTAX_MAX + 1];
	if (message->nlmsg_type != RTM_NEWROUTE || message->nlmsg_len < NLMSG_LENGTH(sizeof(*header)))
		return;
	netlink_attributes(message, sizeof(*header), attribute, RTA_MAX);
	netlink_nested(attribute[RTA_METRICS], metric, RTAX_MAX);
	const struct rtattr *via = attribute[RTA_VIA];
	if (via && RTA_PAYLOAD(via) == sizeof(struct rtvia) + sizeof(route->gateway)) // IPv4 by an IPv6 router
		memcpy(&route->gateway, (const uint8_t *)RTA_DATA(via) + sizeof(struct rtvia), sizeof(route->gateway));
	else if (!read_address(attribute[RTA_GATEWAY], &route->gateway))
		route->gateway = route->to;
	if (!read_address(attribute[RTA_PREFSRC], &route->source))
		route->source = (struct in6_addr){ 0 };
	uint32_t mtu = netlink_u32(metric[RTAX_MTU]);
	route->mtu = mtu > UINT16_MAX ? UINT16_MAX : (uint16_t)mtu;
	route->ifindex = netlink_u32(attribute[RTA_OIF]);
	route->is_there = route->ifindex != 0 && (header->rtm_type == RTN_UNICAST || header->rtm_type == RTN_LOCAL);
}

static struct route *ask_route(struct neighbours *n, const struct in6_addr *to)
{
	struct route *route = calloc(1, sizeof(*route));
	if (!route)
		return NULL;
	*route = (struct route){ .to = *to, .next = n->route[bucket_of(to)] };
	n->route[bucket_of(to)] = route;
	n->remembered++;
	const struct rtmsg header = { .rtm_family = family_of(to), .rtm_dst_len = IN6_IS_ADDR_V4MAPPED(to) ? 32 : 128 };
	struct netlink_request request;
	netlink_begin(&request, RTM_GETROUTE, 0, &header, sizeof(header));
	add_address(&request, RTA_DST, to);
	if (netlink_ask(n->requests, &request, ++n->sequence, &(struct netlink_handler){ on_route_answer, route }))
		route->is_there = false;
	return route;
}

static struct route *find_route(const struct neighbours *n, const struct in6_addr *to)
{
	struct route *route = n->route[bucket_of(to)];
	while (route && !IN6_ARE_ADDR_EQUAL(&route->to, to))
		route = route->next;
	return route;
}

enum err neighbours_find(struct neighbours *n, const struct in6_addr *to, struct neighbour_hop *out)
{
	make_room(n);
	struct route *route = find_route(n, to);
	if (!route)
		route = ask_route(n, to);
	const struct neighbour_link *link = route && route->is_there ? neighbour_links_find(&n->links, route->ifindex) : NULL;
	if (!link)
		return route ? ERR_NOT_FOUND : ERR_NOMEM;
	*out = (struct neighbour_hop){ .ifindex = route->ifindex, .source = route->source, .vlan = link->vlan, .parent = link->parent,
				       .mtu = route->mtu && route->mtu < link->mtu ? route->mtu : link->mtu };
	memcpy(out->own_mac, link->mac, sizeof(out->own_mac));
	if (link->type == ARPHRD_LOOPBACK) {
		out->is_known = true; // zeros are right
		return ERR_OK;
	}
	if (link->type != ARPHRD_ETHER)
		return ERR_OK; // no Ethernet header to fill in
	const struct neighbour *neighbour = find_neighbour(n, route->ifindex, &route->gateway);
	if (!neighbour)
		neighbour = ask_neighbour(n, route->ifindex, &route->gateway);
	if (!neighbour)
		return ERR_NOMEM;
	out->is_known = neighbour->is_known;
	memcpy(out->mac, neighbour->mac, sizeof(out->mac));
	return ERR_OK;
}

bool neighbours_device(const struct neighbours *n, uint32_t ifindex, struct neighbour_device *out)
{
	const struct neighbour_link *link = neighbour_links_find(&n->links, ifindex);
	if (link)
		*out = (struct neighbour_device){ .mtu = link->mtu, .is_up = link->is_up };
	return link != NULL;
}

bool neighbours_own_address(const struct neighbours *n, size_t index, struct in6_addr *out)
{
	if (index >= n->links.address_count)
		return false;
	*out = n->links.address[index].address;
	return true;
}

// ---------------------------------------------------------------- events

static void on_event(void *context, const struct nlmsghdr *message)
{
	struct neighbours *n = context;
	switch (message->nlmsg_type) {
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		on_neighbour(n, message);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
	case RTM_NEWRULE:
	case RTM_DELRULE:
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		n->is_route_changed = true;
		break;
	default:
		if (neighbour_links_learn(&n->links, message))
			n->is_route_changed = true;
		break;
	}
}

static void on_link_answer(void *context, const struct nlmsghdr *message) { (void)neighbour_links_learn(context, message); }

static enum err load_links(struct neighbours *n)
{
	struct netlink_request request;
	const struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	const struct ifaddrmsg address = { .ifa_family = AF_UNSPEC };
	const struct netlink_handler handler = { on_link_answer, &n->links };
	neighbour_links_clear(&n->links);
	netlink_begin(&request, RTM_GETLINK, NLM_F_DUMP, &link, sizeof(link));
	enum err err = netlink_ask(n->requests, &request, ++n->sequence, &handler);
	if (err)
		return err;
	netlink_begin(&request, RTM_GETADDR, NLM_F_DUMP, &address, sizeof(address));
	return netlink_ask(n->requests, &request, ++n->sequence, &handler);
}

void neighbours_receive(struct neighbours *n, uint64_t now_ns)
{
	if (netlink_receive(n->events, &(struct netlink_handler){ on_event, n }))
		n->is_lossy = true;
	neighbours_tick(n, now_ns);
}

void neighbours_tick(struct neighbours *n, uint64_t now_ns)
{
	if (!(n->is_changed || n->is_route_changed || n->is_lossy) || (n->renewed_ns && now_ns - n->renewed_ns < PAUSE_NS))
		return;
	if (n->is_lossy) { // all is asked for anew
		forget_neighbours(n);
		(void)!load_links(n);
	}
	if (n->is_route_changed || n->is_lossy)
		forget_routes(n);
	n->is_changed = n->is_route_changed = n->is_lossy = false;
	n->renewed_ns = now_ns;
	n->on_change(n->context);
}

// ---------------------------------------------------------------- life

enum err neighbours_open(void (*on_change)(void *context), void *context, struct neighbours **out)
{
	const uint32_t groups = RTMGRP_NEIGH | RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
				RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_RULE | GROUP(RTNLGRP_IPV6_RULE) | GROUP(RTNLGRP_NEXTHOP);
	struct neighbours *n = calloc(1, sizeof(*n));
	if (!n)
		return ERR_NOMEM;
	*n = (struct neighbours){ .on_change = on_change, .context = context, .events = -1, .requests = -1 };
	enum err err = netlink_open(groups, &n->events);
	if (!err)
		err = netlink_open(0, &n->requests);
	if (!err)
		err = load_links(n);
	if (err) {
		neighbours_close(n);
		return err;
	}
	*out = n;
	return ERR_OK;
}

void neighbours_close(struct neighbours *n)
{
	if (!n)
		return;
	forget_routes(n);
	forget_neighbours(n);
	neighbour_links_fini(&n->links);
	if (n->events >= 0)
		close(n->events);
	if (n->requests >= 0)
		close(n->requests);
	free(n);
}

int neighbours_descriptor(const struct neighbours *n) { return n->events; }
