// SPDX-License-Identifier: Apache-2.0
#include "kernel-bpf/loader_device.h"

#include <bpf/libbpf.h>

#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/if_vlan.h>
#include <linux/netdev.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { VETH_RING = 256 };

// ---------------------------------------------------------------- one device

static bool ask(int socket, const struct loader_device *device, void *command)
{
	struct ifreq request = { .ifr_data = command };
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device->name);
	return ioctl(socket, SIOCETHTOOL, &request) == 0;
}

static bool is_feature_on(int socket, const struct loader_device *device, const struct ethtool_gstrings *names, const char *name)
{
	uint32_t words = (names->len + 31) / 32;
	struct ethtool_gfeatures *features = calloc(1, sizeof(*features) + words * sizeof(features->features[0]));
	bool is_on = false;
	if (!features)
		return false;
	features->cmd = ETHTOOL_GFEATURES;
	features->size = words;
	if (ask(socket, device, features)) {
		for (uint32_t i = 0; i < names->len; i++) {
			if (strncmp((const char *)names->data + (size_t)i * ETH_GSTRING_LEN, name, ETH_GSTRING_LEN) == 0)
				is_on |= features->features[i / 32].active >> i % 32 & 1;
		}
	}
	free(features);
	return is_on;
}

static void ask_features(int socket, struct loader_device *device)
{
	// One number behind the struct: how many features there are.
	_Alignas(struct ethtool_sset_info) uint8_t bytes[sizeof(struct ethtool_sset_info) + sizeof(uint32_t)] = { 0 };
	struct ethtool_sset_info *set = (struct ethtool_sset_info *)bytes;
	set->cmd = ETHTOOL_GSSET_INFO;
	set->sset_mask = 1ull << ETH_SS_FEATURES;
	if (!ask(socket, device, set) || set->sset_mask == 0)
		return;
	struct ethtool_gstrings *names = calloc(1, sizeof(*names) + (size_t)set->data[0] * ETH_GSTRING_LEN);
	if (!names)
		return;
	*names = (struct ethtool_gstrings){ .cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_FEATURES, .len = set->data[0] };
	if (ask(socket, device, names))
		device->merges_for_forwarding = is_feature_on(socket, device, names, "rx-gro-list") ||
						is_feature_on(socket, device, names, "rx-udp-gro-forwarding");
	free(names);
}

static void ask_driver(int socket, struct loader_device *device)
{
	struct ethtool_drvinfo driver = { .cmd = ETHTOOL_GDRVINFO };
	struct ethtool_ringparam ring = { .cmd = ETHTOOL_GRINGPARAM };
	device->is_virtual = true;
	if (ask(socket, device, &driver)) {
		snprintf(device->driver, sizeof(device->driver), "%s", driver.driver);
		device->is_virtual = driver.bus_info[0] == '\0' || strcmp(driver.bus_info, "N/A") == 0 ||
				     strcmp(driver.bus_info, "tap") == 0 || strcmp(driver.bus_info, "tun") == 0;
	}
	if (strcmp(device->driver, "veth") == 0)
		device->ring = VETH_RING;
	else if (ask(socket, device, &ring))
		device->ring = ring.tx_pending;
}

// Tunnels (tun, WireGuard, GRE) carry bare IP packets.
static bool ask_ethernet(int socket, const struct loader_device *device)
{
	struct ifreq request = { 0 };
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device->name);
	return ioctl(socket, SIOCGIFHWADDR, &request) == 0 &&
	       (request.ifr_hwaddr.sa_family == ARPHRD_ETHER || request.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK);
}

static uint32_t ask_parent(int socket, const struct loader_device *device)
{
	struct vlan_ioctl_args request = { .cmd = GET_VLAN_REALDEV_NAME_CMD };
	if (strncmp(device->driver, "802.1Q", 6) != 0)
		return 0;
	snprintf(request.device1, sizeof(request.device1), "%s", device->name);
	return ioctl(socket, SIOCGIFVLAN, &request) == 0 ? if_nametoindex(request.u.device2) : 0;
}

void loader_device_ask_xdp(struct loader_device *device)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	const uint64_t native = NETDEV_XDP_ACT_BASIC | NETDEV_XDP_ACT_REDIRECT;
	if (bpf_xdp_query((int)device->ifindex, 0, &query) != 0)
		return;
	device->has_native_xdp = (query.feature_flags & native) == native;
	device->has_xmit = (query.feature_flags & NETDEV_XDP_ACT_NDO_XMIT) != 0;
}

static void ask_all(int socket, struct loader_device *device)
{
	struct ifreq request = { 0 };
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device->name);
	device->ifindex = if_nametoindex(device->name);
	if (device->ifindex == 0 || ioctl(socket, SIOCGIFMTU, &request) != 0)
		return;
	device->mtu = (uint32_t)request.ifr_mtu;
	device->is_ethernet = ask_ethernet(socket, device);
	ask_driver(socket, device);
	ask_features(socket, device);
	loader_device_ask_xdp(device);
	device->parent = ask_parent(socket, device);
}

// ---------------------------------------------------------------- which devices

struct list {
	struct loader_device *device;
	size_t count;
};

static bool add(struct list *list, const char *name, size_t size)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strlen(list->device[i].name) == size && strncmp(list->device[i].name, name, size) == 0)
			return true;
	}
	if (list->count == LOADER_DEVICES_MAX)
		return false;
	struct loader_device *device = &list->device[list->count++];
	*device = (struct loader_device){ 0 };
	snprintf(device->name, sizeof(device->name), "%.*s", (int)size, name);
	return true;
}

static bool add_named(struct list *list, const char *names)
{
	while (*names) {
		size_t size = strcspn(names, ",");
		if (size != 0 && !add(list, names, size))
			return false;
		names += size + (names[size] == ',');
	}
	return true;
}

static bool is_global(const struct sockaddr *address)
{
	if (!address)
		return false;
	if (address->sa_family == AF_INET)
		return true;
	const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
	return address->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(a) && !IN6_IS_ADDR_LOOPBACK(a);
}

static bool add_found(struct list *list)
{
	struct ifaddrs *all;
	bool is_complete = true;
	if (getifaddrs(&all) != 0)
		return true;
	for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
		bool is_wanted = a->ifa_flags & IFF_UP && (a->ifa_flags & IFF_LOOPBACK || is_global(a->ifa_addr));
		if (is_wanted)
			is_complete &= add(list, a->ifa_name, strcspn(a->ifa_name, ":")); // "eth0:1" is eth0
	}
	freeifaddrs(all);
	return is_complete;
}

static bool add_parents(struct list *list, int socket)
{
	for (size_t i = 0; i < list->count; i++) {
		char name[IF_NAMESIZE];
		size_t before = list->count;
		if (list->device[i].parent == 0 || !if_indextoname(list->device[i].parent, name))
			continue;
		if (!add(list, name, strlen(name)))
			return false;
		if (list->count > before) {
			ask_all(socket, &list->device[before]);
			list->device[before].is_for_xdp_only = true;
		}
	}
	return true;
}

enum err loader_device_list(const char *list, bool with_parents, struct loader_device out[static LOADER_DEVICES_MAX], size_t *count)
{
	struct list found = { .device = out };
	int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (any < 0)
		return ERR_IO;
	bool is_complete = strcmp(list, "auto") == 0 ? add_found(&found) : add_named(&found, list);
	for (size_t i = 0; i < found.count; i++)
		ask_all(any, &out[i]);
	if (with_parents)
		is_complete &= add_parents(&found, any);
	close(any);
	*count = found.count;
	return is_complete ? ERR_OK : ERR_LIMIT;
}
