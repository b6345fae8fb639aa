// Readers forward while the table changes: they never see half a change, nor anything used again while they hold it.
// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/table_stress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void changes_under_load(void **state)
{
	(void)state;
	struct table_sizes sizes = stress_sizes(4096);
	struct table_memory memory;
	struct stress stress = { .memory = &memory, .changes_wanted = 20000, .seconds = 2, .readers = STRESS_READERS };
	assert_int_equal(table_memory_private(&sizes, &memory), ERR_OK);
	assert_int_equal(table_new(&memory, &stress.table), ERR_OK);
	const char *problem = stress_run(&stress);
	if (problem)
		fail_msg("%s, after %llu changes", problem, (unsigned long long)table_changes(stress.table));
	uint64_t packets = 0;
	for (size_t i = 0; i < STRESS_READERS; i++)
		packets += stress.reader[i].packets;
	print_message("# %llu changes, %llu guests, %llu packets, %llu times full\n", (unsigned long long)table_changes(stress.table),
		      (unsigned long long)stress.guests, (unsigned long long)packets, (unsigned long long)stress.full);
	assert_true(packets > 1000);
	assert_true(stress.guests > 20);
	table_free(stress.table);
	table_memory_free(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(changes_under_load) };
	return cmocka_run_group_tests_name("relay_table_threads", tests, NULL, NULL);
}
