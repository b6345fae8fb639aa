// One client of the crowd: a real TLS connection, a real ticket, a proven UDP path; blocking while it joins.
// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_BENCH_RELAY_CROWD_MEMBER_H
#define TESTS_BENCH_RELAY_CROWD_MEMBER_H

#include "base/control.h"
#include "base/tls_conn.h"
#include "tests/fake/relay_pki.h"

#include <stdint.h>

struct crowd_member {
	int tcp, udp;
	struct tls_conn *tls;
	struct hop hop[HOP_PATHS];
	struct control_welcome welcome;
	uint64_t ping_ns;
	uint8_t *pending; // of an unfinished frame
	size_t pending_size;
	bool is_first, is_sender, is_joined, has_udp, is_gone;
	uint32_t room;
	uint16_t port;       // of its UDP socket
	uint32_t relay_host; // address of the relay as it sees it
};

struct crowd_member_ticket {
	const struct relay_pki *pki;
	struct id meeting;
};

// TCP and TLS. False, with a line on stderr, when it cannot be.
bool crowd_member_connect(struct crowd_member *member, struct tls_context *context);
// JOIN and WELCOME; senders give their stream catalogue: sound, and pictures.
bool crowd_member_join(struct crowd_member *member, const struct crowd_member_ticket *ticket);
// Keepalive, challenge, response, PATH udp.
bool crowd_member_prove(struct crowd_member *member);
// Take what came, answer nothing; is_gone when the relay has closed.
void crowd_member_receive_tcp(struct crowd_member *member);
void crowd_member_receive_udp(struct crowd_member *member);
// PING, and a keepalive of receivers.
void crowd_member_keep(struct crowd_member *member, uint64_t now_ns);
bool crowd_member_send(struct crowd_member *member, const struct control_message *message);
// Leave and close.
void crowd_member_fini(struct crowd_member *member);

#endif
