// tmmsctl users. SPDX-License-Identifier: Apache-2.0
#include "mgmt/ctl.h"

#include "base/text.h"

#include <stdio.h>

static const char *text_of(yyjson_val *row, const char *name)
{
	return yyjson_get_str(yyjson_obj_get(row, name));
}

static enum err find_user(struct ctl *ctl, char id[static TEXT_UUID_SIZE])
{
	return ctl_http_find(ctl, "/v1/admin/users", "users", "user", ctl->argv[0], id);
}

int ctl_users_add(struct ctl *ctl)
{
	struct ctl_answer answer;
	yyjson_mut_doc *body = ctl_http_body();
	yyjson_mut_obj_add_str(body, yyjson_mut_doc_get_root(body), "name", ctl->argv[0]);
	if (ctl->mail)
		yyjson_mut_obj_add_str(body, yyjson_mut_doc_get_root(body), "mail", ctl->mail);
	if (ctl_http_request(ctl, "POST", "/v1/admin/users", body, &answer))
		return CTL_FAILED;
	if (!ctl->is_json)
		ctl_table_print_pair("user", text_of(answer.root, "user"));
	ctl_http_free(&answer);
	return CTL_DONE;
}

int ctl_users_list(struct ctl *ctl)
{
	static const char *const headings[] = {"USER", "NAME", "DEVICES", "CREATED", "MAIL"};
	struct ctl_answer answer;
	if (ctl_http_request(ctl, "GET", "/v1/admin/users", NULL, &answer))
		return CTL_FAILED;
	struct ctl_table *table = ctl->is_json ? NULL : ctl_table_new(headings, 5);
	size_t i, count;
	yyjson_val *row;
	yyjson_arr_foreach(yyjson_obj_get(answer.root, "users"), i, count, row) {
		ctl_table_cell(table, text_of(row, "user"));
		ctl_table_cell(table, text_of(row, "name"));
		ctl_table_number(table, yyjson_get_uint(yyjson_obj_get(row, "devices")));
		ctl_table_time(table, yyjson_get_uint(yyjson_obj_get(row, "created")));
		ctl_table_cell(table, text_of(row, "mail"));
	}
	ctl_table_print(table);
	ctl_http_free(&answer);
	return CTL_DONE;
}

int ctl_users_remove(struct ctl *ctl)
{
	char id[TEXT_UUID_SIZE], path[CTL_PATH_MAX];
	struct ctl_answer answer;
	if (find_user(ctl, id))
		return CTL_FAILED;
	snprintf(path, sizeof(path), "/v1/admin/users/%s", id);
	if (ctl_http_request(ctl, "DELETE", path, NULL, &answer))
		return CTL_FAILED;
	ctl_http_free(&answer);
	return CTL_DONE;
}

int ctl_users_enrol(struct ctl *ctl)
{
	char id[TEXT_UUID_SIZE], path[CTL_PATH_MAX], link[4096];
	struct ctl_answer answer;
	if (find_user(ctl, id))
		return CTL_FAILED;
	snprintf(path, sizeof(path), "/v1/admin/users/%s/enrolment", id);
	if (ctl_http_request(ctl, "POST", path, ctl_http_body(), &answer))
		return CTL_FAILED;
	const char *text = text_of(answer.root, "link");
	if (!ctl->is_json) {
		// The link alone on stdout: it is piped into a mail or a QR code.
		ctl_table_harmless(text ? text : "", link, sizeof(link));
		printf("%s\n", link);
		fputs("Whoever opens this link first becomes this user; it works once, for seven days.\n", stderr);
	}
	ctl_http_free(&answer);
	return CTL_DONE;
}
