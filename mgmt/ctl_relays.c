// tmmsctl relays. SPDX-License-Identifier: Apache-2.0
#include "mgmt/ctl.h"

#include "base/text.h"

#include <stdio.h>

int ctl_relays_list(struct ctl *ctl)
{
	static const char *const headings[] = {"RELAY", "NAME", "ADDRESS", "PORT", "STATE", "MEETINGS", "PARTICIPANTS", "ENGINE", "VERSION"};
	struct ctl_answer answer;
	if (ctl_http_request(ctl, "GET", "/v1/admin/relays", NULL, &answer))
		return CTL_FAILED;
	struct ctl_table *table = ctl->is_json ? NULL : ctl_table_new(headings, 9);
	size_t i, count;
	yyjson_val *row;
	yyjson_arr_foreach(yyjson_obj_get(answer.root, "relays"), i, count, row) {
		ctl_table_cell(table, yyjson_get_str(yyjson_obj_get(row, "relay")));
		ctl_table_cell(table, yyjson_get_str(yyjson_obj_get(row, "name")));
		ctl_table_cell(table, yyjson_get_str(yyjson_obj_get(row, "address")));
		ctl_table_number(table, yyjson_get_uint(yyjson_obj_get(row, "port")));
		ctl_table_cell(table, yyjson_get_str(yyjson_obj_get(row, "state")));
		ctl_table_number(table, yyjson_get_uint(yyjson_obj_get(row, "meetings")));
		ctl_table_number(table, yyjson_get_uint(yyjson_obj_get(row, "participants")));
		ctl_table_cell(table, yyjson_get_str(yyjson_obj_get(row, "engine")));
		ctl_table_cell(table, yyjson_get_str(yyjson_obj_get(row, "version")));
	}
	ctl_table_print(table);
	ctl_http_free(&answer);
	return CTL_DONE;
}

int ctl_relays_add(struct ctl *ctl)
{
	uint64_t port;
	char link[4096];
	struct ctl_answer answer;
	if (!ctl->address || !ctl->port || text_u64_parse(ctl->port, 1, 65535, &port)) {
		fputs("tmmsctl: relays add: --address and --port (1 to 65535) are needed\n", stderr);
		return CTL_USAGE;
	}
	yyjson_mut_doc *body = ctl_http_body();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(body);
	yyjson_mut_obj_add_str(body, root, "name", ctl->argv[0]);
	yyjson_mut_obj_add_str(body, root, "address", ctl->address);
	yyjson_mut_obj_add_uint(body, root, "port", port);
	if (ctl_http_request(ctl, "POST", "/v1/admin/relays", body, &answer))
		return CTL_FAILED;
	const char *text = yyjson_get_str(yyjson_obj_get(answer.root, "link"));
	if (!ctl->is_json) {
		ctl_table_harmless(text ? text : "", link, sizeof(link));
		printf("%s\n", link);
		fputs("Give this link to the relay: tcs --enrol LINK. It works once, for seven days.\n", stderr);
	}
	ctl_http_free(&answer);
	return CTL_DONE;
}

int ctl_relays_remove(struct ctl *ctl)
{
	char id[TEXT_UUID_SIZE], path[CTL_PATH_MAX];
	struct ctl_answer answer;
	if (ctl_http_find(ctl, "/v1/admin/relays", "relays", "relay", ctl->argv[0], id))
		return CTL_FAILED;
	snprintf(path, sizeof(path), "/v1/admin/relays/%s", id);
	if (ctl_http_request(ctl, "DELETE", path, NULL, &answer))
		return CTL_FAILED;
	ctl_http_free(&answer);
	return CTL_DONE;
}
