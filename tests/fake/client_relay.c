// SPDX-License-Identifier: Apache-2.0
#include "tests/fake/client_relay.h"

#include "base/secret.h"
#include "base/tls_conn.h"
#include "tests/fake/client_certificate.h"

#include <arpa/inet.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TURN_MS = 5, DEVICES = 8, CHUNK = 16384, UNWANTED_MAX = 16 };

struct device {
	struct id participant;
	uint8_t key[TOKEN_ED25519_BYTES];
};

struct client {
	int fd; // -1: free
	struct tls_conn *tls;
	bool is_ready, is_joined, is_closing;
	struct id participant;
	uint32_t index;
	struct hop hop[HOP_PATHS];
	enum hop_path path;
	struct sockaddr_in udp; // proven
	bool has_udp;
	uint8_t cookie[HOP_COOKIE_BYTES];
	uint8_t announcement[CONTROL_ANNOUNCE_MAX];
	size_t announcement_size;
	struct control_streams streams;
	uint32_t unwanted[UNWANTED_MAX];
	size_t unwanted_count;
	size_t frame_size;
	uint8_t frame[2 + CONTROL_FRAME_MAX];
};

struct client_relay {
	pthread_mutex_t lock;
	pthread_t thread;
	atomic_bool is_stopping;
	int listener, udp;
	uint16_t port, udp_port;
	struct tls_context *tls;
	struct token_pins pins;
	struct client_relay_knobs knobs;
	struct client_relay_figures figures;
	struct device devices[DEVICES];
	size_t device_count;
	uint32_t next_index, generation;
	struct id incarnation;
	struct client clients[CLIENT_RELAY_CLIENTS];
};

static int open_socket(int type, uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 || (type == SOCK_STREAM && listen(fd, 8) != 0) ||
	    getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	*port = ntohs(address.sin_port);
	return fd;
}

static void drop_client(struct client *client)
{
	if (client->fd < 0)
		return;
	close(client->fd);
	tls_conn_free(client->tls);
	hop_fini(&client->hop[0]);
	hop_fini(&client->hop[1]);
	memset(client, 0, sizeof(*client));
	client->fd = -1;
}

static void flush(struct client *client)
{
	uint8_t bytes[CHUNK];
	for (size_t size; (size = tls_conn_take(client->tls, bytes, sizeof(bytes))) > 0;) {
		for (size_t sent = 0; sent < size;) {
			ssize_t n = send(client->fd, bytes + sent, size - sent, MSG_NOSIGNAL);
			if (n < 0) {
				struct pollfd fd = { .fd = client->fd, .events = POLLOUT };
				if (poll(&fd, 1, 1000) != 1 || (fd.revents & (POLLERR | POLLHUP)))
					return;
				continue;
			}
			sent += (size_t)n;
		}
	}
}

static void send_frame(struct client *client, const uint8_t *body, size_t size)
{
	uint8_t length[2] = { (uint8_t)(size >> 8), (uint8_t)size };
	if (tls_conn_write(client->tls, length, 2) != ERR_OK || tls_conn_write(client->tls, body, size) != ERR_OK)
		client->is_closing = true;
	flush(client);
}

static void send_message(struct client *client, const struct control_message *message)
{
	uint8_t body[CONTROL_FRAME_MAX];
	size_t size;
	if (control_emit(message, body, sizeof(body), &size) == ERR_OK)
		send_frame(client, body, size);
}

static void send_datagram_to(struct client_relay *relay, const struct sockaddr_in *to, const uint8_t *bytes, size_t size)
{
	if (!atomic_load(&relay->knobs.drops_udp))
		(void)!sendto(relay->udp, bytes, size, 0, (const struct sockaddr *)to, sizeof(*to));
}

static void send_media(struct client_relay *relay, struct client *client, const uint8_t *bytes, size_t size)
{
	if (client->path == HOP_PATH_UDP)
		send_datagram_to(relay, &client->udp, bytes, size);
	else
		send_frame(client, bytes, size);
}

static void send_hop(struct client_relay *relay, struct client *client, enum hop_path path, const struct sockaddr_in *to,
		     const struct hop_message *message)
{
	uint8_t bytes[PACKET_MAX_BYTES];
	size_t size;
	if (hop_emit(&client->hop[path], message, bytes, &size) != ERR_OK)
		return;
	if (path == HOP_PATH_UDP)
		send_datagram_to(relay, to, bytes, size);
	else
		send_frame(client, bytes, size);
}

