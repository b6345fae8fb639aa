// TLS handshakes on threads of their own: a step costs a millisecond, and media and control are not to wait for it. While
// a step runs, its connection belongs to the worker and nobody else touches it. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_HANDSHAKE_H
#define RELAY_HANDSHAKE_H

#include "base/err.h"
#include "base/tls_conn.h"

#include <stdbool.h>

// One step, and so one connection at a time. Embedded in what is waiting for it.
struct handshake {
	struct tls_conn *tls;
	enum err err;    // of tls_conn_handshake, once it is taken back
	bool is_running; // given and not taken back yet
	struct handshake *next;
};

struct handshakes;

// Nothing runs yet. ERR_NOMEM, ERR_IO.
enum err handshakes_new(size_t threads, struct handshakes **out) CHECK_RESULT;
enum err handshakes_start(struct handshakes *handshakes) CHECK_RESULT;
void handshakes_free(struct handshakes *handshakes); // waits for the steps that run; forgets the others

// In the order given, as far as several workers keep it.
void handshakes_give(struct handshakes *handshakes, struct handshake *step);
// One whose step is done; NULL: none.
struct handshake *handshakes_take(struct handshakes *handshakes);
int handshakes_descriptor(const struct handshakes *handshakes); // readable when there is something to take
void handshakes_hush(struct handshakes *handshakes);            // before taking

#endif
