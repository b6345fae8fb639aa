// Decisions of the impairment lab's router: right in the long run, the same for the same seed.
// SPDX-License-Identifier: Apache-2.0
#include "tests/net/impair_decide.h"

#include "tests/net/impair_decide.c"
#include "tests/net/impair_parse.c"

#include <stdarg.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

enum { PACKETS = 20000, SIZE = 1000 };

static struct impair_link parse_link(const char *text)
{
	struct impair_link link = { 0 };
	char problem[128];
	assert_int_equal(impair_link_parse(text, &link, problem), ERR_OK);
	return link;
}

static struct impair_decide start(const char *text, uint64_t seed)
{
	struct impair_decide decide;
	struct impair_link link = parse_link(text);
	impair_decide_init(&decide, &link, seed, IMPAIR_UP);
	return decide;
}

// Within five standard deviations of a binomial distribution.
static void assert_share(uint64_t count, uint64_t total, double probability)
{
	double mean = (double)total * probability, deviation = sqrt(mean * (1 - probability));
	assert_true(fabs((double)count - mean) <= 5 * deviation);
}

static void loss_rate_is_as_asked(void **state)
{
	(void)state;
	static const double rates[] = { 0.001, 0.05, 0.3, 0.9 };
	for (uint64_t seed = 1; seed <= 5; seed++) {
		for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
			struct impair_decide decide = start("", seed);
			decide.link.loss = rates[r];
			uint64_t lost = 0;
			for (int i = 0; i < PACKETS; i++)
				lost += impair_decide_next(&decide, SIZE, 0).verdict == IMPAIR_LOST;
			assert_share(lost, PACKETS, rates[r]);
		}
	}
}

static void loss_is_all_or_nothing_at_the_ends(void **state)
{
	(void)state;
	struct impair_decide none = start("loss=0%", 1), all = start("loss=100%", 1);
	for (int i = 0; i < PACKETS; i++) {
		assert_int_equal(impair_decide_next(&none, SIZE, 0).verdict, IMPAIR_PASS);
		assert_int_equal(impair_decide_next(&all, SIZE, 0).verdict, IMPAIR_LOST);
	}
}

static void loss_is_independent(void **state)
{
	(void)state;
	struct impair_decide decide = start("loss=20%", 3);
	uint64_t lost = 0, twice = 0;
	bool was_lost = false;
	for (int i = 0; i < PACKETS; i++) {
		bool is_lost = impair_decide_next(&decide, SIZE, 0).verdict == IMPAIR_LOST;
		lost += is_lost;
		twice += is_lost && was_lost;
		was_lost = is_lost;
	}
	assert_share(twice, lost, 0.2);
}

static void bursts_have_gilbert_elliotts_length(void **state)
{
	(void)state;
	// Bad state: entered with 2 %, left with 25 %: 2/27 of all packets, in bursts of 4 on average.
	struct impair_decide decide = start("ge=2%:25%", 7);
	uint64_t lost = 0, bursts = 0;
	bool was_lost = false;
	enum { MANY = 400000 };
	for (int i = 0; i < MANY; i++) {
		bool is_lost = impair_decide_next(&decide, SIZE, 0).verdict == IMPAIR_BURST_LOST;
		lost += is_lost;
		bursts += is_lost && !was_lost;
		was_lost = is_lost;
	}
	assert_true(fabs((double)lost / MANY - 2.0 / 27) < 0.004);
	assert_true(fabs((double)lost / (double)bursts - 4) < 0.15);
}

static void gilbert_elliott_losses_of_both_states(void **state)
{
	(void)state;
	struct impair_decide decide = start("ge=10%:10%:60%:20%", 11);
	uint64_t lost = 0;
	enum { MANY = 400000 };
	for (int i = 0; i < MANY; i++)
		lost += impair_decide_next(&decide, SIZE, 0).verdict == IMPAIR_BURST_LOST;
	assert_true(fabs((double)lost / MANY - 0.4) < 0.01); // half the time in each
}