static bool is_proven(struct client_relay *relay, struct client *client, const struct control_join *join)
{
	uint8_t text[sizeof(CONTROL_JOIN_CONTEXT) - 1 + 32 + SECRET_SHA256_BYTES];
	memcpy(text, CONTROL_JOIN_CONTEXT, sizeof(CONTROL_JOIN_CONTEXT) - 1);
	if (tls_conn_export(client->tls, CONTROL_JOIN_EXPORTER, (const uint8_t *)"", 0, text + sizeof(CONTROL_JOIN_CONTEXT) - 1, 32) != ERR_OK)
		return false;
	secret_sha256(join->ticket, join->ticket_size, text + sizeof(CONTROL_JOIN_CONTEXT) - 1 + 32);
	for (size_t i = 0; i < relay->device_count; i++) {
		if (token_ed25519_verify(relay->devices[i].key, text, sizeof(text), join->proof) == ERR_OK) {
			client->participant = relay->devices[i].participant;
			return true;
		}
	}
	return false;
}

static void tell_member(struct client *to, const struct client *about)
{
	const struct control_message member = { .type = CONTROL_MEMBER,
						.member = { .index = about->index, .participant = about->participant,
							    .announcement = about->announcement,
							    .announcement_size = about->announcement_size } };
	send_message(to, &member);
}

static void tell_streams(struct client *to, const struct client *about)
{
	const struct control_message streams = { .type = CONTROL_STREAMS_OF, .streams_of = { about->index, about->streams } };
	send_message(to, &streams);
}

static void on_join(struct client_relay *relay, struct client *client, const struct control_join *join)
{
	struct control_message answer = { .type = CONTROL_END, .end = (uint8_t)atomic_load(&relay->knobs.refuses_with) };
	if (!is_proven(relay, client, join)) {
		relay->figures.bad_proofs++;
		answer.end = CONTROL_END_TICKET;
	}
	if (answer.end) {
		send_message(client, &answer);
		client->is_closing = true;
		return;
	}
	relay->figures.joins++;
	relay->figures.joins_again += (join->flags & CONTROL_JOIN_AGAIN) != 0;
	client->index = relay->next_index++;
	client->path = HOP_PATH_TLS;
	answer = (struct control_message){ .type = CONTROL_WELCOME,
					   .welcome = { .incarnation = relay->incarnation, .index = client->index,
							.udp_port = atomic_load(&relay->knobs.has_no_udp) ? 0 : relay->udp_port,
							.rejoin_until = UINT32_MAX } };
	for (uint8_t path = 0; path < HOP_PATHS; path++) {
		struct hop_keys keys;
		answer.welcome.handle[path] = packet_handle(PACKET_MEDIA, relay->generation, client->index * 2 + path);
		if (tls_conn_export(client->tls, HOP_EXPORTER_LABEL, &path, 1, (uint8_t *)&keys, sizeof(keys)) != ERR_OK ||
		    hop_init(&client->hop[path], HOP_RELAY, client->index, answer.welcome.handle[path], &keys) != ERR_OK)
			abort();
	}
	client->is_joined = true;
	send_message(client, &answer);
	for (size_t i = 0; i < CLIENT_RELAY_CLIENTS; i++) {
		struct client *other = &relay->clients[i];
		if (other == client || other->fd < 0 || !other->is_joined)
			continue;
		tell_member(client, other);
		tell_streams(client, other);
		tell_member(other, client);
	}
}

static void on_announce(struct client_relay *relay, struct client *client, const struct control_blob *blob)
{
	relay->figures.announcements++;
	memcpy(client->announcement, blob->bytes, blob->size);
	client->announcement_size = blob->size;
	for (size_t i = 0; i < CLIENT_RELAY_CLIENTS; i++) {
		struct client *other = &relay->clients[i];
		if (other != client && other->fd >= 0 && other->is_joined)
			tell_member(other, client);
	}
}

static void on_streams(struct client_relay *relay, struct client *client, const struct control_streams *streams)
{
	relay->figures.streams++;
	client->streams = *streams;
	for (size_t i = 0; i < CLIENT_RELAY_CLIENTS; i++) {
		struct client *other = &relay->clients[i];
		if (other != client && other->fd >= 0 && other->is_joined)
			tell_streams(other, client);
	}
}

