// SPDX-License-Identifier: Apache-2.0
#include "client/cli/commands.h"

#include "base/secret.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <yyjson.h>

static int fail(enum err err, const char *problem)
{
	fprintf(stderr, "tcc-cli: %s\n", problem[0] ? problem : err_text(err));
	return err == ERR_USAGE ? COMMANDS_WRONG_USE : COMMANDS_FAILED;
}

int commands_enrol(const struct arguments *arguments)
{
	char problem[ENGINE_PROBLEM_MAX] = "";
	struct engine *engine = NULL;
	struct engine_identity identity;
	enum err err = engine_open(arguments->home, &engine, problem);
	if (!err)
		err = engine_enrol(engine, arguments->link, problem);
	if (!err)
		err = engine_identity(engine, &identity, problem);
	engine_close(engine);
	if (err)
		return fail(err, problem);
	printf("enrolled as %s at %s\n", identity.name, identity.server);
	return COMMANDS_DONE;
}

int commands_meet_create(const struct arguments *arguments)
{
	char problem[ENGINE_PROBLEM_MAX] = "", link[TOKEN_LINK_MAX];
	struct engine *engine = NULL;
	enum err err = engine_open(arguments->home, &engine, problem);
	if (!err)
		err = engine_meeting_create(engine, arguments->title, (uint64_t)time(NULL) + arguments->expires_s, link, problem);
	engine_close(engine);
	if (err)
		return fail(err, problem);
	puts(link);
	secret_wipe(link, sizeof(link));
	return COMMANDS_DONE;
}

static void print_row(const struct engine_meeting *row, bool is_json)
{
	char id[TEXT_UUID_SIZE], date[32];
	time_t expires = (time_t)row->expires;
	struct tm tm;
	text_id_emit(&row->meeting, id);
	if (!is_json) {
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M", localtime_r(&expires, &tm) ? &tm : &(struct tm){ 0 });
		printf("%s  %-5s  until %s  %s%s\n", id, row->is_open ? "open" : "ended", date, row->is_owner ? "(yours) " : "",
		       row->has_secret ? row->title : "(its secret is not on this device)");
		return;
	}
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(document);
	yyjson_mut_doc_set_root(document, root);
	(void)yyjson_mut_obj_add_str(document, root, "meeting", id);
	(void)yyjson_mut_obj_add_str(document, root, "state", row->is_open ? "open" : "ended");
	(void)yyjson_mut_obj_add_uint(document, root, "expires", row->expires);
	(void)yyjson_mut_obj_add_bool(document, root, "is_owner", row->is_owner);
	(void)yyjson_mut_obj_add_bool(document, root, "has_secret", row->has_secret);
	(void)yyjson_mut_obj_add_str(document, root, "title", row->title);
	char *text = yyjson_mut_write(document, 0, NULL);
	if (text)
		puts(text);
	free(text);
	yyjson_mut_doc_free(document);
}

int commands_meet_list(const struct arguments *arguments)
{
	char problem[ENGINE_PROBLEM_MAX] = "";
	struct engine *engine = NULL;
	struct engine_meeting *rows = NULL;
	size_t count = 0;
	enum err err = engine_open(arguments->home, &engine, problem);
	if (!err)
		err = engine_meetings(engine, &rows, &count, problem);
	engine_close(engine);
	if (err)
		return fail(err, problem);
	for (size_t i = 0; i < count; i++)
		print_row(&rows[i], arguments->is_json);
	free(rows);
	return COMMANDS_DONE;
}