static void one_seed_gives_one_sequence(void **state)
{
	(void)state;
	const char *text = "delay=30ms,jitter=20ms,loss=10%,ge=2%:20%,duplicate=3%,reorder=5%";
	struct impair_decide a = start(text, 42), b = start(text, 42), other = start(text, 43);
	size_t different = 0;
	for (uint64_t i = 0; i < PACKETS; i++) {
		// The same packets, otherwise spaced and sized.
		struct impair_decision x = impair_decide_next(&a, SIZE, i * 1000000), y = impair_decide_next(&b, 60, i * 77);
		struct impair_decision z = impair_decide_next(&other, SIZE, i * 1000000);
		assert_int_equal(x.verdict, y.verdict);
		assert_int_equal(x.is_duplicated, y.is_duplicated);
		assert_int_equal(x.is_reordered, y.is_reordered);
		if (x.verdict == IMPAIR_PASS)
			assert_int_equal(x.due_ns - i * 1000000, y.due_ns - i * 77);
		different += x.verdict != z.verdict;
	}
	assert_true(different > PACKETS / 100);
}

static void directions_differ(void **state)
{
	(void)state;
	struct impair_link link = parse_link("loss=50%");
	struct impair_decide up, down;
	impair_decide_init(&up, &link, 1, IMPAIR_UP);
	impair_decide_init(&down, &link, 1, IMPAIR_DOWN);
	uint64_t equal = 0;
	for (int i = 0; i < PACKETS; i++)
		equal += impair_decide_next(&up, SIZE, 0).verdict == impair_decide_next(&down, SIZE, 0).verdict;
	assert_share(equal, PACKETS, 0.5);
}

static void one_impairment_leaves_the_others_alone(void **state)
{
	(void)state;
	struct impair_decide a = start("loss=10%", 5), b = start("loss=10%,duplicate=50%,jitter=10ms,delay=10ms,reorder=20%", 5);
	for (int i = 0; i < PACKETS; i++)
		assert_int_equal(impair_decide_next(&a, SIZE, 0).verdict, impair_decide_next(&b, SIZE, 0).verdict);
}

static void duplicates_and_reordering_are_as_asked(void **state)
{
	(void)state;
	struct impair_decide decide = start("delay=50ms,duplicate=10%,reorder=25%", 9);
	uint64_t duplicated = 0, reordered = 0;
	for (uint64_t i = 0; i < PACKETS; i++) {
		struct impair_decision d = impair_decide_next(&decide, SIZE, i);
		duplicated += d.is_duplicated;
		reordered += d.is_reordered;
		assert_int_equal(d.due_ns, d.is_reordered ? i : i + 50000000);
		assert_int_equal(d.duplicate_due_ns, i + 50000000);
	}
	assert_share(duplicated, PACKETS, 0.1);
	assert_share(reordered, PACKETS, 0.25);
}

static void check_delay(const char *text, double mean_ms, double deviation_ms, double min_ms, double max_ms, double tolerance)
{
	struct impair_decide decide = start(text, 13);
	double sum = 0, squares = 0;
	for (int i = 0; i < PACKETS; i++) {
		double ms = (double)impair_decide_next(&decide, SIZE, 0).due_ns / 1e6;
		assert_true(ms >= min_ms && ms <= max_ms);
		sum += ms;
		squares += ms * ms;
	}
	double mean = sum / PACKETS;
	assert_true(fabs(mean - mean_ms) < 0.5);
	assert_true(fabs(sqrt(squares / PACKETS - mean * mean) - deviation_ms) <= deviation_ms * tolerance + 1e-3);
}

static void delays_have_their_distribution(void **state)
{
	(void)state;
	check_delay("delay=30ms", 30, 0, 30, 30, 0);
	check_delay("delay=100ms,jitter=30ms", 100, 30 / sqrt(3), 70, 130, 0.03);
	check_delay("delay=100ms,jitter=10ms,distribution=normal", 100, 10, 40, 160, 0.03);
	check_delay("delay=100ms,jitter=5ms,distribution=pareto", 100, 5, 90, 1000, 0.3); // a long tail
	check_delay("delay=1ms,jitter=100ms", 25.5, 32.7, 0, 101, 0.03); // never into the past
}