static bool wants(const struct client *client, uint32_t ssrc)
{
	for (size_t i = 0; i < client->unwanted_count; i++) {
		if (client->unwanted[i] == ssrc)
			return false;
	}
	return true;
}

static void on_subscribe(struct client_relay *relay, struct client *client, const struct control_subscribe *subscribe)
{
	for (size_t i = 0; i < subscribe->count; i++) {
		uint32_t ssrc = subscribe->subscription[i].ssrc;
		size_t at = 0;
		while (at < client->unwanted_count && client->unwanted[at] != ssrc)
			at++;
		if (!subscribe->subscription[i].is_wanted && at == client->unwanted_count && at < UNWANTED_MAX)
			client->unwanted[client->unwanted_count++] = ssrc;
		else if (subscribe->subscription[i].is_wanted && at < client->unwanted_count)
			client->unwanted[at] = client->unwanted[--client->unwanted_count];
		relay->figures.subscriptions++;
	}
}

static void on_path(struct client_relay *relay, struct client *client, enum hop_path path)
{
	if (path == HOP_PATH_UDP && (!client->has_udp || atomic_load(&relay->knobs.refuses_udp)))
		path = HOP_PATH_TLS;
	client->path = path;
	const struct control_message answer = { .type = CONTROL_PATH_IS, .path = path };
	send_message(client, &answer);
}

static void on_message(struct client_relay *relay, struct client *client, const uint8_t *body, size_t size)
{
	struct control_message message;
	if (control_parse(body, size, &message) != ERR_OK) {
		client->is_closing = true;
		return;
	}
	switch (message.type) {
	case CONTROL_JOIN:
		on_join(relay, client, &message.join);
		break;
	case CONTROL_ANNOUNCE:
		on_announce(relay, client, &message.announce);
		break;
	case CONTROL_STREAMS:
		on_streams(relay, client, &message.streams);
		break;
	case CONTROL_SUBSCRIBE:
		on_subscribe(relay, client, &message.subscribe);
		break;
	case CONTROL_PATH:
		on_path(relay, client, message.path);
		break;
	case CONTROL_LEAVE:
		relay->figures.leaves++;
		client->is_closing = true;
		break;
	case CONTROL_PING:
		relay->figures.pings++;
		message.type = CONTROL_PONG;
		send_message(client, &message);
		break;
	default:
		client->is_closing = true;
	}
}

static void on_media(struct client_relay *relay, struct client *client, enum hop_path path, const uint8_t *bytes, size_t size)
{
	struct packet_header header;
	struct packet_rtp rtp;
	if (packet_parse(bytes, size, &header) != ERR_OK || packet_rtp_parse(bytes, size, &rtp) != ERR_OK ||
	    header.handle != client->hop[path].handle || packet_tag(client->hop[path].tag_key_in, bytes, size) != header.tag ||
	    packet_ssrc_index(rtp.ssrc) != client->index) {
		relay->figures.bad_tags++;
		return;
	}
	if (path == HOP_PATH_UDP)
		relay->figures.media_udp++;
	else
		relay->figures.media_tls++;
	atomic_uint *next = &relay->figures.next_sequence[packet_ssrc_stream(rtp.ssrc) % 16];
	if (rtp.sequence < *next)
		relay->figures.resent++;
	else
		*next = rtp.sequence + 1u;
	if (atomic_load(&relay->knobs.drops_media_in) > 0) {
		relay->knobs.drops_media_in--;
		const struct hop_message nack = { .kind = HOP_NACK, .ssrc = rtp.ssrc, .sequences = { rtp.sequence }, .sequence_count = 1 };
		send_hop(relay, client, path, &client->udp, &nack);
		return;
	}
	for (size_t i = 0; i < CLIENT_RELAY_CLIENTS; i++) {
		struct client *other = &relay->clients[i];
		if (other != client && other->fd >= 0 && other->is_joined && wants(other, rtp.ssrc))
			send_media(relay, other, bytes, size);
	}
}

