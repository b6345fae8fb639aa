// How the service is. SPDX-License-Identifier: Apache-2.0
#include "mgmt/api.h"

#include "mgmt/clock.h"
#include "mgmt/json.h"

#include <version.h>

enum api_next api_status_health(struct api_call *call, const struct reply *reply)
{
	(void)reply;
	yyjson_mut_obj_add_str(call->doc, call->root, "status", "ok");
	yyjson_mut_obj_add_str(call->doc, call->root, "version", HUISCLOS_VERSION);
	return api_done(call, 200);
}

static void put_roles(struct api_call *call)
{
	yyjson_mut_val *roles = yyjson_mut_obj_add_arr(call->doc, call->root, "roles");
	for (int i = 0; i < ROLE_COUNT; i++) {
		yyjson_mut_val *row = yyjson_mut_arr_add_obj(call->doc, roles);
		yyjson_mut_obj_add_str(call->doc, row, "role", role_name((enum role)i));
		yyjson_mut_obj_add_int(call->doc, row, "pid", call->context->pid[i]);
	}
}

static void put_counters(struct api_call *call)
{
	yyjson_mut_val *counters = yyjson_mut_obj_add_obj(call->doc, call->root, "counters");
	for (int i = 0; i < COUNTER_COUNT; i++)
		yyjson_mut_obj_add_uint(call->doc, counters, counters_name((enum counter)i),
					counters_get(call->context->counters, (enum counter)i));
}

static void put_store(struct api_call *call, const struct reply_status *s)
{
	yyjson_mut_obj_add_uint(call->doc, call->root, "users", s->users);
	yyjson_mut_obj_add_uint(call->doc, call->root, "devices", s->devices);
	yyjson_mut_obj_add_uint(call->doc, call->root, "meetings_open", s->meetings_open);
	yyjson_mut_obj_add_uint(call->doc, call->root, "relays", s->relays);
	yyjson_mut_val *store = yyjson_mut_obj_add_obj(call->doc, call->root, "store");
	yyjson_mut_obj_add_uint(call->doc, store, "bytes", s->bytes);
	yyjson_mut_obj_add_uint(call->doc, store, "bytes_max", s->bytes_max);
}

enum api_next api_status_show(struct api_call *call, const struct reply *reply)
{
	if (!reply)
		return api_ask(call, REQUEST_AUTH_INFO);
	if (reply->type == REQUEST_AUTH_INFO) {
		call->info = reply->auth_info;
		return api_ask(call, REQUEST_STATUS);
	}
	yyjson_mut_obj_add_str(call->doc, call->root, "version", HUISCLOS_VERSION);
	yyjson_mut_obj_add_uint(call->doc, call->root, "uptime_s", (clock_ms() - call->context->started_ms) / 1000);
	put_roles(call);
	put_store(call, &reply->status);
	yyjson_mut_val *pins = yyjson_mut_obj_add_arr(call->doc, call->root, "pins");
	json_append_bytes(call->doc, pins, call->info.pin, sizeof(call->info.pin));
	json_append_bytes(call->doc, pins, call->info.backup_pin, sizeof(call->info.backup_pin));
	json_put_bytes(call->doc, call->root, "root", call->info.root_pin, sizeof(call->info.root_pin));
	yyjson_mut_obj_add_uint(call->doc, call->root, "issuer_expires", call->info.issuer_expires);
	put_counters(call);
	return api_done(call, 200);
}
