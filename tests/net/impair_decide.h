// What a link does to each packet, in netem's terms: random and Gilbert-Elliott loss, duplication, reordering,
// delay with jitter, rate with a queue, MTU.
//
// Chance is drawn from (seed, direction, ordinal of the packet) alone: one seed gives one sequence of decisions,
// however the packets are spaced. SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_NET_IMPAIR_DECIDE_H
#define TESTS_NET_IMPAIR_DECIDE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum impair_direction { IMPAIR_UP, IMPAIR_DOWN, IMPAIR_DIRECTIONS }; // from the inside host; to it

enum impair_distribution { IMPAIR_UNIFORM, IMPAIR_NORMAL, IMPAIR_PARETO };

struct impair_link {
	uint64_t delay_ns;
	uint64_t jitter_ns; // uniform: at most; normal, pareto: standard deviation
	enum impair_distribution distribution;
	double loss; // probabilities are 0 to 1
	// Gilbert-Elliott, as netem's "gemodel P R 1-H 1-K"; off while both losses are 0.
	double good_to_bad, bad_to_good, loss_in_bad, loss_in_good;
	double duplicate;
	double reorder;      // these packets skip the delay
	uint64_t rate_bps;   // 0: unlimited
	uint64_t queue_bytes; // what may wait for the rate
	uint32_t mtu;        // larger IP packets vanish; 0: unlimited
};

enum impair_verdict {
	IMPAIR_PASS,
	IMPAIR_LOST,          // by random loss
	IMPAIR_BURST_LOST,    // by Gilbert-Elliott
	IMPAIR_QUEUE_FULL,
	IMPAIR_TOO_BIG,       // for the MTU
	IMPAIR_UDP_BLOCKED,
	IMPAIR_BLACKHOLED,
	IMPAIR_STALE_BINDING, // to an address or port that the NAT no longer knows
	IMPAIR_UNTRANSLATED,  // the NAT cannot translate it: a fragment, an ICMP error
	IMPAIR_MALFORMED,     // no IP packet
	IMPAIR_UNWRITABLE,    // the other interface refused it
	IMPAIR_VERDICTS
};
const char *impair_verdict_text(enum impair_verdict verdict);

struct impair_decision {
	enum impair_verdict verdict;
	bool is_duplicated, is_reordered;
	uint64_t due_ns, duplicate_due_ns; // when it leaves
};

// One direction of the router.
struct impair_decide {
	struct impair_link link;
	uint64_t key;
	uint64_t ordinal; // of the next packet
	bool is_bad;      // Gilbert-Elliott state
	uint64_t busy_until_ns;
};

void impair_decide_init(struct impair_decide *decide, const struct impair_link *link, uint64_t seed, enum impair_direction direction);
// The fate of the next packet, of `size` bytes, arrived at `now_ns`.
struct impair_decision impair_decide_next(struct impair_decide *decide, size_t size, uint64_t now_ns);

// "delay=30ms,jitter=10ms,distribution=normal,loss=5%,ge=1%:25%:100%:0%,duplicate=1%,reorder=2%,rate=2mbit,queue=64kb,mtu=1400"
// into `link`, whose other fields stay as they are. On ERR_USAGE `problem` names the wrong word.
enum err impair_link_parse(const char *text, struct impair_link *link, char problem[static 128]) CHECK_RESULT;
// "1.5s", "30ms", "20us".
enum err impair_time_parse(const char *text, uint64_t *ns) CHECK_RESULT;

#endif
