// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/arrivals.h"

#include <string.h>

void arrivals_init(struct arrivals *a, const struct nack_policy *policy, struct tally *tally)
{
	*a = (struct arrivals){ .tally = tally };
	nack_init(&a->nack, policy);
}

// Of the present run, asked for or not.
static uint64_t missing(const struct arrivals *a)
{
	return a->run_packets ? (uint64_t)(a->highest - a->first + 1) - a->run_packets : 0;
}

uint64_t arrivals_lost(const struct arrivals *a)
{
	uint64_t absent = missing(a);
	return a->lost_before + (absent > a->nack.count ? absent - a->nack.count : 0);
}

// Numbers far from all others are believed when some come in a row: a sender that counts anew.
static bool is_jump_believed(struct arrivals *a, uint16_t sequence)
{
	a->jump_count = a->jump_count > 0 && sequence == a->jump_next ? a->jump_count + 1 : 1;
	a->jump_next = (uint16_t)(sequence + 1);
	return a->jump_count >= ARRIVALS_BELIEVE;
}

static void start_run(struct arrivals *a, uint16_t sequence)
{
	struct nack_policy policy = a->nack.policy;
	a->lost_before += missing(a);
	a->run_packets = 0;
	a->jump_count = 0;
	a->sequence = (struct unwrap){ 0 };
	a->first = a->highest = unwrap_u16_peek(&a->sequence, sequence);
	memset(a->seen, 0, sizeof a->seen);
	nack_init(&a->nack, &policy);
}

static void count(struct arrivals *a, int64_t number, size_t size, uint64_t now_ns)
{
	a->seen[number % ARRIVALS_WINDOW] = number;
	if (a->packets == 0)
		a->first_ns = now_ns;
	a->last_ns = now_ns;
	a->packets++;
	a->run_packets++;
	a->bytes += size;
	if (number < a->first)
		a->first = number;
	if (number > a->highest)
		a->highest = number;
	unwrap_move(&a->sequence, a->highest);
}

enum arrivals_verdict arrivals_accept(struct arrivals *a, uint16_t sequence, size_t size, uint64_t now_ns,
		struct arrivals_packet *out)
{
	enum arrivals_verdict verdict = ARRIVALS_USE;
	if (a->run_packets == 0)
		start_run(a, sequence);
	int64_t number = unwrap_u16_peek(&a->sequence, sequence);
	if (number > a->highest + ARRIVALS_JUMP || number < a->highest - ARRIVALS_JUMP) {
		if (!is_jump_believed(a, sequence)) {
			tally_add(a->tally, TALLY_SEQUENCE_JUMP, 1);
			return ARRIVALS_DROP;
		}
		start_run(a, sequence);
		number = a->first;
		verdict = ARRIVALS_RESTART;
	}
	if (a->seen[number % ARRIVALS_WINDOW] == number) {
		tally_add(a->tally, TALLY_DUPLICATE, 1);
		nack_repeated(&a->nack);
		return ARRIVALS_DROP;
	}
	*out = (struct arrivals_packet){ .number = number, .order = nack_arrived(&a->nack, number, now_ns) };
	if (out->order == NACK_RECOVERED)
		a->recovered++;
	count(a, number, size, now_ns);
	return verdict;
}

double arrivals_bitrate(const struct arrivals *a)
{
	uint64_t span = a->last_ns - a->first_ns;
	return span > 0 ? (double)a->bytes * 8 * (double)MEDIA_SECOND / (double)span : 0;
}
