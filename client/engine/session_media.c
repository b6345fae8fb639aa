// Packets of the session: media and hop control, over UDP and TLS. SPDX-License-Identifier: Apache-2.0
#include "client/engine/session_private.h"

#include <string.h>
#include <time.h>

enum {
	KEY_FRAME_MS = 250,                 // between requests for one stream, ours and theirs
	DRAIN_MAX = 256,                    // packets sent before the network is looked at again
	AGAIN_MAX = 256,                    // packets sent again, beyond as many as are sent
};
#define HOP_COUNTER_MAX 0xF0000000u // new keys long before the counter wraps

static uint64_t realtime_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_REALTIME, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void send_udp(struct engine_session *session, const uint8_t *bytes, size_t size)
{
	if (!session->datagram || datagram_send(session->datagram, bytes, size) != ERR_OK)
		session_count(session, COUNTER_udp_refused);
}

static void send_tls(struct engine_session *session, size_t limit_bytes, const uint8_t *bytes, size_t size)
{
	if (link_is_congested(session->link, limit_bytes))
		session_count(session, COUNTER_tls_congested); // late media is worth less than none
	else if (link_send(session->link, bytes, size) != ERR_OK)
		session_count(session, COUNTER_no_path);
}

static void send_hop(struct engine_session *session, enum hop_path path, const struct hop_message *message)
{
	uint8_t bytes[PACKET_MAX_BYTES];
	size_t size;
	if (hop_emit(&session->hop[path], message, bytes, &size) != ERR_OK)
		session_count(session, COUNTER_protect_failed);
	else if (path == HOP_PATH_UDP)
		send_udp(session, bytes, size);
	else
		send_tls(session, LINK_CONGESTED_BYTES, bytes, size);
}

// Feedback goes the way media goes; where that is not settled yet, over the connection that there is.
static enum hop_path feedback_path(const struct engine_session *session)
{
	enum hop_path path;
	return path_for_media(&session->path, &path) ? path : HOP_PATH_TLS;
}

// Puts the hop header in front of a packet whose SRTP part is in place, under the next counter of the path.
static void stamp(struct engine_session *session, enum hop_path path, uint8_t *bytes, size_t size)
{
	struct hop *hop = &session->hop[path];
	packet_stamp(hop->tag_key_out, hop->handle, ++hop->counter, bytes, size);
	session->stats.packets_sent++;
	session->stats.bytes_sent += size;
}

static void send_media(struct engine_session *session, enum hop_path path, uint8_t stream, uint8_t *bytes, size_t size)
{
	stamp(session, path, bytes, size);
	if (path == HOP_PATH_UDP)
		send_udp(session, bytes, size);
	else
		send_tls(session, stream == PACKET_STREAM_AUDIO ? LINK_CONGESTED_BYTES : LINK_PICTURES_BYTES, bytes, size);
}

static void send_train(struct engine_session *session)
{
	struct train *train = &session->train;
	if (train->count == 0)
		return;
	size_t refused = train->count;
	uint64_t before = session->datagram ? datagram_trains(session->datagram) : 0;
	if (session->datagram) {
		refused = datagram_send_train(session->datagram, train->bytes, train->size, train->segment_bytes);
		if (datagram_trains(session->datagram) != before)
			session->stats.packets_in_trains += train->count;
	}
	session_counters_add(&session->stats.counters, COUNTER_udp_refused, refused);
	train_clear(train);
}

static void seal_and_send(struct engine_session *session, const struct packet_queue_item *item)
{
	struct train *train = &session->train;
	enum hop_path path;
	size_t size = item->size + PACKET_MAX_BYTES - PACKET_MEDIA_PAYLOAD_MAX; // what it will have when it is sealed
	if (session->phase != SESSION_JOINED || !path_for_media(&session->path, &path)) {
		session_count(session, COUNTER_no_path);
		return;
	}
	if (path != HOP_PATH_UDP || !train_takes(train, item->stream, item->rtp.timestamp, size))
		send_train(session);
	uint8_t *bytes = train_end(train);
	if (media_crypt_send_seal(session->send, item->stream, &item->rtp, item->payload, item->size, session->now_ms, bytes, &size) != ERR_OK) {
		session_count(session, COUNTER_protect_failed);
	} else if (path == HOP_PATH_UDP) {
		stamp(session, path, bytes, size);
		train_add(train, item->stream, item->rtp.timestamp, size);
	} else {
		send_media(session, path, item->stream, bytes, size);
	}
	if (session->again_budget < AGAIN_MAX)
		session->again_budget++;
}

