// SPDX-License-Identifier: Apache-2.0
#include "relay/tcs_status.h"

#include "relay/manager_link.h"
#include "relay/media_threads.h"
#include "relay/registration.h"
#include "relay/relay.h"
#include "relay/relay_address.h"
#include "relay/tcs_session.h"
#include "version.h"

#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

static const char *const names[TCS_STATUS_KINDS] = { "status", "meetings", "counters", "engine" };

const char *tcs_status_name(enum tcs_status_kind kind) { return names[kind]; }

static void add_id(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *key, const struct id *id)
{
	char text[TEXT_UUID_SIZE];
	text_id_emit(id, text);
	yyjson_mut_obj_add_strcpy(doc, object, key, text);
}

// Counters of everybody who forwards.
struct sum {
	struct relay_stats stats;
	struct fanout_counters user, kernel;
};

static struct sum *sum_new(const struct relay *relay)
{
	struct sum *sum = calloc(1, sizeof(*sum));
	if (!sum)
		return NULL;
	sum->stats = relay->stats;
	sum->user = *relay->media.counters;
	if (relay->threads)
		media_threads_sum(relay->threads, &sum->user, &sum->stats);
	table_counters(relay->table, &sum->kernel);
	return sum;
}

static void add_counters(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct sum *sum)
{
	yyjson_mut_val *drops = yyjson_mut_obj_add_obj(doc, root, "drops");
	yyjson_mut_val *ups = yyjson_mut_obj_add_obj(doc, root, "ups");
	yyjson_mut_val *counts = yyjson_mut_obj_add_obj(doc, root, "counts");
	for (enum fanout_counter c = 0; c < FANOUT_COUNTERS; c++)
		yyjson_mut_obj_add_uint(doc, c < FANOUT_UPS_FIRST ? drops : c < FANOUT_COUNTS_FIRST ? ups : counts,
					relay_stats_fanout_name(c), sum->user.counter[c] + sum->kernel.counter[c]);
	for (enum relay_stats_counter c = 0; c < STATS_COUNTERS; c++)
		yyjson_mut_obj_add_uint(doc, c < STATS_DROPS ? drops : counts, relay_stats_name(c), sum->stats.counter[c]);
}

// Upper bound of the bucket below which `per_mille` of the kernel's samples were.
static double kernel_percentile_us(const struct fanout_counters *counters, uint64_t count, unsigned per_mille)
{
	uint64_t seen = 0, wanted = (count * per_mille + 999) / 1000;
	for (unsigned bucket = 0; bucket < FANOUT_LATENCY_BUCKETS && wanted > 0; bucket++) {
		seen += counters->latency[bucket];
		if (seen >= wanted)
			return (double)(64ull << bucket) / 1000;
	}
	return 0;
}

static void add_kernel(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct fanout_counters *counters)
{
	uint64_t count = 0;
	for (unsigned bucket = 0; bucket < FANOUT_LATENCY_BUCKETS; bucket++)
		count += counters->latency[bucket];
	yyjson_mut_val *kernel = yyjson_mut_obj_add_obj(doc, root, "kernel");
	yyjson_mut_obj_add_uint(doc, kernel, "media_received", counters->counter[FANOUT_media_received]);
	yyjson_mut_obj_add_uint(doc, kernel, "media_forwarded", counters->counter[FANOUT_media_forwarded]);
	yyjson_mut_val *latency = yyjson_mut_obj_add_obj(doc, root, "kernel_latency_us");
	yyjson_mut_obj_add_uint(doc, latency, "count", count);
	yyjson_mut_obj_add_real(doc, latency, "p50", kernel_percentile_us(counters, count, 500));
	yyjson_mut_obj_add_real(doc, latency, "p99", kernel_percentile_us(counters, count, 990));
}

