// SPDX-License-Identifier: Apache-2.0
#include "tests/net/impair_nat.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static bool is_rebinding(const struct impair_case *c) { return c->kind == IMPAIR_CASE_REBIND_PORT || c->kind == IMPAIR_CASE_REBIND_ADDR; }

static enum err parse_address(const char *text, struct impair_case *c)
{
	if (inet_pton(AF_INET, text, c->address) == 1)
		c->version = 4;
	else if (inet_pton(AF_INET6, text, c->address) == 1)
		c->version = 6;
	else
		return ERR_PARSE;
	return ERR_OK;
}

// AT[,ADDRESS][,udp]
static enum err parse_rebinding(char *text, struct impair_case *c)
{
	char *rest = text, *word = strsep(&rest, ",");
	if (!word || impair_time_parse(word, &c->from_ns))
		return ERR_PARSE;
	if (c->kind == IMPAIR_CASE_REBIND_ADDR && (!(word = strsep(&rest, ",")) || parse_address(word, c)))
		return ERR_PARSE;
	if (!rest)
		return ERR_OK;
	c->is_udp_only = strcmp(rest, "udp") == 0;
	return c->is_udp_only ? ERR_OK : ERR_PARSE;
}

// FROM-TO, FROM for from then on, or nothing for always.
static enum err parse_span(char *text, struct impair_case *c)
{
	if (!text)
		return ERR_OK;
	char *to = text, *from = strsep(&to, "-");
	if (impair_time_parse(from, &c->from_ns) || (to && impair_time_parse(to, &c->to_ns)))
		return ERR_PARSE;
	return c->from_ns < c->to_ns ? ERR_OK : ERR_PARSE;
}

enum err impair_nat_add_case(struct impair_nat *nat, const char *text, char problem[static 128])
{
	static const char *const names[] = { [IMPAIR_CASE_UDP_BLOCKED] = "udp-blocked", [IMPAIR_CASE_BLACKHOLE] = "blackhole",
					     [IMPAIR_CASE_REBIND_PORT] = "rebind-port", [IMPAIR_CASE_REBIND_ADDR] = "rebind-addr" };
	char copy[128];
	if (nat->case_count == IMPAIR_CASES_MAX || strlen(text) >= sizeof(copy)) {
		snprintf(problem, 128, "too many cases, or too long a one");
		return ERR_USAGE;
	}
	memcpy(copy, text, strlen(text) + 1);
	char *value = copy, *name = strsep(&value, "=");
	struct impair_case c = { .to_ns = UINT64_MAX };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]) != 0)
			continue;
		c.kind = (enum impair_case_kind)i;
		if (is_rebinding(&c) ? parse_rebinding(value, &c) : parse_span(value, &c))
			break;
		nat->cases[nat->case_count++] = c;
		return ERR_OK;
	}
	snprintf(problem, 128, "case %.80s: not understood, see impair --help", text);
	return ERR_USAGE;
}

// A new rebinding forgets what the one before had bound.
static void advance(struct impair_nat *nat, uint64_t elapsed_ns)
{
	for (size_t i = 0; i < nat->case_count; i++) {
		const struct impair_case *c = &nat->cases[i];
		if (!is_rebinding(c) || elapsed_ns < c->from_ns || (nat->rebinding && c->from_ns <= nat->rebinding->from_ns))
			continue;
		nat->rebinding = c;
		nat->binding_count = nat->binding_oldest = 0;
	}
}

static struct impair_binding *bind_outside(struct impair_nat *nat, const struct impair_flow *flow)
{
	const struct impair_case *c = nat->rebinding;
	for (size_t i = 0; i < nat->binding_count; i++) {
		struct impair_binding *b = &nat->bindings[i];
		if (b->version == flow->version && b->protocol == flow->protocol && impair_endpoint_equal(&b->inside, &flow->source))
			return b;
	}
	struct impair_binding *b;
	if (nat->binding_count < IMPAIR_BINDINGS_MAX)
		b = &nat->bindings[nat->binding_count++];
	else // the oldest gives way
		b = &nat->bindings[nat->binding_oldest++ % IMPAIR_BINDINGS_MAX];
	*b = (struct impair_binding){ .version = flow->version, .protocol = flow->protocol, .inside = flow->source, .outside = flow->source };
	b->outside.port = (uint16_t)(IMPAIR_PORT_FIRST + nat->bindings_made++ % 20000);
	if (c->kind == IMPAIR_CASE_REBIND_ADDR && c->version == flow->version)
		memcpy(b->outside.address, c->address, sizeof(c->address));
	return b;
}

static enum impair_verdict translate(struct impair_nat *nat, enum impair_direction direction, uint8_t *packet, struct impair_flow *flow)
{
	if (flow->protocol == IPPROTO_TCP && nat->rebinding->is_udp_only)
		return IMPAIR_PASS;
	if (!flow->has_ports)
		return IMPAIR_UNTRANSLATED;
	if (direction == IMPAIR_UP) {
		impair_flow_set_source(packet, flow, &bind_outside(nat, flow)->outside);
		return IMPAIR_PASS;
	}
	for (size_t i = 0; i < nat->binding_count; i++) {
		const struct impair_binding *b = &nat->bindings[i];
		if (b->version == flow->version && b->protocol == flow->protocol &&
		    impair_endpoint_equal(&b->outside, &flow->destination)) {
			impair_flow_set_destination(packet, flow, &b->inside);
			return IMPAIR_PASS;
		}
	}
	return IMPAIR_STALE_BINDING;
}

enum impair_verdict impair_nat_apply(struct impair_nat *nat, enum impair_direction direction, uint8_t *packet,
				     struct impair_flow *flow, uint64_t elapsed_ns)
{
	for (size_t i = 0; i < nat->case_count; i++) {
		const struct impair_case *c = &nat->cases[i];
		if (elapsed_ns < c->from_ns || elapsed_ns >= c->to_ns)
			continue;
		if (c->kind == IMPAIR_CASE_BLACKHOLE)
			return IMPAIR_BLACKHOLED;
		if (c->kind == IMPAIR_CASE_UDP_BLOCKED && flow->protocol == IPPROTO_UDP)
			return IMPAIR_UDP_BLOCKED;
	}
	advance(nat, elapsed_ns);
	return nat->rebinding ? translate(nat, direction, packet, flow) : IMPAIR_PASS;
}
