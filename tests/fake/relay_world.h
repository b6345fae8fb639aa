// A relay on the fake loop, and clients of it: real TLS, real tickets, real packets, no sockets.
// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_FAKE_RELAY_WORLD_H
#define TESTS_FAKE_RELAY_WORLD_H

#include "base/control.h"
#include "base/tls_conn.h"
#include "relay/relay.h"
#include "relay/tcs_config.h"
#include "tests/fake/relay_loop.h"
#include "tests/fake/relay_pki.h"

enum { WORLD_CLIENTS = 8, WORLD_FRAMES = 512 };

struct world {
	char directory[64];
	struct relay_pki pki;
	struct tcs_config config;
	struct journal *journal;
	struct tls_context *server, *client;
	struct relay *relay;
	struct loop *loop;
	struct id meeting;
	uint16_t next_port;
};

struct client_frame {
	uint8_t *bytes;
	size_t size;
};

struct client {
	struct world *world;
	struct loop_stream *stream;
	struct tls_conn *tls;
	struct sockaddr_in6 address; // of its UDP socket
	struct id participant;
	uint8_t device_private[TOKEN_ED25519_BYTES];
	uint8_t ticket[TOKEN_TICKET_BYTES];
	struct control_welcome welcome;
	struct hop hop[HOP_PATHS];
	bool is_joined, is_deaf; // deaf: does not read what comes over TLS
	uint8_t pending[1 << 17];
	size_t pending_size;
	struct client_frame frame[WORLD_FRAMES]; // received and not yet looked at
	size_t frame_count;
};

void world_make(struct world *world);
void world_free(struct world *world);
// The relay goes down and comes up again with the same state directory; clients must be gone.
void world_restart(struct world *world);
uint64_t world_count(const struct world *world, enum relay_stats_counter counter);
uint64_t world_now_s(const struct world *world);
struct sockaddr_in6 world_address(struct world *world); // a new one

// TLS connection; the handshake is done when it returns.
void client_connect(struct client *client, struct world *world);
void client_free(struct client *client);
// What would be in a ticket of this client now; sign it with client_sign.
struct token_ticket client_ticket(struct client *client);
void client_sign(struct client *client, const struct token_ticket *ticket);
// JOIN; true with a WELCOME.
bool client_join(struct client *client, uint8_t flags);
// connect, ticket, join, announce nothing.
void client_enter(struct client *client, struct world *world);
// Exchange bytes both ways until nothing moves.
void client_pump(struct client *client);
void client_send(struct client *client, const struct control_message *message);
void client_send_frame(struct client *client, const uint8_t *bytes, size_t size);

// The first message of this type that came, and all before it, are taken out. False: there is none. What
// it borrows is good until the client is freed.
bool client_expect(struct client *client, enum control_type type, struct control_message *out);
// The reason of an END, 0 if none came.
enum control_end client_ended(struct client *client);
// The first media frame that came over TLS.
bool client_expect_packet(struct client *client, uint8_t *bytes, size_t *size);

// A media packet of this client as it would send it on `path`; 200 bytes.
enum { CLIENT_MEDIA_BYTES = 200 };
void client_media(struct client *client, enum hop_path path, uint32_t ssrc, uint16_t sequence, uint8_t out[static CLIENT_MEDIA_BYTES]);
void client_stamp(struct client *client, enum hop_path path, uint8_t *bytes, size_t size); // anew, next counter
// A hop message from its UDP address.
void client_hop(struct client *client, const struct hop_message *message, const struct sockaddr_in6 *from);
// The newest hop message that went to `address`; false if there is none.
bool client_hop_received(struct client *client, const struct sockaddr_in6 *address, struct hop_message *out);
// Keepalive, challenge, response, PATH udp.
void client_go_udp(struct client *client);

#endif
