// tmmsctl meetings: the server knows ids and dates only. SPDX-License-Identifier: Apache-2.0
#include "mgmt/ctl.h"

#include "base/text.h"

#include <stdio.h>

int ctl_meetings_list(struct ctl *ctl)
{
	static const char *const headings[] = {"MEETING", "STATE", "PARTICIPANTS", "CREATED", "EXPIRES", "OWNER"};
	struct ctl_answer answer;
	if (ctl_http_request(ctl, "GET", "/v1/admin/meetings", NULL, &answer))
		return CTL_FAILED;
	struct ctl_table *table = ctl->is_json ? NULL : ctl_table_new(headings, 6);
	size_t i, count;
	yyjson_val *row;
	yyjson_arr_foreach(yyjson_obj_get(answer.root, "meetings"), i, count, row) {
		ctl_table_cell(table, yyjson_get_str(yyjson_obj_get(row, "meeting")));
		ctl_table_cell(table, yyjson_get_str(yyjson_obj_get(row, "state")));
		ctl_table_number(table, yyjson_get_uint(yyjson_obj_get(row, "participants")));
		ctl_table_time(table, yyjson_get_uint(yyjson_obj_get(row, "created")));
		ctl_table_time(table, yyjson_get_uint(yyjson_obj_get(row, "expires")));
		ctl_table_cell(table, yyjson_get_str(yyjson_obj_get(row, "owner")));
	}
	ctl_table_print(table);
	ctl_http_free(&answer);
	return CTL_DONE;
}

int ctl_meetings_end(struct ctl *ctl)
{
	char text[TEXT_UUID_SIZE], path[CTL_PATH_MAX];
	struct ctl_answer answer;
	struct id id;
	if (text_id_parse(ctl->argv[0], &id)) {
		fputs("tmmsctl: meetings end: a meeting has an id only (tmmsctl meetings list)\n", stderr);
		return CTL_USAGE;
	}
	text_id_emit(&id, text);
	snprintf(path, sizeof(path), "/v1/admin/meetings/%s/end", text);
	if (ctl_http_request(ctl, "POST", path, ctl_http_body(), &answer))
		return CTL_FAILED;
	ctl_http_free(&answer);
	return CTL_DONE;
}
