// SPDX-License-Identifier: Apache-2.0
#include "client/engine/meetings.h"

#include "base/secret.h"
#include "client/engine/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME "meetings.json"

static enum err parse_entry(yyjson_val *object, struct meetings_entry *out)
{
	enum err err = json_id(object, "meeting", &out->meeting);
	if (!err)
		err = json_bytes_exact(object, "secret", out->secret, sizeof(out->secret));
	return err ? err : json_text(object, "title", out->title, sizeof(out->title));
}

static enum err parse_list(yyjson_val *array, struct meetings *out)
{
	size_t i, count = yyjson_arr_size(array), max;
	yyjson_val *value;
	if (!yyjson_is_arr(array))
		return ERR_PARSE;
	if (count > MEETINGS_MAX)
		return ERR_LIMIT;
	out->entries = calloc(count + 1, sizeof(*out->entries)); // room for one that is put
	if (!out->entries)
		return ERR_NOMEM;
	out->count = count;
	yyjson_arr_foreach(array, i, max, value) {
		enum err err = parse_entry(value, &out->entries[i]);
		if (err)
			return err;
	}
	return ERR_OK;
}

enum err meetings_parse(const char *json, size_t size, struct meetings *out)
{
	yyjson_doc *document = yyjson_read(json, size, 0);
	*out = (struct meetings){ 0 };
	enum err err = document ? parse_list(yyjson_obj_get(yyjson_doc_get_root(document), "meetings"), out) : ERR_PARSE;
	yyjson_doc_free(document);
	if (err)
		meetings_fini(out);
	return err;
}

enum err meetings_load(const struct home *home, struct meetings *out, char problem[static HOME_PROBLEM_MAX])
{
	static const char empty[] = "{\"meetings\":[]}";
	char *json, path[HOME_PATH_MAX];
	size_t size;
	enum err err = home_read(home, FILE_NAME, &json, &size, problem);
	if (err == ERR_NOT_FOUND)
		return meetings_parse(empty, sizeof(empty) - 1, out);
	if (err)
		return err;
	err = meetings_parse(json, size, out);
	home_free(json, size);
	if (err && home_path(home, FILE_NAME, path) == ERR_OK)
		snprintf(problem, HOME_PROBLEM_MAX, "%.400s is damaged: %s", path, err_text(err));
	return err;
}

void meetings_fini(struct meetings *meetings)
{
	if (meetings->entries)
		secret_wipe(meetings->entries, meetings->count * sizeof(*meetings->entries));
	free(meetings->entries);
	*meetings = (struct meetings){ 0 };
}

const struct meetings_entry *meetings_find(const struct meetings *meetings, const struct id *meeting)
{
	for (size_t i = 0; i < meetings->count; i++) {
		if (text_id_equal(&meetings->entries[i].meeting, meeting))
			return &meetings->entries[i];
	}
	return NULL;
}

static enum err save(const struct home *home, const struct meetings *meetings, char *problem)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(document);
	yyjson_mut_doc_set_root(document, root);
	yyjson_mut_val *array = yyjson_mut_obj_add_arr(document, root, "meetings");
	for (size_t i = 0; i < meetings->count; i++) {
		yyjson_mut_val *object = yyjson_mut_arr_add_obj(document, array);
		json_add_id(document, object, "meeting", &meetings->entries[i].meeting);
		json_add_bytes(document, object, "secret", meetings->entries[i].secret, TOKEN_SECRET_BYTES);
		json_add_text(document, object, "title", meetings->entries[i].title);
	}
	size_t size = 0;
	char *json = yyjson_mut_write(document, YYJSON_WRITE_PRETTY, &size);
	yyjson_mut_doc_free(document);
	if (!json) {
		snprintf(problem, HOME_PROBLEM_MAX, "%s", err_text(ERR_NOMEM));
		return ERR_NOMEM;
	}
	enum err err = home_write(home, FILE_NAME, json, size, problem);
	home_free(json, size);
	return err;
}

static void drop_entry(struct meetings *meetings, size_t at)
{
	memmove(&meetings->entries[at], &meetings->entries[at + 1], (meetings->count - at - 1) * sizeof(*meetings->entries));
	meetings->count--;
	secret_wipe(&meetings->entries[meetings->count], sizeof(*meetings->entries));
}

static void drop_meeting(struct meetings *meetings, const struct id *meeting)
{
	for (size_t i = 0; i < meetings->count; i++) {
		if (text_id_equal(&meetings->entries[i].meeting, meeting)) {
			drop_entry(meetings, i);
			return;
		}
	}
}

// Read, change and write in one go under the lock. `entry` NULL: remove.
static enum err change(struct home *home, const struct id *meeting, const struct meetings_entry *entry, char *problem)
{
	struct meetings meetings;
	enum err err = home_lock(home, problem);
	if (err)
		return err;
	err = meetings_load(home, &meetings, problem);
	if (!err) {
		drop_meeting(&meetings, meeting);
		if (entry && meetings.count == MEETINGS_MAX)
			drop_entry(&meetings, 0);
		if (entry)
			meetings.entries[meetings.count++] = *entry;
		err = save(home, &meetings, problem);
		meetings_fini(&meetings);
	}
	home_unlock(home);
	return err;
}

enum err meetings_put(struct home *home, const struct meetings_entry *entry, char problem[static HOME_PROBLEM_MAX])
{
	return change(home, &entry->meeting, entry, problem);
}

enum err meetings_remove(struct home *home, const struct id *meeting, char problem[static HOME_PROBLEM_MAX])
{
	return change(home, meeting, NULL, problem);
}
