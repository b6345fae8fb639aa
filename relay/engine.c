// SPDX-License-Identifier: Apache-2.0
#include "relay/engine.h"

#include "base/log.h"
#include "relay/bpf_map.h"
#include "relay/receivers.h"
#include "relay/relay.h"
#include "relay/relay_address.h"
#include "relay/tcs_config.h"

#include <arpa/inet.h>
#include <string.h>

static const char *const wish_names[ENGINE_WISHES] = { "auto", "xdp", "tcx", "user" };
static const char *const engine_names[FANOUT_ENGINES] = { "user", "tcx", "xdp" };
static const char *const device_texts[] = {
	[ENGINE_DEVICE_SERVES] = "the kernel serves it again",
	[ENGINE_DEVICE_GONE] = "gone; user space serves one in its place until tcs is started anew",
	[ENGINE_DEVICE_DOWN] = "down",
	[ENGINE_DEVICE_NARROW] = "MTU too small for our packets: user space sends what leaves there",
};

const char *engine_wish_name(enum engine_wish wish) { return wish_names[wish]; }
const char *engine_name(enum fanout_engine engine) { return engine_names[engine]; }

static bool is_attached(const struct fast_path_device *device, enum fanout_engine engine) { return device->engines >> engine & 1; }

static bool is_allowed(const struct relay *relay, enum fanout_engine engine)
{
	switch (relay->engine.wish) {
	case ENGINE_USER:
		return false;
	case ENGINE_TCX:
		return engine == FANOUT_TCX;
	default:
		return true;
	}
}

enum fanout_engine engine_of_device(const struct relay *relay, const struct fast_path_device *device, const char **reason)
{
	bool has_xdp = is_attached(device, FANOUT_XDP), has_tcx = is_attached(device, FANOUT_TCX);
	enum engine_device state = relay->engine.device[device - relay->fast_path->device];
	if (state != ENGINE_DEVICE_SERVES) {
		*reason = device_texts[state];
		return FANOUT_USER;
	}
	if (has_xdp && is_allowed(relay, FANOUT_XDP)) {
		*reason = "native XDP";
		return FANOUT_XDP;
	}
	if (has_tcx && is_allowed(relay, FANOUT_TCX)) {
		*reason = has_xdp ? "asked for" : "no native XDP program on this device";
		return FANOUT_TCX;
	}
	*reason = has_xdp || has_tcx ? "asked for" : "no program on this device";
	return FANOUT_USER;
}

// ---------------------------------------------------------------- where receivers are

// Slot of the device, if it has this program.
static uint8_t slot_of(const struct relay *relay, uint32_t ifindex, enum fanout_engine engine)
{
	const struct fast_path *fast_path = relay->fast_path;
	for (uint8_t slot = 1; slot < FANOUT_DEVICES; slot++) {
		const struct fast_path_device *device = &fast_path->device[slot];
		if (device->ifindex == ifindex && ifindex != 0)
			return is_attached(device, engine) && is_allowed(relay, engine) ? slot : 0;
	}
	return 0;
}

// T sends to the VLAN device itself, X to the device below, with the tag.
struct engine_place engine_place(const struct relay *relay, const struct neighbour_hop *hop)
{
	return (struct engine_place){
		.tcx = slot_of(relay, hop->ifindex, FANOUT_TCX),
		.xdp = slot_of(relay, hop->parent ? hop->parent : hop->ifindex, FANOUT_XDP),
		.vlan_be = hop->parent ? htons(hop->vlan) : 0,
	};
}

// X has no back-pressure: what does not fit the ring is lost, so a packet's copies must leave most of it free.
static bool fits_ring(const struct relay *relay, uint8_t slot, size_t count)
{
	uint32_t ring = relay->fast_path->device[slot].ring;
	return relay->engine.wish == ENGINE_XDP || ring == 0 || count * ENGINE_RING_SHARE <= ring;
}

static bool can_use_xdp(const struct relay *relay, const struct engine_place *places, size_t count)
{
	if (count == 0 || count > FANOUT_XDP_MAX + 1 || places[0].xdp == 0)
		return false;
	for (size_t i = 1; i < count; i++) {
		if (places[i].xdp != places[0].xdp)
			return false;
	}
	return fits_ring(relay, places[0].xdp, count);
}

uint16_t engine_choose(const struct relay *relay, struct fanout_receiver *records, const struct engine_place *places, size_t count)
{
	bool is_xdp = can_use_xdp(relay, places, count), has_tcx = false, has_vlan = false;
	for (size_t i = 0; i < count; i++) {
		records[i].device = is_xdp ? places[i].xdp : places[i].tcx;
		records[i].vlan_be = is_xdp ? places[i].vlan_be : 0;
		has_vlan |= records[i].vlan_be != 0;
		has_tcx |= places[i].tcx != 0;
	}
	// Packets that come in where there is only T are T's, unless the records are for the device below a VLAN.
	uint16_t tcx = is_allowed(relay, FANOUT_TCX) && (is_xdp ? !has_vlan : has_tcx) ? FANOUT_EXTENT_TCX : 0;
	return (uint16_t)(tcx | (is_xdp ? FANOUT_EXTENT_XDP : 0));
}

