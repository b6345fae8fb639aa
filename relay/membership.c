// SPDX-License-Identifier: Apache-2.0
#include "relay/membership.h"

#include "base/log.h"
#include "base/secret.h"
#include "base/token.h"
#include "relay/feedback.h"
#include "relay/receivers.h"
#include "relay/relay.h"
#include "relay/tcs_config.h"
#include "relay/tcs_session.h"

_Static_assert(sizeof(struct hop_keys) == 2 * PACKET_TAG_KEY_BYTES + 2 * SRTP_MASTER_BYTES, "exporter output has no holes");

// ---------------------------------------------------------------- what others are told

static void tell_about(struct tcs_session *to, const struct member *member)
{
	struct control_message message = { .type = CONTROL_MEMBER };
	message.member = (struct control_member){ .index = member->index, .participant = member->participant,
						  .announcement = member->announcement,
						  .announcement_size = member->announcement_size };
	tcs_session_send(to, &message);
	if (member->catalogue.count == 0)
		return;
	message = (struct control_message){ .type = CONTROL_STREAMS_OF };
	message.streams_of = (struct control_streams_of){ .index = member->index, .streams = member->catalogue };
	tcs_session_send(to, &message);
}

static void tell_others(struct member *member, uint64_t now_ns)
{
	const struct room *room = member->room;
	for (size_t i = 0; i < room->count; i++) {
		if (room->member[i] != member)
			tell_about(room->member[i]->session, member);
	}
	member->is_changed = false;
	member->told_ns = now_ns;
}

// What changes faster than everyone wants to hear it is told a little later, in its last form.
static void changed(struct member *member, uint64_t now_ns)
{
	member->is_changed = true;
	if (now_ns - member->told_ns >= TCS_SESSION_TELL_NS)
		tell_others(member, now_ns);
}

void membership_tick(struct tcs_session *session, uint64_t now_ns)
{
	feedback_tick(session->relay, session->member, now_ns);
	if (session->member->is_changed && now_ns - session->member->told_ns >= TCS_SESSION_TELL_NS)
		tell_others(session->member, now_ns);
}

// ---------------------------------------------------------------- joining

static enum relay_stats_counter refusal(enum control_end reason)
{
	switch (reason) {
	case CONTROL_END_EXPIRED:
		return STATS_join_expired;
	case CONTROL_END_CLOSED:
		return STATS_join_closed;
	case CONTROL_END_REMOVED:
		return STATS_join_removed;
	case CONTROL_END_FULL:
		return STATS_join_full;
	default:
		return STATS_join_ticket;
	}
}