static void add_engines(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct relay *relay)
{
	yyjson_mut_obj_add_str(doc, root, "engine", engine_wish_name(relay->engine.wish));
	yyjson_mut_val *engines = yyjson_mut_obj_add_arr(doc, root, "engines");
	for (size_t slot = 1; relay->fast_path && slot < FANOUT_DEVICES; slot++) {
		const struct fast_path_device *device = &relay->fast_path->device[slot];
		const char *reason;
		if (device->ifindex == 0)
			continue;
		enum fanout_engine engine = engine_of_device(relay, device, &reason);
		yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, engines);
		yyjson_mut_obj_add_strcpy(doc, object, "device", device->name);
		yyjson_mut_obj_add_uint(doc, object, "ifindex", device->ifindex);
		yyjson_mut_obj_add_str(doc, object, "engine", engine_name(engine));
		yyjson_mut_obj_add_str(doc, object, "reason", reason);
	}
}

static void add_table(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct table *table)
{
	yyjson_mut_val *object = yyjson_mut_obj_add_obj(doc, root, "table");
	yyjson_mut_obj_add_uint(doc, object, "changes", table_changes(table));
	yyjson_mut_obj_add_uint(doc, object, "waiting", table_waiting(table));
	yyjson_mut_obj_add_uint(doc, object, "history_bytes", table_history_bytes(table));
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

static void add_status(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct relay *relay, const struct sum *sum)
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
	add_engines(doc, root, relay);
	add_table(doc, root, relay->table);
	add_latency(doc, root, &sum->stats);
	add_kernel(doc, root, &sum->kernel);
	add_counters(doc, root, sum);
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

// By the block of streams that everybody wants.
static void add_room_engine(yyjson_mut_doc *doc, yyjson_mut_val *object, const struct relay *relay, const struct room *room)
{
	const struct fanout_extent *extent = room->block ? table_block_extent(relay->table, room->block->block) : NULL;
	uint16_t flags = extent ? extent->flags : 0;
	enum fanout_engine engine = flags & FANOUT_EXTENT_XDP ? FANOUT_XDP : flags & FANOUT_EXTENT_TCX ? FANOUT_TCX : FANOUT_USER;
	yyjson_mut_obj_add_str(doc, object, "engine", engine_name(engine));
	yyjson_mut_obj_add_uint(doc, object, "receivers", extent ? extent->count : 0);
	yyjson_mut_obj_add_uint(doc, object, "in_kernel", engine == FANOUT_USER ? 0 : extent->in_kernel);
}

static void add_meetings(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct relay *relay)
{
	yyjson_mut_val *meetings = yyjson_mut_obj_add_arr(doc, root, "meetings");
	for (const struct room *room = rooms_next(relay->rooms, NULL); room; room = rooms_next(relay->rooms, room)) {
		yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, meetings);
		add_id(doc, object, "meeting", &room->meeting);
		add_id(doc, object, "incarnation", &room->incarnation);
		add_room_engine(doc, object, relay, room);
		yyjson_mut_val *participants = yyjson_mut_obj_add_arr(doc, object, "participants");
		for (size_t i = 0; i < room->count; i++)
			add_member(doc, participants, room->member[i]);
	}
}

char *tcs_status_emit(const struct relay *relay, enum tcs_status_kind kind, size_t *size)
{
	*size = 0;
	struct sum *sum = sum_new(relay);
	yyjson_mut_doc *doc = sum ? yyjson_mut_doc_new(NULL) : NULL;
	if (!doc) {
		free(sum);
		return NULL;
	}
	yyjson_mut_val *root = yyjson_mut_obj(doc);
	yyjson_mut_doc_set_root(doc, root);
	switch (kind) {
	case TCS_STATUS_STATUS:
		add_status(doc, root, relay, sum);
		break;
	case TCS_STATUS_MEETINGS:
		add_meetings(doc, root, relay);
		break;
	case TCS_STATUS_ENGINE:
		add_engines(doc, root, relay);
		break;
	default:
		add_counters(doc, root, sum);
		break;
	}
	char *text = yyjson_mut_write(doc, YYJSON_WRITE_NEWLINE_AT_END, size);
	yyjson_mut_doc_free(doc);
	free(sum);
	return text;
}