static void ask_key_frame(struct engine_session *session, uint32_t ssrc)
{
	size_t at = 0;
	while (at < SESSION_KEY_FRAME_STREAMS && session->key_frames[at].ssrc != ssrc)
		at++;
	if (at == SESSION_KEY_FRAME_STREAMS) {
		at = session->next_key_frame++ % SESSION_KEY_FRAME_STREAMS;
		session->key_frames[at].ssrc = ssrc;
	} else if (session->now_ms - session->key_frames[at].asked_ms < KEY_FRAME_MS) {
		return; // asked for already
	}
	session->key_frames[at].asked_ms = session->now_ms;
	const struct hop_message pli = { .kind = HOP_PLI, .ssrc = ssrc };
	send_hop(session, feedback_path(session), &pli);
}

static void ask_missing(struct engine_session *session, const struct packet_queue_item *item)
{
	struct hop_message nack = { .kind = HOP_NACK, .ssrc = item->rtp.ssrc, .sequence_count = item->size };
	memcpy(nack.sequences, item->sequences, item->size * sizeof(*item->sequences));
	session_counters_add(&session->stats.counters, COUNTER_nack_sent, item->size);
	send_hop(session, feedback_path(session), &nack);
}

void session_media_drain(struct engine_session *session)
{
	struct packet_queue_item item;
	int left = DRAIN_MAX;
	while (left-- > 0 && packet_queue_pop(session->options.queue, &item)) {
		if (item.kind == PACKET_QUEUE_MEDIA)
			seal_and_send(session, &item);
		else if (session->phase != SESSION_JOINED)
			session_count(session, COUNTER_no_path);
		else if (item.kind == PACKET_QUEUE_KEY_FRAME)
			ask_key_frame(session, item.rtp.ssrc);
		else
			ask_missing(session, &item);
	}
	send_train(session);
	if (left < 0)
		packet_queue_wake(session->options.queue);
}

static void answer_nack(struct engine_session *session, const struct hop_message *message)
{
	uint8_t bytes[PACKET_MAX_BYTES];
	enum hop_path path;
	if (!path_for_media(&session->path, &path))
		return;
	for (size_t i = 0; i < message->sequence_count; i++) {
		size_t size;
		if (media_crypt_send_again(session->send, message->ssrc, message->sequences[i], session->now_ms, bytes, &size) != ERR_OK) {
			session_count(session, COUNTER_nack_unanswered);
			continue;
		}
		// Whatever a relay asks for, it gets no more than twice what we have to say.
		if (session->again_budget == 0) {
			session_count(session, COUNTER_nack_refused);
			continue;
		}
		session->again_budget--;
		session_count(session, COUNTER_nack_answered);
		send_media(session, path, packet_ssrc_stream(message->ssrc), bytes, size);
	}
}

static void answer_pli(struct engine_session *session, uint32_t ssrc)
{
	uint8_t stream = packet_ssrc_stream(ssrc);
	if (packet_ssrc_index(ssrc) != session->stats.index) {
		session_count(session, COUNTER_hop_unexpected);
		return;
	}
	if (session->own_key_frame_ms[stream] && session->now_ms - session->own_key_frame_ms[stream] < KEY_FRAME_MS)
		return; // one is on its way
	session->own_key_frame_ms[stream] = session->now_ms;
	session->options.media.force_key_frame(session->options.media.media, stream);
}

static void answer_challenge(struct engine_session *session, const struct hop_message *message)
{
	const struct hop_message keepalive = { .kind = HOP_KEEPALIVE };
	struct hop_message response = { .kind = HOP_RESPONSE };
	memcpy(response.cookie, message->cookie, sizeof(response.cookie));
	send_hop(session, HOP_PATH_UDP, &response);
	send_hop(session, HOP_PATH_UDP, &keepalive); // its answer proves that the response has arrived
}