// What 1,024 bytes cost of a sender's time, 0: nothing.
static uint32_t ns_per_kib(uint64_t kbit_s)
{
	uint64_t ns = kbit_s ? 8192000000u / kbit_s : 0;
	return ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static enum err open_flows(struct tcs_session *session, struct member *member)
{
	for (uint8_t path = 0; path < HOP_PATHS; path++) {
		struct hop_keys keys;
		enum err err = tls_conn_export(session->tls, HOP_EXPORTER_LABEL, &path, sizeof(path), (uint8_t *)&keys, sizeof(keys));
		struct flow_options options = { .table = session->relay->table, .member = member, .room = member->room->number,
						.path = (enum hop_path)path, .index = member->index, .keys = &keys,
						.may_send = member->rights & TOKEN_RIGHT_SEND,
						.ns_per_kib = ns_per_kib(session->relay->config->sender_rate_max) };
		if (!err)
			err = flow_open(session->relay->flows, &options, &member->flow[path]);
		secret_wipe(&keys, sizeof(keys));
		if (err)
			return err;
	}
	return ERR_OK;
}

static void close_flows(struct relay *relay, struct member *member)
{
	for (size_t path = 0; path < HOP_PATHS; path++)
		flow_close(relay->flows, member->flow[path]);
}

static enum err enter(struct tcs_session *session, const struct token_ticket *ticket)
{
	struct relay *relay = session->relay;
	struct room *room = rooms_find(relay->rooms, &ticket->meeting);
	struct member *former = room ? room_find_participant(room, &ticket->participant) : NULL;
	if (former)
		tcs_session_end(former->session, CONTROL_END_REPLACED);
	struct member *member;
	enum err err = rooms_join(relay->rooms, &ticket->meeting, &ticket->participant, &member);
	if (err)
		return err;
	member->session = session;
	member->rights = ticket->rights;
	err = open_flows(session, member);
	if (err) {
		close_flows(relay, member);
		rooms_leave(relay->rooms, member);
		return err;
	}
	session->member = member;
	receivers_changed(relay, member->room);
	return ERR_OK;
}

static void welcome(struct tcs_session *session, const struct token_ticket *ticket)
{
	const struct member *member = session->member;
	struct control_message message = { .type = CONTROL_WELCOME };
	message.welcome = (struct control_welcome){
		.incarnation = member->room->incarnation,
		.index = member->index,
		.udp_port = session->relay->udp_port,
		.handle = { [HOP_PATH_UDP] = member->flow[HOP_PATH_UDP]->handle, [HOP_PATH_TLS] = member->flow[HOP_PATH_TLS]->handle },
		.rejoin_until = ticket->rejoin_until,
	};
	tcs_session_send(session, &message);
	for (size_t i = 0; i < member->room->count; i++) {
		if (member->room->member[i] != member)
			tell_about(session, member->room->member[i]);
	}
}

void membership_join(struct tcs_session *session, const struct control_join *join)
{
	struct relay *relay = session->relay;
	struct admission_request request = { .join = join, .now_s = relay_clock_s(relay) };
	struct token_ticket ticket;
	enum control_end reason = CONTROL_END_PROTOCOL;
	enum err err = ERR_OK;
	if (join->version != CONTROL_VERSION) {
		tcs_session_doom(session, reason, STATS_frame_malformed);
		return;
	}
	if (!tls_conn_export(session->tls, CONTROL_JOIN_EXPORTER, NULL, 0, request.exporter, sizeof(request.exporter)))
		reason = admission_check(&relay->admission, &request, &ticket);
	if (!reason)
		err = enter(session, &ticket);
	session->is_waiting = err == ERR_AGAIN;
	if (session->is_waiting)
		return;
	if (err)
		reason = CONTROL_END_FULL;
	if (reason) {
		log_line(LOG_INFO, "a join was refused: %s", control_end_text(reason));
		tcs_session_doom(session, reason, refusal(reason));
		return;
	}
	admission_remember(&relay->admission, &ticket, request.now_s);
	relay_stats_add(&relay->stats, STATS_sessions_joined, 1);
	relay->is_changed = true;
	welcome(session, &ticket);
	tell_others(session->member, relay_now_ns(relay));
}

// ---------------------------------------------------------------- messages

static void set_path(struct tcs_session *session, enum hop_path path)
{
	struct member *member = session->member;
	bool is_possible = path == HOP_PATH_TLS || member->flow[HOP_PATH_UDP]->has_address;
	if (is_possible && member->path != path) {
		member->path = path;
		receivers_changed(session->relay, member->room);
	}
	tcs_session_send(session, &(struct control_message){ .type = CONTROL_PATH_IS, .path = (uint8_t)member->path });
}

void membership_message(struct tcs_session *session, const struct control_message *message)
{
	struct member *member = session->member;
	uint64_t now_ns = relay_now_ns(session->relay);
	switch (message->type) {
	case CONTROL_ANNOUNCE:
		if (!room_announce(member, message->announce.bytes, message->announce.size))
			changed(member, now_ns);
		break;
	case CONTROL_STREAMS:
		member->catalogue = message->streams;
		receivers_describe(session->relay, member);
		changed(member, now_ns);
		break;
	case CONTROL_PATH:
		set_path(session, (enum hop_path)message->path);
		break;
	case CONTROL_SUBSCRIBE:
		receivers_subscribe(session->relay, member, &message->subscribe);
		break;
	case CONTROL_PING:
		tcs_session_send(session, &(struct control_message){ .type = CONTROL_PONG, .ping = message->ping });
		break;
	case CONTROL_LEAVE:
		tcs_session_doom(session, CONTROL_END_LEFT, STATS_COUNTERS);
		break;
	default:
		tcs_session_doom(session, CONTROL_END_PROTOCOL, STATS_message_unexpected);
		break;
	}
}

void membership_leave(struct tcs_session *session, enum control_end reason)
{
	struct relay *relay = session->relay;
	struct member *member = session->member;
	struct control_message message = { .type = CONTROL_GONE };
	message.gone = (struct control_gone){ .index = member->index, .participant = member->participant, .reason = (uint8_t)reason };
	const struct room *room = member->room;
	for (size_t i = 0; i < room->count; i++) {
		if (room->member[i] != member)
			tcs_session_send(room->member[i]->session, &message);
	}
	outbox_flush(relay->outbox);
	session->member = NULL;
	close_flows(relay, member);
	receivers_forget(relay, member);
	rooms_leave(relay->rooms, member);
	relay_stats_add(&relay->stats, STATS_sessions_ended, 1);
	relay->is_changed = true;
}
