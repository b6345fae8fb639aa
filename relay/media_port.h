// A thread's UDP sockets: what has arrived, in batches, and what leaves. A table of operations: recvmmsg, io_uring, and a
// fake one in the unit tests. Datagrams that came as one train (GRO) are told one by one, side by side in memory.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_MEDIA_PORT_H
#define RELAY_MEDIA_PORT_H

#include "base/err.h"
#include "relay/loop.h"

#include <stdbool.h>
#include <sys/socket.h>

struct media_port;

struct media_port_batch {
	struct loop_datagram *datagram;
	size_t count;
	bool is_full; // there was as much as can be taken at once: perhaps there is more
};

struct media_port_ops {
	const char *name;
	// What has arrived; stays until the next call. Never waits.
	void (*receive)(struct media_port *port, struct media_port_batch *out);
	// How much of the room for what has not been received yet is in use, of 256.
	unsigned (*backlog)(struct media_port *port);
	// Until something has arrived, or `wake` is readable.
	void (*wait)(struct media_port *port);
	// Returns how many messages the kernel took, from the first on. If none, errno is why not the first. Never waits.
	size_t (*send)(struct media_port *port, bool is_leg, struct mmsghdr *messages, size_t count);
	void (*close)(struct media_port *port);
};

struct media_port {
	const struct media_port_ops *ops;
	int descriptor;     // of clients; -1: none
	int leg_descriptor; // of other relays; -1: none
	bool is_leg_deaf;   // another port receives there
	int wake;           // eventfd that ends `wait`; -1: none
};

// Sockets stay the caller's. With io_uring the port belongs to the thread that first receives from it, and that thread may
// be confined by then; with recvmmsg others may watch the sockets. LOOP_AUTO takes the faster one. ERR_NOMEM, ERR_IO.
enum err media_port_open(enum loop_choice choice, const struct media_port *sockets, struct media_port **out) CHECK_RESULT;

#endif
