// A relay in this process for tests of the client: TLS and UDP on the loopback, protocol as in docs/protocol.md
// section 3, with knobs for what goes wrong. It judges nothing but the join proof.
// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_FAKE_CLIENT_RELAY_H
#define TESTS_FAKE_CLIENT_RELAY_H

#include "base/control.h"
#include "base/hop.h"
#include "base/token.h"

#include <stdatomic.h>

enum { CLIENT_RELAY_CLIENTS = 4 };

struct client_relay;

struct client_relay_knobs {
	atomic_bool drops_udp;      // nothing goes in or out
	atomic_bool has_no_udp;     // WELCOME says so
	atomic_bool refuses_udp;    // grants TLS whatever is asked
	atomic_bool is_silent;      // accepts and then says nothing
	atomic_bool reads_nothing;  // of connections
	atomic_int refuses_with;    // enum control_end instead of WELCOME
	atomic_int drops_media_in;  // so many of the next media packets go nowhere, and are asked for again by NACK
	atomic_int first_index;     // of the next room
};

struct client_relay_figures {
	atomic_int joins, joins_again, bad_proofs, announcements, streams, leaves, media_udp, media_tls, resent, pings, keepalives;
	atomic_int bad_tags;
	atomic_int trains, train_packets; // several datagrams that came as one (UDP GSO)
	atomic_int mixed_trains;          // of them of several streams or pictures, or with sound: never
	atomic_int subscriptions;         // in SUBSCRIBE messages
	atomic_uint next_sequence[16]; // per stream number: one beyond the highest that came
};

// `directory` for certificate and key; NULL on failure.
struct client_relay *client_relay_start(const char *directory);
void client_relay_stop(struct client_relay *relay);

uint16_t client_relay_port(const struct client_relay *relay);
const struct token_pins *client_relay_pins(const struct client_relay *relay);
struct client_relay_knobs *client_relay_knobs(struct client_relay *relay);
struct client_relay_figures *client_relay_figures(struct client_relay *relay);
void client_relay_set_device(struct client_relay *relay, const struct id *participant, const uint8_t key[static TOKEN_ED25519_BYTES]);

// To every client that has joined.
void client_relay_send_frame(struct client_relay *relay, const uint8_t *body, size_t size);
void client_relay_send_message(struct client_relay *relay, const struct control_message *message);
void client_relay_send_datagram(struct client_relay *relay, const uint8_t *bytes, size_t size);
void client_relay_send_hop(struct client_relay *relay, const struct hop_message *message);
void client_relay_cut(struct client_relay *relay); // all connections, without a word
void client_relay_forget(struct client_relay *relay); // the same, and a new room afterwards

#endif