static void on_hop(struct client_relay *relay, struct client *client, enum hop_path path, uint8_t *bytes, size_t size,
		   const struct sockaddr_in *from)
{
	struct hop_message message;
	if (hop_parse(&client->hop[path], bytes, size, &message) != ERR_OK) {
		relay->figures.bad_tags++;
		return;
	}
	bool is_foreign = path == HOP_PATH_UDP && (!client->has_udp || client->udp.sin_port != from->sin_port);
	struct hop_message answer = { .kind = HOP_KEEPALIVE };
	switch (message.kind) {
	case HOP_KEEPALIVE:
		relay->figures.keepalives++;
		if (is_foreign) {
			secret_random(client->cookie, sizeof(client->cookie));
			answer.kind = HOP_CHALLENGE;
			memcpy(answer.cookie, client->cookie, sizeof(answer.cookie));
		}
		send_hop(relay, client, path, from, &answer);
		break;
	case HOP_RESPONSE:
		if (path == HOP_PATH_UDP && memcmp(client->cookie, message.cookie, sizeof(client->cookie)) == 0) {
			client->udp = *from;
			client->has_udp = true;
		}
		break;
	case HOP_PLI:
	case HOP_NACK:
		for (size_t i = 0; i < CLIENT_RELAY_CLIENTS; i++) {
			struct client *other = &relay->clients[i];
			if (other->fd >= 0 && other->is_joined && other->index == packet_ssrc_index(message.ssrc))
				send_hop(relay, other, other->path, &other->udp, &message);
		}
		break;
	default:
		break;
	}
}

static void on_packet(struct client_relay *relay, struct client *client, enum hop_path path, uint8_t *bytes, size_t size,
		      const struct sockaddr_in *from)
{
	if (bytes[0] >> 6 == PACKET_HOP)
		on_hop(relay, client, path, bytes, size, from);
	else
		on_media(relay, client, path, bytes, size);
}

static void read_frames(struct client_relay *relay, struct client *client)
{
	while (!client->is_closing) {
		size_t want = 2, got;
		if (client->frame_size >= 2)
			want += (size_t)client->frame[0] << 8 | client->frame[1];
		enum err err = tls_conn_read(client->tls, client->frame + client->frame_size, want - client->frame_size, &got);
		if (err) {
			client->is_closing = err != ERR_AGAIN;
			return;
		}
		client->frame_size += got;
		if (client->frame_size < want || want == 2)
			continue;
		client->frame_size = 0;
		if (atomic_load(&relay->knobs.is_silent))
			continue;
		if (client->frame[2] >> 6 == PACKET_MESSAGE)
			on_message(relay, client, client->frame + 2, want - 2);
		else if (client->is_joined)
			on_packet(relay, client, HOP_PATH_TLS, client->frame + 2, want - 2, NULL);
	}
}

static void serve(struct client_relay *relay, struct client *client)
{
	uint8_t bytes[CHUNK];
	ssize_t n;
	if (atomic_load(&relay->knobs.reads_nothing))
		return;
	while ((n = recv(client->fd, bytes, sizeof(bytes), 0)) > 0) {
		if (tls_conn_feed(client->tls, bytes, (size_t)n) != ERR_OK)
			client->is_closing = true;
	}
	enum err err = client->is_ready ? ERR_OK : tls_conn_handshake(client->tls);
	client->is_ready = err == ERR_OK;
	if (err != ERR_OK && err != ERR_AGAIN)
		client->is_closing = true;
	if (client->is_ready)
		read_frames(relay, client); // also what came right before the end
	flush(client);
	if (n == 0)
		client->is_closing = true;
	if (!client->is_closing)
		return;
	struct control_message gone = { .type = CONTROL_GONE,
					.gone = { .index = client->index, .participant = client->participant, .reason = CONTROL_END_LEFT } };
	bool was_joined = client->is_joined;
	drop_client(client);
	for (size_t i = 0; was_joined && i < CLIENT_RELAY_CLIENTS; i++) {
		if (relay->clients[i].fd >= 0 && relay->clients[i].is_joined)
			send_message(&relay->clients[i], &gone);
	}
}