void engine_set(struct relay *relay, enum engine_wish wish)
{
	if (relay->engine.wish == wish)
		return;
	log_line(LOG_NOTICE, "engine: %s instead of %s", wish_names[wish], wish_names[relay->engine.wish]);
	relay->engine.wish = wish;
	receivers_changed_all(relay);
}

// ---------------------------------------------------------------- the machine's own addresses

static bool is_own(const struct relay *relay, const struct in6_addr *address)
{
	struct in6_addr own;
	for (size_t i = 0; neighbours_own_address(relay->neighbours, i, &own); i++) {
		if (IN6_ARE_ADDR_EQUAL(&own, address))
			return true;
	}
	return false;
}

// Does the relay listen there? The same port of another address is somebody else's.
static bool is_listened(const struct relay *relay, const struct in6_addr *own)
{
	struct sockaddr_in6 listen;
	if (relay_address_parse(relay->config->listen_address, 0, &listen) || IN6_IS_ADDR_UNSPECIFIED(&listen.sin6_addr))
		return true;
	bool is_any_ipv4 = IN6_IS_ADDR_V4MAPPED(&listen.sin6_addr) && listen.sin6_addr.s6_addr32[3] == INADDR_ANY;
	return is_any_ipv4 ? IN6_IS_ADDR_V4MAPPED(own) : IN6_ARE_ADDR_EQUAL(&listen.sin6_addr, own);
}

static void forget_addresses(struct relay *relay, int map)
{
	struct engine_choice *engine = &relay->engine;
	for (size_t i = 0; i < engine->address_count;) {
		if (is_own(relay, &engine->address[i])) {
			i++;
			continue;
		}
		(void)!bpf_map_delete(map, &engine->address[i]);
		engine->address[i] = engine->address[--engine->address_count];
	}
}

static bool is_noted(const struct engine_choice *engine, const struct in6_addr *address)
{
	for (size_t i = 0; i < engine->address_count; i++) {
		if (IN6_ARE_ADDR_EQUAL(&engine->address[i], address))
			return true;
	}
	return false;
}

// The programs drop what they refuse only if it was for this machine. An address that is not in the map costs nothing
// but that user space refuses instead.
static void tell_addresses(struct relay *relay)
{
	struct engine_choice *engine = &relay->engine;
	int map = relay->fast_path->memory.map[LOADER_MAP_ADDRESSES];
	const uint8_t present = 1;
	struct in6_addr own;
	forget_addresses(relay, map);
	for (size_t i = 0; neighbours_own_address(relay->neighbours, i, &own) && engine->address_count < ENGINE_ADDRESSES_MAX; i++) {
		if (is_listened(relay, &own) && !is_noted(engine, &own) && !bpf_map_update(map, &own, &present))
			engine->address[engine->address_count++] = own;
	}
}

// ---------------------------------------------------------------- devices with programs

static enum engine_device look_at(const struct relay *relay, const struct fast_path_device *device, uint16_t *mtu)
{
	struct neighbour_device now;
	if (!neighbours_device(relay->neighbours, device->ifindex, &now))
		return ENGINE_DEVICE_GONE;
	*mtu = now.mtu;
	return !now.is_up ? ENGINE_DEVICE_DOWN : now.mtu < ENGINE_MTU_MIN ? ENGINE_DEVICE_NARROW : ENGINE_DEVICE_SERVES;
}

static void look_at_devices(struct relay *relay)
{
	struct fanout_config *config = relay->fast_path->memory.config;
	for (size_t slot = 1; slot < FANOUT_DEVICES; slot++) {
		const struct fast_path_device *device = &relay->fast_path->device[slot];
		uint16_t mtu = 0;
		if (device->ifindex == 0)
			continue;
		enum engine_device state = look_at(relay, device, &mtu);
		if (mtu)
			__atomic_store_n(&config->mtu[slot], mtu, __ATOMIC_RELAXED);
		if (state != relay->engine.device[slot])
			log_line(LOG_NOTICE, "fast path: %s: %s", device->name, device_texts[state]);
		relay->engine.device[slot] = (unsigned char)state;
	}
}

static void on_change(void *context)
{
	struct relay *relay = context;
	look_at_devices(relay);
	tell_addresses(relay);
	receivers_changed_all(relay);
}

enum err engine_start(struct relay *relay)
{
	if (!relay->fast_path)
		return ERR_OK;
	enum err err = neighbours_open(on_change, relay, &relay->neighbours);
	if (!err) {
		err = relay->loop->ops->watch_readable(relay->loop, neighbours_descriptor(relay->neighbours));
		if (err)
			engine_stop(relay);
	}
	if (err) {
		log_line(LOG_WARNING, "no routes and neighbours by netlink (%s): user space sends all packets", err_text(err));
		return err == ERR_NOMEM ? err : ERR_OK;
	}
	look_at_devices(relay);
	tell_addresses(relay);
	return ERR_OK;
}

void engine_stop(struct relay *relay)
{
	if (!relay->neighbours)
		return;
	relay->loop->ops->unwatch(relay->loop, neighbours_descriptor(relay->neighbours));
	neighbours_close(relay->neighbours);
	relay->neighbours = NULL;
}
