// The forwarding table in the kernel's maps: programs that run see nothing used again while they hold it.
// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/table_maps.h"
#include "tests/unit/table_stress.h"

#include <bpf/libbpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
	struct table_memory memory;
	struct table *table;
	bool is_allowed;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	assert_non_null(world);
	*state = world;
	struct table_sizes sizes = stress_sizes(1 << FANOUT_EXTENT_BITS);
	world->is_allowed = table_maps_open(&sizes, &world->memory);
	if (world->is_allowed)
		assert_int_equal(table_new(&world->memory, &world->table), ERR_OK);
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;
	table_free(world->table);
	table_memory_free(&world->memory);
	free(world);
	return 0;
}

// Without the right to make maps there is nothing to test: skipped, by name.
static struct world *world_of(void **state)
{
	struct world *world = *state;
	if (!world->is_allowed)
		skip();
	return world;
}

static void wait_ms(unsigned ms)
{
	struct timespec pause = { .tv_nsec = ms * 1000000l };
	clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

// Milliseconds until at most so many extents wait.
static uint64_t ms_until_waiting(struct world *world, size_t count, unsigned patience_ms)
{
	uint64_t begin_ns = stress_now_ns();
	while (table_waiting(world->table) > count && stress_now_ns() - begin_ns < patience_ms * 1000000ull) {
		wait_ms(1);
		table_history_tick(world->table, 0, 0);
	}
	return (stress_now_ns() - begin_ns) / 1000000;
}

static void write_block(struct world *world, uint32_t block, size_t inside, size_t outside)
{
	struct fanout_receiver records[STRESS_MEMBERS];
	for (uint32_t i = 0; i < inside + outside; i++)
		records[i] = stress_record(1, 1, i, i >= inside);
	assert_int_equal(table_block_write(world->table, block, 1, records, inside + outside, FANOUT_EXTENT_TCX), ERR_OK);
}

static void the_kernel_grants_grace(void **state)
{
	struct world *world = world_of(state);
	uint32_t block;
	assert_int_equal(table_block_new(world->table, &block), ERR_OK);
	write_block(world, block, 10, 0);
	write_block(world, block, 10, 0);
	assert_int_equal(table_waiting(world->table), 1);
	uint64_t ms = ms_until_waiting(world, 0, 5000);
	assert_int_equal(table_waiting(world->table), 0);
	print_message("# grace after %llu ms\n", (unsigned long long)ms);
}

// Packets with a mark may wait in a socket's queue.
static void marked_extents_rest_a_second_more(void **state)
{
	struct world *world = world_of(state);
	uint32_t block;
	assert_int_equal(table_block_new(world->table, &block), ERR_OK);
	write_block(world, block, 10, 5);
	const struct fanout_extent *marked = table_block_extent(world->table, block);
	write_block(world, block, 0, 15); // user space does it all: no mark
	write_block(world, block, 10, 0);
	assert_int_equal(table_waiting(world->table), 2);
	uint64_t ms = ms_until_waiting(world, 1, 900);
	assert_true(ms < 900);
	for (unsigned i = 0; i < 100; i++)
		write_block(world, block, 10, 0);
	ms += ms_until_waiting(world, 1, 900 - (unsigned)ms);
	assert_true(ms < 900);
	// All is as it was.
	assert_int_equal(marked->count, 15);
	const struct fanout_receiver *record = (const struct fanout_receiver *)marked + 1;
	uint64_t seen = 0;
	for (uint32_t i = 0; i < 15; i++)
		seen |= 1ull << record[i].member;
	assert_int_equal(seen, 0x7fff);
	assert_true(record[9].device == 1 && record[10].device == 0);
	ms += ms_until_waiting(world, 0, 5000);
	assert_int_equal(table_waiting(world->table), 0);
	assert_true(ms >= 950);
}

static void counters_of_all_processors(void **state)
{
	struct world *world = world_of(state);
	int cpus = libbpf_num_possible_cpus();
	assert_true(cpus > 0);
	struct fanout_counters *each = calloc((size_t)cpus, sizeof(*each)), sum;
	assert_non_null(each);
	uint64_t expected = 0;
	for (int i = 0; i < cpus; i++) {
		each[i].counter[FANOUT_media_received] = 10 + (uint64_t)i;
		each[i].counter[FANOUT_history_skipped] = 1;
		each[i].latency[FANOUT_LATENCY_BUCKETS - 1] = 2;
		expected += 10 + (uint64_t)i;
	}
	uint32_t zero = 0;
	assert_int_equal(bpf_map_update_elem(world->memory.map[LOADER_MAP_COUNTERS], &zero, each, 0), 0);
	table_counters(world->table, &sum);
	assert_int_equal(sum.counter[FANOUT_media_received], expected);
	assert_int_equal(sum.counter[FANOUT_history_skipped], cpus);
	assert_int_equal(sum.counter[FANOUT_tag_wrong], 0);
	assert_int_equal(sum.latency[FANOUT_LATENCY_BUCKETS - 1], 2 * cpus);
	free(each);
}

// ---------------------------------------------------------------- a program that holds on

enum { SPINS = 150000 }; // a tenth of a millisecond
#define INSN(c, d, s, o, i) ((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })
// r0 = entry of the map, by the key on the stack; ends if there is none.
#define LOOK_UP(map)                                                                                  \
	INSN(BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_FD, 0, map), INSN(0, 0, 0, 0, 0),           \
		INSN(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0), INSN(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -4), \
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem),                          \
		INSN(BPF_JMP | BPF_JNE | BPF_K, 0, 0, 1, 0), INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define MAP_VALUE(reg, map, offset) INSN(BPF_LD | BPF_DW | BPF_IMM, reg, BPF_PSEUDO_MAP_VALUE, 0, map), INSN(0, 0, 0, 0, offset)

