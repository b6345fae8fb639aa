// SPDX-License-Identifier: Apache-2.0
#include "relay/tcs_status.h"

#include "relay/manager_link.h"
#include "relay/registration.h"
#include "relay/relay.h"
#include "relay/relay_address.h"
#include "relay/tcs_session.h"
#include "version.h"

#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

static const char *const names[TCS_STATUS_KINDS] = { "status", "meetings", "counters" };

const char *tcs_status_name(enum tcs_status_kind kind) { return names[kind]; }

static void add_id(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *key, const struct id *id)
{
	char text[TEXT_UUID_SIZE];
	text_id_emit(id, text);
	yyjson_mut_obj_add_strcpy(doc, object, key, text);
}

static void add_counters(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct relay_stats *stats)
{
	yyjson_mut_val *drops = yyjson_mut_obj_add_obj(doc, root, "drops");
	yyjson_mut_val *counts = yyjson_mut_obj_add_obj(doc, root, "counts");
	for (enum relay_stats_counter c = 0; c < STATS_COUNTERS; c++)
		yyjson_mut_obj_add_uint(doc, c < STATS_DROPS ? drops : counts, relay_stats_name(c), stats->counter[c]);
}

static void add_latency(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct relay_stats *stats)
{
	yyjson_mut_val *latency = yyjson_mut_obj_add_obj(doc, root, "latency_us");
	yyjson_mut_obj_add_uint(doc, latency, "count", stats->latency_count);
	yyjson_mut_obj_add_real(doc, latency, "p50", (double)relay_stats_percentile_ns(stats, 500) / 1000);
	yyjson_mut_obj_add_real(doc, latency, "p99", (double)relay_stats_percentile_ns(stats, 990) / 1000);
	yyjson_mut_obj_add_real(doc, latency, "p999", (double)relay_stats_percentile_ns(stats, 999) / 1000);
	yyjson_mut_obj_add_real(doc, latency, "max", (double)stats->latency_max_ns / 1000);
}

static void add_status(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct relay *relay)
{
	struct manager_link_state state = { 0 };
	if (relay->manager)
		manager_link_state(relay->manager, &state);
	yyjson_mut_obj_add_str(doc, root, "version", HUISCLOS_VERSION);
	yyjson_mut_obj_add_uint(doc, root, "uptime_s", (relay_now_ns(relay) - relay->started_ns) / 1000000000u);
	yyjson_mut_obj_add_str(doc, root, "loop", relay->loop->ops->name);
	add_id(doc, root, "relay", &relay->registration->relay);
	yyjson_mut_obj_add_strcpy(doc, root, "name", relay->registration->name);
	yyjson_mut_obj_add_uint(doc, root, "udp_port", relay->udp_port);
	yyjson_mut_val *management = yyjson_mut_obj_add_obj(doc, root, "management");
	yyjson_mut_obj_add_bool(doc, management, "connected", state.is_connected);
	yyjson_mut_obj_add_bool(doc, management, "synced", state.is_synced);
	yyjson_mut_obj_add_uint(doc, management, "restarts", state.restarts);
	yyjson_mut_obj_add_uint(doc, root, "meetings", rooms_count(relay->rooms));
	yyjson_mut_obj_add_uint(doc, root, "participants", rooms_member_count(relay->rooms));
	yyjson_mut_obj_add_uint(doc, root, "connections", relay->session_count);
	yyjson_mut_obj_add_uint(doc, root, "handshakes", relay->unfinished_count);
	add_latency(doc, root, &relay->stats);
	add_counters(doc, root, &relay->stats);
}

static void add_member(yyjson_mut_doc *doc, yyjson_mut_val *list, const struct member *member)
{
	char text[RELAY_ADDRESS_TEXT_MAX];
	const struct flow *udp = member->flow[HOP_PATH_UDP];
	bool is_udp = member->path == HOP_PATH_UDP && udp->has_address;
	yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, list);
	add_id(doc, object, "participant", &member->participant);
	yyjson_mut_obj_add_uint(doc, object, "index", member->index);
	yyjson_mut_obj_add_str(doc, object, "path", is_udp ? "udp" : "tls");
	relay_address_emit(is_udp ? &udp->address.peer : &member->session->peer, text);
	yyjson_mut_obj_add_strcpy(doc, object, "address", text);
	yyjson_mut_obj_add_uint(doc, object, "streams", member->stream_count);
}

static void add_meetings(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct relay *relay)
{
	yyjson_mut_val *meetings = yyjson_mut_obj_add_arr(doc, root, "meetings");
	for (const struct room *room = rooms_next(relay->rooms, NULL); room; room = rooms_next(relay->rooms, room)) {
		yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, meetings);
		add_id(doc, object, "meeting", &room->meeting);
		add_id(doc, object, "incarnation", &room->incarnation);
		yyjson_mut_val *participants = yyjson_mut_obj_add_arr(doc, object, "participants");
		for (size_t i = 0; i < room->count; i++)
			add_member(doc, participants, room->member[i]);
	}
}

char *tcs_status_emit(const struct relay *relay, enum tcs_status_kind kind, size_t *size)
{
	*size = 0;
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	if (!doc)
		return NULL;
	yyjson_mut_val *root = yyjson_mut_obj(doc);
	yyjson_mut_doc_set_root(doc, root);
	if (kind == TCS_STATUS_STATUS)
		add_status(doc, root, relay);
	else if (kind == TCS_STATUS_MEETINGS)
		add_meetings(doc, root, relay);
	else
		add_counters(doc, root, &relay->stats);
	char *text = yyjson_mut_write(doc, YYJSON_WRITE_NEWLINE_AT_END, size);
	yyjson_mut_doc_free(doc);
	return text;
}
