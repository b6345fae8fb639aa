// The impairment lab's router: packets as flows, their rewriting, named cases. SPDX-License-Identifier: Apache-2.0
#include "tests/net/impair_flow.h"
#include "tests/net/impair_nat.h"

#include "tests/net/impair_decide.c"
#include "tests/net/impair_flow.c"
#include "tests/net/impair_nat.c"
#include "tests/net/impair_parse.c"

#include <stdarg.h>
#include <setjmp.h>

#include <cmocka.h>

enum { ROOM = 256, DATA = 21 };
static const uint64_t second = 1000000000;

struct packet {
	uint8_t bytes[ROOM];
	size_t size;
};

static uint32_t sum_words(uint32_t sum, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

// Sum over pseudo header and segment: 0xffff if the checksum in it is right (RFC 1071).
static uint32_t transport_sum(const struct packet *p, size_t at, uint8_t protocol)
{
	bool is_v6 = p->bytes[0] >> 4 == 6;
	uint32_t sum = sum_words(protocol + (uint32_t)(p->size - at), p->bytes + (is_v6 ? 8 : 12), is_v6 ? 32 : 8);
	return sum_words(sum, p->bytes + at, p->size - at);
}

// A packet 10.0.0.2:5000 > 10.0.0.1:443 or fd00::2, fd00::1, with right checksums.
static struct packet make(int version, uint8_t protocol)
{
	struct packet p = { 0 };
	size_t at = version == 4 ? IPV4_BYTES : IPV6_BYTES, header = protocol == IPPROTO_UDP ? UDP_BYTES : TCP_BYTES;
	p.size = at + header + DATA;
	if (version == 4) {
		static const uint8_t ip[IPV4_BYTES] = { 0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 0, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1 };
		memcpy(p.bytes, ip, sizeof(ip));
		write_u16(p.bytes + 2, (uint16_t)p.size);
		p.bytes[9] = protocol;
		write_u16(p.bytes + IPV4_CHECKSUM, (uint16_t)~sum_words(0, p.bytes, IPV4_BYTES));
	} else {
		p.bytes[0] = 0x60;
		write_u16(p.bytes + 4, (uint16_t)(p.size - at));
		p.bytes[6] = protocol;
		p.bytes[8] = p.bytes[24] = 0xfd;
		p.bytes[23] = 2;
		p.bytes[39] = 1;
	}
	write_u16(p.bytes + at, 5000);
	write_u16(p.bytes + at + 2, 443);
	if (protocol == IPPROTO_UDP)
		write_u16(p.bytes + at + 4, UDP_BYTES + DATA);
	else
		p.bytes[at + 12] = 0x50;
	memset(p.bytes + at + header, 0xa5, DATA);
	size_t checksum = at + (protocol == IPPROTO_UDP ? UDP_CHECKSUM : TCP_CHECKSUM);
	write_u16(p.bytes + checksum, (uint16_t)~transport_sum(&p, at, protocol));
	return p;
}

static void assert_checksums(const struct packet *p, const struct impair_flow *flow)
{
	if (flow->version == 4)
		assert_int_equal(sum_words(0, p->bytes, IPV4_BYTES), 0xffff);
	assert_int_equal(transport_sum(p, flow->transport, flow->protocol), 0xffff);
}

static struct impair_flow parse(const struct packet *p)
{
	struct impair_flow flow;
	assert_int_equal(impair_flow_parse(p->bytes, p->size, &flow), ERR_OK);
	return flow;
}

static void flows_are_read(void **state)
{
	(void)state;
	char text[IMPAIR_FLOW_TEXT];
	struct packet p = make(4, IPPROTO_UDP);
	struct impair_flow flow = parse(&p);
	impair_flow_text(&flow, text);
	assert_string_equal(text, "udp 10.0.0.2:5000>10.0.0.1:443");
	p = make(6, IPPROTO_TCP);
	flow = parse(&p);
	impair_flow_text(&flow, text);
	assert_string_equal(text, "tcp [fd00::2]:5000>[fd00::1]:443");
}

static void fragments_have_no_ports(void **state)
{
	(void)state;
	struct packet p = make(4, IPPROTO_UDP);
	write_u16(p.bytes + 6, 0x2000); // more fragments
	assert_false(parse(&p).has_ports);
	assert_true(parse(&p).is_fragment);
}

static void damaged_packets_are_refused(void **state)
{
	(void)state;
	struct impair_flow flow;
	for (int version = 4; version <= 6; version += 2) {
		struct packet p = make(version, IPPROTO_TCP);
		for (size_t size = 0; size < p.size; size++)
			assert_int_equal(impair_flow_parse(p.bytes, size, &flow), ERR_PARSE);
	}
	struct packet p = make(4, IPPROTO_UDP);
	p.bytes[0] = 0x44; // header shorter than a header
	assert_int_equal(impair_flow_parse(p.bytes, p.size, &flow), ERR_PARSE);
	p.bytes[0] = 0x75;
	assert_int_equal(impair_flow_parse(p.bytes, p.size, &flow), ERR_PARSE);
}

static void endless_extension_headers_end(void **state)
{
	(void)state;
	struct packet p = make(6, IPPROTO_UDP);
	struct impair_flow flow;
	memset(p.bytes + IPV6_BYTES, 0, ROOM - IPV6_BYTES); // hop-by-hop, of eight bytes, followed by the same
	p.bytes[6] = IPPROTO_HOPOPTS;
	assert_int_equal(impair_flow_parse(p.bytes, p.size, &flow), ERR_PARSE);
}

static void rewriting_keeps_checksums_right(void **state)
{
	(void)state;
	static const uint8_t protocols[] = { IPPROTO_UDP, IPPROTO_TCP };
	for (size_t i = 0; i < sizeof(protocols) * 2; i++) {
		struct packet p = make(i / 2 ? 6 : 4, protocols[i % 2]);
		struct impair_flow flow = parse(&p);
		assert_checksums(&p, &flow);
		struct impair_endpoint to = { .address = { 192, 0, 2, 99, 1, 2, 3, 4 }, .port = 40000 };
		if (flow.version == 4)
			memset(to.address + 4, 0, sizeof(to.address) - 4);
		impair_flow_set_source(p.bytes, &flow, &to);
		assert_checksums(&p, &flow);
		struct impair_flow again = parse(&p);
		assert_true(impair_endpoint_equal(&again.source, &to));
		to.port = 1;
		impair_flow_set_destination(p.bytes, &flow, &to);
		assert_checksums(&p, &flow);
		again = parse(&p);
		assert_true(impair_endpoint_equal(&again.destination, &to));
	}
}

static void udp_checksum_zero_is_kept_and_never_made(void **state)
{
	(void)state;
	struct packet p = make(4, IPPROTO_UDP);
	struct impair_flow flow = parse(&p);
	uint8_t *checksum = p.bytes + flow.transport + UDP_CHECKSUM;
	struct impair_endpoint to = flow.source;
	write_u16(checksum, 0);
	to.port = 1;
	impair_flow_set_source(p.bytes, &flow, &to);
	assert_int_equal(read_u16(checksum), 0);
	// With every source port: the sum comes out as zero once, and is then sent as all ones.
	int all_ones = 0;
	for (uint32_t port = 1; port <= 65535; port++) {
		p = make(4, IPPROTO_UDP);
		flow = parse(&p);
		to.port = (uint16_t)port;
		impair_flow_set_source(p.bytes, &flow, &to);
		assert_int_not_equal(read_u16(checksum), 0);
		all_ones += read_u16(checksum) == 0xffff;
		assert_checksums(&p, &flow);
	}
	assert_int_equal(all_ones, 1);
}

// ---------------------------------------------------------------- cases

static struct impair_nat nat_with(const char *text)
{
	struct impair_nat nat = { 0 };
	char problem[128];
	assert_int_equal(impair_nat_add_case(&nat, text, problem), ERR_OK);
	return nat;
}

static enum impair_verdict apply(struct impair_nat *nat, enum impair_direction direction, struct packet *p, uint64_t at_ns)
{
	struct impair_flow flow = parse(p);
	return impair_nat_apply(nat, direction, p->bytes, &flow, at_ns);
}

// The answer of the server to a packet that it got.
static struct packet answer(const struct packet *p)
{
	struct packet out = *p;
	struct impair_flow flow = parse(p), swapped = flow;
	impair_flow_set_source(out.bytes, &flow, &swapped.destination);
	impair_flow_set_destination(out.bytes, &flow, &swapped.source);
	return out;
}

static void cases_last_their_time(void **state)
{
	(void)state;
	struct impair_nat hole = nat_with("blackhole=2s-4s"), blocked = nat_with("udp-blocked");
	struct packet udp = make(4, IPPROTO_UDP), tcp = make(4, IPPROTO_TCP);
	assert_int_equal(apply(&hole, IMPAIR_UP, &udp, 2 * second - 1), IMPAIR_PASS);
	assert_int_equal(apply(&hole, IMPAIR_UP, &udp, 2 * second), IMPAIR_BLACKHOLED);
	assert_int_equal(apply(&hole, IMPAIR_DOWN, &tcp, 3 * second), IMPAIR_BLACKHOLED);
	assert_int_equal(apply(&hole, IMPAIR_DOWN, &tcp, 4 * second), IMPAIR_PASS);
	assert_int_equal(apply(&blocked, IMPAIR_DOWN, &udp, 0), IMPAIR_UDP_BLOCKED);
	assert_int_equal(apply(&blocked, IMPAIR_DOWN, &tcp, 0), IMPAIR_PASS);
	struct impair_nat later = nat_with("udp-blocked=3s");
	assert_int_equal(apply(&later, IMPAIR_UP, &udp, 2 * second), IMPAIR_PASS);
	assert_int_equal(apply(&later, IMPAIR_UP, &udp, 3 * second), IMPAIR_UDP_BLOCKED);
}

static void rebinding_changes_the_port_and_answers_return(void **state)
{
	(void)state;
	struct impair_nat nat = nat_with("rebind-port=5s");
	struct packet p = make(4, IPPROTO_UDP), same = p, stale = answer(&p);
	assert_int_equal(apply(&nat, IMPAIR_UP, &p, 5 * second - 1), IMPAIR_PASS);
	assert_memory_equal(p.bytes, same.bytes, p.size);
	assert_int_equal(apply(&nat, IMPAIR_UP, &p, 5 * second), IMPAIR_PASS);
	struct impair_flow flow = parse(&p);
	assert_int_equal(flow.source.port, IMPAIR_PORT_FIRST);
	assert_memory_equal(flow.source.address, parse(&same).source.address, 4);
	// The same flow keeps its binding; the old one is gone.
	struct packet back = answer(&p), again = same;
	assert_int_equal(apply(&nat, IMPAIR_UP, &again, 6 * second), IMPAIR_PASS);
	assert_memory_equal(again.bytes, p.bytes, p.size);
	assert_int_equal(apply(&nat, IMPAIR_DOWN, &back, 6 * second), IMPAIR_PASS);
	assert_int_equal(parse(&back).destination.port, 5000);
	flow = parse(&back);
	assert_checksums(&back, &flow);
	assert_int_equal(apply(&nat, IMPAIR_DOWN, &stale, 6 * second), IMPAIR_STALE_BINDING);
}

static void rebinding_changes_the_address(void **state)
{
	(void)state;
	struct impair_nat nat = nat_with("rebind-addr=1s,fd00::77");
	struct packet p = make(6, IPPROTO_TCP), original = p;
	assert_int_equal(apply(&nat, IMPAIR_UP, &p, second), IMPAIR_PASS);
	struct impair_flow flow = parse(&p);
	assert_int_equal(flow.source.address[15], 0x77);
	assert_checksums(&p, &flow);
	struct packet back = answer(&p);
	assert_int_equal(apply(&nat, IMPAIR_DOWN, &back, second), IMPAIR_PASS);
	flow = parse(&back);
	struct impair_flow before = parse(&original);
	assert_true(impair_endpoint_equal(&flow.destination, &before.source));
}

static void udp_alone_can_be_rebound(void **state)
{
	(void)state;
	struct impair_nat nat = nat_with("rebind-addr=1s,10.0.0.77,udp");
	struct packet tcp = make(4, IPPROTO_TCP), same = tcp, udp = make(4, IPPROTO_UDP);
	assert_int_equal(apply(&nat, IMPAIR_UP, &tcp, second), IMPAIR_PASS);
	assert_memory_equal(tcp.bytes, same.bytes, tcp.size);
	assert_int_equal(apply(&nat, IMPAIR_UP, &udp, second), IMPAIR_PASS);
	assert_int_equal(parse(&udp).source.address[3], 77);
}

static void a_second_rebinding_forgets_the_first(void **state)
{
	(void)state;
	struct impair_nat nat = nat_with("rebind-port=1s");
	char problem[128];
	assert_int_equal(impair_nat_add_case(&nat, "rebind-port=2s", problem), ERR_OK);
	struct packet first = make(4, IPPROTO_UDP), second_one = first;
	assert_int_equal(apply(&nat, IMPAIR_UP, &first, second), IMPAIR_PASS);
	assert_int_equal(apply(&nat, IMPAIR_UP, &second_one, 2 * second), IMPAIR_PASS);
	assert_int_not_equal(parse(&first).source.port, parse(&second_one).source.port);
	struct packet stale = answer(&first), good = answer(&second_one);
	assert_int_equal(apply(&nat, IMPAIR_DOWN, &stale, 2 * second), IMPAIR_STALE_BINDING);
	assert_int_equal(apply(&nat, IMPAIR_DOWN, &good, 2 * second), IMPAIR_PASS);
}

static void a_full_table_gives_up_the_oldest(void **state)
{
	(void)state;
	struct impair_nat nat = nat_with("rebind-port=0s");
	struct packet first = { 0 }, last = { 0 };
	for (uint16_t i = 0; i <= IMPAIR_BINDINGS_MAX; i++) {
		last = make(4, IPPROTO_UDP);
		struct impair_flow flow = parse(&last);
		struct impair_endpoint from = flow.source;
		from.port = (uint16_t)(1000 + i);
		impair_flow_set_source(last.bytes, &flow, &from);
		assert_int_equal(apply(&nat, IMPAIR_UP, &last, 0), IMPAIR_PASS);
		if (i == 0)
			first = last;
	}
	struct packet to_first = answer(&first), to_last = answer(&last);
	assert_int_equal(apply(&nat, IMPAIR_DOWN, &to_last, 0), IMPAIR_PASS);
	assert_int_equal(apply(&nat, IMPAIR_DOWN, &to_first, 0), IMPAIR_STALE_BINDING);
}

static void wrong_cases_are_refused(void **state)
{
	(void)state;
	static const char *const wrong[] = { "", "blackhole=2", "blackhole=4s-2s", "udp-blocked=x", "rebind-port", "rebind-port=1s,tcp",
					     "rebind-addr=1s", "rebind-addr=1s,300.1.1.1", "rebind-addr=1s,10.0.0.1,all", "nat=1s" };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct impair_nat nat = { 0 };
		char problem[128] = "";
		assert_int_equal(impair_nat_add_case(&nat, wrong[i], problem), ERR_USAGE);
		assert_true(problem[0]);
		assert_int_equal(nat.case_count, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flows_are_read),
		cmocka_unit_test(fragments_have_no_ports),
		cmocka_unit_test(damaged_packets_are_refused),
		cmocka_unit_test(endless_extension_headers_end),
		cmocka_unit_test(rewriting_keeps_checksums_right),
		cmocka_unit_test(udp_checksum_zero_is_kept_and_never_made),
		cmocka_unit_test(cases_last_their_time),
		cmocka_unit_test(rebinding_changes_the_port_and_answers_return),
		cmocka_unit_test(rebinding_changes_the_address),
		cmocka_unit_test(udp_alone_can_be_rebound),
		cmocka_unit_test(a_second_rebinding_forgets_the_first),
		cmocka_unit_test(a_full_table_gives_up_the_oldest),
		cmocka_unit_test(wrong_cases_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
