// Users, as the administrator sees them, and who a device is. SPDX-License-Identifier: Apache-2.0
#include "mgmt/api.h"

#include "base/secret.h"
#include "mgmt/json.h"

#include <string.h>

enum api_next api_users_me(struct api_call *call, const struct reply *reply)
{
	if (!reply) {
		memcpy(call->request.pin.pin, call->peer->pin, TOKEN_PIN_BYTES);
		return api_ask(call, REQUEST_WHO);
	}
	const struct reply_who *who = &reply->who;
	if (who->subject != REQUEST_SUBJECT_USER)
		return api_fail(call, 403, "denied", "not a device of a user");
	json_put_id(call->doc, call->root, "user", &who->user);
	json_put_id(call->doc, call->root, "device", &who->id);
	yyjson_mut_obj_add_strcpy(call->doc, call->root, "name", who->name);
	return api_done(call, 200);
}

// Enough to keep out what is no address, or would be more than one: mail servers judge the rest.
static bool is_mail(const char *mail)
{
	const char *at = strchr(mail, '@');
	size_t size = strlen(mail);
	return at && at != mail && at[1] && !strchr(at + 1, '@') && strcspn(mail, " \"(),:;<>[\\]") == size;
}

// A name is told from an id by its shape, and from another name by looking at it.
static bool is_name(const char *name)
{
	struct id id;
	size_t size = strlen(name);
	return name[0] != ' ' && name[0] != '-' && name[size - 1] != ' ' && text_id_parse(name, &id);
}

enum api_next api_users_add(struct api_call *call, const struct reply *reply)
{
	struct request_user_add *r = &call->request.user_add;
	if (reply) {
		json_put_id(call->doc, call->root, "user", &call->object);
		return api_done(call, 201);
	}
	const struct json_field fields[] = {
		{"name", JSON_TEXT, r->name, 1, REQUEST_NAME_MAX, NULL, false},
		{"mail", JSON_TEXT, r->mail, 0, REQUEST_MAIL_MAX, NULL, true},
	};
	if (json_read(call->body, call->body_size, fields, 2, call->problem))
		return api_bad_body(call);
	if (!is_name(r->name))
		return api_fail(call, 400, "bad_request", "\"name\": not a UUID, no space at either end, no hyphen in front");
	if (r->mail[0] && !is_mail(r->mail))
		return api_fail(call, 400, "bad_request", "\"mail\": one mail address");
	secret_random(r->user.bytes, TEXT_ID_BYTES);
	call->object = r->user;
	return api_ask(call, REQUEST_USER_ADD);
}

static void put_user(struct api_call *call, const struct item_user *user)
{
	yyjson_mut_val *row = yyjson_mut_arr_add_obj(call->doc, call->list);
	json_put_id(call->doc, row, "user", &user->id);
	yyjson_mut_obj_add_strcpy(call->doc, row, "name", user->name);
	yyjson_mut_obj_add_strcpy(call->doc, row, "mail", user->mail);
	yyjson_mut_obj_add_uint(call->doc, row, "created", user->created);
	yyjson_mut_obj_add_uint(call->doc, row, "devices", user->devices);
}

enum api_next api_users_list(struct api_call *call, const struct reply *reply)
{
	if (!reply) {
		call->list = yyjson_mut_obj_add_arr(call->doc, call->root, "users");
		return api_ask(call, REQUEST_USER_LIST);
	}
	struct cursor c = cursor_reader(reply->page.items.bytes, reply->page.items.size);
	union request_item item;
	enum err err;
	while (!(err = request_item_parse(reply->type, &c, &item))) {
		put_user(call, &item.user);
		call->request.page.after = item.user.id;
	}
	if (err != ERR_NOT_FOUND)
		return api_fail(call, 500, "internal", err_text(err));
	return reply->page.is_last ? api_done(call, 200) : api_ask(call, REQUEST_USER_LIST);
}

enum api_next api_users_remove(struct api_call *call, const struct reply *reply)
{
	if (reply)
		return api_done(call, 200);
	call->request.id.id = call->id;
	return api_ask(call, REQUEST_USER_REMOVE);
}