static void accept_client(struct client_relay *relay)
{
	int fd = accept4(relay->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	for (size_t i = 0; fd >= 0 && i < CLIENT_RELAY_CLIENTS; i++) {
		struct client *client = &relay->clients[i];
		if (client->fd >= 0)
			continue;
		if (tls_conn_new(relay->tls, NULL, &client->tls) != ERR_OK)
			break;
		client->fd = fd;
		return;
	}
	if (fd >= 0)
		close(fd);
}

static void on_datagram(struct client_relay *relay, uint8_t *bytes, size_t size, const struct sockaddr_in *from)
{
	struct packet_header header;
	if (atomic_load(&relay->knobs.drops_udp) || packet_parse(bytes, size, &header) != ERR_OK)
		return;
	for (size_t i = 0; i < CLIENT_RELAY_CLIENTS; i++) {
		struct client *client = &relay->clients[i];
		if (client->fd >= 0 && client->is_joined &&
		    packet_handle_index(client->hop[HOP_PATH_UDP].handle) == packet_handle_index(header.handle))
			on_packet(relay, client, HOP_PATH_UDP, bytes, size, from);
	}
}

static void note_train(struct client_relay *relay, const uint8_t *bytes, size_t size, size_t segment_bytes)
{
	struct packet_rtp first, rtp;
	bool is_mixed = packet_rtp_parse(bytes, segment_bytes, &first) != ERR_OK || packet_ssrc_stream(first.ssrc) == PACKET_STREAM_AUDIO;
	for (size_t at = 0; at < size; at += segment_bytes) {
		size_t segment = size - at < segment_bytes ? size - at : segment_bytes;
		is_mixed = is_mixed || packet_rtp_parse(bytes + at, segment, &rtp) != ERR_OK || rtp.ssrc != first.ssrc ||
			   rtp.timestamp != first.timestamp;
		relay->figures.train_packets++;
	}
	relay->figures.trains++;
	relay->figures.mixed_trains += is_mixed;
}

static size_t segment_size(struct msghdr *message, size_t size)
{
	int segment_bytes = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
			memcpy(&segment_bytes, CMSG_DATA(c), sizeof(segment_bytes));
	}
	return segment_bytes > 0 ? (size_t)segment_bytes : size;
}

static void receive_udp(struct client_relay *relay)
{
	static uint8_t bytes[UINT16_MAX]; // a train may come whole
	struct sockaddr_in from = { 0 };
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))];
	for (;;) {
		struct iovec vector = { bytes, sizeof(bytes) };
		struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &vector, .msg_iovlen = 1,
					  .msg_control = control, .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(relay->udp, &message, 0);
		if (n <= 0)
			return;
		size_t size = (size_t)n, segment_bytes = segment_size(&message, size);
		if (segment_bytes < size)
			note_train(relay, bytes, size, segment_bytes);
		for (size_t at = 0; at < size; at += segment_bytes)
			on_datagram(relay, bytes + at, size - at < segment_bytes ? size - at : segment_bytes, &from);
	}
}

static void *run(void *argument)
{
	struct client_relay *relay = argument;
	while (!atomic_load(&relay->is_stopping)) {
		struct pollfd fds[2 + CLIENT_RELAY_CLIENTS] = { { .fd = relay->listener, .events = POLLIN },
								{ .fd = relay->udp, .events = POLLIN } };
		pthread_mutex_lock(&relay->lock);
		for (size_t i = 0; i < CLIENT_RELAY_CLIENTS; i++)
			fds[2 + i] = (struct pollfd){ .fd = relay->clients[i].fd, .events = POLLIN };
		pthread_mutex_unlock(&relay->lock);
		(void)!poll(fds, 2 + CLIENT_RELAY_CLIENTS, TURN_MS);
		pthread_mutex_lock(&relay->lock);
		accept_client(relay);
		receive_udp(relay);
		for (size_t i = 0; i < CLIENT_RELAY_CLIENTS; i++) {
			if (relay->clients[i].fd >= 0)
				serve(relay, &relay->clients[i]);
		}
		pthread_mutex_unlock(&relay->lock);
	}
	return NULL;
}