// Takes the first record of block 1, looks a while elsewhere, and looks whether it is still the same change's:
// results[0] counts runs, results[1] those in which it was not.
static int load_holder(const struct table_memory *memory, int results)
{
	enum { VERSION = offsetof(struct fanout_receiver, source) };
	const struct bpf_insn program[] = {
		INSN(BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 1),
		LOOK_UP(memory->map[LOADER_MAP_BLOCKS]),
		INSN(BPF_LDX | BPF_MEM | BPF_W, 6, 0, 0, 0),   // the extent's header
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, 6, 0, 0, 1), // the record behind it
		INSN(BPF_STX | BPF_MEM | BPF_W, 10, 6, -4, 0),
		LOOK_UP(memory->map[LOADER_MAP_RECEIVERS]),
		INSN(BPF_ALU64 | BPF_MOV | BPF_X, 7, 0, 0, 0),
		INSN(BPF_LDX | BPF_MEM | BPF_DW, 8, 7, VERSION, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, 9, 0, 0, 0),
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, 9, 0, 0, 1),
		INSN(BPF_JMP | BPF_JLT | BPF_K, 9, 0, -2, SPINS),
		INSN(BPF_LDX | BPF_MEM | BPF_DW, 3, 7, VERSION, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, 4, 0, 0, 1),
		MAP_VALUE(5, results, 0),
		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 5, 4, 0, BPF_ADD),
		INSN(BPF_JMP | BPF_JEQ | BPF_X, 3, 8, 1, 0),
		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 5, 4, 8, BPF_ADD),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "holder", "GPL", program, sizeof(program) / sizeof(program[0]), NULL);
}

struct holder {
	pthread_t thread;
	int program, problem;
	atomic_bool is_over;
};

static void *run_holder(void *argument)
{
	struct holder *holder = argument;
	uint8_t frame[64] = { 0 };
	while (!atomic_load(&holder->is_over) && !holder->problem) {
		LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = sizeof(frame), .repeat = 10);
		holder->problem = bpf_prog_test_run_opts(holder->program, &options);
	}
	return NULL;
}

static void change_while_program_runs(struct world *world, struct stress *stress)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int results = table_maps_array("results", 2 * sizeof(uint64_t), 1);
	assert_true(results >= 0);
	uint64_t *result = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, results, 0);
	assert_ptr_not_equal(result, MAP_FAILED);
	struct holder holder = { .program = load_holder(&world->memory, results) };
	assert_true(holder.program >= 0);
	stress->table = world->table;
	stress->memory = &world->memory;
	assert_int_equal(pthread_create(&holder.thread, NULL, run_holder, &holder), 0);
	const char *problem = stress_run(stress);
	atomic_store(&holder.is_over, true);
	pthread_join(holder.thread, NULL);
	print_message("# %llu changes, %llu guests, %llu times full, %llu program runs\n", (unsigned long long)table_changes(world->table),
		      (unsigned long long)stress->guests, (unsigned long long)stress->full, (unsigned long long)result[0]);
	if (problem)
		fail_msg("%s", problem);
	assert_int_equal(holder.problem, 0);
	assert_true(result[0] > 1000);
	assert_int_equal(result[1], 0);
	munmap(result, page);
	close(holder.program);
	close(results);
}

static void changes_under_load(void **state)
{
	struct stress stress = { .changes_wanted = 20000, .seconds = 2, .per_second = 12000, .readers = STRESS_READERS };
	change_while_program_runs(world_of(state), &stress);
}

// Only the kernel's grace is between a change and the next use of what it replaced.
static void changes_while_programs_hold_on(void **state)
{
	struct stress stress = { .changes_wanted = 20000, .seconds = 2, .is_all_inside = true };
	change_while_program_runs(world_of(state), &stress);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_kernel_grants_grace, setup, teardown),
		cmocka_unit_test_setup_teardown(marked_extents_rest_a_second_more, setup, teardown),
		cmocka_unit_test_setup_teardown(counters_of_all_processors, setup, teardown),
		cmocka_unit_test_setup_teardown(changes_under_load, setup, teardown),
		cmocka_unit_test_setup_teardown(changes_while_programs_hold_on, setup, teardown),
	};
	return cmocka_run_group_tests_name("bpf_table", tests, NULL, NULL);
}
