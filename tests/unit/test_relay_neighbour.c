// Routes and neighbours, asked of a real kernel in a network namespace of the test's own. SPDX-License-Identifier: Apache-2.0
#include "relay/neighbour.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool has_namespace, has_vlan;
static unsigned changes;
static uint64_t now_ns;

static void on_change(void *context)
{
	(void)context;
	changes++;
}

static void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

// Two devices with wires to nowhere else, one of them with a VLAN.
static int setup_namespace(void **state)
{
	(void)state;
	has_namespace = unshare(CLONE_NEWNET) == 0;
	if (!has_namespace)
		return 0;
	has_vlan = system("ip link add vl0 type dummy 2>/dev/null; ip link add link vl0 name vl0.7 type vlan id 7 2>/dev/null && "
			  "ip link set vl0.7 up && ip link set vl0 up && ip address add 198.51.100.1/24 dev vl0.7") == 0;
	return system("ip link set lo up && ip link add nb0 address 02:00:00:00:00:01 type veth peer name nb1 && "
		      "ip link set nb0 up && ip link set nb1 up && ip address add 192.0.2.1/24 dev nb0 && "
		      "ip address add 2001:db8::1/64 dev nb0 nodad && "
		      "ip link add nb2 type veth peer name nb3 && ip link set nb2 up && ip address add 198.18.0.1/24 dev nb2 && "
		      "ip route add 203.0.113.0/24 via 192.0.2.254 mtu 1300");
}

static struct neighbours *opened(void **state)
{
	(void)state;
	struct neighbours *n = NULL;
	if (!has_namespace) {
		print_message("no right to make a network namespace: skipped\n");
		skip();
	}
	changes = 0;
	assert_int_equal(neighbours_open(on_change, NULL, &n), ERR_OK);
	return n;
}

static struct in6_addr address(const char *text)
{
	struct in6_addr out = { 0 };
	if (inet_pton(AF_INET6, text, &out) == 1)
		return out;
	out.s6_addr[10] = out.s6_addr[11] = 0xff;
	assert_int_equal(inet_pton(AF_INET, text, &out.s6_addr[12]), 1);
	return out;
}

static struct neighbour_hop hop_to(struct neighbours *n, const char *text)
{
	struct in6_addr to = address(text);
	struct neighbour_hop hop;
	assert_int_equal(neighbours_find(n, &to, &hop), ERR_OK);
	return hop;
}

static void receive(struct neighbours *n)
{
	struct pollfd p = { .fd = neighbours_descriptor(n), .events = POLLIN };
	while (poll(&p, 1, 50) > 0)
		neighbours_receive(n, now_ns += 1000000000u);
}

static void a_route_leads_to_a_next_hop(void **state)
{
	struct neighbours *n = opened(state);
	struct in6_addr unreachable = address("8.8.8.8"), source = address("192.0.2.1");
	struct neighbour_hop hop = hop_to(n, "192.0.2.9");
	assert_int_equal(hop.ifindex, if_nametoindex("nb0"));
	assert_memory_equal(hop.own_mac, "\x02\0\0\0\0\x01", 6);
	assert_true(IN6_ARE_ADDR_EQUAL(&hop.source, &source));
	assert_int_equal(hop.mtu, 1500);
	assert_int_equal(hop.parent, 0);
	assert_false(hop.is_known);
	assert_int_equal(neighbours_find(n, &unreachable, &hop), ERR_NOT_FOUND);
	hop = hop_to(n, "2001:db8::9");
	assert_int_equal(hop.ifindex, if_nametoindex("nb0"));
	source = address("2001:db8::1");
	assert_true(IN6_ARE_ADDR_EQUAL(&hop.source, &source));
	hop = hop_to(n, "127.0.0.1"); // no MAC addresses there: known at once
	assert_int_equal(hop.ifindex, if_nametoindex("lo"));
	assert_true(hop.is_known);
	hop = hop_to(n, "192.0.2.1"); // oneself
	assert_int_equal(hop.ifindex, if_nametoindex("lo"));
	neighbours_close(n);
}

static void neighbours_come_move_and_go(void **state)
{
	struct neighbours *n = opened(state);
	assert_false(hop_to(n, "203.0.113.5").is_known);
	assert_int_equal(hop_to(n, "203.0.113.5").mtu, 1300);
	run("ip neighbour add 192.0.2.254 lladdr 02:00:00:00:00:99 dev nb0 nud reachable");
	receive(n);
	assert_int_equal(changes, 1);
	assert_true(hop_to(n, "203.0.113.5").is_known); // by the router
	assert_memory_equal(hop_to(n, "203.0.113.5").mac, "\x02\0\0\0\0\x99", 6);
	run("ip neighbour change 192.0.2.254 lladdr 02:00:00:00:00:99 dev nb0 nud stale");
	run("ip neighbour add 192.0.2.77 lladdr 02:00:00:00:00:77 dev nb0 nud reachable"); // nobody asked for
	receive(n);
	assert_int_equal(changes, 1); // nothing that matters
	assert_true(hop_to(n, "192.0.2.77").is_known); // known before it was asked for
	run("ip neighbour change 192.0.2.254 lladdr 02:00:00:00:00:98 dev nb0 nud reachable");
	receive(n);
	assert_int_equal(changes, 2);
	assert_memory_equal(hop_to(n, "203.0.113.5").mac, "\x02\0\0\0\0\x98", 6);
	run("ip neighbour del 192.0.2.254 dev nb0");
	receive(n);
	assert_true(changes > 2);
	assert_false(hop_to(n, "203.0.113.5").is_known);
	neighbours_close(n);
}