static void rate_spaces_packets_and_its_queue_ends(void **state)
{
	(void)state;
	// 1 Mbit/s: 8 ms for 1,000 bytes; 4,000 bytes may wait.
	struct impair_decide decide = start("rate=1mbit,queue=4000b", 1);
	int passed = 0;
	for (int i = 0; i < 20; i++) {
		struct impair_decision d = impair_decide_next(&decide, 1000, 0);
		if (d.verdict == IMPAIR_PASS)
			assert_int_equal(d.due_ns, (uint64_t)++passed * 8000000);
		else
			assert_int_equal(d.verdict, IMPAIR_QUEUE_FULL);
	}
	assert_int_equal(passed, 5);
	// After a pause the queue is empty again, and no time is owed.
	assert_int_equal(impair_decide_next(&decide, 1000, 1000000000).due_ns, 1008000000);
}

static void mtu_drops_what_is_larger(void **state)
{
	(void)state;
	struct impair_decide decide = start("mtu=1280", 1);
	assert_int_equal(impair_decide_next(&decide, 1280, 0).verdict, IMPAIR_PASS);
	assert_int_equal(impair_decide_next(&decide, 1281, 0).verdict, IMPAIR_TOO_BIG);
}

static void descriptions_are_understood(void **state)
{
	(void)state;
	struct impair_link link = parse_link("delay=1.5s,jitter=20us,distribution=pareto,loss=0.5%,ge=1%:20%:90%:2%,rate=2mbit,mtu=1400");
	assert_int_equal(link.delay_ns, 1500000000);
	assert_int_equal(link.jitter_ns, 20000);
	assert_int_equal(link.distribution, IMPAIR_PARETO);
	assert_true(fabs(link.loss - 0.005) < 1e-12);
	assert_true(fabs(link.loss_in_bad - 0.9) < 1e-12 && fabs(link.loss_in_good - 0.02) < 1e-12);
	assert_int_equal(link.rate_bps, 2000000);
	assert_int_equal(link.queue_bytes, 25000);
	assert_int_equal(link.mtu, 1400);
}

static void wrong_descriptions_are_refused(void **state)
{
	(void)state;
	static const char *const wrong[] = { "delay",	  "delay=",	"delay=5",     "delay=-5ms",	    "delay=5 ms", "loss=101%",
					     "loss=5",	  "loss=nan%",	"ge=1%",       "ge=1%:2%:3%:4%:5%", "rate=fast",  "mtu=70000",
					     "mtu=1500b", "speed=3bit", "delay=inf s", "distribution=flat", "loss=5%,,",  "queue=1mb" };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct impair_link link = { 0 };
		char problem[128] = "";
		assert_int_equal(impair_link_parse(wrong[i], &link, problem), ERR_USAGE);
		assert_true(problem[0] && !strchr(problem, '\n'));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loss_rate_is_as_asked),
		cmocka_unit_test(loss_is_all_or_nothing_at_the_ends),
		cmocka_unit_test(loss_is_independent),
		cmocka_unit_test(bursts_have_gilbert_elliotts_length),
		cmocka_unit_test(gilbert_elliott_losses_of_both_states),
		cmocka_unit_test(one_seed_gives_one_sequence),
		cmocka_unit_test(directions_differ),
		cmocka_unit_test(one_impairment_leaves_the_others_alone),
		cmocka_unit_test(duplicates_and_reordering_are_as_asked),
		cmocka_unit_test(delays_have_their_distribution),
		cmocka_unit_test(rate_spaces_packets_and_its_queue_ends),
		cmocka_unit_test(mtu_drops_what_is_larger),
		cmocka_unit_test(descriptions_are_understood),
		cmocka_unit_test(wrong_descriptions_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
