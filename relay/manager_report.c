// SPDX-License-Identifier: Apache-2.0
#include "relay/manager_report.h"

#include "version.h"

#include <stdlib.h>

void manager_report_init(struct manager_report *report, const char *engine) { *report = (struct manager_report){ .engine = engine }; }

void manager_report_fini(struct manager_report *report)
{
	free(report->body);
	report->body = NULL;
}

void manager_report_add(struct manager_report *report, const struct manager_message *message)
{
	if (message->type == MANAGER_REPORT) {
		report->wanted = message->number < MANAGER_REPORT_MEETINGS_MAX ? message->number : MANAGER_REPORT_MEETINGS_MAX;
		report->have = 0;
		report->is_collecting = true;
		report->is_whole = false;
	} else if (message->type == MANAGER_MEETING && report->is_collecting && report->have < report->wanted) {
		report->row[report->have].meeting = message->meeting;
		report->row[report->have++].participants = message->number;
	}
	if (report->is_collecting && report->have == report->wanted) {
		report->is_collecting = false;
		report->is_whole = true;
	}
}

const char *manager_report_take(struct manager_report *report)
{
	yyjson_mut_doc *doc = report->is_whole ? yyjson_mut_doc_new(NULL) : NULL;
	if (!doc)
		return NULL;
	yyjson_mut_val *root = yyjson_mut_obj(doc);
	yyjson_mut_doc_set_root(doc, root);
	yyjson_mut_obj_add_str(doc, root, "version", HUISCLOS_VERSION);
	yyjson_mut_obj_add_str(doc, root, "engine", report->engine);
	yyjson_mut_val *meetings = yyjson_mut_obj_add_arr(doc, root, "meetings");
	for (uint32_t i = 0; i < report->have; i++) {
		char text[TEXT_UUID_SIZE];
		text_id_emit(&report->row[i].meeting, text);
		yyjson_mut_val *row = yyjson_mut_arr_add_obj(doc, meetings);
		yyjson_mut_obj_add_strcpy(doc, row, "meeting", text);
		yyjson_mut_obj_add_uint(doc, row, "participants", report->row[i].participants);
	}
	free(report->body);
	report->body = yyjson_mut_write(doc, 0, NULL);
	yyjson_mut_doc_free(doc);
	report->is_whole = false;
	return report->body;
}