static void on_hop(struct engine_session *session, enum hop_path path, uint8_t *bytes, size_t size)
{
	struct hop_message message;
	if (hop_parse(&session->hop[path], bytes, size, &message) != ERR_OK) {
		session_count(session, COUNTER_hop_unauthentic);
		return;
	}
	if (path == HOP_PATH_UDP)
		path_heard(&session->path, session->now_ms);
	switch (message.kind) {
	case HOP_KEEPALIVE:
		if (path == HOP_PATH_UDP)
			path_answered(&session->path, session->now_ms);
		break;
	case HOP_CHALLENGE:
		if (path == HOP_PATH_UDP)
			answer_challenge(session, &message);
		else
			session_count(session, COUNTER_hop_unexpected);
		break;
	case HOP_PLI:
		answer_pli(session, message.ssrc);
		break;
	case HOP_NACK:
		answer_nack(session, &message);
		break;
	default:
		session_count(session, COUNTER_hop_unexpected);
	}
}

static void on_packet(struct engine_session *session, enum hop_path path, uint8_t *bytes, size_t size, uint64_t arrival_ns)
{
	struct packet_header header;
	if (packet_parse(bytes, size, &header) != ERR_OK || packet_handle_type(header.handle) > PACKET_HOP) {
		session_count(session, COUNTER_datagram_malformed);
		return;
	}
	if (packet_handle_type(header.handle) == PACKET_HOP) {
		on_hop(session, path, bytes, size);
		return;
	}
	session->stats.packets_received++;
	session->stats.bytes_received += size;
	session->is_from_udp = path == HOP_PATH_UDP;
	media_crypt_receive_packet(session->receive, bytes, size, arrival_ns, session->now_ms);
	session->is_from_udp = false;
}

void session_media_datagram(void *context, uint8_t *bytes, size_t size, uint64_t arrival_ns)
{
	struct engine_session *session = context;
	if (session->phase == SESSION_JOINED)
		on_packet(session, HOP_PATH_UDP, bytes, size, arrival_ns);
}

void session_media_frame(struct engine_session *session, uint8_t *bytes, size_t size)
{
	if (session->phase == SESSION_JOINED)
		on_packet(session, HOP_PATH_TLS, bytes, size, realtime_ns());
	else
		session_count(session, COUNTER_message_unexpected);
}

void session_media_opened(void *context, const struct packet_rtp *rtp, const uint8_t *payload, size_t size, uint64_t arrival_ns)
{
	struct engine_session *session = context;
	if (session->is_from_udp)
		path_heard(&session->path, session->now_ms);
	session->options.media.receive(session->options.media.media, rtp, payload, size, arrival_ns);
}

void session_media_open_udp(struct engine_session *session)
{
	datagram_close(session->datagram);
	session->datagram = NULL;
	// Without a socket media stays on TLS; the path's timer comes back to try again.
	if (datagram_open(&session->peer, session->udp_port, &session->datagram) != ERR_OK)
		session_count(session, COUNTER_udp_refused);
}

void session_media_path_changed(struct engine_session *session)
{
	struct engine_event event = { .type = ENGINE_EVENT_PATH, .is_udp = session->path.is_udp };
	session->stats.is_udp = session->path.is_udp;
	session_event(session, &event);
}

void session_media_tick(struct engine_session *session)
{
	const struct hop_message keepalive = { .kind = HOP_KEEPALIVE };
	struct control_message request = { .type = CONTROL_PATH };
	if (session->hop[HOP_PATH_UDP].counter > HOP_COUNTER_MAX || session->hop[HOP_PATH_TLS].counter > HOP_COUNTER_MAX) {
		session_connect_lost(session, "the hop keys are used up");
		return;
	}
	bool was_udp = session->path.is_udp;
	unsigned actions = path_tick(&session->path, session->now_ms);
	if (actions & PATH_REOPEN)
		session_media_open_udp(session);
	if (actions & (PATH_REQUEST_UDP | PATH_REQUEST_TLS)) {
		request.path = actions & PATH_REQUEST_UDP ? HOP_PATH_UDP : HOP_PATH_TLS;
		session_control_send(session, &request);
	}
	if (actions & PATH_SEND_KEEPALIVE)
		send_hop(session, HOP_PATH_UDP, &keepalive);
	if (was_udp != session->path.is_udp)
		session_media_path_changed(session);
}
