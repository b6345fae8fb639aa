// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/relay/crowd_member.h"

#include "base/packet.h"
#include "base/secret.h"
#include "relay/admission.h"
#include "tests/bench/relay/lab.h"
#include "tests/bench/relay/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 5000, RETRY_MS = 300, RETRIES = 10, TCP_PORT = 443, LEFTOVER_MAX = CONTROL_FRAME_MAX + 2 };

static bool failed(const struct crowd_member *member, const char *what)
{
	fprintf(stderr, "bench_relay: crowd: %s (port %u, room %u)\n", what, member->port, member->room);
	return false;
}

// ---------------------------------------------------------------- bytes

static bool flush(struct crowd_member *member)
{
	uint8_t bytes[16384];
	for (size_t size; (size = tls_conn_take(member->tls, bytes, sizeof(bytes))) > 0;) {
		for (size_t done = 0; done < size;) {
			ssize_t sent = send(member->tcp, bytes + done, size - done, MSG_NOSIGNAL);
			struct pollfd fd = { .fd = member->tcp, .events = POLLOUT };
			if (sent > 0)
				done += (size_t)sent;
			else if (errno != EAGAIN || poll(&fd, 1, PATIENCE_MS) <= 0)
				return false;
		}
	}
	return true;
}

// What is there; false when the connection is over.
static bool feed(struct crowd_member *member)
{
	uint8_t bytes[16384];
	ssize_t got = recv(member->tcp, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	return got > 0 && !tls_conn_feed(member->tls, bytes, (size_t)got);
}

static bool wait_readable(int fd, int ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	return poll(&poll_fd, 1, ms) > 0;
}

bool crowd_member_send(struct crowd_member *member, const struct control_message *message)
{
	uint8_t bytes[2 + CONTROL_FRAME_MAX];
	size_t size;
	if (control_emit(message, bytes + 2, CONTROL_FRAME_MAX, &size))
		return false;
	bytes[0] = (uint8_t)(size >> 8);
	bytes[1] = (uint8_t)size;
	return !tls_conn_write(member->tls, bytes, size + 2) && flush(member);
}

// ---------------------------------------------------------------- frames

static void take_frame(struct crowd_member *member, const uint8_t *bytes, size_t size)
{
	struct control_message message;
	if (size < 2 || bytes[0] != CONTROL_MESSAGE_BYTE || control_parse(bytes, size, &message))
		return;
	if (message.type == CONTROL_WELCOME) {
		member->welcome = message.welcome;
		member->is_joined = true;
	} else if (message.type == CONTROL_PATH_IS) {
		member->has_udp = message.path == HOP_PATH_UDP;
	} else if (message.type == CONTROL_END) {
		fprintf(stderr, "bench_relay: crowd: the relay ended a connection: %s\n", control_end_text((enum control_end)message.end));
		member->is_gone = true;
	}
}

// Whole frames of the connection; a rest waits in `pending`.
static void take_frames(struct crowd_member *member, uint8_t *bytes, size_t size)
{
	size_t at = 0;
	while (size - at >= 2) {
		size_t length = (size_t)bytes[at] << 8 | bytes[at + 1];
		if (size - at < 2 + length)
			break;
		take_frame(member, bytes + at + 2, length);
		at += 2 + length;
	}
	free(member->pending);
	member->pending_size = size - at;
	member->pending = member->pending_size ? malloc(member->pending_size) : NULL;
	if (member->pending_size && !member->pending)
		lab_die("memory");
	if (member->pending)
		memcpy(member->pending, bytes + at, member->pending_size);
}

void crowd_member_receive_tcp(struct crowd_member *member)
{
	static uint8_t bytes[LEFTOVER_MAX + (1 << 18)];
	size_t got, size = member->pending_size;
	if (!feed(member)) {
		member->is_gone = true;
		return;
	}
	memcpy(bytes, member->pending, size);
	while (size < sizeof(bytes) && tls_conn_read(member->tls, bytes + size, sizeof(bytes) - size, &got) == ERR_OK)
		size += got;
	take_frames(member, bytes, size);
}

static bool wait_for(struct crowd_member *member, const bool *condition)
{
	for (int i = 0; !*condition && !member->is_gone && i < 1000; i++) {
		if (!wait_readable(member->tcp, PATIENCE_MS))
			return false;
		crowd_member_receive_tcp(member);
	}
	return *condition;
}

// ---------------------------------------------------------------- joining

bool crowd_member_connect(struct crowd_member *member, struct tls_context *context)
{
	int yes = 1;
	member->tcp = lab_socket(member->is_sender ? LAB_GENERATOR : LAB_RECEIVERS, SOCK_STREAM, INADDR_ANY, 0);
	struct sockaddr_in to = lab_address(member->relay_host, TCP_PORT);
	setsockopt(member->tcp, SOL_TCP, TCP_NODELAY, &yes, sizeof(yes));
	if (connect(member->tcp, (struct sockaddr *)&to, sizeof(to)) != 0)
		return failed(member, strerror(errno));
	fcntl(member->tcp, F_SETFL, O_NONBLOCK);
	if (tls_conn_new(context, "relay.test", &member->tls))
		return failed(member, "no TLS");
	enum err err;
	while ((err = tls_conn_handshake(member->tls)) == ERR_AGAIN) {
		if (!flush(member) || !wait_readable(member->tcp, PATIENCE_MS) || !feed(member))
			return failed(member, "the connection broke in the handshake");
	}
	if (err)
		return failed(member, tls_conn_problem(member->tls));
	return flush(member);
}

static struct token_ticket make_ticket(const struct crowd_member_ticket *from, bool is_sender, uint8_t device_private[static TOKEN_ED25519_BYTES])
{
	uint64_t now_s = (uint64_t)time(NULL);
	struct token_ticket ticket = { .relay = from->pki->registration.relay, .meeting = from->meeting, .issued = now_s,
				       .rights = is_sender ? TOKEN_RIGHT_SEND : TOKEN_RIGHT_RECEIVE,
				       .join_before = now_s + 60, .rejoin_until = now_s + 3600 };
	token_key_id(from->pki->registration.ticket_key, ticket.key_id);
	secret_random(&ticket.serial, sizeof(ticket.serial));
	secret_random(&ticket.participant, sizeof(ticket.participant));
	if (token_ed25519_generate(device_private, ticket.device_key))
		lab_die("device key");
	return ticket;
}

static bool send_join(struct crowd_member *member, const struct crowd_member_ticket *from)
{
	uint8_t device_private[TOKEN_ED25519_BYTES], bytes[TOKEN_TICKET_BYTES];
	uint8_t exporter[ADMISSION_EXPORTER_BYTES], input[ADMISSION_PROOF_INPUT_BYTES];
	struct token_ticket ticket = make_ticket(from, member->is_sender, device_private);
	struct control_message message = { .type = CONTROL_JOIN, .join = { .version = CONTROL_VERSION, .ticket = bytes, .ticket_size = sizeof(bytes) } };
	if (token_ticket_sign(&ticket, from->pki->ticket_private, bytes) ||
	    tls_conn_export(member->tls, CONTROL_JOIN_EXPORTER, NULL, 0, exporter, sizeof(exporter)))
		return false;
	admission_proof_input(exporter, bytes, sizeof(bytes), input);
	return !token_ed25519_sign(device_private, input, sizeof(input), message.join.proof) && crowd_member_send(member, &message);
}

static bool open_hops(struct crowd_member *member)
{
	for (uint8_t path = 0; path < HOP_PATHS; path++) {
		struct hop_keys keys;
		if (tls_conn_export(member->tls, HOP_EXPORTER_LABEL, &path, 1, (uint8_t *)&keys, sizeof(keys)) ||
		    hop_init(&member->hop[path], HOP_CLIENT, member->welcome.index, member->welcome.handle[path], &keys))
			return false;
	}
	return true;
}

bool crowd_member_join(struct crowd_member *member, const struct crowd_member_ticket *ticket)
{
	if (!send_join(member, ticket) || !wait_for(member, &member->is_joined) || !open_hops(member))
		return failed(member, "was not let in");
	if (!member->is_sender)
		return true;
	struct control_message message = { .type = CONTROL_STREAMS, .streams = { .count = 2 } };
	message.streams.stream[0] = (struct control_stream){ .stream = PACKET_STREAM_AUDIO, .kind = CONTROL_AUDIO, .bitrate = 64000 };
	message.streams.stream[1] = (struct control_stream){ .stream = PACKET_STREAM_VIDEO, .kind = CONTROL_VIDEO, .width = 1280, .height = 720,
							     .bitrate = 2000000 };
	return crowd_member_send(member, &message);
}

// ---------------------------------------------------------------- UDP

static bool send_hop(struct crowd_member *member, const struct hop_message *message)
{
	uint8_t bytes[PACKET_MAX_BYTES];
	size_t size;
	struct sockaddr_in to = lab_address(member->relay_host, WIRE_RELAY_PORT);
	return !hop_emit(&member->hop[HOP_PATH_UDP], message, bytes, &size) &&
	       sendto(member->udp, bytes, size, 0, (struct sockaddr *)&to, sizeof(to)) == (ssize_t)size;
}

// A hop message of ours, if that is what came next.
static bool receive_hop(struct crowd_member *member, struct hop_message *out)
{
	uint8_t bytes[PACKET_MAX_BYTES + 1];
	ssize_t size = recv(member->udp, bytes, sizeof(bytes), MSG_DONTWAIT);
	return size >= PACKET_HOP_MIN_BYTES && size <= PACKET_MAX_BYTES && bytes[0] >> 6 == PACKET_HOP &&
	       !hop_parse(&member->hop[HOP_PATH_UDP], bytes, (size_t)size, out);
}

static bool answer_challenge(struct crowd_member *member)
{
	struct hop_message message;
	while (wait_readable(member->udp, RETRY_MS)) {
		if (!receive_hop(member, &message) || message.kind != HOP_CHALLENGE)
			continue;
		message.kind = HOP_RESPONSE;
		return send_hop(member, &message);
	}
	return false;
}

bool crowd_member_prove(struct crowd_member *member)
{
	const struct hop_message keepalive = { .kind = HOP_KEEPALIVE };
	bool is_answered = false;
	for (int i = 0; !is_answered && i < RETRIES; i++)
		is_answered = send_hop(member, &keepalive) && answer_challenge(member);
	// The response is a datagram, the wish for the path is not: it may be refused when it comes first.
	for (int i = 0; is_answered && !member->has_udp && i < RETRIES; i++) {
		(void)send_hop(member, &keepalive);
		if (!crowd_member_send(member, &(struct control_message){ .type = CONTROL_PATH, .path = HOP_PATH_UDP }))
			break;
		for (int k = 0; !member->has_udp && k < 20 && wait_readable(member->tcp, 20); k++)
			crowd_member_receive_tcp(member);
	}
	return member->has_udp || failed(member, is_answered ? "UDP was not granted" : "no challenge came");
}

void crowd_member_receive_udp(struct crowd_member *member)
{
	uint8_t bytes[PACKET_MAX_BYTES + 1];
	for (int i = 0; i < 64 && recv(member->udp, bytes, sizeof(bytes), MSG_DONTWAIT) > 0; i++)
		;
}

// A sender's UDP counters are the generator's once it has joined: it only pings.
void crowd_member_keep(struct crowd_member *member, uint64_t now_ns)
{
	member->ping_ns = now_ns;
	if (!crowd_member_send(member, &(struct control_message){ .type = CONTROL_PING, .ping = now_ns }))
		member->is_gone = true;
	if (!member->is_sender && member->has_udp && member->udp >= 0)
		(void)send_hop(member, &(struct hop_message){ .kind = HOP_KEEPALIVE });
}

void crowd_member_fini(struct crowd_member *member)
{
	for (size_t path = 0; member->is_joined && path < HOP_PATHS; path++)
		hop_fini(&member->hop[path]);
	tls_conn_free(member->tls);
	free(member->pending);
	if (member->tcp > 0)
		close(member->tcp);
	if (member->udp > 0)
		close(member->udp);
}
