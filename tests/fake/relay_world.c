// SPDX-License-Identifier: Apache-2.0
#include "tests/fake/relay_world.h"

#include "base/log.h"
#include "base/secret.h"
#include "relay/tcs_session.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(bool is_so, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "relay_world: %s\n", what);
	abort();
}

// ---------------------------------------------------------------- world

static void start(struct world *world, uint64_t now_s)
{
	char problem[JOURNAL_PROBLEM_MAX];
	must(!journal_open(world->directory, now_s, &world->journal, problem), problem);
	world->relay = relay_new(&(struct relay_options){ .config = &world->config, .registration = &world->pki.registration,
							  .journal = world->journal, .tls = world->server });
	must(world->relay != NULL, "no relay");
	struct loop_handlers handlers = relay_handlers(world->relay);
	world->loop = relay_loop_new(&handlers);
	relay_loop_set_clock(world->loop, now_s);
	must(!relay_start(world->relay, world->loop, relay_loop_port(world->loop)), "no start");
}

static void stop(struct world *world)
{
	relay_free(world->relay);
	world->loop->ops->close(world->loop);
	journal_close(world->journal);
}

void world_make(struct world *world)
{
	char problem[OPTION_PROBLEM_MAX];
	memset(world, 0, sizeof(*world));
	log_init("test", LOG_ERROR);
	static bool has_srtp;
	must(has_srtp || !srtp_box_library_init(), "no SRTP");
	has_srtp = true;
	relay_pki_directory(world->directory);
	relay_pki_make(&world->pki, world->directory);
	must(!options_load(tcs_config_rows, tcs_config_row_count, NULL, &world->config, problem), problem);
	secret_random(&world->meeting, sizeof(world->meeting));
	world->next_port = 10000;
	struct tls_context_options server = { .is_server = true, .alpn = CONTROL_ALPN,
					      .certificate_pem = world->pki.registration.certificate_path,
					      .key_pem = world->pki.registration.key_path };
	struct token_pins pins = { .count = 1 };
	memcpy(pins.pin[0], world->pki.relay_pin, TOKEN_PIN_BYTES);
	struct tls_context_options client = { .alpn = CONTROL_ALPN, .pins = &pins };
	must(!tls_context_new(&server, &world->server) && !tls_context_new(&client, &world->client), "no TLS");
	start(world, 1700000000);
}

void world_free(struct world *world)
{
	stop(world);
	tls_context_free(world->server);
	tls_context_free(world->client);
	relay_pki_free(&world->pki);
	relay_pki_remove(world->directory);
}

void world_restart(struct world *world)
{
	uint64_t now_s = world_now_s(world);
	stop(world);
	start(world, now_s);
}

uint64_t world_count(const struct world *world, enum relay_stats_counter counter) { return world->relay->stats.counter[counter]; }
uint64_t world_now_s(const struct world *world) { return relay_clock_s(world->relay); }

struct sockaddr_in6 world_address(struct world *world)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(world->next_port++) };
	a.sin6_addr.s6_addr[0] = 0x20;
	a.sin6_addr.s6_addr[1] = 0x01;
	a.sin6_addr.s6_addr[15] = 7;
	return a;
}

// ---------------------------------------------------------------- bytes

static void keep_frames(struct client *client)
{
	size_t at = 0;
	while (client->pending_size - at >= 2) {
		size_t size = (size_t)client->pending[at] << 8 | client->pending[at + 1];
		if (client->pending_size - at < 2 + size)
			break;
		must(client->frame_count < WORLD_FRAMES, "too many frames");
		struct client_frame *frame = &client->frame[client->frame_count++];
		frame->size = size;
		frame->bytes = malloc(size ? size : 1);
		memcpy(frame->bytes, client->pending + at + 2, size);
		at += 2 + size;
	}
	memmove(client->pending, client->pending + at, client->pending_size - at);
	client->pending_size -= at;
}

static void read_plain(struct client *client)
{
	size_t size;
	while (!tls_conn_read(client->tls, client->pending + client->pending_size, sizeof(client->pending) - client->pending_size, &size)) {
		client->pending_size += size;
		keep_frames(client);
	}
}