// Routes that flap: what they lead to is looked up again at most ten times a second, and once when they are quiet.
static void a_storm_of_changes_is_one(void **state)
{
	struct neighbours *n = opened(state);
	struct pollfd p = { .fd = neighbours_descriptor(n), .events = POLLIN };
	receive(n);
	changes = 0;
	now_ns += 1000000000u;
	assert_int_equal(hop_to(n, "203.0.113.5").mtu, 1300);
	for (unsigned i = 0; i < 20; i++) {
		run(i % 2 ? "ip route change 203.0.113.0/24 via 192.0.2.254 mtu 1300" : "ip route change 203.0.113.0/24 via 192.0.2.254 mtu 1290");
		while (poll(&p, 1, 20) > 0)
			neighbours_receive(n, now_ns);
	}
	assert_int_equal(changes, 1);
	run("ip route change 203.0.113.0/24 via 192.0.2.254 mtu 1280");
	while (poll(&p, 1, 20) > 0)
		neighbours_receive(n, now_ns + 99000000u);
	assert_int_equal(changes, 1);
	neighbours_tick(n, now_ns + 100000000u);
	assert_int_equal(changes, 2);
	assert_int_equal(hop_to(n, "203.0.113.5").mtu, 1280);
	neighbours_tick(n, now_ns + 300000000u);
	assert_int_equal(changes, 2);
	run("ip route change 203.0.113.0/24 via 192.0.2.254 mtu 1300");
	neighbours_close(n);
}

// A rule leads elsewhere without a route being changed.
static void rules_are_followed(void **state)
{
	struct neighbours *n = opened(state);
	assert_int_equal(hop_to(n, "192.0.2.9").ifindex, if_nametoindex("nb0"));
	if (system("ip route add 192.0.2.0/24 dev nb2 table 77 && ip rule add to 192.0.2.9 lookup 77") == 0) {
		receive(n);
		assert_int_equal(hop_to(n, "192.0.2.9").ifindex, if_nametoindex("nb2"));
		run("ip rule del to 192.0.2.9 lookup 77");
		receive(n);
		assert_int_equal(hop_to(n, "192.0.2.9").ifindex, if_nametoindex("nb0"));
		run("ip route flush table 77");
	} else {
		print_message("this kernel has no routing rules: not tried\n");
	}
	neighbours_close(n);
}

static void vlans_are_told_with_their_parent(void **state)
{
	struct neighbours *n = opened(state);
	if (!has_vlan) {
		neighbours_close(n);
		print_message("this kernel has no VLAN devices: skipped\n");
		skip();
	}
	struct neighbour_hop hop = hop_to(n, "198.51.100.9");
	assert_int_equal(hop.ifindex, if_nametoindex("vl0.7"));
	assert_int_equal(hop.parent, if_nametoindex("vl0"));
	assert_int_equal(hop.vlan, 7);
	neighbours_close(n);
}

static bool is_own(struct neighbours *n, const char *text)
{
	struct in6_addr own, wanted = address(text);
	for (size_t i = 0; neighbours_own_address(n, i, &own); i++) {
		if (IN6_ARE_ADDR_EQUAL(&own, &wanted))
			return true;
	}
	return false;
}

static void addresses_routes_and_devices_change(void **state)
{
	struct neighbours *n = opened(state);
	struct in6_addr to = address("203.0.113.5"), gone = address("198.18.0.9");
	struct neighbour_hop hop = hop_to(n, "203.0.113.5");
	assert_true(is_own(n, "192.0.2.1") && is_own(n, "2001:db8::1") && is_own(n, "127.0.0.1") && is_own(n, "::1"));
	assert_false(is_own(n, "192.0.2.2"));
	run("ip address add 192.0.2.2/32 dev nb0");
	receive(n);
	assert_true(changes > 0 && is_own(n, "192.0.2.2"));
	changes = 0;
	run("ip address del 192.0.2.2/32 dev nb0");
	receive(n);
	assert_true(changes > 0);
	assert_false(is_own(n, "192.0.2.2"));
	changes = 0;
	run("ip route del 203.0.113.0/24");
	receive(n);
	assert_true(changes > 0);
	assert_int_equal(neighbours_find(n, &to, &hop), ERR_NOT_FOUND);
	assert_int_equal(hop_to(n, "198.18.0.9").ifindex, if_nametoindex("nb2"));
	changes = 0;
	run("ip link del nb2");
	receive(n);
	assert_true(changes > 0);
	assert_int_equal(neighbours_find(n, &gone, &hop), ERR_NOT_FOUND);
	neighbours_close(n);
}

// More events than the socket holds: all is asked for again.
static void lost_events_do_no_harm(void **state)
{
	struct neighbours *n = opened(state);
	assert_false(hop_to(n, "192.0.2.50").is_known);
	run("for i in $(seq 1 40); do for j in $(seq 1 250); do echo \"neighbour replace 10.$i.$j.1 lladdr 02:00:00:00:00:05 dev nb0 nud permanent\"; done; done "
	    "| ip -batch - && ip neighbour replace 192.0.2.50 lladdr 02:00:00:00:00:50 dev nb0 nud permanent");
	receive(n);
	assert_true(changes > 0);
	assert_true(hop_to(n, "192.0.2.50").is_known);
	assert_true(is_own(n, "192.0.2.1"));
	neighbours_close(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_route_leads_to_a_next_hop),
		cmocka_unit_test(neighbours_come_move_and_go),
		cmocka_unit_test(a_storm_of_changes_is_one),
		cmocka_unit_test(rules_are_followed),
		cmocka_unit_test(vlans_are_told_with_their_parent),
		cmocka_unit_test(lost_events_do_no_harm),
		cmocka_unit_test(addresses_routes_and_devices_change),
	};
	return cmocka_run_group_tests_name("relay_neighbour", tests, setup_namespace, NULL);
}