struct client_relay *client_relay_start(const char *directory)
{
	char certificate[CLIENT_CERTIFICATE_PATH_MAX], key[CLIENT_CERTIFICATE_PATH_MAX];
	struct client_relay *relay = calloc(1, sizeof(*relay));
	if (!relay || !client_certificate_make(directory, "relay", certificate, key, &relay->pins))
		return NULL;
	for (size_t i = 0; i < CLIENT_RELAY_CLIENTS; i++)
		relay->clients[i].fd = -1;
	const struct tls_context_options tls = { .is_server = true, .alpn = CONTROL_ALPN, .certificate_pem = certificate, .key_pem = key };
	relay->listener = open_socket(SOCK_STREAM, &relay->port);
	relay->udp = open_socket(SOCK_DGRAM, &relay->udp_port);
	relay->next_index = 1;
	int on = 1;
	(void)setsockopt(relay->udp, SOL_UDP, UDP_GRO, &on, sizeof(on)); // trains come as they were sent
	secret_random(relay->incarnation.bytes, sizeof(relay->incarnation.bytes));
	pthread_mutex_init(&relay->lock, NULL);
	if (srtp_box_library_init() != ERR_OK || tls_context_new(&tls, &relay->tls) != ERR_OK || relay->listener < 0 || relay->udp < 0 ||
	    pthread_create(&relay->thread, NULL, run, relay) != 0)
		return NULL;
	return relay;
}

void client_relay_stop(struct client_relay *relay)
{
	atomic_store(&relay->is_stopping, true);
	pthread_join(relay->thread, NULL);
	for (size_t i = 0; i < CLIENT_RELAY_CLIENTS; i++)
		drop_client(&relay->clients[i]);
	close(relay->listener);
	close(relay->udp);
	tls_context_free(relay->tls);
	pthread_mutex_destroy(&relay->lock);
	free(relay);
}

uint16_t client_relay_port(const struct client_relay *relay)
{
	return relay->port;
}

const struct token_pins *client_relay_pins(const struct client_relay *relay)
{
	return &relay->pins;
}

struct client_relay_knobs *client_relay_knobs(struct client_relay *relay)
{
	return &relay->knobs;
}

struct client_relay_figures *client_relay_figures(struct client_relay *relay)
{
	return &relay->figures;
}

void client_relay_set_device(struct client_relay *relay, const struct id *participant, const uint8_t key[static TOKEN_ED25519_BYTES])
{
	pthread_mutex_lock(&relay->lock);
	struct device *device = &relay->devices[relay->device_count++ % DEVICES];
	device->participant = *participant;
	memcpy(device->key, key, TOKEN_ED25519_BYTES);
	pthread_mutex_unlock(&relay->lock);
}

// Calls `what` for each joined client with the lock held.
#define FOR_EACH_CLIENT(relay, client)                                                                            \
	for (struct client *client = (relay)->clients; client < (relay)->clients + CLIENT_RELAY_CLIENTS; client++) \
		if (client->fd >= 0 && client->is_joined)

void client_relay_send_frame(struct client_relay *relay, const uint8_t *body, size_t size)
{
	pthread_mutex_lock(&relay->lock);
	FOR_EACH_CLIENT (relay, client)
		send_frame(client, body, size);
	pthread_mutex_unlock(&relay->lock);
}

void client_relay_send_message(struct client_relay *relay, const struct control_message *message)
{
	pthread_mutex_lock(&relay->lock);
	FOR_EACH_CLIENT (relay, client)
		send_message(client, message);
	pthread_mutex_unlock(&relay->lock);
}

void client_relay_send_datagram(struct client_relay *relay, const uint8_t *bytes, size_t size)
{
	pthread_mutex_lock(&relay->lock);
	FOR_EACH_CLIENT (relay, client) {
		if (client->has_udp)
			send_datagram_to(relay, &client->udp, bytes, size);
	}
	pthread_mutex_unlock(&relay->lock);
}

void client_relay_send_hop(struct client_relay *relay, const struct hop_message *message)
{
	pthread_mutex_lock(&relay->lock);
	FOR_EACH_CLIENT (relay, client)
		send_hop(relay, client, client->path, &client->udp, message);
	pthread_mutex_unlock(&relay->lock);
}

void client_relay_cut(struct client_relay *relay)
{
	pthread_mutex_lock(&relay->lock);
	for (size_t i = 0; i < CLIENT_RELAY_CLIENTS; i++)
		drop_client(&relay->clients[i]);
	pthread_mutex_unlock(&relay->lock);
}

void client_relay_forget(struct client_relay *relay)
{
	client_relay_cut(relay);
	pthread_mutex_lock(&relay->lock);
	relay->next_index = (uint32_t)atomic_load(&relay->knobs.first_index);
	relay->generation++;
	secret_random(relay->incarnation.bytes, sizeof(relay->incarnation.bytes));
	pthread_mutex_unlock(&relay->lock);
}