void client_pump(struct client *client)
{
	static uint8_t bytes[65536];
	for (bool is_moving = true; is_moving;) {
		is_moving = false;
		size_t size = tls_conn_take(client->tls, bytes, sizeof(bytes));
		if (size > 0) {
			is_moving = true;
			relay_stream_feed(client->stream, bytes, size);
		}
		size = client->is_deaf ? 0 : relay_stream_take(client->stream, bytes, sizeof(bytes));
		if (size > 0) {
			is_moving = true;
			must(!tls_conn_feed(client->tls, bytes, size), "client lags");
			if (!tls_conn_handshake(client->tls))
				read_plain(client);
		}
	}
}

void client_send_frame(struct client *client, const uint8_t *bytes, size_t size)
{
	uint8_t length[2] = { (uint8_t)(size >> 8), (uint8_t)size };
	(void)!tls_conn_write(client->tls, length, sizeof(length));
	(void)!tls_conn_write(client->tls, bytes, size);
	client_pump(client);
}

void client_send(struct client *client, const struct control_message *message)
{
	uint8_t bytes[TCS_SESSION_FRAME_MAX];
	size_t size;
	must(!control_emit(message, bytes, sizeof(bytes), &size), "cannot emit");
	client_send_frame(client, bytes, size);
}

// ---------------------------------------------------------------- life

void client_connect(struct client *client, struct world *world)
{
	memset(client, 0, sizeof(*client));
	client->world = world;
	client->address = world_address(world);
	must(!tls_conn_new(world->client, "relay.test", &client->tls), "no TLS connection");
	must(!tcs_session_open(world->relay, -1, &client->address), "no session");
	client->stream = relay_loop_last_stream(world->loop);
	(void)!tls_conn_handshake(client->tls);
	client_pump(client);
	must(!tls_conn_handshake(client->tls), "no handshake");
	client_pump(client);
}

void client_free(struct client *client)
{
	for (size_t i = 0; i < WORLD_FRAMES; i++)
		free(client->frame[i].bytes);
	for (size_t path = 0; client->is_joined && path < HOP_PATHS; path++)
		hop_fini(&client->hop[path]);
	relay_stream_hang_up(client->stream);
	relay_loop_advance(client->world->loop, TCS_SESSION_LINGER_NS + 200000000u);
	relay_stream_release(client->stream);
	tls_conn_free(client->tls);
}

struct token_ticket client_ticket(struct client *client)
{
	struct world *world = client->world;
	uint64_t now_s = world_now_s(world);
	struct token_ticket ticket = { .relay = world->pki.registration.relay, .meeting = world->meeting,
				       .rights = TOKEN_RIGHT_SEND | TOKEN_RIGHT_RECEIVE, .issued = now_s,
				       .join_before = now_s + 60, .rejoin_until = now_s + 3600 };
	token_key_id(world->pki.registration.ticket_key, ticket.key_id);
	secret_random(&ticket.serial, sizeof(ticket.serial));
	if (text_id_is_zero(&client->participant))
		secret_random(&client->participant, sizeof(client->participant));
	ticket.participant = client->participant;
	must(!token_ed25519_generate(client->device_private, ticket.device_key), "no device key");
	return ticket;
}

void client_sign(struct client *client, const struct token_ticket *ticket)
{
	must(!token_ticket_sign(ticket, client->world->pki.ticket_private, client->ticket), "no ticket");
}

static void open_hops(struct client *client)
{
	for (uint8_t path = 0; path < HOP_PATHS; path++) {
		struct hop_keys keys;
		must(!tls_conn_export(client->tls, HOP_EXPORTER_LABEL, &path, 1, (uint8_t *)&keys, sizeof(keys)), "no keys");
		must(!hop_init(&client->hop[path], HOP_CLIENT, client->welcome.index, client->welcome.handle[path], &keys), "no hop");
	}
	client->is_joined = true;
}

bool client_join(struct client *client, uint8_t flags)
{
	struct control_message message = { .type = CONTROL_JOIN };
	uint8_t exporter[ADMISSION_EXPORTER_BYTES], input[ADMISSION_PROOF_INPUT_BYTES];
	message.join = (struct control_join){ .version = CONTROL_VERSION, .flags = flags, .ticket = client->ticket,
					      .ticket_size = sizeof(client->ticket) };
	must(!tls_conn_export(client->tls, CONTROL_JOIN_EXPORTER, NULL, 0, exporter, sizeof(exporter)), "no exporter");
	admission_proof_input(exporter, client->ticket, sizeof(client->ticket), input);
	must(!token_ed25519_sign(client->device_private, input, sizeof(input), message.join.proof), "no proof");
	client_send(client, &message);
	if (!client_expect(client, CONTROL_WELCOME, &message))
		return false;
	client->welcome = message.welcome;
	open_hops(client);
	return true;
}

