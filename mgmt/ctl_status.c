// tmmsctl status. SPDX-License-Identifier: Apache-2.0
#include "mgmt/ctl.h"

#include <stdio.h>

static void print_number(const char *name, uint64_t number)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	ctl_table_print_pair(name, text);
}

static uint64_t number_of(yyjson_val *object, const char *name)
{
	return yyjson_get_uint(yyjson_obj_get(object, name));
}

static void print_uptime(uint64_t seconds)
{
	char text[64];
	snprintf(text, sizeof(text), "%llu d %02llu:%02llu:%02llu", (unsigned long long)(seconds / 86400),
		 (unsigned long long)(seconds / 3600 % 24), (unsigned long long)(seconds / 60 % 60), (unsigned long long)(seconds % 60));
	ctl_table_print_pair("up", text);
}

static void print_store(yyjson_val *root)
{
	yyjson_val *store = yyjson_obj_get(root, "store");
	uint64_t bytes = number_of(store, "bytes"), max = number_of(store, "bytes_max");
	char text[96];
	snprintf(text, sizeof(text), "%llu of %llu bytes (%.1f %%)", (unsigned long long)bytes, (unsigned long long)max,
		 max ? 100.0 * (double)bytes / (double)max : 0.0);
	ctl_table_print_pair("store", text);
}

static void print_roles(yyjson_val *root)
{
	size_t i, count;
	yyjson_val *row;
	yyjson_arr_foreach(yyjson_obj_get(root, "roles"), i, count, row) {
		char text[64];
		snprintf(text, sizeof(text), "%.16s, pid %llu", yyjson_get_str(yyjson_obj_get(row, "role")),
			 (unsigned long long)number_of(row, "pid"));
		ctl_table_print_pair("role", text);
	}
}

int ctl_status(struct ctl *ctl)
{
	struct ctl_answer answer;
	if (ctl_http_request(ctl, "GET", "/v1/admin/status", NULL, &answer))
		return CTL_FAILED;
	if (ctl->is_json) {
		ctl_http_free(&answer);
		return CTL_DONE;
	}
	yyjson_val *root = answer.root, *name, *value;
	size_t i, count;
	ctl_table_print_pair("version", yyjson_get_str(yyjson_obj_get(root, "version")));
	print_uptime(number_of(root, "uptime_s"));
	print_roles(root);
	print_number("users", number_of(root, "users"));
	print_number("devices", number_of(root, "devices"));
	print_number("meetings open", number_of(root, "meetings_open"));
	print_number("relays", number_of(root, "relays"));
	print_store(root);
	ctl_table_print_pair("identity root", yyjson_get_str(yyjson_obj_get(root, "root")));
	char expires[CTL_TIME_MAX];
	ctl_table_emit_time(number_of(root, "issuer_expires"), expires);
	ctl_table_print_pair("issuing CA until", expires);
	yyjson_arr_foreach(yyjson_obj_get(root, "pins"), i, count, value)
		ctl_table_print_pair(i == 0 ? "pin" : "backup pin", yyjson_get_str(value));
	yyjson_obj_foreach(yyjson_obj_get(root, "counters"), i, count, name, value) {
		if (yyjson_get_uint(value) > 0)
			printf("  %-34s %llu\n", yyjson_get_str(name), (unsigned long long)yyjson_get_uint(value));
	}
	ctl_http_free(&answer);
	return CTL_DONE;
}
