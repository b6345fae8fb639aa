// SPDX-License-Identifier: Apache-2.0
#include "relay/manager_events.h"

#include <string.h>
#include <yyjson.h>

static bool get_id(yyjson_val *object, const char *key, struct id *out)
{
	const char *text = yyjson_get_str(yyjson_obj_get(object, key));
	return text && !text_id_parse(text, out) && !text_id_is_zero(out);
}

enum err manager_events_parse(const char *event, const char *data, struct manager_message *out)
{
	*out = (struct manager_message){ 0 };
	if (strcmp(event, "synced") == 0) {
		out->type = MANAGER_SYNCED;
		return ERR_OK;
	}
	bool is_removed = strcmp(event, "removed") == 0;
	if (!is_removed && strcmp(event, "ended") != 0)
		return ERR_NOT_FOUND;
	out->type = is_removed ? MANAGER_REMOVED : MANAGER_ENDED;
	yyjson_doc *doc = yyjson_read(data, strlen(data), 0);
	yyjson_val *root = yyjson_doc_get_root(doc), *until = yyjson_obj_get(root, "until");
	bool is_good = get_id(root, "meeting", &out->meeting) && yyjson_is_uint(until) &&
		       (!is_removed || get_id(root, "participant", &out->participant));
	out->until = yyjson_get_uint(until);
	yyjson_doc_free(doc);
	return is_good ? ERR_OK : ERR_PARSE;
}

static void dispatch(struct manager_events *events)
{
	struct manager_message message;
	if (events->event[0]) {
		enum err err = manager_events_parse(events->event, events->data, &message);
		if (!err)
			events->on_message(events->context, &message);
		else if (err == ERR_PARSE)
			events->malformed++;
	}
	events->event[0] = events->data[0] = '\0';
}

// The value of a "field: value" line if the field is this one.
static const char *value_of(const char *line, const char *field)
{
	size_t size = strlen(field);
	if (strncmp(line, field, size) != 0 || line[size] != ':')
		return NULL;
	return line + size + (line[size + 1] == ' ' ? 2 : 1);
}

static void on_line(struct manager_events *events)
{
	if (events->size > 0 && events->line[events->size - 1] == '\r')
		events->size--;
	events->line[events->size] = '\0';
	const char *name = value_of(events->line, "event"), *data = value_of(events->line, "data");
	if (events->size == 0)
		dispatch(events);
	else if (name && strlen(name) < sizeof(events->event))
		strcpy(events->event, name);
	else if (data)
		strcpy(events->data, data); // one line each: ours are short JSON
	events->size = 0;
}

enum err manager_events_feed(struct manager_events *events, const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] == '\n')
			on_line(events);
		else if (events->size == sizeof(events->line) - 1)
			return ERR_LIMIT;
		else
			events->line[events->size++] = bytes[i];
	}
	return ERR_OK;
}