void client_enter(struct client *client, struct world *world)
{
	client_connect(client, world);
	struct token_ticket ticket = client_ticket(client);
	client_sign(client, &ticket);
	must(client_join(client, 0), "not let in");
}

// ---------------------------------------------------------------- what came

bool client_expect(struct client *client, enum control_type type, struct control_message *out)
{
	client_pump(client);
	for (size_t i = 0; i < client->frame_count; i++) {
		struct client_frame *frame = &client->frame[i];
		if (frame->size < 2 || frame->bytes[0] != CONTROL_MESSAGE_BYTE || frame->bytes[1] != type)
			continue;
		must(!control_parse(frame->bytes, frame->size, out), "the relay sent a malformed message");
		frame->bytes[1] = 0; // taken; the bytes stay
		return true;
	}
	return false;
}

enum control_end client_ended(struct client *client)
{
	struct control_message message;
	return client_expect(client, CONTROL_END, &message) ? (enum control_end)message.end : (enum control_end)0;
}

bool client_expect_packet(struct client *client, uint8_t *bytes, size_t *size)
{
	client_pump(client);
	for (size_t i = 0; i < client->frame_count; i++) {
		struct client_frame *frame = &client->frame[i];
		if (frame->size < PACKET_HEADER_BYTES || frame->bytes[0] >> 6 != PACKET_MEDIA)
			continue;
		memcpy(bytes, frame->bytes, frame->size);
		*size = frame->size;
		frame->size = 0;
		return true;
	}
	return false;
}

// ---------------------------------------------------------------- packets

void client_stamp(struct client *client, enum hop_path path, uint8_t *bytes, size_t size)
{
	struct hop *hop = &client->hop[path];
	packet_stamp(hop->tag_key_out, hop->handle, ++hop->counter, bytes, size);
}

void client_media(struct client *client, enum hop_path path, uint32_t ssrc, uint16_t sequence, uint8_t out[static CLIENT_MEDIA_BYTES])
{
	secret_random(out, CLIENT_MEDIA_BYTES); // in place of ciphertext
	struct packet_rtp rtp = { .ssrc = ssrc, .sequence = sequence, .payload_type = PACKET_PT_OPUS };
	packet_rtp_emit(&rtp, out + PACKET_HEADER_BYTES);
	client_stamp(client, path, out, CLIENT_MEDIA_BYTES);
}

void client_hop(struct client *client, const struct hop_message *message, const struct sockaddr_in6 *from)
{
	uint8_t bytes[PACKET_MAX_BYTES];
	size_t size;
	must(!hop_emit(&client->hop[HOP_PATH_UDP], message, bytes, &size), "no hop message");
	relay_loop_receive(client->world->loop, from, bytes, size);
}

bool client_hop_received(struct client *client, const struct sockaddr_in6 *address, struct hop_message *out)
{
	struct loop *loop = client->world->loop;
	for (size_t i = relay_loop_sent_count(loop); i-- > 0;) {
		const struct relay_loop_sent *sent = relay_loop_sent_at(loop, i);
		uint8_t bytes[PACKET_MAX_BYTES];
		memcpy(bytes, sent->bytes, sent->size);
		if (sent->to.peer.sin6_port == address->sin6_port && bytes[0] >> 6 == PACKET_HOP &&
		    !hop_parse(&client->hop[HOP_PATH_UDP], bytes, sent->size, out))
			return true;
	}
	return false;
}

void client_go_udp(struct client *client)
{
	struct hop_message message = { .kind = HOP_KEEPALIVE };
	struct control_message granted;
	client_hop(client, &message, &client->address);
	must(client_hop_received(client, &client->address, &message) && message.kind == HOP_CHALLENGE, "no challenge");
	message.kind = HOP_RESPONSE;
	client_hop(client, &message, &client->address);
	client_send(client, &(struct control_message){ .type = CONTROL_PATH, .path = HOP_PATH_UDP });
	must(client_expect(client, CONTROL_PATH_IS, &granted) && granted.path == HOP_PATH_UDP, "UDP was not granted");
	relay_loop_forget_sent(client->world->loop);
}
