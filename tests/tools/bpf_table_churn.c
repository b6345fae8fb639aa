// What a change of the forwarding table costs: JSON lines with nanoseconds of the writer's thread per change, for private
// memory and, where the kernel allows it, for its maps. SPDX-License-Identifier: Apache-2.0
//
//   bpf_table_churn [SECONDS [CHANGES_PER_SECOND [PARTICIPANTS]]]     default: 2 s, 10,000 (0: as many as can be), 1,000
#include "tests/unit/table_maps.h"
#include "tests/unit/table_stress.h"

#include <errno.h>
#include <stdio.h>

enum { ROOMS = 20, RECEIVERS = 50 };

struct plan {
	double seconds;
	uint64_t per_second, participants;
};

struct result {
	uint64_t changes, full, cpu_ns, worst_ns;
	size_t most_waiting;
};

static uint64_t cpu_ns(void)
{
	struct timespec used;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

static void change(struct table *table, uint32_t block, struct fanout_receiver *records, struct result *result)
{
	uint64_t begin_ns = stress_now_ns(), cpu = cpu_ns();
	if (table_block_write(table, block, 1, records, RECEIVERS, FANOUT_EXTENT_TCX | FANOUT_EXTENT_XDP)) {
		result->full++;
		return;
	}
	result->changes++;
	result->cpu_ns += cpu_ns() - cpu;
	uint64_t took_ns = stress_now_ns() - begin_ns;
	result->worst_ns = took_ns > result->worst_ns ? took_ns : result->worst_ns;
	size_t waiting = table_waiting(table);
	result->most_waiting = waiting > result->most_waiting ? waiting : result->most_waiting;
}

static enum err churn(struct table *table, const struct plan *plan, struct result *result)
{
	uint32_t block[ROOMS];
	struct fanout_receiver records[RECEIVERS];
	for (uint32_t i = 0; i < RECEIVERS; i++)
		records[i] = stress_record(1, 1, i, false);
	for (size_t i = 0; i < ROOMS; i++) {
		enum err err = table_block_new(table, &block[i]);
		if (err)
			return err;
	}
	uint64_t begin_ns = stress_now_ns(), until_ns = begin_ns + (uint64_t)(plan->seconds * 1e9), now_ns;
	for (uint64_t i = 0; (now_ns = stress_now_ns()) < until_ns; i++) {
		if (plan->per_second && i * 1000000000u > plan->per_second * (now_ns - begin_ns))
			clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_nsec = 100000 }, NULL);
		change(table, block[i % ROOMS], records, result);
	}
	return ERR_OK;
}

static enum err run(const char *name, struct table_memory *memory, const struct plan *plan)
{
	struct table *table;
	struct result result = { 0 };
	enum err err = table_new(memory, &table);
	if (err)
		return err;
	err = churn(table, plan, &result);
	printf("{\"name\":\"table_change\",\"memory\":\"%s\",\"n\":%d,\"changes_per_second\":%.0f,\"ns\":%.0f,\"worst_ns\":%llu,"
	       "\"full\":%llu,\"waiting_most\":%zu,\"receivers\":%u}\n",
	       name, RECEIVERS, (double)result.changes / plan->seconds,
	       result.changes ? (double)result.cpu_ns / (double)result.changes : 0, (unsigned long long)result.worst_ns,
	       (unsigned long long)result.full, result.most_waiting, memory->sizes.receivers);
	table_free(table);
	return err;
}

static bool number(const char *text, double *out)
{
	char *end;
	errno = 0;
	*out = strtod(text, &end);
	return errno == 0 && end != text && *end == '\0' && *out >= 0 && *out <= 1e6;
}

int main(int argc, char **argv)
{
	double value[3] = { 2, 10000, 1000 };
	for (int i = 1; i < argc; i++) {
		if (i > 3 || !number(argv[i], &value[i - 1])) {
			fprintf(stderr, "usage: bpf_table_churn [SECONDS [CHANGES_PER_SECOND [PARTICIPANTS]]]\n");
			return 2;
		}
	}
	struct plan plan = { .seconds = value[0], .per_second = (uint64_t)value[1], .participants = (uint64_t)value[2] };
	struct table_sizes sizes;
	struct table_memory memory;
	table_sizes_for(plan.participants, 4 << 20, &sizes);
	enum err err = table_memory_private(&sizes, &memory);
	if (!err) {
		err = run("private", &memory, &plan);
		table_memory_free(&memory);
	}
	bool is_allowed = table_maps_open(&sizes, &memory);
	if (!err && is_allowed)
		err = run("maps", &memory, &plan);
	table_memory_free(&memory);
	if (!is_allowed)
		fprintf(stderr, "bpf_table_churn: the kernel gives us no maps\n");
	if (err)
		fprintf(stderr, "bpf_table_churn: %s\n", err_text(err));
	return err ? 1 : 0;
}
